// /v7/tests: every verb, what v7 says of defaults, merging, names, errors; account groups kept apart.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import type { Json } from "./support/schema.ts";
import { Server } from "./support/server.ts";

const TYPE = "/v7/tests/agent-to-server";
const SPEC = "/tests/agent-to-server";
let server: Server;
let agents: Agent[];

beforeAll(async () => {
  server = await new Server().start();
  agents = [await Agent.register(server, "Amsterdam"), await Agent.register(server, "Tokyo", { countryId: "jp" })];
});
afterAll(() => server.close());

const ids = (...list: Agent[]) => list.map((agent) => ({ agentId: String(agent.id) }));
const minimal = (more: object = {}) => ({ server: "www.example.com", protocol: "icmp", interval: 60, agents: ids(agents[0]!), ...more });
let counter = 0;
async function create(more: object = {}, query = ""): Promise<Json> {
  const answer = await server.post(TYPE + query, minimal({ testName: `test ${++counter}`, ...more }));
  return expectV7(answer, "POST", SPEC, 201);
}

describe("creating", () => {
  test("201, Location, links, and the defaults of v7", async () => {
    const answer = await server.post(TYPE, minimal({ testName: "defaults" }));
    const body = expectV7(answer, "POST", SPEC, 201);
    expect(answer.headers.get("location")).toBe(`${server.url}${TYPE}/${body.testId}`);
    expect(selfLink(body)).toBe(`${server.url}${TYPE}/${body.testId}`);
    expect(body._links.testResults).toEqual([
      { href: `${server.url}/v7/test-results/${body.testId}/network` },
      { href: `${server.url}/v7/test-results/${body.testId}/path-vis` },
    ]);
    expect(body).toMatchObject({
      type: "agent-to-server", testName: "defaults", alertsEnabled: true, bandwidthMeasurements: false,
      bgpMeasurements: true, continuousMode: false, enabled: true, mtuMeasurements: true, networkMeasurements: true,
      numPathTraces: 3, protocol: "icmp", randomizedStartTime: false, usePublicBgp: true, pathTraceMode: "classic",
      probeMode: "auto", ipv6Policy: "use-agent-policy", dscpId: "0", liveShare: false, savedEvent: false,
      server: "www.example.com", interval: 60,
    });
    expect(body.testId).toMatch(/^\d+$/);
    expect(body.createdBy).toBe("Administrator (admin@oculi.local)");
    expect(body.createdDate).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(body.modifiedDate).toBeUndefined();
  });
  test("arrays are absent unless asked for, in both forms of expand", async () => {
    const plain = await create();
    for (const name of ["agents", "alertRules", "labels", "tags", "monitors", "sharedWithAccounts"]) expect(plain).not.toHaveProperty(name);
    const all = "agent,alert-rule,monitor,label,tag,shared-with-account";
    for (const query of [`?expand=${all}`, "?" + all.split(",").map((word) => `expand=${word}`).join("&")]) {
      const body = expectV7(await server.get(`${TYPE}/${plain.testId}${query}`), "GET", `${SPEC}/{testId}`, 200);
      expect(body.agents).toHaveLength(1);
      expect(body.agents[0]).toMatchObject({ agentId: String(agents[0]!.id), agentName: "Amsterdam", agentType: "enterprise", countryId: "NL" });
      for (const name of ["alertRules", "labels", "tags", "monitors", "sharedWithAccounts"]) expect(body[name]).toEqual([]);
    }
  });
  test("without a name it is named after its target", async () => {
    const body = expectV7(await server.post(TYPE, minimal({ server: "unnamed.example.com" })), "POST", SPEC, 201);
    expect(body.testName).toBe("unnamed.example.com");
  });
  test("an answer can be sent back: what is read-only is ignored", async () => {
    const body = await create({ description: "as answered" });
    const again = expectV7(await server.put(`${TYPE}/${body.testId}`, body), "PUT", `${SPEC}/{testId}`, 200);
    expect(again).toMatchObject({ testId: body.testId, description: "as answered", createdDate: body.createdDate });
    expect(again.modifiedDate).toMatch(/Z$/);
  });
  test("names are unique", async () => {
    await create({ testName: "twice" });
    const problem = expectProblem(await server.post(TYPE, minimal({ testName: "twice" })), 400, "testName");
    expect(problem.title).toBe("There were some errors in your request, please correct them before trying again. A test with this name already exists.");
  });
});

describe("what v7 refuses, in its words", () => {
  const START = "There were some errors in your request, please correct them before trying again. ";
  const cases: [string, () => object, string, string][] = [
    ["no interval", () => minimal({ interval: undefined }), "interval", START + "Error in field interval : Interval is empty."],
    ["no agents", () => minimal({ agents: undefined }), "agents", START + "Error in field agentSet : No agents selected."],
    ["an empty list of agents", () => minimal({ agents: [] }), "agents", START + "Error in field agentSet : No agents selected."],
    ["no target", () => minimal({ server: undefined }), "server", START + "Error in field server : Target is empty."],
    ["a packet rate of 5", () => minimal({ fixedPacketRate: 5 }), "fixedPacketRate", START + "Error in field fixedPacketRate : Must be between 10 and 100."],
  ];
  test.each(cases)("%s", async (_name, body, field, title) => {
    expect(expectProblem(await server.post(TYPE, body()), 400, field).title.toLowerCase()).toBe(title.toLowerCase());
  });
  test("a word that is none of the enumeration", async () => {
    const problem = expectProblem(await server.post(TYPE, minimal({ protocol: "udp" })), 400, "protocol");
    expect(problem.title).toBe("request validation failed. There are invalid or missing fields");
    expect(problem.detail).toBe("Invalid value for fields: protocol");
  });
  const bad: [string, object, string][] = [
    ["an unknown setting", { bogus: 1 }, "bogus"],
    ["a number as text", { interval: "60" }, "interval"],
    ["an interval v7 does not have", { interval: 61 }, "interval"],
    ["too many path traces", { numPathTraces: 11 }, "numPathTraces"],
    ["none", { numPathTraces: 0 }, "numPathTraces"],
    ["a fraction", { numPathTraces: 2.5 }, "numPathTraces"],
    ["a number beyond 64 bits", { numPathTraces: 1e30 }, "numPathTraces"],
    ["0 and 1 for booleans", { enabled: 1 }, "enabled"],
    ["an agent id as a number", { agents: [{ agentId: 1 }] }, "agents[0].agentId"],
    ["an agent id that is no number", { agents: [{ agentId: "x" }] }, "agents[0].agentId"],
    ["an agent that is not there", { agents: [{ agentId: "4711" }] }, "agents[0].agentId"],
    ["an unknown word in an agent", { agents: [{ agentId: "1", colour: "red" }] }, "agents[0].colour"],
    ["a port with icmp", { port: 80 }, "port"],
    ["a target with spaces", { server: "a b" }, "server"],
    ["an object where text belongs", { testName: {} }, "testName"],
    ["a name without end", { testName: "x".repeat(300) }, "testName"],
    ["a payload too large", { pingPayloadSize: 1401 }, "pingPayloadSize"],
    ["a code point v7 does not have", { dscpId: "7" }, "dscpId"],
  ];
  test.each(bad)("%s", async (_name, more, field) => {
    expectProblem(await server.post(TYPE, minimal({ testName: "bad", ...more })), 400, field);
  });
  test("the same agent twice", async () => {
    expectProblem(await server.post(TYPE, minimal({ agents: ids(agents[0]!, agents[0]!) })), 400, "agents[1].agentId");
  });
  test("what this version cannot do yet is 501 and names the field", async () => {
    for (const name of ["alertRules"])
      expectProblem(await server.post(TYPE, minimal({ [name]: ["1"] })), 501, name);
  });
  test("continuous mode takes one packet a second and an interval of 60 s only", async () => {
    const asked = { testName: "bad", continuousMode: true };
    const refuse = async (more: Json, field: string, message: string) => {
      const problem = expectProblem(await server.post(TYPE, minimal({ ...asked, ...more })), 400, field);
      expect(problem.errors[0].message).toBe(message);
    };
    await refuse({ interval: 120 }, "interval", "Must be 60 in continuous mode.");
    await refuse({ interval: 60, fixedPacketRate: 25 }, "fixedPacketRate", "Must be 1 in continuous mode.");
    await refuse({ interval: 60, bandwidthMeasurements: true }, "bandwidthMeasurements", "Is not possible in continuous mode.");
    await refuse({ interval: 60, protocol: "tcp", probeMode: "sack" }, "probeMode", "Must be syn in continuous mode.");
    await refuse({ continuousMode: false, fixedPacketRate: 1 }, "fixedPacketRate", "Must be between 10 and 100.");
    await refuse({ continuousMode: false, fixedPacketRate: 9 }, "fixedPacketRate", "Must be between 10 and 100.");
    await refuse({ continuousMode: false, fixedPacketRate: 101 }, "fixedPacketRate", "Must be between 0 and 100 packets/s.");
  });
  test("nothing of it was created", async () => {
    const list = (await server.get(TYPE)).json.tests as { testName: string }[];
    expect(list.map((item) => item.testName)).not.toContain("bad");
  });
});

describe("reading and changing", () => {
  test("continuous mode enforces its packet rate, and can be turned on and off", async () => {
    const made = await create({ continuousMode: true, interval: 60 });
    expect(made).toMatchObject({ continuousMode: true, fixedPacketRate: 1, bandwidthMeasurements: false, interval: 60 });
    expectProblem(await server.put(`${TYPE}/${made.testId}`, { interval: 300 }), 400, "interval");
    const off = expectV7(await server.put(`${TYPE}/${made.testId}`, { continuousMode: false, fixedPacketRate: null }), "PUT", `${SPEC}/{testId}`, 200);
    expect(off.continuousMode).toBe(false);
    expect(off).not.toHaveProperty("fixedPacketRate");
    const on = expectV7(await server.put(`${TYPE}/${made.testId}`, { continuousMode: true }), "PUT", `${SPEC}/{testId}`, 200);
    expect(on).toMatchObject({ continuousMode: true, fixedPacketRate: 1 });
  });
  test("lists: all types and one, without what belongs to expand", async () => {
    const made = await create();
    const all = expectV7(await server.get("/v7/tests"), "GET", "/tests", 200);
    const typed = expectV7(await server.get(TYPE), "GET", SPEC, 200);
    expect(all.tests).toEqual(typed.tests);
    const found = typed.tests.find((item: Json) => item.testId === made.testId);
    expect(found).toEqual(made);
  });
  test("PUT keeps what it does not name", async () => {
    const made = await create({ description: "kept", numPathTraces: 5 });
    const body = expectV7(await server.put(`${TYPE}/${made.testId}`, { interval: 300 }), "PUT", `${SPEC}/{testId}`, 200);
    expect(body).toMatchObject({ interval: 300, description: "kept", numPathTraces: 5, testName: made.testName });
    const cleared = expectV7(await server.put(`${TYPE}/${made.testId}`, { description: null, agents: ids(...agents) }), "PUT", `${SPEC}/{testId}`, 200);
    expect(cleared.description ?? "").toBe("");
    const read = expectV7(await server.get(`${TYPE}/${made.testId}?expand=agent`), "GET", `${SPEC}/{testId}`, 200);
    expect(read.agents.map((agent: Json) => agent.agentId)).toEqual(agents.map((agent) => String(agent.id)));
  });
  test("a PUT that is refused changes nothing", async () => {
    const made = await create();
    expectProblem(await server.put(`${TYPE}/${made.testId}`, { interval: 120, numPathTraces: 99 }), 400, "numPathTraces");
    expectProblem(await server.put(`${TYPE}/${made.testId}`, { agents: [] }), 400, "agents");
    expectProblem(await server.put(`${TYPE}/${made.testId}`, { continuousMode: true, fixedPacketRate: 25 }), 400, "fixedPacketRate");
    expect((await server.get(`${TYPE}/${made.testId}`)).json).toEqual(made);
  });
  test("earlier versions are kept", async () => {
    const made = await create({ description: "first" });
    await server.put(`${TYPE}/${made.testId}`, { description: "second" });
    const first = expectV7(await server.get(`${TYPE}/${made.testId}?versionId=1`), "GET", `${SPEC}/{testId}`, 200);
    const second = expectV7(await server.get(`${TYPE}/${made.testId}?versionId=2`), "GET", `${SPEC}/{testId}`, 200);
    expect([first.description, second.description]).toEqual(["first", "second"]);
    expectProblem(await server.get(`${TYPE}/${made.testId}?versionId=3`), 404);
    expectProblem(await server.get(`${TYPE}/${made.testId}?versionId=x`), 400, "versionId");
  });
  test("DELETE is 204 once, then 404 as the product says it", async () => {
    const made = await create();
    expectV7(await server.delete(`${TYPE}/${made.testId}`), "DELETE", `${SPEC}/{testId}`, 204);
    for (const answer of [await server.delete(`${TYPE}/${made.testId}`), await server.get(`${TYPE}/${made.testId}`), await server.put(`${TYPE}/${made.testId}`, {})]) {
      const problem = expectProblem(answer, 404);
      expect(problem).toMatchObject({ title: "404 Not Found", instance: `${TYPE}/${made.testId}`, type: "about:blank" });
    }
    for (const id of ["0", "x", "99999999999999999999", "-1"]) expectProblem(await server.get(`${TYPE}/${id}`), 404);
  });
});

describe("runs asked for once", () => {
  test("an instant test: 201, no interval, not in lists, readable", async () => {
    const answer = await server.post(`${TYPE}/instant?expand=agent`, { server: "192.0.2.80", protocol: "icmp", agents: ids(agents[0]!) });
    const body = expectV7(answer, "POST", `${SPEC}/instant`, 201);
    expect(answer.headers.get("location")).toBe(selfLink(body));
    expect(body).not.toHaveProperty("interval");
    expect(body.agents).toHaveLength(1);
    expect((await server.get(TYPE)).json.tests.map((item: Json) => item.testId)).not.toContain(body.testId);
    expectV7(await server.get(`${TYPE}/${body.testId}`), "GET", `${SPEC}/{testId}`, 200);
    expect((await server.post(`/v7/tests/${body.testId}/run`)).status).toBe(200);
    expectProblem(await server.post(`${TYPE}/instant`, { server: "x.example", protocol: "icmp", interval: 60, agents: ids(agents[0]!) }), 400, "interval");
  });
  test("two instant tests may have one name", async () => {
    for (let i = 0; i < 2; i++)
      expectV7(await server.post(`${TYPE}/instant`, { testName: "same", server: "192.0.2.80", protocol: "icmp", agents: ids(agents[0]!) }), "POST", `${SPEC}/instant`, 201);
  });
  test("run now, of a scheduled test; 404 of none", async () => {
    const made = await create();
    const answer = await server.post(`/v7/tests/${made.testId}/run`);
    expect(answer.status).toBe(200);
    expectProblem(await server.post("/v7/tests/4711/run"), 404);
  });
});

describe("account groups are kept apart", () => {
  test("tests and agents of one are not there in another", async () => {
    const made = await create();
    const group = (await server.post("/v7/account-groups", { accountGroupName: "Apart" })).json;
    const aid = `aid=${group.aid}`;
    expect((await server.get(`/v7/tests?${aid}`)).json.tests).toEqual([]);
    expect((await server.get(`/v7/agents?${aid}`)).json.agents).toEqual([]);
    expectProblem(await server.get(`${TYPE}/${made.testId}?${aid}`), 404);
    expectProblem(await server.put(`${TYPE}/${made.testId}?${aid}`, { interval: 120 }), 404);
    expectProblem(await server.delete(`${TYPE}/${made.testId}?${aid}`), 404);
    expectProblem(await server.post(`/v7/tests/${made.testId}/run?${aid}`), 404);
    expectProblem(await server.get(`/v7/test-results/${made.testId}/network?${aid}`), 404);
    expectProblem(await server.get(`/v7/agents/${agents[0]!.id}?${aid}`), 404);
    expectProblem(await server.delete(`/v7/agents/${agents[0]!.id}?${aid}`), 404);
    expectProblem(await server.post(`${TYPE}?${aid}`, minimal()), 400, "agents[0].agentId");
    const start = (await server.get(`/oculi/v1/start?${aid}`)).json;
    expect(start.agentToken).not.toBe(server.agentToken);
    const theirs = await Agent.register(server, "Elsewhere", { token: start.agentToken });
    expect(theirs.aid).toBe(Number(group.aid));
    const same = expectV7(await server.post(`${TYPE}?${aid}`, minimal({ testName: made.testName, agents: ids(theirs) })), "POST", SPEC, 201);
    expect(same.testName).toBe(made.testName);
    expect((await server.get("/v7/agents")).json.agents).toHaveLength(2);
  });
});
