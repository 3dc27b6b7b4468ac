// A server of our own for one file of checks: build/oculid on a free port with a fresh data directory.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { Secrets } from "./secrets.ts";

export const ROOT = resolve(import.meta.dirname, "../../..");
export const BUILD = resolve(process.env["OCULI_BUILD"] ?? join(ROOT, "build"));
export const OCULID = join(BUILD, "oculid");

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // The body as JSON; checks look into it freely.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  json: any;
}

export interface Call {
  token?: string | null;
  body?: unknown;
  raw?: string | Uint8Array;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Waits for a condition by asking again; fails aloud after `seconds`. */
export async function until<T>(what: string, seconds: number, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await ask();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export class Server {
  data: string;
  url = "";
  token = "";
  agentToken = "";
  stderr = "";
  stdout = "";
  child: ChildProcess | undefined;
  readonly secrets = new Secrets(OCULID);
  private readonly options: string[];
  private readonly wrapper: string[];

  constructor(options: string[] = [], settings: { data?: string; wrapper?: string[] } = {}) {
    this.options = options;
    this.wrapper = settings.wrapper ?? [];
    this.data = settings.data ?? mkdtempSync(join(tmpdir(), "oculi-api-"));
  }

  async start(): Promise<this> {
    const run = join(this.data, "run.json");
    rmSync(run, { force: true });
    const command = [...this.wrapper, OCULID, "--listen", "127.0.0.1:0", "--data", this.data, "--api-rate-limit", "0",
      "--instant-rate-limit", "0", "--login-rate-limit", "0", ...this.options];
    const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    child.stdout.on("data", (bytes: Buffer) => (this.stdout += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (this.stderr += bytes.toString()));
    await until("oculid to listen", 20, () => {
      if (child.exitCode !== null) throw new Error(`oculid ended: ${this.stderr}`);
      return existsSync(run) ? true : undefined;
    });
    this.url = (JSON.parse(readFileSync(run, "utf8")) as { local: string }).local;
    this.token = readFileSync(join(this.data, "api-token"), "utf8").trim();
    this.agentToken = readFileSync(join(this.data, "agent-token"), "utf8").trim();
    return this;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
    child.kill(signal);
    return gone;
  }

  /** Ends it; its log must not tell anything that was a secret (but the first password, once, at the first start). */
  async close(): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
    for (const secret of [this.token, this.agentToken]) this.secrets.add(secret);
    this.secrets.check("the log of oculid", this.stderr + this.stdout.replace(/^First start:.*$/m, ""));
  }

  async call(method: string, path: string, call: Call = {}): Promise<Answer> {
    const headers: Record<string, string> = { ...call.headers };
    const token = call.token === undefined ? this.token : call.token;
    if (token) headers["Authorization"] ??= `Bearer ${token}`;
    let body: string | Uint8Array | undefined = call.raw;
    if (call.body !== undefined) {
      body = JSON.stringify(call.body);
      headers["Content-Type"] ??= "application/json";
    }
    const bare = path.replace(/\?.*$/s, "");
    this.secrets.asked(method, bare, call.body, headers);
    const answer = await fetch(this.url + path, {
      method,
      headers,
      redirect: "manual",
      ...(body === undefined ? {} : { body: body as BodyInit }),
      ...(call.signal ? { signal: call.signal } : {}),
    });
    const text = await answer.text();
    const type = answer.headers.get("content-type") ?? "";
    const json = /json/.test(type) && text ? JSON.parse(text) : undefined;
    this.secrets.answered(method, bare, text, json);
    return { status: answer.status, headers: answer.headers, text, json };
  }

  get(path: string, call: Call = {}): Promise<Answer> {
    return this.call("GET", path, call);
  }
  post(path: string, body?: unknown, call: Call = {}): Promise<Answer> {
    return this.call("POST", path, { ...call, ...(body === undefined ? {} : { body }) });
  }
  put(path: string, body: unknown, call: Call = {}): Promise<Answer> {
    return this.call("PUT", path, { ...call, body });
  }
  delete(path: string, call: Call = {}): Promise<Answer> {
    return this.call("DELETE", path, call);
  }

  /** A browser's session: the cookie header to send. */
  async signIn(email: string, password: string): Promise<string> {
    const answer = await this.post("/oculi/v1/session", { email, password }, { token: null });
    if (answer.status !== 200) throw new Error(`sign-in: ${answer.status} ${answer.text}`);
    return (answer.headers.get("set-cookie") ?? "").split(";")[0]!;
  }

  firstPassword(): string {
    return /^password: (.*)$/m.exec(readFileSync(join(this.data, "first-login"), "utf8"))![1]!;
  }
}
