// Every route there is, from the server's own table: without sign-in 401; without its permission 403 and nothing
// changed; with ids of another account group nothing found, nothing told, nothing changed. A new route falls under
// this by itself; one that makes a new kind of object stops it until `makers` knows how to make one.
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { makeGroup, makePerson, makeRole, Person, permissions, type Permission } from "./support/people.ts";
import { OCULID, Server, type Answer, type Call } from "./support/server.ts";

/* eslint-disable @typescript-eslint/no-explicit-any */
interface Route {
  method: string;
  pattern: string;
  operation: string;
  permission: string;
  or: string;
  flags: Set<string>;
}

const routes: Route[] = execFileSync(OCULID, ["schema", "routes"], { encoding: "utf8" }).trim().split("\n").map((line) => {
  const [method, pattern, operation, permission, or, flags] = line.split("\t") as [string, string, string, string, string, string];
  return { method, pattern, operation, permission, or, flags: new Set(flags.split(",")) };
});
const nameOf = (route: Route) => `${route.method} ${route.pattern}`;

/** Open to everybody. Whoever adds one says so here. */
const PUBLIC = new Set(["GET /healthz", "GET /readyz", "GET /metrics", "GET /v7/openapi.json", "POST /oculi/v1/session",
  "POST /oculi/v1/agent/register", "GET /oculi/v1/sign-in", "GET /oculi/v1/sso", "GET /oculi/v1/sso/callback"]);

/** Permissions that reach beyond one account group, by what v7 says of them. */
const BEYOND = new Set(["EDIT_USERS_IN_ALL_ACCOUNT_GROUPS", "VIEW_ACCOUNT_GROUPS", "EDIT_ACCOUNT_GROUPS", "DELETE_ACCOUNT",
  "ASSIGN_AGENT_TO_ACCOUNT_GROUP", "VIEW_ACTIVITY_IN_ALL_ACCOUNT_GROUPS", "EDIT_ROLES", "VIEW_ROLES", "VIEW_USAGE", "EDIT_QUOTAS",
  "VIEW_BILLING"]);

const MARK = "zqmark"; /* is in the name of everything of the other account group, and nowhere else */
const SLOT = Math.floor(Date.now() / 60_000) * 60;

let server: Server;
let all: Permission[];
let other: string, mine: string; /* account groups */
let agent: Agent;
let owner: Person; /* may do everything in the other account group, but for what reaches beyond it */
let weak: Person; /* the same, with a role that each check changes */
let weakRole: string;
let alien: Person; /* may do everything in an account group of his own, but for what reaches beyond it */
const made = new Map<string, string>(); /* by the pattern of its collection: the id of something in the other account group */

/** How to make one of each in the other account group: by the pattern that makes it. */
const makers: Record<string, () => object> = {
  "/v7/users": () => ({ name: `${MARK} user`, email: `${MARK}@example.com`, loginAccountGroupId: other, accountGroupRoles: [{ accountGroupId: other, roleIds: ["3"] }] }),
  "/v7/roles": () => ({ name: "A role of the organization", permissions: [] }),
  "/v7/account-groups": () => ({ accountGroupName: "Another" }),
  "/v7/tags": () => ({ key: `${MARK}key`, value: `${MARK}value`, objectType: "test", accessType: "all" }),
  "/v7/credentials": () => ({ name: `${MARK} credential`, value: `${MARK} secret` }),
  "/v7/network/path-vis/interface-groups": () => ({ groupName: "a router", ipAddresses: ["192.0.2.1"] }),
  "/oculi/v1/agent-proxies": () => ({ name: "Way out", location: "proxy.example.com:3128" }),
  "/oculi/v1/agent-tokens": () => ({ name: "A token" }),
  "/oculi/v1/agent-notification-rules": () => ({ ruleName: "A rule", expression: "lastContact >= 5 min" }),
  "/v7/emulated-devices": () => ({ category: "phone", width: 411, height: 911 }),
};
const typed = (pattern: string) => /^\/v7\/tests\/[a-z-]+$/.exec(pattern);
const target: Record<string, object> = { "agent-to-server": { server: `${MARK}.example.com`, protocol: "icmp" } };
const testBody = (pattern: string) => ({ testName: `${MARK} ${pattern}`, interval: 60, ...(target[pattern.split("/").at(-1)!] ?? { url: `https://${MARK}.example.com`, server: `${MARK}.example.com` }),
  agents: [{ agentId: String(agent.id) }] });
const makerOf = (pattern: string) => makers[pattern] ?? (typed(pattern) ? () => testBody(pattern) : undefined);

/** What an action is asked with, so that it would do something. */
const actions: Record<string, () => unknown> = {
  "/v7/tags/{id}/assign": () => ({ assignments: [{ id: made.get("/v7/tests/agent-to-server"), type: "test" }] }),
  "/v7/tags/{id}/unassign": () => ({ assignments: [{ id: made.get("/v7/tests/agent-to-server"), type: "test" }] }),
  "/v7/tags/assign": () => ({ tags: [{ tagId: made.get("/v7/tags"), assignments: [{ id: made.get("/v7/tests/agent-to-server"), type: "test" }] }] }),
  "/v7/tags/unassign": () => ({ tags: [{ tagId: made.get("/v7/tags"), assignments: [{ id: made.get("/v7/tests/agent-to-server"), type: "test" }] }] }),
  "/v7/tags/bulk": () => ({ tags: [makers["/v7/tags"]!()] }),
  "/v7/tests/{testId}/snapshot": () => ({ displayName: `${MARK} snapshot`, startDate: "2026-01-01T00:00:00Z", endDate: "2026-01-01T01:00:00Z" }),
  "/v7/agents/{agentId}/tests/assign": () => ({ testIds: [made.get("/v7/tests/agent-to-server")] }),
  "/v7/agents/{agentId}/tests/override": () => ({ testIds: [made.get("/v7/tests/agent-to-server")] }),
  "/v7/agents/{agentId}/tests/unassign": () => ({ testIds: [made.get("/v7/tests/agent-to-server")] }),
  "/v7/agents/{agentId}/cluster/assign": () => ({ agents: [String(agent.id)] }),
  "/v7/agents/{agentId}/cluster/unassign": () => ({ members: [String(agent.id)] }),
  "/oculi/v1/agents/{agentId}/replace": () => ({ agentId: String(agent.id) }),
  "/v7/tests/agent-to-server/instant": () => ({ ...testBody("/v7/tests/agent-to-server"), interval: undefined, testName: undefined }),
  "/oculi/v1/session/password": () => ({ current: "wrong, and long enough", new: "Another-one that 8 would do" }),
};

function bodyOf(route: Route): unknown {
  if (route.method === "GET" || route.method === "DELETE") return undefined;
  const collection = route.pattern.replace(/\/\{[^}]*\}$/, "");
  return (actions[route.pattern] ?? makerOf(route.pattern) ?? makerOf(collection) ?? (() => ({})))();
}

/** The route's path with ids of the other account group. */
function pathOf(route: Route): string {
  let done = "";
  for (const part of route.pattern.split("/").slice(1)) {
    if (!part.startsWith("{")) done += `/${part}`;
    else if (part === "{agentId}") done += `/${agent.id}`;
    else if (part === "{testId}") done += `/${made.get("/v7/tests/agent-to-server")}`;
    else if (part === "{roundId}") done += `/${SLOT}`;
    else {
      const collection = route.pattern.slice(0, route.pattern.indexOf(part) - 1).replace("/oculi/v1/", "/v7/");
      const id = made.get(collection) ?? made.get(route.pattern.slice(0, route.pattern.indexOf(part) - 1));
      if (!id) throw new Error(`${route.pattern}: nothing was made in ${collection}; teach "makers" how`);
      done += `/${id}`;
    }
  }
  return done;
}

const ask = (route: Route, call: Call, query = ""): Promise<Answer> => {
  const body = bodyOf(route);
  return server.call(route.method, pathOf(route) + query, { ...call, ...(body === undefined ? {} : { body }) });
};

const people = routes.filter((route) => !["public", "agent"].includes(route.permission));
const guarded = people.filter((route) => route.permission !== "signed-in");
const isStream = (route: Route) => route.pattern === "/oculi/v1/stream";
const reads = people.filter((route) => route.method === "GET" && !isStream(route));
const needs = (route: Route) => [route.permission, route.or].filter((name) => name && name !== "");

/** All that can be read of the other account group, without what changes by being read or by time. */
async function snapshot(): Promise<Record<string, unknown>> {
  const out: Record<string, unknown> = {};
  for (const route of reads) {
    /* What changes by time or by asking; devices belong to the organization. */
    if (/audit-user-events|\/session$|\/users\/current$|usage|quotas|emulated-devices$/.test(route.pattern)) continue;
    const query = route.flags.has("no-aid") ? "" : `?aid=${other}`;
    const answer = await ask(route, {}, query + (route.pattern === "/v7/account-groups/{id}" ? "?expand=user,agent" : ""));
    expect([200, 404], `${nameOf(route)}: ${answer.text}`).toContain(answer.status);
    out[route.pattern] = JSON.parse(JSON.stringify(answer.json, (key, value) =>
      ["_links", "lastSeen", "lastLogin", "startDate", "endDate", "now", "from", "to"].includes(key) ? undefined : value));
  }
  return out;
}

/** The newest entry of the audit log: every write leaves one. */
async function newest(): Promise<string> {
  return JSON.stringify((await server.get("/v7/audit-user-events?useAllPermittedAids=true")).json.auditEvents[0]);
}

beforeAll(async () => {
  server = await new Server().start();
  all = await permissions(server);
  other = await makeGroup(server, `${MARK} group`);
  mine = await makeGroup(server, "Alpha");
  const token = (await server.get(`/v7/account-groups/${other}`)).json.accountToken;
  agent = await Agent.register(server, `${MARK}agent`, { token, location: `${MARK} town` });
  const within = all.filter((permission) => !BEYOND.has(permission.name)).map((permission) => permission.id);
  const role = await makeRole(server, "All within", within);
  weakRole = await makeRole(server, "Less", within);
  owner = await (await makePerson(server, "owner@example.org", { login: other, groups: { [other]: [role] } })).takeToken();
  weak = await (await makePerson(server, "weak@example.org", { login: other, groups: { [other]: [weakRole] } })).takeToken();
  alien = await (await makePerson(server, "alien@example.org", { login: mine, groups: { [mine]: [role] } })).takeToken();
  for (const route of routes.filter((each) => each.method === "POST")) {
    const maker = makerOf(route.pattern);
    const hasOne = routes.some((each) => each.pattern.startsWith(`${route.pattern}/{`));
    if (!maker && !hasOne) continue;
    if (!maker) throw new Error(`${route.pattern} makes something this check cannot make; teach "makers" how`);
    const answer = await server.post(`${route.pattern}${route.flags.has("no-aid") ? "" : `?aid=${other}`}`, maker());
    if (answer.status !== 201) throw new Error(`${route.pattern}: ${answer.status} ${answer.text}`);
    const idName = Object.keys(answer.json).find((key) => /^(id|uid|roleId|aid|testId|proxyId|ruleId)$/.test(key) && (key !== "aid" || route.pattern === "/v7/account-groups"));
    made.set(route.pattern, String(answer.json[idName!]));
  }
  made.set("/v7/account-groups", other);
  made.set("/v7/agents", String(agent.id));
  made.set("/v7/agents/notification-rules", made.get("/oculi/v1/agent-notification-rules")!);
  await agent.upload([{ testId: Number(made.get("/v7/tests/agent-to-server")), roundId: SLOT, path: ["10.77.0.1", "192.0.2.80"] }]);
}, 60_000);
afterAll(() => server.close());

test("what is open to everybody is on the list", () => {
  expect(routes.length).toBeGreaterThan(60);
  for (const route of routes.filter((each) => each.permission === "public")) expect(PUBLIC, nameOf(route)).toContain(nameOf(route));
});

/** What any user may ask, whatever his roles: about himself. */
const OF_ONESELF = /^(GET|POST|PUT|DELETE) \/oculi\/v1\/session(\/|$)|^GET \/v7\/users\/current$|^GET \/v7\/account-groups$/;

/** The permissions v7 documents, apart from the table that is checked: by the beginning of the path, to read and to write. */
const DOCUMENTED: [RegExp, string[], string[]][] = [
  [/^\/v7\/account-groups\b/, ["VIEW_ACCOUNT_GROUPS"], ["EDIT_ACCOUNT_GROUPS", "DELETE_ACCOUNT"]],
  [/^\/v7\/users\b/, ["VIEW_ALL_USERS"], ["EDIT_USERS"]],
  [/^\/v7\/(roles|permissions)\b/, ["VIEW_ROLES"], ["EDIT_ROLES"]],
  [/^\/v7\/audit-user-events\b/, ["VIEW_ACTIVITY_IN_ACCOUNT_GROUP"], []],
  [/^\/v7\/api-tokens\b/, [], ["API_ACCESS"]],
  [/^\/v7\/agents\b/, ["VIEW_AGENTS", "VIEW_AGENT_NOTIFICATIONS"], ["EDIT_AGENTS", "EDIT_TESTS", "EDIT_AGENT_NOTIFICATIONS", "ASSIGN_AGENT_TO_ACCOUNT_GROUP"]],
  [/^\/v7\/(tests|test-results|credentials|emulated-devices|user-agents)\b/, ["VIEW_TESTS"], ["EDIT_TESTS", "CREATE_SNAPSHOT_SHARES"]],
  [/^\/v7\/tags\b/, ["VIEW_LABELS"], ["EDIT_LABELS"]],
  [/^\/v7\/monitors\b/, ["VIEW_BGP_MONITORS"], []],
  [/^\/v7\/network\/path-vis\/interface-groups\b/, ["VIEW_TESTS"], ["EDIT_INTERFACE_GROUPS"]],
  [/^\/v7\/(usage|quotas)\b/, ["VIEW_USAGE", "VIEW_BILLING", "EDIT_QUOTAS"], ["EDIT_QUOTAS"]],
];

test("every route needs a permission that fits what it does", () => {
  for (const route of people) {
    const isRead = route.method === "GET";
    if (route.permission === "signed-in") expect(nameOf(route)).toMatch(OF_ONESELF);
    if (OF_ONESELF.test(nameOf(route))) continue;
    for (const name of needs(route)) if (!isRead) expect(name, nameOf(route)).not.toMatch(/^VIEW_/);
    const [, read, write] = DOCUMENTED.find(([path]) => path.test(route.pattern)) ?? [];
    if (read && write) expect(isRead ? read : write, nameOf(route)).toContain(route.permission);
  }
});

describe("without sign-in every route is 401", () => {
  const calls: [string, Call][] = [["nothing", { token: null }], ["a wrong token", { token: "oculi_wrong" }],
    ["a wrong session", { token: null, headers: { Cookie: "oculi_session=wrong", "X-Oculi-Request": "1" } }]];
  test.each(calls)("%s", async (_, call) => {
    const before = await newest();
    for (const route of routes.filter((each) => each.permission !== "public")) {
      const answer = await ask(route, call);
      expect(answer.status, nameOf(route)).toBe(401);
      expect(answer.text, nameOf(route)).not.toContain(MARK);
    }
    expect(await newest()).toBe(before);
  });
  test("a user is no agent, and an agent no user", async () => {
    for (const route of routes) {
      if (route.permission === "agent") expect((await ask(route, owner.bearer)).status, nameOf(route)).toBe(401);
      else if (route.permission !== "public") expect((await ask(route, { token: agent.bearer })).status, nameOf(route)).toBe(401);
    }
  });
});

describe("without just that permission every route is 403, and nothing changes", () => {
  const groups = [...new Set(guarded.map((route) => needs(route).join(" or ")))];
  test.each(groups)("%s", async (group) => {
    const names = group.split(" or ");
    const ids = all.filter((permission) => !names.includes(permission.name)).map((permission) => permission.id);
    const lacking = await server.put(`/v7/roles/${weakRole}`, { name: "Less", permissions: ids });
    expect(lacking.status, lacking.text).toBe(200);
    const before = await newest();
    for (const route of guarded.filter((each) => needs(each).join(" or ") === group)) {
      const answer = await ask(route, weak.bearer);
      expect(answer.status, `${nameOf(route)}: ${answer.text}`).toBe(403);
      expect(answer.text, nameOf(route)).not.toContain(MARK);
    }
    expect(await newest()).toBe(before);
  });
  test.each(groups)("and with %s alone it is open", async (group) => {
    for (const name of group.split(" or ")) {
      const ids = all.filter((permission) => ["API_ACCESS", name].includes(permission.name)).map((permission) => permission.id);
      expect((await server.put(`/v7/roles/${weakRole}`, { name: "Less", permissions: ids })).status).toBe(200);
      for (const route of reads.filter((each) => needs(each).includes(name))) {
        const answer = await ask(route, weak.bearer);
        expect([200, 404], `${nameOf(route)}: ${answer.text}`).toContain(answer.status);
      }
    }
  });
  test("without API access a bearer token opens nothing", async () => {
    const ids = all.filter((permission) => permission.name !== "API_ACCESS").map((permission) => permission.id);
    expect((await server.put(`/v7/roles/${weakRole}`, { name: "Less", permissions: ids })).status).toBe(200);
    for (const route of people) expect((await ask(route, weak.bearer)).status, nameOf(route)).toBe(403);
  });
});

describe("a browser's session", () => {
  test("writes nothing without X-Oculi-Request", async () => {
    await owner.signIn();
    const before = await newest();
    for (const route of people.filter((each) => each.method !== "GET"))
      expect((await ask(route, { token: null, headers: { Cookie: owner.cookie } })).status, nameOf(route)).toBe(403);
    expect(await newest()).toBe(before);
  });
  test("opens nothing else before a password was chosen", async () => {
    const made = await server.post("/v7/users", { email: "fresh@example.org", loginAccountGroupId: other, accountGroupRoles: [{ accountGroupId: other, roleIds: ["1"] }] });
    const once = await server.post(`/oculi/v1/users/${made.json.uid}/one-time-password`);
    const fresh = new Person(server, made.json.uid, "fresh@example.org");
    await fresh.signIn(once.json.password);
    for (const route of people.filter((each) => !each.flags.has("any-password"))) {
      const answer = await ask(route, fresh.session);
      expect(answer.status, nameOf(route)).toBe(403);
      expect(answer.text).not.toContain(MARK);
    }
  });
});

describe("another account group", () => {
  test("what is in it is there to be found", async () => {
    const text = JSON.stringify(await snapshot());
    for (const what of [`${MARK} group`, `${MARK}agent`, `${MARK} town`, `${MARK} /v7/tests/agent-to-server`, `${MARK} user`, `${MARK}key`, `${MARK} credential`, "10.77.0.1"])
      expect(text, what).toContain(what);
    for (const route of reads.filter((each) => !needs(each).some((name) => BEYOND.has(name)))) {
      const answer = await ask(route, owner.bearer);
      expect([200, 404], `${nameOf(route)}: ${answer.text}`).toContain(answer.status);
    }
  });
  test("naming it is 403 on every route", async () => {
    const before = await newest();
    for (const route of people.filter((each) => !each.flags.has("no-aid"))) {
      const answer = await ask(route, alien.bearer, `?aid=${other}`);
      expect(answer.status, `${nameOf(route)}: ${answer.text}`).toBe(403);
      expect(answer.text, nameOf(route)).not.toContain(MARK);
    }
    expect(await newest()).toBe(before);
  });
  test("its ids find nothing, tell nothing and change nothing, on every route", async () => {
    await server.put(`/v7/roles/${weakRole}`, { name: "Less", permissions: [] });
    const before = await snapshot();
    for (const route of people.filter((each) => !["DELETE /oculi/v1/session", "POST /v7/api-tokens"].includes(nameOf(each)))) {
      if (isStream(route)) continue;
      const answer = await ask(route, alien.bearer);
      const echoed = JSON.stringify(bodyOf(route) ?? "");
      const isOwn = !route.pattern.includes("{"); /* lists and makes what is his own */
      const allowed = isOwn ? [200, 201, 207, 204, 400, 403, 404, 409] : [403, 404];
      expect(allowed, `${nameOf(route)}: ${answer.status} ${answer.text}`).toContain(answer.status);
      if (!echoed.includes(MARK)) expect(answer.text, nameOf(route)).not.toContain(MARK);
      else for (const leak of [`${MARK}agent`, `${MARK} town`, `${MARK} group`]) expect(answer.text, nameOf(route)).not.toContain(leak);
    }
    expect(await snapshot()).toEqual(before);
  });
  test("neither do they in questions and expansions", async () => {
    const id = made.get("/v7/tests/agent-to-server");
    for (const route of reads.filter((each) => !each.pattern.includes("{"))) {
      for (const query of [`agentId=${agent.id}&testId=${id}`, "expand=agent,test,user,assignments,shared-with-account,label,tag,change", "useAllPermittedAids=true", `topics=test:${id}`]) {
        const answer = await ask(route, alien.bearer, `?${query}`);
        const text = JSON.stringify(answer.json, (key, value) => (key === "_links" ? undefined : value)) ?? "";
        const own = text.replaceAll(`${MARK} credential`, "").replaceAll(`${MARK}key`, "").replaceAll(`${MARK}value`, "")
          .replaceAll(`${MARK}.example.com`, "").replaceAll(`${MARK} /v7`, "").replaceAll(/zqmark@example.com|zqmark user/g, "");
        expect(own, `${nameOf(route)}?${query}`).not.toContain(MARK);
      }
    }
  });
  test("nor through an agent that works for both", async () => {
    const token = (await server.get(`/v7/account-groups/${other}`)).json.accountToken;
    const common = await Agent.register(server, "Common", { token });
    const shared = await server.put(`/v7/account-groups/${mine}`, { accountGroupName: "Alpha", agents: [String(common.id)] });
    expect(shared.status, shared.text).toBe(200);
    const theirs = await server.post(`/v7/tests/agent-to-server?aid=${other}`, { ...testBody("/v7/tests/agent-to-server"), testName: `${MARK} common`, agents: [{ agentId: String(common.id) }] });
    const own = await server.post("/v7/tests/agent-to-server", { testName: "Own", interval: 60, server: "192.0.2.9", protocol: "icmp", agents: [{ agentId: String(common.id) }] }, alien.bearer);
    expect([theirs.status, own.status], own.text).toEqual([201, 201]);
    const read = await server.get(`/v7/agents/${common.id}?expand=test,test-ids,cluster-member,agent,label,tag,notification-rule`, alien.bearer);
    expect(read.status).toBe(200);
    expect(read.json.testIds.map(String)).toEqual([own.json.testId]);
    for (const route of reads.filter((each) => !each.flags.has("no-aid"))) {
      const path = pathOf(route).replace(`/agents/${agent.id}`, `/agents/${common.id}`);
      const answer = await server.get(`${path}?expand=test,test-ids,agent`, alien.bearer);
      expect(answer.text, nameOf(route)).not.toContain(`${MARK} common`);
    }
    expect((await server.delete(`/v7/agents/${common.id}`, alien.bearer)).status).not.toBe(204); /* shared, not given away */
    expect((await server.get(`/v7/agents/${common.id}?aid=${other}`)).status).toBe(200);
    await server.delete(`/v7/tests/agent-to-server/${theirs.json.testId}?aid=${other}`);
    await server.delete(`/v7/agents/${common.id}?aid=${other}`);
  });
  test("nor in the hands of an agent: another's tests are not its to report", async () => {
    const token = (await server.get(`/v7/account-groups/${mine}`)).json.accountToken;
    const spy = await Agent.register(server, "Spy", { token });
    const before = await snapshot();
    const plan = await spy.plan();
    expect(plan.plan!.tests).toEqual([]);
    const receipt = await spy.upload([{ testId: Number(made.get("/v7/tests/agent-to-server")), roundId: SLOT + 60 }]);
    expect(receipt.accepted).toBe(0);
    expect(await snapshot()).toEqual(before);
  });
});
