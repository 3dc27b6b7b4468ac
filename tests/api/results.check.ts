// From an agent's upload to v7's results and the pages of the UI.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, type Round } from "./support/agent.ts";
import { encode, zstd } from "./support/cbor.ts";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import type { Json } from "./support/schema.ts";
import { Server, until } from "./support/server.ts";

let server: Server;
let a: Agent;
let b: Agent;
let testId: string;
let slot: number;

const create = async (name: string, agents: Agent[]): Promise<string> => {
  const answer = await server.post("/v7/tests/agent-to-server", {
    testName: name, server: "192.0.2.80", protocol: "icmp", interval: 60, agents: agents.map((agent) => ({ agentId: String(agent.id) })),
  });
  expect(answer.status, answer.text).toBe(201);
  return answer.json.testId as string;
};

beforeAll(async () => {
  server = await new Server().start();
  a = await Agent.register(server, "Amsterdam");
  b = await Agent.register(server, "Tokyo", { countryId: "JP", location: "Tokyo, Japan" });
  testId = await create("results", [a, b]);
  slot = Math.floor(Date.now() / 60_000) * 60;
});
afterAll(() => server.close());

const round = (more: Partial<Round> = {}): Round => ({ testId: Number(testId), roundId: slot, ...more });
const network = (query = "") => server.get(`/v7/test-results/${testId}/network${query}`);

describe("plans", () => {
  test("a plan lists what the agent should run, settings included", async () => {
    const { status, plan } = await a.plan();
    expect(status).toBe(200);
    expect(plan!.tests).toHaveLength(1);
    expect(plan!.tests[0]).toMatchObject({ testId: Number(testId), version: 1, type: "agent-to-server", interval: 60 });
    expect(plan!.tests[0]!.settings.length).toBeGreaterThan(10);
  });
  test("the same version is 204 at once without waiting", async () => {
    const { plan } = await a.plan();
    expect((await a.plan(plan!.version, 0)).status).toBe(204);
  });
  test("a long poll is answered within a second of a change, and only the agent's own", async () => {
    const before = (await a.plan()).plan!;
    const others = (await b.plan()).plan!;
    const waiting = a.plan(before.version, 30);
    const stop = new AbortController();
    const idle = b.plan(others.version, 30, stop.signal).catch(() => "still waiting");
    await new Promise((done) => setTimeout(done, 100));
    const start = Date.now();
    const only = await create("only a", [a]);
    const { status, plan } = await waiting;
    expect(Date.now() - start).toBeLessThan(1000);
    expect(status).toBe(200);
    expect(plan!.version).toBeGreaterThan(before.version);
    expect(plan!.tests.map((item) => item.testId)).toContain(Number(only));
    stop.abort();
    expect(await idle).toBe("still waiting");
    await server.delete(`/v7/tests/agent-to-server/${only}`);
  });
  test("a poll nothing happens to ends with 204 in its time", async () => {
    const { plan } = await a.plan();
    const start = Date.now();
    expect((await a.plan(plan!.version, 1)).status).toBe(204);
    expect(Date.now() - start).toBeGreaterThanOrEqual(900);
  });
  test("disabled tests and agents leave the plan", async () => {
    const path = `/v7/tests/agent-to-server/${testId}`;
    await server.put(path, { enabled: false });
    expect((await a.plan()).plan!.tests).toHaveLength(0);
    await server.put(path, { enabled: true });
    expect((await a.plan()).plan!.tests).toHaveLength(1);
    await server.put(`/v7/agents/${a.id}`, { enabled: false });
    expect((await a.plan()).plan!.tests).toHaveLength(0);
    await server.put(`/v7/agents/${a.id}`, { enabled: true });
    expect((await a.plan()).plan!.tests).toHaveLength(1);
  });
  test("strangers have no plan", async () => {
    const answer = await fetch(`${server.url}/oculi/v1/agent/plan`, { headers: { Authorization: `Bearer ${a.id}.wrong` } });
    expect(answer.status).toBe(401);
    expect((await fetch(`${server.url}/oculi/v1/agent/plan`, { headers: { Authorization: `Bearer ${server.token}` } })).status).toBe(401);
  });
});

describe("uploads", () => {
  test("accepted once, then duplicates; what belongs to nobody is refused", async () => {
    expect(await a.upload([round({ latency: 20.5 })])).toEqual({ accepted: 1, duplicates: 0, refused: 0 });
    expect(await a.upload([round({ latency: 99 }), round({ testId: 4711 })])).toEqual({ accepted: 0, duplicates: 1, refused: 1 });
    const body = expectV7(await network(), "GET", "/test-results/{testId}/network", 200);
    expect(body.results).toHaveLength(1);
    expect(body.results[0].avgLatency).toBe(20.5);
  });
  test("compressed with zstd", async () => {
    expect(await b.upload([round({ loss: 10, latency: 250.125 })], { zstd: true })).toEqual({ accepted: 1, duplicates: 0, refused: 0 });
  });
  test("the same batch sent many times at once is there once", async () => {
    const rounds = [round({ roundId: slot - 60 }), round({ roundId: slot - 120, loss: 100 })];
    const receipts = await Promise.all(Array.from({ length: 8 }, () => a.upload(rounds)));
    expect(receipts.reduce((sum, receipt) => sum + receipt.accepted, 0)).toBe(2);
    expect(receipts.reduce((sum, receipt) => sum + receipt.duplicates, 0)).toBe(14);
  });
  test("bodies that are none are 400 and nothing is kept", async () => {
    const whole = encode(a.batch([round({ roundId: slot - 300 })]));
    const bad: [Uint8Array, Record<string, string>][] = [
      [whole.subarray(0, whole.length - 3), {}], [encode({ agentId: a.id, rounds: "none" }), {}], [new Uint8Array(), {}],
      [whole, { "Content-Encoding": "zstd" }], [zstd(whole).subarray(0, 40), { "Content-Encoding": "zstd" }],
      [whole, { "Content-Encoding": "br" }], [encode({ ...a.batch([round({ roundId: slot - 300 })]), agentId: b.id }), {}],
    ];
    for (const [body, headers] of bad) expect((await a.uploadRaw(body, headers)).status).toBe(400);
    expect((await a.uploadRaw(whole, { "Content-Type": "application/json" })).status).toBe(415);
    expect((await network("?window=1h")).json.results.map((r: Json) => r.roundId)).not.toContain(slot - 300);
  });
  test("a small body that unpacks to a huge one is refused", async () => {
    // A frame of RLE blocks: 128 KB each from four bytes.
    const blocks = Array.from({ length: 200 }, (_, i) => [((131072 << 3) | 2 | (i === 199 ? 1 : 0)) & 255, (131072 >> 5) & 255, 131072 >> 13, 0]).flat();
    const bomb = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, ...blocks]);
    expect((await a.uploadRaw(bomb, { "Content-Encoding": "zstd" })).status).toBe(413);
  });
});

describe("v7 results", () => {
  test("without a time: the latest round, with its test and links", async () => {
    const body = expectV7(await network(), "GET", "/test-results/{testId}/network", 200);
    expect(body.results.map((r: Json) => r.roundId)).toEqual([slot, slot]);
    expect(body).not.toHaveProperty("startDate");
    expect(body.test).toMatchObject({ testId, testName: "results", server: "192.0.2.80", type: "agent-to-server" });
    const tokyo = body.results.find((r: Json) => r.agent.agentId === String(b.id));
    expect(tokyo).toMatchObject({
      agent: { agentName: "Tokyo", countryId: "JP", location: "Tokyo, Japan" }, loss: 10, avgLatency: 250.125,
      minLatency: 249.875, maxLatency: 250.875, jitter: 0.125, serverIp: "192.0.2.80", startTime: slot, endTime: slot + 9,
      date: new Date(slot * 1000).toISOString().replace(".000", ""),
    });
    expect(tokyo.oculi).toMatchObject({ sent: 50, received: 45, probeMode: "icmp" });
    expect(tokyo._links.appLink.href).toBe(`${server.url}/views/${testId}?round=${slot}&agent=${b.id}`);
    expect(selfLink(body)).toBe(`${server.url}/v7/test-results/${testId}/network`);
  });
  test("at 100 % loss there is no latency", async () => {
    const date = new Date((slot - 120) * 1000).toISOString();
    const body = expectV7(await network(`?startDate=${date}&endDate=${date}`), "GET", "/test-results/{testId}/network", 200);
    expect(body.results).toHaveLength(1);
    expect(body.results[0].loss).toBe(100);
    for (const name of ["avgLatency", "minLatency", "maxLatency", "jitter"]) expect(body.results[0]).not.toHaveProperty(name);
  });
  test("window and dates, echoed; one or the other", async () => {
    const hour = expectV7(await network("?window=1h"), "GET", "/test-results/{testId}/network", 200);
    expect(hour.results).toHaveLength(4);
    expect(Date.parse(hour.endDate) - Date.parse(hour.startDate)).toBe(3_600_000);
    const start = new Date((slot - 60) * 1000).toISOString();
    const since = expectV7(await network(`?startDate=${start}`), "GET", "/test-results/{testId}/network", 200);
    expect(since.results).toHaveLength(3);
    expect(Date.parse(since.startDate)).toBe((slot - 60) * 1000);
    expect((await network("?window=90")).json.results.length).toBeGreaterThanOrEqual(2);
    const bad: [string, string][] = [
      [`?window=1h&startDate=${start}`, "window"], ["?window=1y", "window"], ["?window=-5m", "window"], ["?window=0", "window"],
      ["?startDate=yesterday", "startDate"], [`?endDate=${start}`, "startDate"],
      [`?startDate=${start}&endDate=2020-01-01T00:00:00Z`, "endDate"], ["?cursor=made-up", "cursor"],
    ];
    for (const [query, field] of bad) expectProblem(await network(query), 400, field);
  });
  test("path-vis in summary, and one round of one agent in full", async () => {
    const body = expectV7(await server.get(`/v7/test-results/${testId}/path-vis`), "GET", "/test-results/{testId}/path-vis", 200);
    expect(body.results).toHaveLength(2);
    expect(body.results[0].pathTraces).toHaveLength(3);
    expect(body.results[0].pathTraces[0]).toMatchObject({ ipAddress: "192.0.2.80", numberOfHops: 3 });
    expect(body.results[0].pathTraces[0]).not.toHaveProperty("hops");
    const path = "/test-results/{testId}/path-vis/agent/{agentId}/round/{roundId}";
    const full = expectV7(await server.get(`/v7/test-results/${testId}/path-vis/agent/${a.id}/round/${slot}`), "GET", path, 200);
    expect(full.results).toHaveLength(1);
    const trace = full.results[0].pathTraces[0];
    expect(trace.hops.map((hop: Json) => hop.ipAddress)).toEqual(["10.0.0.1", "10.0.1.1", "192.0.2.80"]);
    expect(trace.hops[1].oculi.responseTimeUs).toBe(2001);
    expect(trace.oculi.end).toBe("reached");
    expectProblem(await server.get(`/v7/test-results/${testId}/path-vis/agent/${a.id}/round/1`), 404);
    expectProblem(await server.get(`/v7/test-results/${testId}/path-vis/agent/4711/round/${slot}`), 404);
    expectProblem(await server.get(`/v7/test-results/4711/network`), 404);
  });
  test("pages: every round once, in order, whatever comes in meanwhile", async () => {
    const paged = await create("paged", [a]);
    const rounds = Array.from({ length: 250 }, (_, i) => ({ testId: Number(paged), roundId: slot - 60 * i, flows: 1 }));
    await a.upload(rounds);
    const seen: number[] = [];
    let path: string | undefined = `/v7/test-results/${paged}/network?window=1d&max=7`;
    let pages = 0;
    while (path) {
      const body: Json = expectV7(await server.get(path), "GET", "/test-results/{testId}/network", 200);
      seen.push(...body.results.map((r: Json) => r.roundId as number));
      pages++;
      const next: string | undefined = body._links.next?.href;
      if (pages === 1) {
        const cursor = new URL(next!).searchParams.get("cursor")!;
        const resent = await server.get(`/v7/test-results/${paged}/network?window=1d&max=7&cursor=${cursor}`);
        expect(resent.status).toBe(200);
        const again = await server.get(`/v7/test-results/${paged}/network?window=1d&max=7&cursor=${cursor}`);
        expect(again.json.results).toEqual(resent.json.results);
        expectProblem(await server.get(`/v7/test-results/${paged}/path-vis?window=1d&cursor=${cursor}`), 400, "cursor");
        await a.upload([{ testId: Number(paged), roundId: slot + 60 }]).catch(() => undefined);
      }
      path = next ? next.slice(server.url.length) : undefined;
    }
    expect(pages).toBe(3);
    expect(seen).toEqual(rounds.map((item) => item.roundId));
  });
});

describe("continuous mode", () => {
  test("the packets of each second, as they came, and as digits for the eye", async () => {
    const made = await server.post("/v7/tests/agent-to-server", {
      testName: "each second", server: "192.0.2.80", protocol: "icmp", interval: 60, continuousMode: true, agents: [{ agentId: String(a.id) }],
    });
    expect(made.status, made.text).toBe(201);
    const id = made.json.testId as string;
    const seconds: number[][] = Array.from({ length: 60 }, (_, i) => (i < 3 ? [] : i === 20 ? [0, 0] : i === 21 ? [2, 1] : i === 40 || i === 41 ? [1, 0] : [1, 1]));
    expect((await a.upload([{ testId: Number(id), roundId: slot, seconds }])).accepted).toBe(1);
    const body = expectV7(await server.get(`/v7/test-results/${id}/network`), "GET", "/test-results/{testId}/network", 200);
    expect(body.results[0].packetsBySecond).toEqual(seconds);
    const view = (await server.get(`/oculi/v1/tests/${id}/round?at=latest`)).json;
    expect(view.agents[0].seconds).toBe("---" + "0".repeat(17) + "-" + "5" + "0".repeat(18) + "99" + "0".repeat(18));
  });
  test("other rounds have none; absurd ones do no harm", async () => {
    expect((await network()).json.results[0]).not.toHaveProperty("packetsBySecond");
    expect((await server.get(`/oculi/v1/tests/${testId}/round?at=latest`)).json.agents[0].seconds).toBeNull();
    const id = await create("absurd", [a]);
    const seconds = [[], [1], [-1, 5], [5, -1], [1, 9], [2 ** 40, 0], [1, 0, 7], ...Array.from({ length: 500 }, () => [3, 2])];
    expect((await a.upload([{ testId: Number(id), roundId: slot, seconds }])).accepted).toBe(1);
    expect((await server.get(`/oculi/v1/tests/${id}/round?at=latest`)).json.agents[0].seconds).toBe("----0-9" + "3".repeat(53));
  });
});

describe("runs asked for once", () => {
  test("an instant test reaches its agents at once, runs once, and its results are there", async () => {
    const before = (await a.plan()).plan!;
    const waiting = a.plan(before.version, 30);
    const made = (await server.post("/v7/tests/agent-to-server/instant", { server: "192.0.2.80", protocol: "icmp", agents: [{ agentId: String(a.id) }] })).json;
    const { plan } = await waiting;
    expect(plan!.runs).toHaveLength(1);
    const run = plan!.runs[0]!;
    expect(run).toMatchObject({ testId: Number(made.testId), type: "agent-to-server" });
    const roundId = Number((run as Json).requestedTime);
    expect(await a.upload([{ testId: Number(made.testId), roundId, runId: Number(run.runId), testVersion: Number(run.version) }])).toEqual({ accepted: 1, duplicates: 0, refused: 0 });
    expect((await a.plan()).plan!.runs).toEqual([]);
    const body = expectV7(await server.get(`/v7/test-results/${made.testId}/network`), "GET", "/test-results/{testId}/network", 200);
    expect(body.results[0].roundId).toBe(roundId);
  });
  test("run now of a scheduled test", async () => {
    expect((await server.post(`/v7/tests/${testId}/run`)).status).toBe(200);
    for (const agent of [a, b]) expect((await agent.plan()).plan!.runs).toHaveLength(1);
  });
});

describe("the UI's pages", () => {
  test("the list with its state", async () => {
    const list = (await server.get("/oculi/v1/tests?sort=-state&max=1&search=RESULTS")).json;
    expect(list.total).toBe(1);
    const row = list.tests[0];
    expect(row).toMatchObject({ testId, testName: "results", type: "agent-to-server", interval: 60, enabled: true, target: "192.0.2.80", agents: 2, lastRoundId: slot });
    expect(row.value).toBe(5);
    expect(row.sparkline).toMatch(/^[-0-9]{48}$/);
    expect((await server.get(`/oculi/v1/tests/${testId}`)).json).toEqual(row);
    expectProblem(await server.get("/oculi/v1/tests?sort=colour"), 400, "sort");
    expectProblem(await server.get("/oculi/v1/tests?max=0"), 400, "max");
    expectProblem(await server.get("/oculi/v1/tests/4711"), 404);
  });
  test("the timeline", async () => {
    const line = (await server.get(`/oculi/v1/tests/${testId}/timeline?metric=loss&from=-1h`)).json;
    expect(line).toMatchObject({ metric: "loss", unit: "%", interval: 60 });
    const at = line.t.indexOf(slot);
    expect([line.mean[at], line.min[at], line.max[at], line.n[at]]).toEqual([5, 0, 10, 2]);
    expectProblem(await server.get(`/oculi/v1/tests/${testId}/timeline?metric=colour`), 400, "metric");
    expectProblem(await server.get(`/oculi/v1/tests/${testId}/timeline?from=soon`), 400, "from");
  });
  test("a round", async () => {
    const latest = (await server.get(`/oculi/v1/tests/${testId}/round?at=latest`)).json;
    expect(latest.roundId).toBe(slot);
    expect(latest.agents).toHaveLength(2);
    const one = (await server.get(`/oculi/v1/tests/${testId}/round?at=${slot - 60}`)).json;
    expect(one.agents.find((agent: Json) => agent.agentId === String(b.id)).reported).toBe(false);
    expect(one.next).toBe(slot);
  });
  test("paths, kept for a while once final", async () => {
    const answer = await server.get(`/oculi/v1/tests/${testId}/paths?roundId=${slot}`);
    expect(answer.json).toMatchObject({ roundId: slot, target: "192.0.2.80" });
    expect(answer.json.hops.address).toContain("10.0.1.1");
    expect(answer.json.traces.end).toEqual(Array(6).fill("reached"));
    expect(answer.headers.get("cache-control")).toBe("no-store");
    await a.upload([round({ roundId: slot - 7200 })]);
    await b.upload([round({ roundId: slot - 7200 })]);
    const old = await server.get(`/oculi/v1/tests/${testId}/paths?roundId=${slot - 7200}`);
    expect(old.headers.get("cache-control")).toBe("private, max-age=600");
  });
});

describe("events", () => {
  async function* events(path: string, headers: Record<string, string> = {}): AsyncGenerator<{ id: string; event: string; data: Json }> {
    const stop = new AbortController();
    const answer = await fetch(server.url + path, { headers: { Authorization: `Bearer ${server.token}`, ...headers }, signal: stop.signal });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    try {
      for await (const bytes of answer.body as unknown as AsyncIterable<Uint8Array>) {
        text += new TextDecoder().decode(bytes);
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
          text = text.slice(end + 2);
          yield { id: fields["id"], event: fields["event"], data: fields["data"] ? JSON.parse(fields["data"]) : undefined };
        }
      }
    } finally {
      stop.abort();
    }
  }
  test("rounds, tests and agents as they happen, and what was missed after a break", async () => {
    const live = await create("live", [a]);
    const stream = events(`/oculi/v1/stream?topics=test:${live},agents,tests`);
    await stream.next();
    await a.upload([round({ testId: Number(live) })]);
    let last = "";
    const seen = new Set<string>();
    const c = await Agent.register(server, "Sydney");
    await create("event", [c]);
    for await (const event of stream) {
      last = event.id;
      if (event.event === "round" && event.data.testId === live) expect(event.data).toEqual({ testId: live, roundId: slot, agentId: String(a.id) });
      if (event.event !== "round" || event.data.testId === live) seen.add(event.event);
      if (seen.has("round") && seen.has("test") && seen.has("agent")) break;
    }
    await create("while away", [c]);
    const again = events(`/oculi/v1/stream?topics=tests`, { "Last-Event-ID": last });
    for await (const event of again) {
      if (event.event === "test") break;
      expect(event.event).not.toBe("reset");
    }
  }, 10_000);
  test("topics that are none", async () => {
    for (const topics of ["", "colour", "test:x"]) expectProblem(await server.get(`/oculi/v1/stream?topics=${topics}`), 400, "topics");
  });
  test("readers that leave are let go", async () => {
    for (let i = 0; i < 20; i++) {
      const stream = events(`/oculi/v1/stream?topics=tests`);
      await stream.next();
      await stream.return(undefined);
    }
    await create("wake them", [a]);
    await until("the streams to end", 20, async () => {
      await server.put(`/v7/tests/agent-to-server/${testId}`, { description: String(Math.random()) });
      return /oculi_event_streams_open 0\n/.test((await server.get("/metrics")).text) ? true : undefined;
    });
  });
});
