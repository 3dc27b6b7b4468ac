// An agent as the server sees one: registers, asks for its plan, uploads rounds (docs/protocols.md).
import { decode, encode, Float, zstd, type Value } from "./cbor.ts";
import type { Server } from "./server.ts";

export interface PlanTest {
  testId: number;
  version: number;
  type: string;
  interval: number;
  settings: Uint8Array;
}
export interface PlanRun {
  runId: number;
  testId: number;
  version: number;
  type: string;
  settings: Uint8Array;
  [name: string]: Value;
}
export interface Plan {
  version: number;
  proxy?: Record<string, Value>;
  tests: PlanTest[];
  runs: PlanRun[];
}

export interface RawAnswer {
  status: number;
  body: Uint8Array;
  type: string;
  headers: Headers;
}

export interface Round {
  testId: number;
  roundId: number;
  testVersion?: number;
  runId?: number;
  loss?: number;
  latency?: number;
  path?: string[];
  flows?: number;
  /** Of continuous mode: [sent, received] of each second. */
  seconds?: number[][];
}

async function exchange(server: Server, method: string, path: string, headers: Record<string, string>, body?: Uint8Array,
  signal?: AbortSignal): Promise<RawAnswer> {
  const answer = await fetch(server.url + path, {
    method, headers, ...(body ? { body: body as BodyInit } : {}), ...(signal ? { signal } : {}),
  });
  return {
    status: answer.status,
    body: new Uint8Array(await answer.arrayBuffer()),
    type: answer.headers.get("content-type") ?? "",
    headers: answer.headers,
  };
}

export async function registerRaw(server: Server, registration: Record<string, unknown>): Promise<RawAnswer> {
  return exchange(server, "POST", "/oculi/v1/agent/register", { "Content-Type": "application/cbor" }, encode(registration));
}

export class Agent {
  readonly server: Server;
  readonly id: number;
  readonly bearer: string;
  readonly aid: number;

  constructor(server: Server, id: number, secret: string, aid: number) {
    this.server = server;
    this.id = id;
    this.bearer = `${id}.${secret}`;
    this.aid = aid;
  }

  static async register(server: Server, name: string, more: Record<string, unknown> = {}): Promise<Agent> {
    const answer = await registerRaw(server, {
      token: server.agentToken, agentName: name, hostname: `${name.toLowerCase()}.example.net`, version: "0.1.0",
      ipAddresses: ["192.0.2.7"], location: "Amsterdam, Netherlands", countryId: "NL", latitude: 52.37, longitude: 4.9,
      types: ["agent-to-server"], ...more,
    });
    if (answer.status !== 201) throw new Error(`register: ${answer.status} ${new TextDecoder().decode(answer.body)}`);
    const identity = decode(answer.body) as { agentId: number; secret: string; aid: number };
    server.secrets.add(identity.secret);
    return new Agent(server, identity.agentId, identity.secret, identity.aid);
  }

  async plan(version?: number, wait?: number, signal?: AbortSignal): Promise<{ status: number; plan?: Plan }> {
    const query = new URLSearchParams();
    if (version !== undefined) query.set("version", String(version));
    if (wait !== undefined) query.set("wait", String(wait));
    const answer = await exchange(this.server, "GET", `/oculi/v1/agent/plan?${query}`,
      { Authorization: `Bearer ${this.bearer}` }, undefined, signal);
    if (answer.status !== 200) return { status: answer.status };
    const plan = decode(answer.body) as unknown as Plan;
    plan.tests ??= [];
    plan.runs ??= [];
    return { status: 200, plan };
  }

  /** Asks for its plan as one of several processes would. */
  ask(instance: string): Promise<RawAnswer> {
    return exchange(this.server, "GET", "/oculi/v1/agent/plan?version=0&wait=0", { Authorization: `Bearer ${this.bearer}`, "Oculi-Instance": instance });
  }

  report(more: Record<string, unknown> = {}): Promise<RawAnswer> {
    return exchange(this.server, "POST", "/oculi/v1/agent/report", { "Content-Type": "application/cbor", Authorization: `Bearer ${this.bearer}` },
      encode({ instance: "0123456789abcdef", version: "0.1.0", ...more }));
  }

  uploadRaw(body: Uint8Array, headers: Record<string, string> = {}): Promise<RawAnswer> {
    return exchange(this.server, "POST", "/oculi/v1/agent/results",
      { "Content-Type": "application/cbor", Authorization: `Bearer ${this.bearer}`, ...headers }, body);
  }

  async upload(rounds: Round[], options: { zstd?: boolean } = {}): Promise<{ accepted: number; duplicates: number; refused: number }> {
    const body = encode(this.batch(rounds));
    const answer = options.zstd ? await this.uploadRaw(zstd(body), { "Content-Encoding": "zstd" }) : await this.uploadRaw(body);
    if (answer.status !== 200) throw new Error(`upload: ${answer.status} ${new TextDecoder().decode(answer.body)}`);
    return decode(answer.body) as { accepted: number; duplicates: number; refused: number };
  }

  batch(rounds: Round[]): Record<string, unknown> {
    return { agentId: this.id, clockOffset: 1_000_000, rounds: rounds.map(round) };
  }
}

function round(of: Round): Record<string, unknown> {
  const loss = of.loss ?? 0;
  const latency = of.latency ?? 12.5;
  const path = of.path ?? ["10.0.0.1", "10.0.1.1", "192.0.2.80"];
  const received = Math.round(50 * (1 - loss / 100));
  const network = {
    loss: new Float(loss),
    ...(received ? { avgLatency: latency, minLatency: latency - 0.25, maxLatency: latency + 0.75, jitter: 0.125 } : {}),
    server: "192.0.2.80", serverIp: "192.0.2.80", ...(of.seconds ? { packetsBySecond: of.seconds } : {}),
    oculi: { sent: 50, received, duplicates: 0, reordered: 0, probeMode: "icmp" },
  };
  const trace = (flow: number): Record<string, unknown> => ({
    pathId: 1000n + BigInt(flow), ipAddress: path.at(-1), numberOfHops: path.length, responseTime: Math.round(latency),
    hops: path.map((address, i) => ({
      hop: i + 1, ipAddress: address, responseTime: i + 1,
      oculi: { responseTimeUs: (i + 1) * 1000.5, sent: 3, received: 3, replyTtl: 64 - i, quotedTtl: 1,
        icmp: i + 1 === path.length ? "0-0" : "11-0" },
    })),
    oculi: { end: "reached", flow },
  });
  const pathVis = {
    server: "192.0.2.80", serverIp: "192.0.2.80", sourceIp: "192.0.2.7",
    pathTraces: Array.from({ length: of.flows ?? 3 }, (_, i) => trace(i + 1)),
  };
  return {
    testId: of.testId, runId: of.runId ?? 0, roundId: of.roundId,
    startTime: BigInt(of.roundId) * 1_000_000_000n + 1_000_000n, endTime: BigInt(of.roundId) * 1_000_000_000n + 9_000_000_000n,
    testVersion: of.testVersion ?? 1,
    parts: [{ name: "network", record: encode(network) }, { name: "pathVis", record: encode(pathVis) }],
  };
}
