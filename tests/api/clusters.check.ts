// Clusters of agents, how agents are, their proxies, notification rules and tokens, and machines that take another's place.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, registerRaw } from "./support/agent.ts";
import { Float } from "./support/cbor.ts";
import { expectProblem, expectV7 } from "./support/expect.ts";
import type { Json } from "./support/schema.ts";
import { Server } from "./support/server.ts";

let server: Server;
let parked: Agent; /* a test has one agent at least */
beforeAll(async () => {
  server = await new Server().start();
  parked = await Agent.register(server, "Parked");
});
afterAll(() => server.close());

const slot = () => Math.floor(Date.now() / 60_000) * 60;
const makeTest = async (name: string, agents: Agent[]): Promise<string> =>
  (await server.post("/v7/tests/agent-to-server", { testName: name, server: `${name}.example`, protocol: "icmp", interval: 60, agents: (agents.length ? agents : [parked]).map((a) => ({ agentId: String(a.id) })) })).json.testId;
const tests = async (agent: Agent) => (await agent.plan()).plan!.tests.map((each) => String(each.testId)).sort();

describe("which tests an agent runs", () => {
  test("assign, override, unassign", async () => {
    const agent = await Agent.register(server, "Runner");
    const [a, b] = [await makeTest("a", []), await makeTest("b", [])];
    const path = `/v7/agents/${agent.id}/tests`;
    expectV7(await server.post(`${path}/assign`, { testIds: [a] }), "POST", "/agents/{agentId}/tests/assign", 200);
    expect(await tests(agent)).toEqual([a]);
    expectV7(await server.post(`${path}/override`, { testIds: [b] }), "POST", "/agents/{agentId}/tests/override", 200);
    expect(await tests(agent)).toEqual([b]);
    expectV7(await server.post(`${path}/unassign`, { testIds: [b] }), "POST", "/agents/{agentId}/tests/unassign", 200);
    expect(await tests(agent)).toEqual([]);
    expectProblem(await server.post(`${path}/assign`, { testIds: ["4711"] }), 400, "testIds");
    expectProblem(await server.post(`${path}/assign`, {}), 400, "testIds");
  });
});

describe("reports", () => {
  test("use, interfaces, clock, version, local problems", async () => {
    const agent = await Agent.register(server, "Reporter", { version: "0.0.9" });
    const queues = [{ name: "general", now: new Float(3), most: new Float(41.6) }, { name: "voice", now: new Float(0), most: new Float(7) }];
    const interfaces = [{ interfaceName: "eth0", ipAddress: "192.0.2.9" }, { interfaceName: "eth0", ipAddress: "2001:db8::9" }, { interfaceName: "eth1", ipAddress: "198.51.100.4" }];
    const told = await agent.report({ version: "0.0.9", queues, interfaces, ipAddresses: ["192.0.2.9"], clockOffset: 86_400_000_000_000n, localProblem: "gateway" });
    expect(told.status).toBe(204);
    const one = expectV7(await server.get(`/v7/agents/${agent.id}`), "GET", "/agents/{agentId}", 200);
    expect(one).toMatchObject({ utilization: 42, ipAddresses: ["192.0.2.9"], agentState: "online",
      interfaceIpMapping: [{ interfaceName: "eth0", ipAddresses: ["192.0.2.9", "2001:db8::9"] }, { interfaceName: "eth1", ipAddresses: ["198.51.100.4"] }] });
    expect(one.errorDetails.map((d: Json) => d.code).sort()).toEqual(["agent-version-outdated", "clock-offset"]);
    expect(one.oculi.problems.map((d: Json) => d.code)).toContain("local-problem");
    expect(one.oculi).toMatchObject({ support: "outdated", clockOffset: 86_400_000 });
    const list = expectV7(await server.get("/v7/agents/local-problems?window=1h"), "GET", "/agents/local-problems", 200);
    expect(list.localProblems).toMatchObject([{ agent: { agentId: String(agent.id), agentName: "Reporter" }, active: true, oculi: { what: "gateway" } }]);
    expect((await agent.report({ version: "0.0.9" })).status).toBe(204);
    const over = expectV7(await server.get("/v7/agents/local-problems?window=1h"), "GET", "/agents/local-problems", 200);
    expect(over.localProblems[0]).toMatchObject({ active: false });
    expect((await server.get("/v7/agents/local-problems")).json.localProblems).toEqual([]);
    expectProblem(await server.get("/v7/agents/local-problems?window=x"), 400, "window");
  });
  test("a round a day ahead is refused and says why", async () => {
    const agent = await Agent.register(server, "Tomorrow");
    const id = await makeTest("tomorrow", [agent]);
    const receipt = await agent.upload([{ testId: Number(id), roundId: slot() + 86400 }]);
    expect(receipt).toMatchObject({ accepted: 0, refused: 1 });
  });
  test("two processes of one identity: the one that was taken over is told", async () => {
    const agent = await Agent.register(server, "Twin");
    expect((await agent.ask("aaaaaaaaaaaaaaaa")).status).toBe(200);
    expect((await agent.ask("bbbbbbbbbbbbbbbb")).status).toBe(200);
    const refused = await agent.ask("aaaaaaaaaaaaaaaa");
    expect(refused.status).toBe(409);
    expect(JSON.parse(new TextDecoder().decode(refused.body)).detail).toContain("127.0.0.1");
    expect((await agent.ask("bbbbbbbbbbbbbbbb")).status).toBe(200);
    const one = (await server.get(`/v7/agents/${agent.id}`)).json;
    expect(one.oculi.problems.map((d: Json) => d.code)).toContain("two-identities");
  });
});

describe("proxies", () => {
  test("made here, listed by v7, delivered in the plan", async () => {
    const agent = await Agent.register(server, "Behind");
    const made = await server.post("/oculi/v1/agent-proxies", { name: "Way out", location: "proxy.example.net:3128", authType: "basic", user: "joe", password: "hush-hush-3128" });
    expect(made.status, made.text).toBe(201);
    expect(made.text).not.toContain("hush");
    const list = expectV7(await server.get("/v7/agents/proxies"), "GET", "/agents/proxies", 200);
    expect(list.agentProxies).toMatchObject([{ proxyId: made.json.proxyId, name: "Way out", type: "static", authType: "basic", user: "joe", isLocalConfigured: false, aid: "1" }]);
    const before = (await agent.plan()).plan!;
    expect(before.proxy).toBeUndefined();
    const put = expectV7(await server.put(`/v7/agents/${agent.id}`, { oculi: { proxyId: made.json.proxyId } }), "PUT", "/agents/{agentId}", 200);
    expect(put.oculi.proxyId).toBe(made.json.proxyId);
    const after = (await agent.plan()).plan!;
    expect(after.version).toBeGreaterThan(before.version);
    expect(after.proxy).toMatchObject({ type: "static", location: "proxy.example.net:3128", user: "joe", password: "hush-hush-3128" });
    expect((await server.put(`/oculi/v1/agent-proxies/${made.json.proxyId}`, { location: "other.example.net:8080" })).status).toBe(200);
    const moved = (await agent.plan()).plan!;
    expect(moved.version).toBeGreaterThan(after.version);
    expect(moved.proxy).toMatchObject({ location: "other.example.net:8080", password: "hush-hush-3128" });
    expectProblem(await server.delete(`/oculi/v1/agent-proxies/${made.json.proxyId}`), 409);
    expect((await server.put(`/v7/agents/${agent.id}`, { oculi: { proxyId: null } })).status).toBe(200);
    expect((await server.delete(`/oculi/v1/agent-proxies/${made.json.proxyId}`)).status).toBe(204);
    expectProblem(await server.put(`/v7/agents/${agent.id}`, { oculi: { proxyId: "4711" } }), 400, "oculi.proxyId");
    expectProblem(await server.post("/oculi/v1/agent-proxies", { name: "x", location: "nowhere" }), 400, "location");
  });
});

describe("clusters", () => {
  test("members share tests, another takes over, results are the cluster's, who leaves starts afresh", async () => {
    const [first, second] = [await Agent.register(server, "First"), await Agent.register(server, "Second")];
    const own: string[] = [];
    for (let i = 0; i < 4; i++) own.push(await makeTest(`own${i}`, [first]));
    const brought = await makeTest("brought", [second]);
    const made = expectV7(await server.post(`/v7/agents/${first.id}/cluster/assign?expand=cluster-member,test-ids`, { agents: [String(second.id)] }),
      "POST", "/agents/{agentId}/cluster/assign", 200);
    expect(made).toMatchObject({ agentId: String(first.id), agentType: "enterprise-cluster", agentState: "online" });
    expect(made.clusterMembers.map((m: Json) => m.memberId)).toEqual([String(first.id), String(second.id)]);
    expect(made.testIds.map(String).sort()).toEqual([...own, brought].sort());
    expectProblem(await server.get(`/v7/agents/${second.id}`), 404);
    expect((await server.get("/v7/agents")).json.agents.map((a: Json) => a.agentId)).not.toContain(String(second.id));
    expect((await server.get("/v7/agents?agentTypes=enterprise-cluster")).json.agents).toHaveLength(1);

    const [mine, theirs] = [await tests(first), await tests(second)];
    expect([...mine, ...theirs].sort()).toEqual([...own, brought].sort());
    expect(Math.abs(mine.length - theirs.length)).toBe(1);
    const receipt = await second.upload([{ testId: Number(theirs[0]), roundId: slot() }]);
    expect(receipt).toMatchObject({ accepted: 1 });
    expect(await first.upload([{ testId: Number(theirs[0]), roundId: slot() }])).toMatchObject({ accepted: 0, duplicates: 1 });
    const results = (await server.get(`/v7/test-results/${theirs[0]}/network?window=1h`)).json.results;
    expect(results.map((r: Json) => r.agent.agentId)).toEqual([String(first.id)]);

    /* One says that it stops: the other runs everything, and gives back what is not its own. */
    expect((await second.report({ leaving: true })).status).toBe(204);
    const woken = (await first.plan((await first.plan()).plan!.version, 9)).plan!;
    expect(woken.tests.map((each) => String(each.testId)).sort()).toEqual([...own, brought].sort());
    expect(await tests(second)).toEqual(theirs);
    expect(await tests(first)).toEqual(mine);

    const left = expectV7(await server.post(`/v7/agents/${first.id}/cluster/unassign`, { members: [String(first.id)] }),
      "POST", "/agents/{agentId}/cluster/unassign", 200);
    expect(left.agents).toHaveLength(2);
    const alone = left.agents[1];
    expect(alone).toMatchObject({ agentType: "enterprise" });
    expect(alone.agentId).not.toBe(String(first.id));
    expect(await tests(first)).toEqual([]); /* with the bearer it always had */
    expect(await tests(second)).toEqual([...own, brought].sort());
    const other = await makeTest("afresh", []);
    await server.post(`/v7/agents/${alone.agentId}/tests/assign`, { testIds: [other] });
    expect(await tests(first)).toEqual([other]);
    await first.upload([{ testId: Number(other), roundId: slot(), testVersion: (await first.plan()).plan!.tests[0]!.version }]);
    expect((await server.get(`/v7/test-results/${other}/network?window=1h`)).json.results[0].agent.agentId).toBe(alone.agentId);
    expectProblem(await server.post(`/v7/agents/${first.id}/cluster/unassign`, { members: [String(second.id)] }), 409);
    expect((await server.delete(`/v7/agents/${first.id}`)).status).toBe(204);
    expect((await second.plan()).status).toBe(401);
    expect(await tests(first)).toEqual([other]);
  });
  test("a member whose connection is cut is taken over within a round", async () => {
    const [a, b] = [await Agent.register(server, "Alive"), await Agent.register(server, "Dying")];
    const ids = [await makeTest("cut1", [a]), await makeTest("cut2", [a])].sort();
    await server.post(`/v7/agents/${a.id}/cluster/assign`, { agents: [String(b.id)] });
    expect(await tests(a)).toHaveLength(1);
    const known = (await b.plan()).plan!.version;
    const cut = new AbortController();
    const dying = b.plan(known, 50, cut.signal).catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const started = Date.now();
    cut.abort();
    await dying;
    let plan = (await a.plan()).plan!;
    while (plan.tests.length < 2 && Date.now() - started < 30_000) plan = (await a.plan(plan.version, 9)).plan ?? plan;
    expect(plan.tests.map((each) => String(each.testId)).sort()).toEqual(ids);
    expect(Date.now() - started).toBeLessThan(20_000);
  }, 40_000);
});

describe("replacing", () => {
  test("a new machine takes the place of one that is offline", async () => {
    const lost = await Agent.register(server, "Lost");
    const id = await makeTest("lost", [lost]);
    const fresh = await Agent.register(server, "Fresh");
    expectProblem(await server.post(`/oculi/v1/agents/${lost.id}/replace`, { agentId: String(fresh.id) }), 409);
    await lost.report({ leaving: true });
    const done = await server.post(`/oculi/v1/agents/${lost.id}/replace`, { agentId: String(fresh.id) });
    expect(done.status, done.text).toBe(200);
    expect(done.json).toMatchObject({ agentId: String(lost.id), agentName: "Lost", hostname: "fresh.example.net" });
    expect((await lost.plan()).status).toBe(401);
    expect(await tests(fresh)).toEqual([id]);
    expectProblem(await server.get(`/v7/agents/${fresh.id}`), 404);
    expect(await fresh.upload([{ testId: Number(id), roundId: slot() }])).toMatchObject({ accepted: 1 });
  });
});

describe("tokens with which agents join", () => {
  test("several with names, rotated and revoked", async () => {
    const made = await server.post("/oculi/v1/agent-tokens", { name: "Site A" });
    expect(made.status, made.text).toBe(201);
    const token = made.json.agentToken as string;
    expect(token).toMatch(/^oculi-agent_/);
    const agent = await Agent.register(server, "Site A agent", { token });
    expectProblem(await server.post("/oculi/v1/agent-tokens", { name: "Site A" }), 400, "name");
    const listed = (await server.get("/oculi/v1/agent-tokens")).json.agentTokens;
    expect(listed).toMatchObject([{ id: made.json.id, name: "Site A", lastUsed: expect.any(String) }]);
    expect(JSON.stringify(listed)).not.toContain(token.slice(12));

    const own = server.agentToken;
    const rotated = await server.post("/oculi/v1/agent-tokens/rotate");
    expect(rotated.status, rotated.text).toBe(200);
    expect(rotated.json.agentToken).not.toBe(own);
    expect((await server.get("/v7/account-groups/1")).json.accountToken).toBe(rotated.json.agentToken);
    expect((await Agent.register(server, "With the new", { token: rotated.json.agentToken })).aid).toBe(1);
    expect((await Agent.register(server, "With the old", { token: own })).aid).toBe(1); /* until it is revoked */
    const old = (await server.get("/oculi/v1/agent-tokens")).json.agentTokens.find((each: Json) => each.name.startsWith("Replaced at"));
    expect((await server.delete(`/oculi/v1/agent-tokens/${old.id}`)).status).toBe(204);
    expect((await registerRaw(server, { token: own, agentName: "late", version: "0.1.0" })).status).toBe(401);
    expect((await server.delete(`/oculi/v1/agent-tokens/${made.json.id}`)).status).toBe(204);
    expect((await registerRaw(server, { token, agentName: "late", version: "0.1.0" })).status).toBe(401);
    expect((await agent.plan()).status).toBe(200);
    const events = (await server.get("/v7/audit-user-events?window=1h")).json.auditEvents.map((each: Json) => each.event);
    for (const event of ["Agent token created", "Account group token rotated", "Agent token deleted"]) expect(events).toContain(event);
  });
});

describe("notification rules", () => {
  const V7 = "/v7/agents/notification-rules";
  test("made here, shown by v7, told and cleared", async () => {
    const list = expectV7(await server.get(V7), "GET", "/agents/notification-rules", 200);
    expect(list.agentAlertRules).toMatchObject([{ ruleName: "Default Agent Offline Notification", expression: "((lastContact >= 30 min))", notifyOnClear: true, isDefault: true }]);
    const agent = await Agent.register(server, "Quiet", { token: (await server.get("/v7/account-groups/1")).json.accountToken });
    const made = await server.post("/oculi/v1/agent-notification-rules", { ruleName: "Soon", expression: "((lastContact >= 2 s) || (utilization >= 90 %))", agents: [String(agent.id)] });
    expect(made.status, made.text).toBe(201);
    const one = expectV7(await server.get(`${V7}/${made.json.ruleId}`), "GET", "/agents/notification-rules/{notificationRuleId}", 200);
    expect(one).toMatchObject({ ruleName: "Soon", agents: [{ agentId: String(agent.id) }] });
    const shown = expectV7(await server.get(`/v7/agents/${agent.id}?expand=notification-rule`), "GET", "/agents/{agentId}", 200);
    expect(shown.notificationRules[0].agentAlertRules.map((rule: Json) => rule.ruleName)).toEqual(["Default Agent Offline Notification", "Soon"]);
    const problems = async () => (await server.get(`/v7/agents/${agent.id}`)).json.oculi.problems.map((each: Json) => each.code) as string[];
    const events = async () => ((await server.get("/v7/audit-user-events?window=1h")).json.auditEvents as Json[]).map((each) => each.event as string);
    const until = async (done: () => Promise<boolean>) => {
      for (let i = 0; i < 60 && !(await done()); i++) await new Promise((resolve) => setTimeout(resolve, 250));
      expect(await done()).toBe(true);
    };
    await until(async () => (await problems()).includes("notification"));
    expect(await events()).toContain("Agent notification raised");
    await until(async () => {
      await agent.plan();
      return !(await problems()).includes("notification");
    });
    expect(await events()).toContain("Agent notification cleared");
    for (const expression of ["", "never", "lastContact >= x", "lastContact >= 1 min && utilization >= 3 % || clockOffset >= 1 s", "lastContact >= 1 parsec"])
      expectProblem(await server.put(`/oculi/v1/agent-notification-rules/${made.json.ruleId}`, { expression }), 400, "expression");
    expect((await server.delete(`/oculi/v1/agent-notification-rules/${made.json.ruleId}`)).status).toBe(204);
  }, 40_000);
});
