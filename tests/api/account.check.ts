// Users, account groups, tokens, sessions.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import { Server } from "./support/server.ts";

let server: Server;
beforeAll(async () => {
  server = await new Server().start();
});
afterAll(() => server.close());

const PASSWORD = "a password of my own";

describe("v7", () => {
  test("who I am", async () => {
    const body = expectV7(await server.get("/v7/users/current"), "GET", "/users/current", 200);
    expect(body.email).toBe("admin@oculi.local");
    expect(body.allAccountGroupRoles[0].name).toBe("Organization Admin");
    expect(selfLink(body)).toBe(`${server.url}/v7/users/current`);
  });
  test("account groups: list, create, get; names are unique", async () => {
    const list = expectV7(await server.get("/v7/account-groups"), "GET", "/account-groups", 200);
    expect(list.accountGroups).toHaveLength(1);
    expect(list.accountGroups[0].isDefaultAccountGroup).toBe(true);
    const made = await server.post("/v7/account-groups?expand=user", { accountGroupName: "Second" });
    const body = expectV7(made, "POST", "/account-groups", 201);
    expect(made.headers.get("location")).toBe(selfLink(body));
    expect(body.users[0].email).toBe("admin@oculi.local");
    const got = expectV7(await server.get(`/v7/account-groups/${body.aid}?expand=agent`), "GET", "/account-groups/{id}", 200);
    expect(got.agents).toEqual([]);
    expect(got.users).toBeUndefined();
    expectProblem(await server.post("/v7/account-groups", { accountGroupName: "Second" }), 400, "accountGroupName");
    expectProblem(await server.post("/v7/account-groups", {}), 400, "accountGroupName");
    expectProblem(await server.get("/v7/account-groups/77"), 404);
  });
  test("a new token works, the one before too, and a third is refused meanwhile", async () => {
    const first = expectV7(await server.post("/v7/api-tokens"), "POST", "/api-tokens", 201);
    const second = expectV7(await server.post("/v7/api-tokens"), "POST", "/api-tokens", 201);
    expect(second.bearerToken).not.toBe(first.bearerToken);
    expect(Date.parse(second.validUntil) - Date.now()).toBeGreaterThan(729 * 86400_000);
    for (const token of [first.bearerToken, second.bearerToken]) expect((await server.get("/v7/tests", { token })).status).toBe(200);
    expectProblem(await server.post("/v7/api-tokens"), 409);
  });
});

describe("signing in", () => {
  let cookie = "";
  test("a wrong password and an unknown user look the same", async () => {
    const wrong = await server.post("/oculi/v1/session", { email: "admin@oculi.local", password: "no" }, { token: null });
    const unknown = await server.post("/oculi/v1/session", { email: "who@oculi.local", password: "no" }, { token: null });
    expect(wrong.status).toBe(401);
    expect({ ...unknown.json }).toEqual({ ...wrong.json });
    expect(wrong.headers.get("set-cookie")).toBeNull();
  });
  test("the one-time password signs in, with a cookie scripts cannot read", async () => {
    const answer = await server.post("/oculi/v1/session", { email: "admin@oculi.local", password: server.firstPassword() }, { token: null });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.json.mustChangePassword).toBe(true);
    const set = answer.headers.get("set-cookie")!;
    expect(set).toMatch(/^oculi_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    cookie = set.split(";")[0]!;
  });
  test("until another is chosen nothing else is open", async () => {
    const call = { token: null, headers: { Cookie: cookie } };
    expect((await server.get("/oculi/v1/session", call)).status).toBe(200);
    expectProblem(await server.get("/v7/tests", call), 403);
    expectProblem(await server.get("/oculi/v1/start", call), 403);
  });
  test("choosing a password: writes carry X-Oculi-Request, at least 12 characters, the old one must be right", async () => {
    const current = server.firstPassword();
    const plain = { token: null, headers: { Cookie: cookie } };
    const call = { token: null, headers: { Cookie: cookie, "X-Oculi-Request": "1" } };
    expectProblem(await server.put("/oculi/v1/session/password", { current, new: PASSWORD }, plain), 403);
    expectProblem(await server.put("/oculi/v1/session/password", { current, new: "short" }, call), 400, "new");
    expectProblem(await server.put("/oculi/v1/session/password", { current: "x", new: PASSWORD }, call), 400, "current");
    expectProblem(await server.put("/oculi/v1/session/password", { current, new: current }, call), 400, "new");
    expect((await server.put("/oculi/v1/session/password", { current, new: PASSWORD }, call)).status).toBe(204);
    expect(existsSync(join(server.data, "first-login"))).toBe(false);
    expect((await server.get("/v7/tests", plain)).status).toBe(200);
    expectProblem(await server.post("/v7/api-tokens", undefined, plain), 403);
  });
  test("another sign-in, and signing out ends only that one", async () => {
    const other = await server.signIn("admin@oculi.local", PASSWORD);
    expect((await server.get("/oculi/v1/session", { token: null, headers: { Cookie: other } })).json.mustChangePassword).toBe(false);
    const out = await server.delete("/oculi/v1/session", { token: null, headers: { Cookie: other, "X-Oculi-Request": "1" } });
    expect(out.status).toBe(204);
    expect((await server.get("/v7/tests", { token: null, headers: { Cookie: other } })).status).toBe(401);
    expect((await server.get("/v7/tests", { token: null, headers: { Cookie: cookie } })).status).toBe(200);
  });
  test("first-run facts", async () => {
    const start = (await server.get("/oculi/v1/start", { token: null, headers: { Cookie: cookie } })).json;
    expect(start.agentToken).toBe(server.agentToken);
    expect(start.serverUrl).toBe(server.url);
    expect(start.agentCommand).toContain(start.agentToken);
    expect(start).toMatchObject({ agents: 0, tests: 0 });
  });
  test("sessions and passwords outlive a restart", async () => {
    expect(await server.stop()).toBe(0);
    await server.start();
    expect((await server.get("/oculi/v1/session", { token: null, headers: { Cookie: cookie } })).status).toBe(200);
    await server.signIn("admin@oculi.local", PASSWORD);
  });
  test("tries are limited", async () => {
    const limited = await new Server(["--login-rate-limit", "3"]).start();
    const tries: number[] = [];
    for (let i = 0; i < 8; i++)
      tries.push((await limited.post("/oculi/v1/session", { email: "admin@oculi.local", password: "no" }, { token: null })).status);
    expect(tries.filter((status) => status === 401).length).toBeLessThanOrEqual(6);
    expect(tries.at(-1)).toBe(429);
    await limited.close();
  });
});
