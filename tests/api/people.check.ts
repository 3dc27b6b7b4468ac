// Users, roles, account groups and the audit log: what v7 says, and who may give what to whom.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import { makeGroup, makePerson, makeRole, Person, permissions } from "./support/people.ts";
import { Server } from "./support/server.ts";

const ORGANIZATION_ADMIN = "1", ACCOUNT_ADMIN = "2", REGULAR_USER = "3";
const ERRORS = "There were some errors in your request, please correct them before trying again. ";

let server: Server;
let first: string, second: string;
const number = new Map<string, string>();
beforeAll(async () => {
  server = await new Server().start();
  first = (await server.get("/v7/account-groups")).json.accountGroups[0].aid;
  second = await makeGroup(server, "Second");
  for (const permission of await permissions(server)) number.set(permission.name, permission.id);
});
afterAll(() => server.close());

const ids = (...names: string[]) => names.map((name) => number.get(name) ?? `no such permission: ${name}`);

describe("roles and permissions", () => {
  test("the whole list of permissions", async () => {
    const body = expectV7(await server.get("/v7/permissions"), "GET", "/permissions", 200);
    expect(body.permissions.length).toBe(93);
    expect(body.permissions.find((item: { permission: string }) => item.permission === "EDIT_TESTS")).toEqual({
      label: "Edit tests", permissionId: number.get("EDIT_TESTS"), isManagementPermission: false, permission: "EDIT_TESTS",
    });
  });
  test("create, read, change, delete", async () => {
    const made = await server.post("/v7/roles", { name: "Watcher", permissions: ids("VIEW_TESTS", "API_ACCESS") });
    const role = expectV7(made, "POST", "/roles", 201);
    expect(made.headers.get("location")).toBe(selfLink(role));
    expect(role).toMatchObject({ name: "Watcher", isBuiltin: false });
    expect(role.permissions.map((item: { permission: string }) => item.permission)).toEqual(["API_ACCESS", "VIEW_TESTS"]);
    expect(expectV7(await server.get(`/v7/roles/${role.roleId}`), "GET", "/roles/{id}", 200)).toEqual(role);
    const changed = expectV7(await server.put(`/v7/roles/${role.roleId}`, { name: "Viewer", permissions: ids("VIEW_TESTS") }), "PUT", "/roles/{id}", 200);
    expect(changed.name).toBe("Viewer");
    expect(changed.permissions).toHaveLength(1);
    const list = expectV7(await server.get("/v7/roles?unknown=1"), "GET", "/roles", 200);
    expect(list.roles.map((item: { name: string }) => item.name)).toEqual(["Organization Admin", "Account Admin", "Regular User", "Viewer"]);
    expectProblem(await server.post("/v7/roles", { name: "Viewer", permissions: [] }), 400);
    expectV7(await server.delete(`/v7/roles/${role.roleId}`), "DELETE", "/roles/{id}", 204);
    expectProblem(await server.get(`/v7/roles/${role.roleId}`), 404);
    expectProblem(await server.delete(`/v7/roles/${role.roleId}`), 404);
  });
  test("bad requests name the field", async () => {
    expectProblem(await server.post("/v7/roles", { name: "x" }), 400, "permissions");
    expectProblem(await server.post("/v7/roles", { permissions: [] }), 400, "name");
    expectProblem(await server.post("/v7/roles", { name: "", permissions: [] }), 400, "name");
    expectProblem(await server.post("/v7/roles", { name: "x", permissions: ["94"] }), 400, "permissions");
    expectProblem(await server.post("/v7/roles", { name: "x", permissions: [1.5] }), 400, "permissions[0]");
  });
  test("those that come with the product cannot be changed", async () => {
    for (const id of [ORGANIZATION_ADMIN, ACCOUNT_ADMIN, REGULAR_USER]) {
      const before = (await server.get(`/v7/roles/${id}`)).json;
      expectProblem(await server.put(`/v7/roles/${id}`, { name: "Mine", permissions: [] }), 403);
      expectProblem(await server.delete(`/v7/roles/${id}`), 403);
      expect((await server.get(`/v7/roles/${id}`)).json).toEqual(before);
    }
  });
  test("one that somebody has stays; nobody puts into a role what he may not do, or manage without leave", async () => {
    const editor = await makeRole(server, "Role editor", ids("EDIT_ROLES", "VIEW_ROLES", "VIEW_TESTS", "API_ACCESS", "EDIT_USERS"));
    const person = await (await makePerson(server, "roles@example.com", { login: first, groups: { [first]: [editor] } })).takeToken();
    expectProblem(await server.delete(`/v7/roles/${editor}`), 409);
    const make = (...names: string[]) => server.post("/v7/roles", { name: "New", permissions: ids(...names) }, person.bearer);
    expectProblem(await make("EDIT_TESTS"), 403);
    expectProblem(await make("EDIT_USERS"), 403); /* he may, but needs ASSIGN_MANAGEMENT_PERMISSIONS to pass it on */
    const made = await make("VIEW_TESTS");
    expect(made.status, made.text).toBe(201);
    const admins = await makeRole(server, "Beyond him", ids("EDIT_TESTS"));
    expectProblem(await server.put(`/v7/roles/${admins}`, { name: "Mine", permissions: ids("VIEW_TESTS") }, person.bearer), 403);
    expectProblem(await server.delete(`/v7/roles/${admins}`, person.bearer), 403);
  });
});

describe("users", () => {
  test("create, read, change, delete", async () => {
    const made = await server.post("/v7/users", {
      name: "Ann", email: "Ann@Example.com", loginAccountGroupId: first,
      accountGroupRoles: [{ accountGroupId: first, roleIds: [REGULAR_USER] }, { accountGroupId: second, roleIds: [ACCOUNT_ADMIN, REGULAR_USER] }],
    });
    const user = expectV7(made, "POST", "/users", 201);
    expect(made.headers.get("location")).toBe(selfLink(user));
    expect(user).toMatchObject({ name: "Ann", email: "Ann@Example.com", loginAccountGroup: { aid: first, accountGroupName: "Default" } });
    expect(user.accountGroupRoles.map((item: any) => [item.accountGroup.aid, item.roles.map((role: any) => role.roleId)]))
      .toEqual([[first, [REGULAR_USER]], [second, [ACCOUNT_ADMIN, REGULAR_USER]]]);
    expect(user.allAccountGroupRoles).toEqual([]);
    const got = expectV7(await server.get(`/v7/users/${user.uid}`), "GET", "/users/{id}", 200);
    expect(got).toEqual(user);
    const list = expectV7(await server.get("/v7/users"), "GET", "/users", 200);
    expect(list.users.find((item: any) => item.uid === user.uid).email).toBe("Ann@Example.com");
    const put = expectV7(await server.put(`/v7/users/${user.uid}`, { name: "Anna", email: "anna@example.com" }), "PUT", "/users/{id}", 200);
    expect(put).toMatchObject({ name: "Anna", email: "anna@example.com" });
    expect(put.accountGroupRoles).toHaveLength(2); /* what is not given stays */
    const moved = await server.put(`/v7/users/${user.uid}`, {
      loginAccountGroupId: second, accountGroupRoles: [{ accountGroupId: second, roleIds: [REGULAR_USER] }], allAccountGroupRoleIds: [],
    });
    expect(expectV7(moved, "PUT", "/users/{id}", 200).accountGroupRoles).toHaveLength(1); /* what is given replaces */
    expect(moved.json.loginAccountGroup.aid).toBe(second);
    expectV7(await server.delete(`/v7/users/${user.uid}`), "DELETE", "/users/{id}", 204);
    expectProblem(await server.get(`/v7/users/${user.uid}`), 404);
    expect((await server.post("/v7/users", { email: "anna@example.com", loginAccountGroupId: first, allAccountGroupRoleIds: [REGULAR_USER] })).status).toBe(201);
  });
  test("errors in the product's words", async () => {
    const roles = [{ accountGroupId: first, roleIds: [REGULAR_USER] }];
    const title = async (body: unknown) => (await server.post("/v7/users", body)).json.title;
    expect(await title({ name: "x", loginAccountGroupId: first, accountGroupRoles: roles })).toBe(ERRORS + "Email address is required.");
    expect(await title({ name: "x", email: "probe-email-1", loginAccountGroupId: first, accountGroupRoles: roles })).toBe(ERRORS + "Invalid email address probe-email-1.");
    expect(await title({ email: "ADMIN@oculi.local", loginAccountGroupId: first, name: "x" })).toBe("The user 'ADMIN@oculi.local' already exists!");
    const base = { name: "x", email: "x@example.com" };
    expectProblem(await server.post("/v7/users", { ...base, accountGroupRoles: roles }), 400, "loginAccountGroupId");
    expectProblem(await server.post("/v7/users", { ...base, loginAccountGroupId: first }), 400, "accountGroupRoles");
    expectProblem(await server.post("/v7/users", { ...base, loginAccountGroupId: second, accountGroupRoles: roles }), 400, "loginAccountGroupId");
    expectProblem(await server.post("/v7/users", { ...base, loginAccountGroupId: first, accountGroupRoles: [{ accountGroupId: "99", roleIds: ["3"] }] }), 400, "accountGroupRoles");
    expectProblem(await server.post("/v7/users", { ...base, loginAccountGroupId: first, accountGroupRoles: [{ accountGroupId: first, roleIds: ["99"] }] }), 400, "accountGroupRoles");
    for (const email of ["a@b", "a b@example.com", "@example.com", "a@example..com", "a@-x.com", "a@x.com\r\nBcc: b"])
      expect((await server.post("/v7/users", { email, loginAccountGroupId: first, accountGroupRoles: roles })).status, email).toBe(400);
  });
  test("nobody removes himself or the last organization admin", async () => {
    const me = (await server.get("/v7/users/current")).json.uid;
    expectProblem(await server.delete(`/v7/users/${me}`), 400);
    expectProblem(await server.put(`/v7/users/${me}`, { accountGroupRoles: [{ accountGroupId: first, roleIds: [REGULAR_USER] }], allAccountGroupRoleIds: [] }), 409);
    expect((await server.get("/v7/users/current")).json.accountGroupRoles.length + (await server.get("/v7/users/current")).json.allAccountGroupRoles.length).toBeGreaterThan(0);
  });
});

describe("an account admin of one account group", () => {
  let admin: Person, stranger: Person, boss: Person;
  beforeAll(async () => {
    admin = await (await makePerson(server, "admin1@example.com", { login: first, groups: { [first]: [ACCOUNT_ADMIN] } })).takeToken();
    stranger = await makePerson(server, "stranger@example.com", { login: second, groups: { [second]: [REGULAR_USER] } });
    boss = await makePerson(server, "boss@example.com", { login: first, groups: { [first]: [ORGANIZATION_ADMIN] } });
  });
  test("sees the users of his own and no others", async () => {
    const list = (await server.get("/v7/users", admin.bearer)).json.users.map((user: any) => user.email);
    expect(list).toContain("boss@example.com");
    expect(list).not.toContain("stranger@example.com");
    expectProblem(await server.get(`/v7/users/${stranger.uid}`, admin.bearer), 404);
    expectProblem(await server.put(`/v7/users/${stranger.uid}`, { name: "x" }, admin.bearer), 404);
    expectProblem(await server.delete(`/v7/users/${stranger.uid}`, admin.bearer), 404);
    expectProblem(await server.get(`/v7/users?aid=${second}`, admin.bearer), 403);
  });
  test("does not learn of other account groups through a common user", async () => {
    const both = await server.post("/v7/users", { email: "both@example.com", loginAccountGroupId: second,
      accountGroupRoles: [{ accountGroupId: first, roleIds: [REGULAR_USER] }, { accountGroupId: second, roleIds: [REGULAR_USER] }] });
    const seen = await server.get(`/v7/users/${both.json.uid}`, admin.bearer);
    expect(seen.json.accountGroupRoles.map((item: any) => item.accountGroup.aid)).toEqual([first]);
    expect(seen.text).not.toContain("Second");
    const put = await server.put(`/v7/users/${both.json.uid}`, { accountGroupRoles: [] }, admin.bearer);
    expect(put.status, put.text).toBe(200);
    const after = (await server.get(`/v7/users/${both.json.uid}`)).json;
    expect(after.accountGroupRoles.map((item: any) => item.accountGroup.aid)).toEqual([second]); /* untouched */
  });
  test("makes regular users, and gives nothing that he has not", async () => {
    const make = (email: string, roleIds: string[], aid = first) =>
      server.post("/v7/users", { email, loginAccountGroupId: aid, accountGroupRoles: [{ accountGroupId: aid, roleIds }] }, admin.bearer);
    expect((await make("r@example.com", [REGULAR_USER])).status).toBe(201);
    expectProblem(await make("a@example.com", [ACCOUNT_ADMIN]), 403);
    expectProblem(await make("o@example.com", [ORGANIZATION_ADMIN]), 403);
    expectProblem(await make("s@example.com", [REGULAR_USER], second), 400, "accountGroupRoles");
    expectProblem(await server.post("/v7/users", { email: "w@example.com", loginAccountGroupId: first, allAccountGroupRoleIds: [REGULAR_USER] }, admin.bearer), 403);
    const me = await server.put(`/v7/users/${admin.uid}`, { accountGroupRoles: [{ accountGroupId: first, roleIds: [ORGANIZATION_ADMIN] }] }, admin.bearer);
    expectProblem(me, 403);
    for (const email of ["a", "o", "s", "w"]) expect((await server.get("/v7/users")).text).not.toContain(`"${email}@example.com"`);
  });
  test("takes over nobody who may do more", async () => {
    expectProblem(await server.put(`/v7/users/${boss.uid}`, { email: "mine@example.com" }, admin.bearer), 403);
    expectProblem(await server.post(`/oculi/v1/users/${boss.uid}/one-time-password`, undefined, admin.bearer), 403);
    expectProblem(await server.delete(`/v7/users/${boss.uid}`, admin.bearer), 403);
    expectProblem(await server.put(`/v7/users/${boss.uid}`, { accountGroupRoles: [{ accountGroupId: first, roleIds: [REGULAR_USER] }] }, admin.bearer), 403);
    expect((await server.get(`/v7/users/${boss.uid}`)).json.email).toBe("boss@example.com");
  });
  test("roles, permissions and account groups are not his", async () => {
    for (const path of ["/v7/roles", "/v7/permissions", `/v7/account-groups/${first}`, "/v7/roles/1"]) expectProblem(await server.get(path, admin.bearer), 403);
    expectProblem(await server.post("/v7/account-groups", { accountGroupName: "Mine" }, admin.bearer), 403);
  });
});

describe("account groups", () => {
  test("rename, read with token, delete; the last and the full ones stay", async () => {
    const aid = await makeGroup(server, "Third");
    const put = expectV7(await server.put(`/v7/account-groups/${aid}?expand=user,agent`, { accountGroupName: "3rd" }), "PUT", "/account-groups/{id}", 200);
    expect(put).toMatchObject({ accountGroupName: "3rd", agents: [] });
    expect(put.accountToken).toMatch(/^oculi-agent_/);
    expectProblem(await server.put(`/v7/account-groups/${aid}`, { accountGroupName: "Second" }), 400);
    expectProblem(await server.put(`/v7/account-groups/${aid}`, { accountGroupName: "3rd", agents: ["12345"] }), 400);
    expectProblem(await server.put("/v7/account-groups/999999999", { accountGroupName: "x" }), 404);
    const test = await server.post(`/v7/tests/agent-to-server?aid=${aid}`, { testName: "in it", server: "192.0.2.1", interval: 60, agents: [] });
    if (test.status === 201) {
      expectProblem(await server.delete(`/v7/account-groups/${aid}`), 409);
      await server.delete(`/v7/tests/agent-to-server/${test.json.testId}?aid=${aid}`);
    }
    const user = await server.post("/v7/users", { email: "third@example.com", loginAccountGroupId: aid,
      accountGroupRoles: [{ accountGroupId: aid, roleIds: [REGULAR_USER] }, { accountGroupId: first, roleIds: [REGULAR_USER] }] });
    expectV7(await server.delete(`/v7/account-groups/${aid}`), "DELETE", "/account-groups/{id}", 204);
    const after = (await server.get(`/v7/users/${user.json.uid}`)).json;
    expect(after.loginAccountGroup.aid).toBe(first);
    expect(after.accountGroupRoles).toHaveLength(1);
    const not = expectProblem(await server.get("/v7/account-groups/999999999"), 404);
    expect(not.title).toBe("404 Not Found");
    const alone = await new Server().start();
    const only = (await alone.get("/v7/account-groups")).json.accountGroups[0].aid;
    expectProblem(await alone.delete(`/v7/account-groups/${only}`), 409);
    await alone.close();
  });
});

describe("the audit log", () => {
  test("newest first, page by page, each entry once", async () => {
    for (let i = 0; i < 130; i++) await server.put(`/v7/account-groups/${second}`, { accountGroupName: `Second ${i}` });
    const seen: string[] = [];
    let path: string | undefined = "/v7/audit-user-events?window=1h&expand=change";
    for (let page = 0; path && page < 20; page++) {
      const body: any = expectV7(await server.get(path), "GET", "/audit-user-events", 200);
      expect(body.startDate < body.endDate).toBe(true);
      for (const event of body.auditEvents) seen.push(JSON.stringify(event));
      path = body._links.next?.href.replace(server.url, "");
    }
    expect(path).toBeUndefined();
    const dates = seen.map((text) => JSON.parse(text).date as string);
    expect([...dates].sort().reverse()).toEqual(dates);
    const names = seen.map((text) => JSON.parse(text)).filter((event) => event.oculi?.after?.accountGroupName).map((event) => event.oculi.after.accountGroupName);
    expect(names.slice(0, 3)).toEqual(["Second 129", "Second 128", "Second 127"]);
    expect(names.filter((name: string) => /^Second \d+$/.test(name))).toHaveLength(130);
    const event = JSON.parse(seen[0]!);
    expect(event).toMatchObject({ event: "Account group updated", user: "Administrator (admin@oculi.local)", ipAddress: "127.0.0.1",
      resources: [{ type: "accountGroupName", name: "Second 129" }], oculi: { before: { accountGroupName: "Second 128" } } });
  });
  test("windows, dates and forged cursors", async () => {
    expectProblem(await server.get("/v7/audit-user-events?window=1h&startDate=2022-07-17T22:00:54Z"), 400, "window");
    expectProblem(await server.get("/v7/audit-user-events?window=nine"), 400, "window");
    expectProblem(await server.get("/v7/audit-user-events?cursor=AAAA"), 400, "cursor");
    expectProblem(await server.get("/v7/audit-user-events?useAllPermittedAids=perhaps"), 400, "useAllPermittedAids");
    const past = expectV7(await server.get("/v7/audit-user-events?startDate=2022-07-17T22:00:54Z&endDate=2022-07-18T22:00:54Z"), "GET", "/audit-user-events", 200);
    expect(past).toMatchObject({ auditEvents: [], startDate: "2022-07-17T22:00:54Z", endDate: "2022-07-18T22:00:54Z" });
  });
  test("own or all, one account group or all", async () => {
    const regular = await (await makePerson(server, "regular@example.com", { login: second, groups: { [second]: [REGULAR_USER] } })).takeToken();
    const leader = await (await makePerson(server, "leader@example.com", { login: second, groups: { [second]: [ACCOUNT_ADMIN] } })).takeToken();
    const blind = await (await makePerson(server, "blind@example.com", { login: second, groups: { [second]: [await makeRole(server, "Blind", ids("API_ACCESS"))] } })).takeToken();
    await server.put(`/v7/users/${regular.uid}?aid=${second}`, { name: "Reg" });
    const events = async (query: string, call: object) => (await server.get(`/v7/audit-user-events${query}`, call)).json.auditEvents;
    const own = await events("", regular.bearer);
    expect(own.length).toBeGreaterThan(0);
    for (const event of own) expect(event.uid).toBe(regular.uid);
    const all = await events("", leader.bearer);
    expect(all.some((event: any) => event.uid !== leader.uid)).toBe(true);
    for (const event of [...all, ...(await events("?useAllPermittedAids=true", leader.bearer))]) expect(event.aid).toBe(second);
    const everywhere = new Set((await events("?useAllPermittedAids=true", {})).map((event: any) => event.aid));
    expect([first, second].every((aid) => everywhere.has(aid))).toBe(true);
    expectProblem(await server.get("/v7/audit-user-events", blind.bearer), 403);
    expectProblem(await server.get(`/v7/audit-user-events?aid=${first}`, leader.bearer), 403);
  });
  test("failed and successful sign-ins, and no secrets", async () => {
    await server.post("/oculi/v1/session", { email: "nobody@example.com", password: "a-wrong-password" }, { token: null });
    const text = JSON.stringify((await server.get("/v7/audit-user-events?useAllPermittedAids=true&expand=change")).json);
    for (const event of ["Login failed", "Login successful", "API token created", "Password reset", "Password changed"]) expect(text).toContain(event);
    expect(text).toContain("nobody@example.com");
    for (const secret of ["a-wrong-password", "argon2", "passwordHash", "agentToken", server.agentToken, server.token]) expect(text).not.toContain(secret);
  });
});

describe("who was signed in", () => {
  test("is not any more when his roles change, and works on with the new ones", async () => {
    const person = await (await makePerson(server, "p@example.com", { login: first, groups: { [first]: [REGULAR_USER] } })).takeToken();
    expect((await server.get("/v7/tests", person.session)).status).toBe(200);
    await server.put(`/v7/users/${person.uid}`, { name: "P" });
    expect((await server.get("/v7/tests", person.session)).status).toBe(200);
    await server.put(`/v7/users/${person.uid}`, { accountGroupRoles: [{ accountGroupId: first, roleIds: [ACCOUNT_ADMIN] }] });
    expect((await server.get("/v7/tests", person.session)).status).toBe(401);
    expect((await server.get("/v7/users", person.bearer)).status).toBe(200);
    await person.signIn();
    const role = await makeRole(server, "Changing", ids("VIEW_TESTS", "LOGIN_VIA_PASSWORD"));
    await server.put(`/v7/users/${person.uid}`, { accountGroupRoles: [{ accountGroupId: first, roleIds: [role] }] });
    await person.signIn();
    expect((await server.get("/v7/tests", person.session)).status).toBe(200);
    await server.put(`/v7/roles/${role}`, { name: "Changing", permissions: ids("VIEW_LABELS", "LOGIN_VIA_PASSWORD") });
    expect((await server.get("/v7/tests", person.session)).status).toBe(401);
    await person.signIn();
    expect((await server.get("/v7/tests", person.session)).status).toBe(403);
    await server.delete(`/v7/users/${person.uid}`);
    expect((await server.get("/oculi/v1/session", person.session)).status).toBe(401);
    expect((await server.get("/v7/users/current", person.bearer)).status).toBe(401);
  });
});
