/*
 * Pictures of every page in both themes, from a running server: screenshots.ts URL DATA OUT. DATA is the server's data
 * directory, whose first login is used; since a first login asks for another password, that one is kept beside it for
 * the next time.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { graphDrawn, launch } from './browser';

const [url, data, out] = process.argv.slice(2);
if (!url || !data || !out) {
  process.stderr.write('usage: screenshots URL DATA OUT\n');
  process.exit(2);
}
mkdirSync(out, { recursive: true });
const kept = join(data, 'screenshots-login');

function login(): { email: string; password: string; isFirst: boolean } {
  const isFirst = existsSync(join(data, 'first-login'));
  const text = readFileSync(isFirst ? join(data, 'first-login') : kept, 'utf8');
  return { email: /email: (.*)/.exec(text)?.[1] ?? '', password: /password: (.*)/.exec(text)?.[1] ?? '', isFirst };
}

const browser = await launch({ scale: 1 });
const { page } = browser;

async function signIn(): Promise<void> {
  const { email, password, isFirst } = login();
  await page.goto(`${url}/login?to=/settings/profile`);
  await page.getByLabel('E-mail').waitFor();
  await shot('login');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  if (isFirst) {
    const next = randomBytes(15).toString('base64url');
    await page.getByLabel('New password', { exact: true }).fill(next);
    await page.getByLabel('New password again').fill(next);
    writeFileSync(kept, `email: ${email}\npassword: ${next}\n`, { mode: 0o600 });
    await page.getByRole('button', { name: 'Change the password' }).click();
  }
  await page.getByText('This browser').waitFor();
}

async function shot(name: string, ready?: (page: Page) => Promise<unknown>): Promise<void> {
  for (const theme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.reload();
    await page.waitForLoadState('domcontentloaded');
    await ready?.(page);
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(out, `${name}-${theme}.png`) });
    process.stdout.write(`${join(out, `${name}-${theme}.png`)}\n`);
  }
}

await signIn();
const tests = await page.evaluate(async () => (await (await fetch('/oculi/v1/tests?sort=-state&max=1')).json()) as { tests: { testId: string; type: string }[] });
const test = tests.tests[0];
const visit = async (path: string, name: string, ready?: (page: Page) => Promise<unknown>): Promise<void> => {
  await page.goto(url + path);
  await shot(name, ready);
};
if (test) {
  /* The round with the most loss of the last hour shows the most. */
  const round = await page.evaluate(async (id) => {
    const line = (await (await fetch(`/oculi/v1/tests/${id}/timeline?metric=loss&from=-1h&to=now`)).json()) as { t: number[]; mean: (number | null)[] };
    const most = Math.max(...line.mean.map((value) => value ?? 0));
    return most >= 1 ? line.t[line.mean.indexOf(most)] : null;
  }, test.testId);
  const at = round === null ? '' : `&round=${round}`;
  const worst = await page.evaluate(async ([id, when]) => {
    const round = (await (await fetch(`/oculi/v1/tests/${id}/round?at=${when}`)).json()) as { agents: { agentId: string; metrics: { loss?: number | null } }[] };
    return round.agents.sort((a, b) => (b.metrics.loss ?? -1) - (a.metrics.loss ?? -1))[0]?.agentId;
  }, [test.testId, String(round ?? 'latest')] as const);
  await visit(`/views/${test.testId}?from=-1h${at}`, 'path', graphDrawn);
  if (worst) await visit(`/views/${test.testId}?from=-1h${at}&agent=${worst}`, 'path-agent', graphDrawn);
  await visit(`/views/${test.testId}?from=-1h${at}&tab=table`, 'table', (p) => p.getByRole('region', { name: 'Agents of this round' }).waitFor());
  await visit(`/tests/${test.type}/${test.testId}/edit`, 'test-edit', (p) => p.getByText('Advanced settings').waitFor());
}
await visit('/tests', 'tests', (p) => p.locator('tbody tr').first().waitFor());
await visit('/agents', 'agents', (p) => p.locator('tbody tr').first().waitFor());
await visit('/start', 'start', (p) => p.getByText('The server is running').waitFor());
await browser.close();
