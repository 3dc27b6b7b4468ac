// /v7/tests/{testId}/snapshot: a window of results that stays whatever happens to the test.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { expectProblem, expectV7 } from "./support/expect.ts";
import { Server, until } from "./support/server.ts";
import type { Json } from "./support/schema.ts";

const server = new Server();
let agent: Agent;
let testId = "";
const HOUR = 3600;
const END = Math.floor(Date.now() / 1000 / HOUR) * HOUR;
const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000", "");
const wanted = (more: object = {}) => ({ displayName: "the outage", startDate: iso(END - 4 * HOUR), endDate: iso(END), ...more });

beforeAll(async () => {
  await server.start();
  agent = await Agent.register(server, "Amsterdam");
  testId = (await server.post("/v7/tests/agent-to-server", { interval: 60, server: "192.0.2.1", protocol: "icmp", agents: [{ agentId: String(agent.id) }] })).json.testId;
  for (let from = END - 5 * HOUR; from < END; from += HOUR)
    await agent.upload(Array.from({ length: 60 }, (_, i) => ({ testId: Number(testId), roundId: from + i * 60, testVersion: 1, latency: 10 + i })));
});
afterAll(() => server.close());

const path = (id: string, part = "network") => `/v7/test-results/${id}/${part}?startDate=${iso(END - 6 * HOUR)}&endDate=${iso(END)}`;
async function results(id: string, part: "network" | "path-vis" = "network"): Promise<Json[]> {
  const all: Json[] = [];
  for (let url: string | undefined = path(id, part); url;) {
    const body: Json = expectV7(await server.get(url), "GET", `/test-results/{testId}/${part}`, 200);
    all.push(...body.results);
    const next: string | undefined = body._links.next?.href;
    url = next?.slice(server.url.length);
  }
  return all;
}
const figures = (list: Json[]) => list.map(({ _links, ...rest }) => rest);

describe("a snapshot", () => {
  let made: Json;
  test("bad windows are named", async () => {
    expectProblem(await server.post(`/v7/tests/${testId}/snapshot`, wanted({ displayName: undefined })), 400, "displayName");
    expectProblem(await server.post(`/v7/tests/${testId}/snapshot`, wanted({ endDate: iso(END - HOUR) })), 400, "endDate");
    expectProblem(await server.post(`/v7/tests/${testId}/snapshot`, wanted({ startDate: iso(END + 8 * HOUR), endDate: iso(END + 12 * HOUR) })), 400, "endDate");
    expectProblem(await server.post("/v7/tests/4711/snapshot", wanted()), 404);
  });
  test("holds exactly the rounds of its window, also when the server ends in the middle of copying", async () => {
    made = expectV7(await server.post(`/v7/tests/${testId}/snapshot`, wanted()), "POST", "/tests/{testId}/snapshot", 201);
    expect(made).toMatchObject({ sourceTestId: testId, displayName: "the outage", startRoundId: END - 4 * HOUR, endRoundId: END });
    await server.stop("SIGKILL");
    await server.start();
    const expected = figures(await results(testId)).filter((each: Json) => each.roundId >= END - 4 * HOUR);
    expect(expected).toHaveLength(240);
    const copied = await until("the copy", 20, async () => {
      const list = await results(made.testId);
      return list.length === expected.length ? list : undefined;
    });
    expect(figures(copied)).toEqual(expected);
    const paths = figures(await results(testId, "path-vis")).filter((each: Json) => each.roundId >= END - 4 * HOUR);
    expect(figures(await results(made.testId, "path-vis"))).toEqual(paths);
    expect(paths).toHaveLength(240);
  });
  test("is a saved event: listed, not run, not changed, and outlives its test", async () => {
    const list = expectV7(await server.get("/v7/tests"), "GET", "/tests", 200).tests;
    expect(list.find((each: Json) => each.testId === made.testId)).toMatchObject({ savedEvent: true, testName: "the outage" });
    expect((await agent.plan(0, 0)).plan!.tests.map((each) => String(each.testId))).toEqual([testId]);
    expectProblem(await server.put(`/v7/tests/agent-to-server/${made.testId}`, { description: "x" }), 409);
    expectProblem(await server.post(`/v7/tests/${made.testId}/run`), 409);
    await server.delete(`/v7/tests/agent-to-server/${testId}`);
    expectProblem(await server.get(path(testId)), 404);
    expect(await results(made.testId)).toHaveLength(240);
  });
  test("at most five in five minutes", async () => {
    for (let i = 0; i < 4; i++) expect((await server.post(`/v7/tests/${made.testId}/snapshot`, wanted())).status).toBe(201);
    expectProblem(await server.post(`/v7/tests/${made.testId}/snapshot`, wanted()), 429);
  });
});
