// What crosses account groups, on purpose and no further: tests that are shared, agents that work for several; and what
// belongs to a test beside its settings: tags, labels, history.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { expectProblem, expectV7 } from "./support/expect.ts";
import { Server } from "./support/server.ts";

let server: Server;
let agent: Agent;
let other = "";
let testId = "";
const NOW = Math.floor(Date.now() / 60_000) * 60 - 60;
const settings = () => ({ interval: 60, server: "192.0.2.1", protocol: "icmp", agents: [{ agentId: String(agent.id) }] });
const TESTS = "/v7/tests/agent-to-server";

beforeAll(async () => {
  server = await new Server().start();
  agent = await Agent.register(server, "Amsterdam");
  other = (await server.post("/v7/account-groups", { accountGroupName: "Other" })).json.aid;
  const made = expectV7(await server.post(TESTS, { ...settings(), testName: "shared" }), "POST", "/tests/agent-to-server", 201);
  testId = made.testId;
  await agent.upload([{ testId: Number(testId), roundId: NOW, testVersion: 1 }]);
});
afterAll(() => server.close());

describe("a test shared with another account group", () => {
  test("is not there before", async () => {
    expect((await server.get(`/v7/tests?aid=${other}`)).json.tests).toEqual([]);
    expectProblem(await server.get(`${TESTS}/${testId}?aid=${other}`), 404);
    expectProblem(await server.get(`/v7/test-results/${testId}/network?aid=${other}`), 404);
    expectProblem(await server.get(`/oculi/v1/tests/${testId}?aid=${other}`), 404);
  });
  test("account groups must exist", async () => {
    expectProblem(await server.put(`${TESTS}/${testId}`, { sharedWithAccounts: ["4711"] }), 400, "sharedWithAccounts");
    expectProblem(await server.put(`${TESTS}/${testId}`, { sharedWithAccounts: ["x"] }), 400, "sharedWithAccounts");
  });
  test("is seen there with its results, and is not theirs to change", async () => {
    const put = await server.put(`${TESTS}/${testId}?expand=shared-with-account`, { sharedWithAccounts: [other] });
    expect(expectV7(put, "PUT", "/tests/agent-to-server/{testId}", 200).sharedWithAccounts).toEqual([{ aid: other, name: "Other" }]);
    const list = expectV7(await server.get(`${TESTS}?aid=${other}`), "GET", "/tests/agent-to-server", 200).tests;
    expect(list).toHaveLength(1);
    expect(list[0]).toMatchObject({ testId, liveShare: true });
    expect((await server.get(TESTS)).json.tests[0].liveShare).toBe(false);
    const one = expectV7(await server.get(`${TESTS}/${testId}?aid=${other}&expand=shared-with-account,agent,tag`), "GET", "/tests/agent-to-server/{testId}", 200);
    expect(one.sharedWithAccounts).toEqual([]);
    expect(one.agents).toHaveLength(1);
    const results = expectV7(await server.get(`/v7/test-results/${testId}/network?aid=${other}`), "GET", "/test-results/{testId}/network", 200);
    expect(results.results).toHaveLength(1);
    expect((await server.get(`/oculi/v1/tests?aid=${other}`)).json.total).toBe(1);
    expectProblem(await server.put(`${TESTS}/${testId}?aid=${other}`, { enabled: false }), 403);
    expectProblem(await server.delete(`${TESTS}/${testId}?aid=${other}`), 403);
    expectProblem(await server.post(`/v7/tests/${testId}/run?aid=${other}`), 403);
  });
  test("its rounds are told there too", async () => {
    const abort = new AbortController();
    const answer = await fetch(`${server.url}/oculi/v1/stream?topics=test:${testId}&aid=${other}`, { headers: { Authorization: `Bearer ${server.token}` }, signal: abort.signal });
    const reader = answer.body!.getReader();
    let text = "";
    const read = async (): Promise<void> => {
      while (!/event: round/.test(text)) text += new TextDecoder().decode((await reader.read()).value);
    };
    const reading = read();
    await agent.upload([{ testId: Number(testId), roundId: NOW + 60, testVersion: 1 }]);
    await reading;
    expect(text).toContain(`"testId":"${testId}"`);
    abort.abort();
  });
  test("and is gone when it is shared no more", async () => {
    await server.put(`${TESTS}/${testId}`, { sharedWithAccounts: [] });
    expect((await server.get(`/v7/tests?aid=${other}`)).json.tests).toEqual([]);
    expectProblem(await server.get(`/v7/test-results/${testId}/network?aid=${other}`), 404);
  });
});

describe("an agent that works for several account groups", () => {
  const theirs = () => server.post(`${TESTS}?aid=${other}`, { ...settings(), testName: "theirs" });
  let theirTest = "";
  test("is not theirs before", async () => {
    expectProblem(await theirs(), 400);
    expectProblem(await server.get(`/v7/agents/${agent.id}?aid=${other}`), 404);
  });
  test("runs their tests, and is not theirs to change", async () => {
    expectProblem(await server.put(`/v7/agents/${agent.id}`, { accountGroups: [other] }), 400, "accountGroups");
    const put = expectV7(await server.put(`/v7/agents/${agent.id}`, { accountGroups: ["1", other] }), "PUT", "/agents/{agentId}", 200);
    expect(put.accountGroups.map((each: { aid: string }) => each.aid)).toEqual(["1", other]);
    expect((await server.get(`/v7/agents?aid=${other}`)).json.agents).toHaveLength(1);
    theirTest = expectV7(await theirs(), "POST", "/tests/agent-to-server", 201).testId;
    const plan = (await agent.plan(0, 0)).plan!;
    expect(plan.tests.map((each) => String(each.testId)).sort()).toEqual([testId, theirTest].sort());
    expect(await agent.upload([{ testId: Number(theirTest), roundId: NOW, testVersion: 1 }])).toEqual({ accepted: 1, duplicates: 0, refused: 0 });
    expect((await server.get(`/v7/test-results/${theirTest}/network?aid=${other}`)).json.results).toHaveLength(1);
    expectProblem(await server.get(`/v7/test-results/${theirTest}/network`), 404);
    expectProblem(await server.put(`/v7/agents/${agent.id}?aid=${other}`, { enabled: false }), 403);
    expectProblem(await server.delete(`/v7/agents/${agent.id}?aid=${other}`), 403);
  });
  test("leaves their tests when it is taken back", async () => {
    await server.put(`/v7/agents/${agent.id}`, { accountGroups: ["1"] });
    expect((await server.get(`/v7/agents?aid=${other}`)).json.agents).toEqual([]);
    expect((await server.get(`${TESTS}/${theirTest}?aid=${other}&expand=agent`)).json.agents).toEqual([]);
    expect((await agent.plan(0, 0)).plan!.tests).toHaveLength(1);
    expect((await agent.upload([{ testId: Number(theirTest), roundId: NOW + 60, testVersion: 2 }])).refused).toBe(1);
  });
});

describe("tags, labels and history", () => {
  test("tags given with a test are its tags, by id or as labels", async () => {
    const make = async (value: string) => (await server.post("/v7/tags", { key: "branch", value, objectType: "test", accessType: "all" })).json;
    const [a, b] = [await make("a"), await make("b")];
    const put = await server.put(`${TESTS}/${testId}?expand=tag,label`, { tags: [a.id], labels: [String(b.legacyId), String(a.legacyId)] });
    const body = expectV7(put, "PUT", "/tests/agent-to-server/{testId}", 200);
    expect(body.tags).toEqual([{ id: a.id, key: "branch", value: "a" }, { id: b.id, key: "branch", value: "b" }]);
    expect(body.labels.map((each: { name: string }) => each.name)).toEqual(["branch:a", "branch:b"]);
    expect((await server.get(`/v7/tags/${a.id}?expand=assignments`)).json.assignments).toEqual([{ id: testId, type: "test" }]);
    const kept = expectV7(await server.put(`${TESTS}/${testId}?expand=tag`, { description: "x" }), "PUT", "/tests/agent-to-server/{testId}", 200);
    expect(kept.tags).toHaveLength(2);
    expect((await server.put(`${TESTS}/${testId}?expand=tag`, { tags: [b.id] })).json.tags).toHaveLength(1);
    expectProblem(await server.put(`${TESTS}/${testId}`, { tags: ["no such"] }), 400, "tags");
    expectProblem(await server.put(`${TESTS}/${testId}`, { labels: ["4711"] }), 400, "labels");
    expect((await server.get(`${TESTS}/${testId}?expand=tag`)).json.tags).toHaveLength(1);
  });
  test("every version is listed and can be read", async () => {
    const answer = await server.get(`/v7/tests/${testId}/history`);
    const list = expectV7(answer, "GET", "/tests/{testId}/history", 200).testVersionHistory;
    expect(list.length).toBeGreaterThan(3);
    expect(list[0].createdBy).toContain("admin@oculi.local");
    const ids = list.map((each: { versionId: string }) => Number(each.versionId));
    expect(ids).toEqual([...ids].sort((x: number, y: number) => y - x));
    const first = expectV7(await server.get(`${TESTS}/${testId}?versionId=1`), "GET", "/tests/agent-to-server/{testId}", 200);
    expect(first.testName).toBe("shared");
    expect((await server.get(`/v7/tests/${testId}/history?limit=1`)).json.testVersionHistory).toHaveLength(1);
    expectProblem(await server.get(`/v7/tests/${testId}/history?limit=0`), 400, "limit");
    expectProblem(await server.get(`/v7/tests/${testId}/history?aid=${other}`), 404);
  });
});
