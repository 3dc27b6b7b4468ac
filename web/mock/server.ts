/*
 * A server that answers as docs/protocols.md says, out of a made-up world; and, for the checks, the ways in which a
 * server can fail. It serves a built UI with the content security policy the real server has.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import type { AddressInfo, Socket } from 'node:net';
import { HISTORY, World } from './world';

export type Mode = 'ok' | 'gone' | 'slow' | '401' | '500' | 'empty' | 'partial' | 'first-login';

export const CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "font-src 'self'", "connect-src 'self'", "worker-src 'self'",
  "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", 'trusted-types svelte-trusted-html oculi',
].join('; ');

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.txt': 'text/plain', '.json': 'application/json',
};
export const EMAIL = 'admin@example.net';
export const PASSWORD = 'correct horse battery';

class Refused extends Error {
  constructor(readonly status: number, title: string, readonly errors?: { field: string; message: string }[]) {
    super(title);
  }
}

export class MockServer {
  mode: Mode = 'ok';
  world: World;
  asked: string[] = [];
  instant = 0;
  readonly #dir: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<ServerResponse>();
  #mustChange = false;
  #signedIn = true;
  #next = 1;

  constructor(dir: string, now?: number) {
    this.#dir = dir;
    this.world = new World(now);
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(port, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }

  /* As if the server had gone: what is open breaks. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  set signedIn(value: boolean) {
    this.#signedIn = value;
  }
  set mustChange(value: boolean) {
    this.#mustChange = value;
  }

  tell(event: string, data: unknown): void {
    for (const stream of this.#streams) stream.write(`id: ${this.#next++}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://mock');
    const isApi = /^\/(v7|oculi)\//.test(url.pathname);
    if (this.mode === 'gone') {
      request.socket.destroy();
      return;
    }
    if (!isApi) {
      this.#file(url.pathname, response);
      return;
    }
    this.asked.push(`${request.method} ${url.pathname}${url.search}`);
    try {
      if (this.mode === 'slow') await new Promise((done) => setTimeout(done, 1500));
      const text = await new Promise<string>((done) => {
        let all = '';
        request.on('data', (chunk) => (all += chunk));
        request.on('end', () => done(all));
      });
      const result = this.#answer(request, url, text === '' ? undefined : JSON.parse(text), response);
      if (result === 'streaming') return;
      response.setHeader('content-type', 'application/json');
      response.writeHead(result === undefined ? 204 : request.method === 'POST' && !url.pathname.endsWith('session') ? 201 : 200);
      response.end(result === undefined ? '' : JSON.stringify(result));
    } catch (error) {
      const refused = error instanceof Refused ? error : new Refused(500, 'Internal error');
      response.writeHead(refused.status, { 'content-type': 'application/problem+json', 'x-request-id': `mock-${this.asked.length}` });
      response.end(JSON.stringify({ type: 'about:blank', title: refused.message, status: refused.status, errors: refused.errors }));
    }
  }

  #file(path: string, response: ServerResponse): void {
    const safe = normalize(path).replace(/^(\.\.[/\\])+/, '');
    let file = join(this.#dir, safe);
    if (!existsSync(file) || statSync(file).isDirectory()) file = join(this.#dir, 'index.html');
    response.writeHead(200, {
      'content-type': types[extname(file)] ?? 'application/octet-stream',
      'content-security-policy': CSP,
      'x-content-type-options': 'nosniff',
      'cache-control': file.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-store',
    });
    response.end(readFileSync(file));
  }

  #answer(request: IncomingMessage, url: URL, body: unknown, response: ServerResponse): unknown {
    const { pathname: path, searchParams: query } = url;
    const method = request.method ?? 'GET';
    const given = (body ?? {}) as Record<string, unknown>;
    if (method !== 'GET' && request.headers['x-oculi-request'] !== '1') throw new Refused(403, 'The header X-Oculi-Request is missing');
    if (path === '/oculi/v1/sign-in') return {};
    if (path === '/oculi/v1/session') return this.#session(method, given);
    if (this.mode === '401' || !this.#signedIn) throw new Refused(401, 'Sign in first');
    if (path === '/oculi/v1/session/password') {
      if (given.current !== PASSWORD) throw new Refused(400, 'The password was not changed', [{ field: 'current', message: 'This is not the present password' }]);
      if (String(given.new).length < 12) throw new Refused(400, 'The password was not changed', [{ field: 'new', message: 'At least 12 characters' }]);
      this.#mustChange = false;
      return undefined;
    }
    if (this.mode === '500') throw new Refused(500, 'The database is busy');
    if (path === '/oculi/v1/stream') return this.#stream(request, response);
    const agents = this.mode === 'empty' ? [] : this.world.agents;
    const tests = this.mode === 'empty' ? [] : this.world.tests;
    if (path === '/oculi/v1/start') {
      return {
        agentToken: 'k7Qe92MfTz41', serverUrl: 'https://oculi.example.net:8443', version: '0.1.0', agents: agents.length, tests: tests.length,
        agentCommand: 'sudo oculi-agent --server https://oculi.example.net:8443 --token k7Qe92MfTz41',
      };
    }
    if (path === '/v7/agents') return { agents: agents.map((agent) => ({ ...agent, tests: tests.filter((test) => test.agents?.some((item) => item.agentId === agent.agentId)) })) };
    if (path === '/oculi/v1/tests') return this.#list(query, tests);
    const row = /^\/oculi\/v1\/tests\/(\d+)$/.exec(path);
    if (row) {
      const test = tests.find((item) => item.testId === row[1]);
      if (!test) throw new Refused(404, 'There is no such test');
      return this.world.row(test);
    }
    const own = /^\/oculi\/v1\/tests\/(\d+)\/(timeline|round|paths)$/.exec(path);
    if (own) return this.#result(own[1], own[2], query);
    return this.#v7(method, path, given);
  }

  #session(method: string, given: Record<string, unknown>): unknown {
    if (method === 'DELETE') {
      this.#signedIn = false;
      return undefined;
    }
    if (method === 'POST') {
      if (given.email !== EMAIL || given.password !== PASSWORD) throw new Refused(401, 'Wrong e-mail or password');
      this.#signedIn = true;
      if (this.mode === '401') this.mode = 'ok';
    }
    if (!this.#signedIn || this.mode === '401') throw new Refused(401, 'Sign in first');
    return { user: { uid: '1', name: 'Admin', email: EMAIL }, aid: '1', accountGroupName: 'Ops Europe', mustChangePassword: this.#mustChange };
  }

  #stream(request: IncomingMessage, response: ServerResponse): string {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`event: ping\ndata: {"time": ${Math.floor(Date.now() / 1000)}}\n\n`);
    this.#streams.add(response);
    request.on('close', () => this.#streams.delete(response));
    return 'streaming';
  }

  #list(query: URLSearchParams, all: World['tests']): unknown {
    const needle = (query.get('search') ?? '').toLowerCase();
    const order = ['no-data', 'ok', 'minor', 'major', 'critical'];
    const rows = all.map((test) => this.world.row(test)).filter((row) => `${row.testName} ${row.target}`.toLowerCase().includes(needle));
    const sort = query.get('sort') ?? 'testName';
    const key = sort.replace('-', '') as 'testName' | 'state' | 'value';
    rows.sort((a, b) => {
      const x = key === 'state' ? order.indexOf(a.state) : (a[key] ?? -1);
      const y = key === 'state' ? order.indexOf(b.state) : (b[key] ?? -1);
      return (x < y ? -1 : x > y ? 1 : 0) * (sort.startsWith('-') ? -1 : 1);
    });
    const offset = Number(query.get('offset') ?? 0);
    return { total: rows.length, tests: rows.slice(offset, offset + Math.min(100, Number(query.get('max') ?? 50))) };
  }

  #result(testId: string, what: string, query: URLSearchParams): unknown {
    const test = this.world.tests.find((item) => item.testId === testId);
    if (!test || this.mode === 'empty') throw new Refused(404, 'There is no such test');
    const now = Math.floor(Date.now() / 1000);
    const only = (query.get('agents') ?? '').split(',').filter((id) => id !== '');
    const when = (text: string | null, preset: number): number => {
      const relative = /^-(\d+)([smhd])$/.exec(text ?? '');
      if (relative) return now - Number(relative[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[relative[2] as 's' | 'm' | 'h' | 'd'];
      return text === null || text === 'now' || text === 'latest' ? preset : Number(text);
    };
    if (what === 'timeline') {
      if (Number(testId) >= 9) return { ...this.world.timeline(test, query.get('metric') ?? 'loss', now, now - 1, only, 1) };
      return this.world.timeline(test, query.get('metric') ?? 'loss', when(query.get('from'), now - 86400), when(query.get('to'), now), only, Number(query.get('maxPoints') ?? 2000));
    }
    if (what === 'round') {
      if (Number(testId) >= 9) return { roundId: null, index: 0, count: 0, first: null, previous: null, next: null, latest: null, layers: [], agents: [] };
      return this.world.round(test, Math.max(when(query.get('at'), now), now - HISTORY), only);
    }
    if (this.mode === 'partial') throw new Refused(500, 'The paths of this round cannot be read');
    return this.world.paths(test, when(query.get('roundId'), now), only);
  }

  #v7(method: string, path: string, given: Record<string, unknown>): unknown {
    const { world } = this;
    if (path === '/v7/tests/agent-to-server' && method === 'POST') {
      this.#check(given);
      return world.create(given);
    }
    if (path === '/v7/tests/agent-to-server/instant' && method === 'POST') {
      this.#check(given);
      this.instant = Date.now();
      return { testId: '777', type: 'agent-to-server', agents: given.agents };
    }
    const run = /^\/v7\/tests\/(\d+)\/run$/.exec(path);
    if (run && method === 'POST') {
      setTimeout(() => this.tell('round', { testId: run[1], roundId: world.latest(), agentId: '1' }), 800);
      return {};
    }
    if (path === '/v7/test-results/777/network') {
      const done = Math.min(3, Math.floor((Date.now() - this.instant) / 700));
      return { results: world.agents.slice(0, done).map((agent, i) => ({ agent: { agentId: agent.agentId, agentName: agent.agentName }, loss: i === 1 ? 12 : 0, avgLatency: 12.4 + i, jitter: 0.4, serverIp: '198.51.100.250' })) };
    }
    const one = /^\/v7\/tests\/agent-to-server\/(\d+)$/.exec(path);
    const test = one ? world.tests.find((item) => item.testId === one[1]) : undefined;
    if (!one || !test) throw new Refused(404, '404 Not Found');
    if (method === 'DELETE') {
      world.tests = world.tests.filter((item) => item !== test);
      return undefined;
    }
    if (method === 'PUT') {
      this.#check({ ...test, ...given });
      Object.assign(test, given);
      setTimeout(() => this.tell('test', { testId: test.testId }), 10);
    }
    return test;
  }

  #check(given: Record<string, unknown>): void {
    const errors: { field: string; message: string }[] = [];
    if (/[^\w.:[\]-]/.test(String(given.server ?? ''))) errors.push({ field: 'server', message: 'Badly formed target' });
    if (given.protocol === 'icmp' && String(given.server).includes(':')) errors.push({ field: 'server', message: 'A port is not possible with protocol icmp' });
    if (Number(given.numPathTraces) > 10) errors.push({ field: 'numPathTraces', message: 'Must be at most 10' });
    if (errors.length > 0) throw new Refused(400, 'There were some errors in your request', errors);
  }
}
