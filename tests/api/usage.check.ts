// /v7/usage and /v7/quotas: units by configuration, and who may go beyond.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { makePerson, makeRole, permissions } from "./support/people.ts";
import { expectProblem, expectV7 } from "./support/expect.ts";
import { Server } from "./support/server.ts";

let server: Server;
let agents: Agent[];
const HOURS = 3600;
const body = (more: object = {}) => ({ interval: 60, server: "192.0.2.1", protocol: "icmp", agents: agents.map(({ id }) => ({ agentId: String(id) })), ...more });
beforeAll(async () => {
  server = await new Server().start();
  agents = [await Agent.register(server, "Amsterdam"), await Agent.register(server, "Berlin")];
});
afterAll(() => server.close());

/** Units until the month's end of a test that runs from now on: half of 5 for a run on an enterprise agent. */
function expected(now: number, intervals: number, count: number): number {
  const date = new Date(now);
  const end = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  return ((end - now) / 1000 / intervals) * count * 2.5;
}

test("nothing used, nothing limited", async () => {
  const usage = expectV7(await server.get("/v7/usage"), "GET", "/usage", 200).usage;
  expect(usage).toMatchObject({ cloudUnitsUsed: 0, enterpriseUnitsUsed: 0, enterpriseUnitsProjected: 0, enterpriseAgentsUsed: 2 });
  expect(usage.quota.monthStart).toMatch(/-01T00:00:00Z$/);
  expect(usage).not.toHaveProperty("tests");
  expect(expectV7(await server.get("/v7/quotas"), "GET", "/quotas", 200).quotas).toEqual([{ accountGroupQuotas: [] }]);
});

test("a test is charged for the rest of the month, a run and a deleted test for what they used", async () => {
  const now = Date.now();
  const made = await server.post("/v7/tests/agent-to-server", body());
  const usage = expectV7(await server.get("/v7/usage?expand=test,enterprise-agent,enterprise-agent-unit,endpoint-agent"), "GET", "/usage", 200).usage;
  const month = expected(now, 60, 2);
  expect(Math.abs(usage.enterpriseUnitsProjected - month)).toBeLessThanOrEqual(15);
  expect(usage.enterpriseUnitsNextBillingPeriod).toBe((31 * 24 * HOURS * 2 * 2.5) / 60);
  expect(usage.tests).toHaveLength(1);
  expect(usage.enterpriseAgentUnits.map((each: { agentName: string }) => each.agentName)).toEqual(["Amsterdam", "Berlin"]);
  expect(usage.enterpriseAgents).toEqual([{ aid: "1", accountGroupName: "Default", enterpriseAgentsUsed: 2 }]);
  expect(usage.endpointAgents).toEqual([]);
  for (let i = 0; i < 4; i++) expect((await server.post(`/v7/tests/${made.json.testId}/run`)).status).toBe(200);
  const tests = expectV7(await server.get("/v7/usage/units/tests"), "GET", "/usage/units/tests", 200).breakdowns;
  expect(tests.find((each: { isInstantTest: boolean }) => each.isInstantTest)).toMatchObject({ testId: made.json.testId, enterpriseUnitsUsed: 20, enterpriseUnitsProjected: 20 });
  await server.delete(`/v7/tests/agent-to-server/${made.json.testId}`);
  const after = expectV7(await server.get("/v7/usage"), "GET", "/usage", 200).usage;
  expect(after.enterpriseUnitsUsed).toBeGreaterThanOrEqual(20);
  expect(after.enterpriseUnitsProjected).toBe(after.enterpriseUnitsUsed);
  const units = expectV7(await server.get("/v7/usage/units/enterprise-agents"), "GET", "/usage/units/enterprise-agents", 200).breakdowns;
  expect(units.map((each: { enterpriseUnitsUsed: number }) => each.enterpriseUnitsUsed)).toEqual([10, 10]);
  expect(expectV7(await server.get("/v7/usage/units/tests?startDate=2020-01-01T00:00:00Z&endDate=2020-02-01T00:00:00Z"), "GET", "/usage/units/tests", 200).breakdowns).toEqual([]);
  expectProblem(await server.get("/v7/usage/units/tests?cursor=forged"), 400, "cursor");
});

test("quotas are set, listed and taken away; all of a request or nothing", async () => {
  const assign = await server.post("/v7/quotas/assign", { organizations: [{ value: 1000 }] });
  expect(expectV7(assign, "POST", "/quotas/assign", 200).organizations).toEqual([{ value: 1000, orgId: "1" }]);
  const groups = { organizations: [{ orgId: "1", accountGroups: [{ aid: "1", value: 500 }] }] };
  expect(expectV7(await server.post("/v7/quotas/account-groups/assign", groups), "POST", "/quotas/account-groups/assign", 200)).toMatchObject(groups);
  const wrong = { organizations: [{ accountGroups: [{ aid: "1", value: 7 }, { aid: "4711", value: 7 }] }] };
  expectProblem(await server.post("/v7/quotas/account-groups/assign", wrong), 400, "aid");
  expectProblem(await server.post("/v7/quotas/assign", { organizations: [{ value: -1 }] }), 400);
  expectProblem(await server.post("/v7/quotas/assign", { organizations: [{ orgId: "2", value: 1 }] }), 400, "orgId");
  expect(expectV7(await server.get("/v7/quotas"), "GET", "/quotas", 200).quotas)
    .toEqual([{ organizationQuota: { value: 1000, orgId: "1" }, accountGroupQuotas: [{ value: 500, aid: "1" }] }]);
});

test("who may not exceed the quota cannot make, enlarge or enable the test that would", async () => {
  const all = await permissions(server);
  const role = await makeRole(server, "Careful", all.filter((each) => ["API_ACCESS", "EDIT_TESTS", "VIEW_TESTS", "VIEW_AGENTS"].includes(each.name)).map((each) => each.id));
  const careful = await (await makePerson(server, "careful@example.org", { login: "1", groups: { "1": [role] } })).takeToken();
  const path = "/v7/tests/agent-to-server";
  const small = expectV7(await server.post(path, body({ testName: "small", enabled: false })), "POST", "/tests/agent-to-server", 201);
  const tight = { organizations: [{ accountGroups: [{ aid: "1", value: 0 }] }] };
  expect((await server.post("/v7/quotas/account-groups/assign", tight)).status).toBe(200);
  const problem = expectProblem(await server.post(path, body({ testName: "too much" }), careful.bearer), 403);
  expect(problem.detail).toContain("Can add or modify tests to consume over 100% resources");
  expectProblem(await server.put(`${path}/${small.testId}`, { enabled: true }, careful.bearer), 403);
  expect((await server.put(`${path}/${small.testId}`, { description: "no dearer" }, careful.bearer)).status).toBe(200);
  expect((await server.put(`${path}/${small.testId}`, { enabled: true })).status, "the administrator may").toBe(200);
  expect((await server.put(`${path}/${small.testId}`, { interval: 3600 }, careful.bearer)).status, "less is always allowed").toBe(200);
  expectV7(await server.post("/v7/quotas/unassign", { organizations: ["1"] }), "POST", "/quotas/unassign", 204);
  expectProblem(await server.post("/v7/quotas/unassign", { organizations: ["1"] }), 404);
  expectV7(await server.post("/v7/quotas/account-groups/unassign", { organizations: [{ accountGroups: ["1"] }] }), "POST", "/quotas/account-groups/unassign", 204);
  expect((await server.post(path, body({ testName: "much" }), careful.bearer)).status).toBe(201);
});
