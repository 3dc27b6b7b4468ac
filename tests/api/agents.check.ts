// /v7/agents and how agents join.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent, registerRaw } from "./support/agent.ts";
import { encode } from "./support/cbor.ts";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import type { Json } from "./support/schema.ts";
import { Server } from "./support/server.ts";

let server: Server;
let agent: Agent;
beforeAll(async () => {
  server = await new Server().start();
  agent = await Agent.register(server, "Amsterdam");
});
afterAll(() => server.close());

describe("joining", () => {
  const good = () => ({ token: server.agentToken, agentName: "x", version: "0.1.0", types: ["agent-to-server"] });
  test("a wrong account group token is 401, and nothing is made", async () => {
    const answer = await registerRaw(server, { ...good(), token: "oculi-agent_wrong" });
    expect(answer.status).toBe(401);
    expect(answer.type).toBe("application/problem+json");
    expect((await server.get("/v7/agents")).json.agents).toHaveLength(1);
  });
  test("bad records name the field", async () => {
    const cases: [object, string][] = [[{ countryId: "NLD" }, "countryId"], [{ latitude: 91.5, longitude: 0.5 }, "latitude"], [{ agentName: "" }, "agentName"]];
    for (const [more, field] of cases) {
      const answer = await registerRaw(server, { ...good(), ...more });
      expect(answer.status).toBe(400);
      const problem = JSON.parse(new TextDecoder().decode(answer.body)) as Json;
      expect(problem.errors[0].field).toBe(field);
    }
  });
  test("bodies that are no CBOR record", async () => {
    for (const raw of [new Uint8Array(), new Uint8Array([0xff]), encode([1, 2]), encode("text"), new Uint8Array([0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])]) {
      const answer = await server.call("POST", "/oculi/v1/agent/register", { raw, token: null, headers: { "Content-Type": "application/cbor" } });
      expect(answer.status).toBe(400);
    }
    const json = await server.post("/oculi/v1/agent/register", good(), { token: null });
    expectProblem(json, 415);
  });
});

describe("v7", () => {
  test("list and get", async () => {
    const list = expectV7(await server.get("/v7/agents"), "GET", "/agents", 200);
    expect(selfLink(list)).toBe(`${server.url}/v7/agents`);
    expect(list.agents).toHaveLength(1);
    expect(list.agents[0]).toMatchObject({
      agentId: String(agent.id), agentName: "Amsterdam", agentType: "enterprise", countryId: "NL", enabled: true,
      location: "Amsterdam, Netherlands", hostname: "amsterdam.example.net", agentState: "online",
      coordinates: { latitude: 52.37, longitude: 4.9 }, ipAddresses: ["192.0.2.7"], publicIpAddresses: ["127.0.0.1"],
      accountGroups: [{ aid: "1", accountGroupName: "Default" }], oculi: { version: expect.any(String) },
    });
    for (const name of ["tests", "testIds", "clusterMembers"]) expect(list.agents[0]).not.toHaveProperty(name);
    const one = expectV7(await server.get(`/v7/agents/${agent.id}`), "GET", "/agents/{agentId}", 200);
    expect(selfLink(one)).toBe(`${server.url}/v7/agents/${agent.id}`);
    expectProblem(await server.get("/v7/agents/4711"), 404);
  });
  test("types can be chosen", async () => {
    expect((await server.get("/v7/agents?agentTypes=enterprise,cloud")).json.agents).toHaveLength(1);
    expect((await server.get("/v7/agents?agentTypes=cloud")).json.agents).toHaveLength(0);
    expect((await server.get("/v7/agents?agentTypes=enterprise-cluster")).json.agents).toHaveLength(0);
  });
  test("expand shows its tests", async () => {
    const made = (await server.post("/v7/tests/agent-to-server", { testName: "shown", server: "a.example", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }] })).json;
    const one = expectV7(await server.get(`/v7/agents/${agent.id}?expand=test,test-ids,cluster-member`), "GET", "/agents/{agentId}", 200);
    expect(one.testIds).toEqual([Number(made.testId)]);
    expect(one.tests[0]).toMatchObject({ testId: made.testId, server: "a.example" });
    expect(one.clusterMembers).toEqual([]);
  });
  test("PUT keeps what it does not name; the agent's tests can be set", async () => {
    const other = await Agent.register(server, "Other");
    const path = `/v7/agents/${other.id}`;
    const test = (await server.get("/v7/tests")).json.tests[0];
    const body = expectV7(await server.put(path + "?expand=test-ids", { agentName: "Renamed", tests: [test.testId] }), "PUT", "/agents/{agentId}", 200);
    expect(body).toMatchObject({ agentName: "Renamed", enabled: true, ipv6Policy: "prefer-ipv6", testIds: [Number(test.testId)] });
    const off = expectV7(await server.put(path, { enabled: false, ipv6Policy: "force-ipv6", targetForTests: "192.0.2.9" }), "PUT", "/agents/{agentId}", 200);
    expect(off).toMatchObject({ agentName: "Renamed", enabled: false, agentState: "disabled", targetForTests: "192.0.2.9" });
    const none = expectV7(await server.put(path + "?expand=test-ids", { tests: [] }), "PUT", "/agents/{agentId}", 200);
    expect(none.testIds).toEqual([]);
  });
  test("bad changes name the field", async () => {
    const path = `/v7/agents/${agent.id}`;
    const cases: [object, number, string][] = [
      [{ agentName: "" }, 400, "agentName"], [{ enabled: "yes" }, 400, "enabled"], [{ ipv6Policy: "never" }, 400, "ipv6Policy"],
      [{ targetForTests: "nowhere" }, 400, "targetForTests"], [{ tests: ["4711"] }, 400, "tests"], [{ colour: 1 }, 400, "colour"],
      [{ accountGroups: ["1", "2"] }, 400, "accountGroups"],
    ];
    for (const [change, status, field] of cases) expectProblem(await server.put(path, change), status, field);
    expect((await server.get(path)).json.agentName).toBe("Amsterdam");
  });
  test("DELETE takes the agent out of its tests and ends its bearer", async () => {
    const gone = await Agent.register(server, "Gone");
    const made = (await server.post("/v7/tests/agent-to-server", { testName: "two", server: "b.example", protocol: "icmp", interval: 60, agents: [agent, gone].map((a) => ({ agentId: String(a.id) })) })).json;
    expectV7(await server.delete(`/v7/agents/${gone.id}`), "DELETE", "/agents/{agentId}", 204);
    expectProblem(await server.get(`/v7/agents/${gone.id}`), 404);
    const left = (await server.get(`/v7/tests/agent-to-server/${made.testId}?expand=agent`)).json;
    expect(left.agents.map((a: Json) => a.agentName)).toEqual(["Amsterdam"]);
    expect((await gone.plan()).status).toBe(401);
  });
});
