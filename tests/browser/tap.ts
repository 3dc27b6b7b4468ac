/* Checks one after the other, told as TAP version 13. A check that fails says why; the next one starts afresh. */
type Body = () => Promise<void>;

const checks: { name: string; body: Body }[] = [];

export function check(name: string, body: Body): void {
  checks.push({ name, body });
}

export function assert(condition: unknown, text: string): asserts condition {
  if (!condition) throw new Error(text);
}

export function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, expected ${b}`);
}

export async function run(after: (failed: boolean) => Promise<void>, only?: string): Promise<boolean> {
  const chosen = checks.filter((item) => !only || item.name.includes(only));
  process.stdout.write(`TAP version 13\n1..${chosen.length}\n`);
  let allGood = true;
  for (const [i, item] of chosen.entries()) {
    let failure: unknown = null;
    try {
      await item.body();
    } catch (error) {
      failure = error;
      allGood = false;
    }
    process.stdout.write(`${failure ? 'not ok' : 'ok'} ${i + 1} - ${item.name.replaceAll('#', '')}\n`);
    if (failure) process.stdout.write(`${String((failure as Error).message ?? failure).split('\n').slice(0, 12).map((line) => `# ${line}`).join('\n')}\n`);
    await after(failure !== null);
  }
  return allGood;
}
