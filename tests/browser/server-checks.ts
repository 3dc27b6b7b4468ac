/* The UI on the real server, from the first start: signing in, the first run, a real agent, a real measurement. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { graphDrawn } from './browser';
import type { Session, Theme } from './session';
import { assert, check, equal } from './tap';

const PASSWORD = 'a password for this check';

async function until<T>(what: string, seconds: number, look: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < seconds * 20; i++) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what}: not within ${seconds} s`);
}

/* RFC 6238, so many steps from now. */
function totp(key: string, steps: number): string {
  const bits = [...key].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac('sha1', Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)))).update(counter).digest();
  return String((mac.readUInt32BE(mac[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

class RealServer {
  url = '';
  email = '';
  password = '';
  readonly data = mkdtempSync(join(tmpdir(), 'oculi-server-'));
  #children: ChildProcess[] = [];
  #log = '';

  constructor(
    readonly build: string,
    readonly dist: string,
  ) {}

  #spawn(program: string, args: string[]): void {
    const child = spawn(join(this.build, program), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.on('data', (chunk) => (this.#log += chunk));
    child.stderr.on('data', (chunk) => (this.#log += chunk));
    this.#children.push(child);
  }

  async start(): Promise<void> {
    if (this.url !== '') return;
    this.#spawn('oculid', ['--listen', '127.0.0.1:0', '--data', join(this.data, 'server'), '--web', this.dist]);
    const facts = join(this.data, 'server/run.json');
    this.url = await until(`oculid (${this.#log})`, 15, () => existsSync(facts) && (JSON.parse(readFileSync(facts, 'utf8')) as { url: string }).url);
    const login = readFileSync(join(this.data, 'server/first-login'), 'utf8');
    this.email = /email: (.*)/.exec(login)?.[1] ?? '';
    this.password = /password: (.*)/.exec(login)?.[1] ?? '';
  }

  agent(): void {
    const state = join(this.data, 'agent');
    mkdirSync(state, { recursive: true });
    writeFileSync(join(this.data, 'token'), readFileSync(join(this.data, 'server/agent-token')), { mode: 0o600 });
    this.#spawn('oculi-agent', ['--server', this.url, '--token-file', join(this.data, 'token'), '--state-dir', state, '--name', 'Here', '--location', 'This machine']);
  }

  get log(): string {
    return this.#log.slice(-600);
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      const gone = child.exitCode !== null || new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await gone;
    }
    rmSync(this.data, { recursive: true, force: true });
  }
}

export function serverChecks(session: Session, build: string, dist: string): () => Promise<void> {
  if (!existsSync(join(build, 'oculid'))) {
    check('the UI on oculid, which has not been built # SKIP', async () => undefined);
    return async () => undefined;
  }
  const server = new RealServer(build, dist);
  const open = async (path: string, theme: Theme = 'dark'): Promise<Page> => {
    await server.start();
    return session.open(path, theme, server.url);
  };
  let viewPath = '';

  check('oculid: signing in with the printed password, choosing another, back to the same page', async () => {
    session.expected.push(/status of 40[01]/);
    const page = await open('/start');
    await page.getByLabel('E-mail').fill(server.email);
    await page.getByLabel('Password').fill('not this one');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('do not belong together').waitFor();
    await page.getByLabel('Password').fill(server.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Choose a password of your own').waitFor();
    await session.expectAccessible(page);
    equal(await page.getByLabel('Present password').count(), 0, 'fields for what was just typed');
    await page.reload();
    await page.getByLabel('Present password').fill('wrong again');
    await page.getByLabel('New password', { exact: true }).fill(PASSWORD);
    await page.getByLabel('New password again').fill(PASSWORD);
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.locator('#pw-current-w').waitFor();
    await page.getByLabel('Present password').fill(server.password);
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('The server is running').waitFor();
    await page.getByText('Waiting for an agent').waitFor();
    session.expectQuiet();
  });

  check('oculid: signing in with a second factor', async () => {
    session.expected.push(/status of 401/);
    const page = await open('/start');
    await page.getByText('The server is running').waitFor();
    const ask = (method: string, path: string, body?: unknown): Promise<Record<string, string>> =>
      page.evaluate(async ([method, path, body]) => {
        const answer = await fetch(`/oculi/v1/session${path}`, { method: method!, headers: { 'x-oculi-request': '1', 'content-type': 'application/json' }, body: body || undefined });
        return answer.status === 204 ? {} : ((await answer.json()) as Record<string, string>);
      }, [method, path, body ? JSON.stringify(body) : '']);
    const { key } = await ask('POST', '/second-factor', { password: PASSWORD });
    await ask('PUT', '/second-factor', { code: totp(key!, -1) });
    await ask('DELETE', '');
    await page.goto(`${server.url}/login`);
    await page.getByLabel('E-mail').fill(server.email);
    await page.getByLabel('Password').fill(PASSWORD);
    equal(await page.getByLabel('Code of your second factor').count(), 0, 'fields for a code before one is asked for');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('Code of your second factor').fill('000000');
    await session.expectAccessible(page);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('That code is wrong or was used').waitFor();
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByLabel('Code of your second factor').fill(totp(key!, 0));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The server is running').or(page.getByRole('heading', { name: 'Tests' })).first().waitFor();
    await ask('DELETE', '/second-factor', { password: PASSWORD, code: totp(key!, 1) });
    session.expectQuiet();
  });

  check('oculid: without an agent there is nothing to run a test on', async () => {
    const page = await open('/tests/new');
    await page.getByLabel('Target').fill('a.example');
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.getByText('Choose at least one agent.').waitFor();
    await page.getByText('No agent has called in yet.').waitFor();
    session.expectQuiet();
  });

  check('oculid: a real agent ticks the first run, and its first measurement is drawn', async () => {
    if (process.getuid?.() !== 0 || !existsSync(join(build, 'oculi-agent'))) throw new Error('this check needs root and oculi-agent');
    const page = await open('/start');
    await page.getByText('Waiting for an agent').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    server.agent();
    await page.getByText('1 online').waitFor({ timeout: 20_000 }).catch(() => assert(false, `no agent: ${server.log}`));
    await page.getByLabel('Target').fill('127.0.0.1');
    await page.getByRole('button', { name: 'Start the test' }).click();
    await page.waitForURL(/\/views\/\d+/);
    viewPath = new URL(page.url()).pathname;
    await page.waitForFunction(() => Number(document.querySelector<HTMLCanvasElement>('canvas[data-drawn]')?.dataset.drawn ?? 0) > 1, undefined, { timeout: 100_000 }).catch(() => assert(false, `nothing drawn: ${server.log}`));
    await page.getByText('1 of 1 agent reported').waitFor();
    await page.getByRole('tab', { name: 'Table' }).click();
    await page.getByRole('cell', { name: '127.0.0.1', exact: true }).waitFor();
    session.expectQuiet();
  });

  check('oculid: a field that is wrong is named by the server and shown there', async () => {
    session.expected.push(/status of 400/);
    const page = await open('/tests/new');
    await page.getByRole('checkbox', { name: 'Here' }).waitFor();
    await page.getByLabel('Target').fill('bad name!');
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.locator('[data-field=server] [role=alert]').waitFor();
    await page.getByLabel('Target').fill('a.example:70000');
    await page.getByRole('button', { name: 'Create the test' }).click();
    await page.locator('[data-field=server] [role=alert]', { hasText: /port/i }).waitFor();
    session.expectQuiet();
  });

  check('oculid: running once shows a result without saving', async () => {
    session.expected.push(/status of 404/);
    const page = await open('/tests/new');
    await page.getByRole('checkbox', { name: 'Here' }).waitFor();
    await page.getByLabel('Target').fill('127.0.0.1');
    await page.getByRole('button', { name: 'Run once' }).click();
    await page.getByText('The agent reported.').waitFor({ timeout: 60_000 }).catch(async () => assert(false, `no result: ${await page.locator('form').innerText()}`));
    session.expectQuiet();
  });

  check('oculid: editing and switching a test', async () => {
    const page = await open('/tests');
    await page.getByRole('link', { name: '127.0.0.1', exact: true }).first().waitFor();
    await page.getByRole('link', { name: /^Edit/ }).click();
    await page.waitForFunction(() => document.querySelector<HTMLInputElement>('[data-field="server"] input')?.value !== '');
    await page.getByLabel('Test name').fill('Loopback');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(/\/views\//);
    await page.getByRole('button', { name: /Loopback/ }).waitFor();
    await page.goto(`${server.url}/tests`);
    const toggle = page.getByRole('switch', { name: 'Loopback is enabled' });
    await toggle.click();
    await page.waitForTimeout(2500);
    equal(await toggle.getAttribute('aria-checked'), 'false', 'enabled');
    session.expectQuiet();
  });

  for (const theme of ['dark', 'light'] as Theme[]) {
    check(`oculid: every page, ${theme}: accessible, within the content security policy`, async () => {
      session.expected.push(/status of 404/);
      for (const [path, text] of [['/start', 'The server is running'], ['/tests', 'Loopback'], ['/agents?add=1', 'This machine'], ['/settings/profile', 'Change the password'], [viewPath, 'Network'], [`${viewPath}?tab=table`, 'Here'], [`${viewPath}?as=table`, 'Target']]) {
        const page = await open(path, theme);
        await page.getByText(text).first().waitFor();
        if (path === viewPath) await graphDrawn(page);
        await session.expectAccessible(page);
        await page.close();
      }
      session.expectQuiet();
    });
  }

  return () => server.stop();
}
