// Signing in: passwords that will not do, the second factor, recovery, and what ends sessions.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem } from "./support/expect.ts";
import { makePerson, makeRole, PASSWORD, Person, permissions } from "./support/people.ts";
import { Server } from "./support/server.ts";

let server: Server;
let group: string;
beforeAll(async () => {
  server = await new Server().start();
  group = (await server.get("/v7/account-groups")).json.accountGroups[0].aid;
});
afterAll(() => server.close());

/** RFC 6238 with what every authenticator takes: SHA-1, six digits, thirty seconds. */
function codeOf(key: string, steps = 0): string {
  const bits = [...key].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const bytes = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac("sha1", bytes).update(counter).digest();
  return String((mac.readUInt32BE(mac[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const signIn = (email: string, password: string, code?: string) =>
  server.post("/oculi/v1/session", { email, password, ...(code === undefined ? {} : { code }) }, { token: null });
const regular = (email: string) => makePerson(server, email, { login: group, groups: { [group]: ["3"] } });

describe("passwords", () => {
  test("too short, too plain, or with one's name in it", async () => {
    const person = await regular("marianne@example.com");
    const choose = (next: string) => server.put("/oculi/v1/session/password", { current: PASSWORD, new: next }, person.session);
    for (const bad of ["short-1A", "aaaaaaaaaaaaaaaa", "abababababababab", "my name is Marianne", "x".repeat(1025)])
      expectProblem(await choose(bad), 400, "new");
    expect((await choose("eine ganz andere Parole")).status).toBe(204);
    expect((await signIn("MARIANNE@Example.com", "eine ganz andere Parole")).status).toBe(200);
    expectProblem(await signIn("marianne@example.com", PASSWORD), 401);
  });
  test("a reset ends every session, lets in once, and asks for a new one", async () => {
    const person = await regular("reset@example.com");
    await person.signIn();
    const made = await server.post(`/oculi/v1/users/${person.uid}/one-time-password`);
    expect(made.headers.get("cache-control")).toBe("no-store");
    expect((await server.get("/oculi/v1/session", person.session)).status).toBe(401);
    expectProblem(await signIn(person.email, PASSWORD), 401);
    await person.signIn(made.json.password);
    expect((await server.get("/oculi/v1/session", person.session)).json.mustChangePassword).toBe(true);
    expectProblem(await server.get("/v7/tests", person.session), 403);
    const me = (await server.get("/v7/users/current")).json.uid;
    expectProblem(await server.post(`/oculi/v1/users/${me}/one-time-password`), 400);
  });
  test("choosing another ends the other sessions only", async () => {
    const person = await regular("two@example.com");
    const there = new Person(server, person.uid, person.email);
    await there.signIn();
    expect((await server.put("/oculi/v1/session/password", { current: PASSWORD, new: "another Password 9" }, person.session)).status).toBe(204);
    expect((await server.get("/v7/tests", person.session)).status).toBe(200);
    expect((await server.get("/v7/tests", there.session)).status).toBe(401);
  });
  test("a role without leave to sign in so", async () => {
    const person = await regular("sso-only@example.com");
    const all = await permissions(server);
    const role = await makeRole(server, "No password", []);
    await server.put(`/v7/roles/${role}`, { name: "No password", permissions: all.filter((each) => each.name === "VIEW_TESTS").map((each) => each.id) });
    await server.put(`/v7/users/${person.uid}`, { accountGroupRoles: [{ accountGroupId: group, roleIds: [role] }] });
    expectProblem(await signIn(person.email, PASSWORD), 403);
  });
});

describe("a second factor", () => {
  let person: Person;
  let key = "";
  let recovery: string[] = [];
  const path = "/oculi/v1/session/second-factor";
  beforeAll(async () => {
    person = await regular("second@example.com");
  });
  test("is begun with the password and counts after a first code", async () => {
    expect((await server.get(path, person.session)).json).toMatchObject({ enabled: false, recoveryCodesLeft: 0 });
    expectProblem(await server.put(path, { code: "123456" }, person.session), 409);
    expectProblem(await server.post(path, { password: "wrong" }, person.session), 400, "password");
    const begun = await server.post(path, { password: PASSWORD }, person.session);
    expect(begun.status, begun.text).toBe(201);
    key = begun.json.key;
    expect(key).toMatch(/^[A-Z2-7]{32}$/);
    expect(begun.json.uri).toBe(`otpauth://totp/Oculi:second@example.com?secret=${key}&issuer=Oculi&algorithm=SHA1&digits=6&period=30`);
    expect((await signIn(person.email, PASSWORD)).status).toBe(200); /* not yet */
    expectProblem(await server.put(path, { code: "000000" === codeOf(key) ? "000001" : "000000" }, person.session), 400, "code");
    const done = await server.put(path, { code: codeOf(key, -1) }, person.session);
    expect(done.status, done.text).toBe(200);
    recovery = done.json.recoveryCodes;
    expect(new Set(recovery).size).toBe(10);
    expect((await server.get(path, person.session)).json).toMatchObject({ enabled: true, recoveryCodesLeft: 10 });
  });
  test("is asked for, and a code works once", async () => {
    const asked = expectProblem(await signIn(person.email, PASSWORD), 401, "code");
    expect(asked.detail).toContain("second factor");
    expectProblem(await signIn(person.email, "wrong password", codeOf(key)), 401);
    expectProblem(await signIn(person.email, PASSWORD, codeOf(key, -1)), 401); /* it was used to finish */
    const code = codeOf(key);
    expect((await signIn(person.email, PASSWORD, code)).status).toBe(200);
    expectProblem(await signIn(person.email, PASSWORD, code), 401);
  });
  test("recovery codes let in once each", async () => {
    expect((await signIn(person.email, PASSWORD, recovery[3])).status).toBe(200);
    expectProblem(await signIn(person.email, PASSWORD, recovery[3]), 401);
    expect((await server.get(path, person.session)).json.recoveryCodesLeft).toBe(9);
  });
  test("wrong codes in a row make the next wait", async () => {
    const seen = new Set<number>();
    for (let i = 0; i < 9; i++) seen.add((await signIn(person.email, PASSWORD, "0000000")).status);
    expect([...seen]).toEqual([401, 429]);
    expectProblem(await signIn(person.email, PASSWORD, recovery[4]), 429);
  });
  test("its key and codes are in no file and no log in clear", () => {
    const files = ["oculi.db", "oculi.db-wal"].map((name) => readFileSync(join(server.data, name), "latin1")).join("");
    for (const secret of [key, ...recovery, PASSWORD]) {
      expect(files).not.toContain(secret);
      expect(server.stdout + server.stderr).not.toContain(secret);
    }
    expect(files).toContain("sealed:");
  });
  test("an administrator's reset takes it away, so does its owner with password and code", async () => {
    const made = await server.post(`/oculi/v1/users/${person.uid}/one-time-password`);
    await person.signIn(made.json.password);
    expect((await server.put("/oculi/v1/session/password", { current: made.json.password, new: PASSWORD }, person.session)).status).toBe(204);
    key = (await server.post(path, { password: PASSWORD }, person.session)).json.key;
    expect((await server.put(path, { code: codeOf(key, -1) }, person.session)).status).toBe(200);
    const remove = (body: object) => server.call("DELETE", path, { ...person.session, body });
    expectProblem(await remove({ password: PASSWORD }), 400, "code");
    expectProblem(await remove({ password: "wrong", code: codeOf(key) }), 400, "password");
    expect((await remove({ password: PASSWORD, code: codeOf(key) })).status).toBe(204);
    expect((await signIn(person.email, PASSWORD)).status).toBe(200);
  });
});

describe("sessions", () => {
  test("an event stream ends with the session", async () => {
    const person = await regular("stream@example.com");
    const answer = await fetch(`${server.url}/oculi/v1/stream?topics=tests`, { headers: { Cookie: person.cookie } });
    expect(answer.status).toBe(200);
    const reader = answer.body!.getReader();
    await reader.read();
    await server.put(`/v7/users/${person.uid}`, { accountGroupRoles: [{ accountGroupId: group, roleIds: ["2"] }] });
    const end = Date.now() + 40_000;
    for (let done = false; !done; ) {
      expect(Date.now()).toBeLessThan(end);
      done = (await reader.read()).done;
    }
  }, 45_000);
  test("many users at once, each with an account of tries of his own", async () => {
    const limited = await new Server(["--login-rate-limit", "4"]).start();
    const tries = async (email: string) => (await limited.post("/oculi/v1/session", { email, password: "no" }, { token: null })).status;
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push(await tries("Admin@oculi.local"));
    for (let i = 0; i < 3; i++) statuses.push(await tries("admin@OCULI.local"));
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(2);
    await limited.close();
  });
});

describe("a lost password of the last administrator", () => {
  test("is made anew on the server's machine while it stands still", async () => {
    const own = await new Server().start();
    const { spawnSync } = await import("node:child_process");
    const { OCULID } = await import("./support/server.ts");
    const reset = (email: string) => spawnSync(OCULID, ["reset-password", email, "--data", own.data], { encoding: "utf8" });
    const busy = reset("admin@oculi.local");
    expect(busy.status).toBe(1);
    expect(busy.stderr).toContain("stop");
    const cookie = await own.signIn("admin@oculi.local", own.firstPassword());
    await own.stop();
    expect(reset("nobody@example.com").status).toBe(1);
    const done = reset("Admin@oculi.local");
    expect(done.status, done.stderr).toBe(0);
    const password = /^password: (.*)$/m.exec(done.stdout)![1]!;
    await own.start();
    expect((await own.get("/oculi/v1/session", { token: null, headers: { Cookie: cookie } })).status).toBe(401);
    await own.signIn("admin@oculi.local", password);
    const log = JSON.stringify((await own.get("/v7/audit-user-events?useAllPermittedAids=true")).json);
    expect(log).toContain("Password reset");
    expect(log).not.toContain(password);
    await own.close();
  });
  test("keys are rotated in the same way, and what is sealed stays readable", async () => {
    const own = await new Server().start();
    const { spawnSync } = await import("node:child_process");
    const { OCULID } = await import("./support/server.ts");
    const aid = (await own.get("/v7/account-groups")).json.accountGroups[0].aid;
    const person = await makePerson(own, "keys@example.com", { login: aid, groups: { [aid]: ["3"] } });
    const path = "/oculi/v1/session/second-factor";
    const key = (await own.post(path, { password: PASSWORD }, person.session)).json.key;
    expect((await own.put(path, { code: codeOf(key, -1) }, person.session)).status).toBe(200);
    const made = await own.post("/v7/credentials", { name: "c", value: "a value to be sealed" });
    expect(made.status).toBe(201);
    await own.stop();
    const before = readFileSync(join(own.data, "seal-keys"), "utf8");
    const rotated = spawnSync(OCULID, ["rotate-keys", "--data", own.data], { encoding: "utf8" });
    expect(rotated.status, rotated.stderr).toBe(0);
    expect(rotated.stdout).toContain("2 secrets");
    const after = readFileSync(join(own.data, "seal-keys"), "utf8");
    expect(after.endsWith(before)).toBe(true);
    const { writeFileSync } = await import("node:fs");
    writeFileSync(join(own.data, "seal-keys"), after.split("\n")[0] + "\n"); /* the old keys may go now */
    await own.start();
    const answer = await own.post("/oculi/v1/session", { email: person.email, password: PASSWORD, code: codeOf(key) }, { token: null });
    expect(answer.status, answer.text).toBe(200);
    await own.stop();
    writeFileSync(join(own.data, "seal-keys"), "gone\n");
    await expect(own.start()).rejects.toThrow(/no file of keys/);
    await own.close();
  });
});

describe("headers and secrets", () => {
  test("answers are nothing to run, frame or sniff", async () => {
    for (const answer of [await server.get("/v7/tests"), await server.get("/v7/tests", { token: null }), await server.get("/v7/none"),
      await server.get("/oculi/v1/session", { token: null }), await server.get("/healthz", { token: null })]) {
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(answer.headers.get("cross-origin-resource-policy")).toBe("same-origin");
      expect(answer.headers.get("strict-transport-security")).toBeNull(); /* without TLS */
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    }
  });
  test("pages run our own scripts only, through trusted types", async () => {
    const { mkdtempSync, writeFileSync } = await import("node:fs");
    const { tmpdir } = await import("node:os");
    const web = mkdtempSync(join(tmpdir(), "oculi-web-"));
    writeFileSync(join(web, "index.html"), "<!doctype html>");
    const own = await new Server(["--web", web]).start();
    const policy = (await own.get("/", { token: null })).headers.get("content-security-policy")!;
    const rules = new Map(policy.split("; ").map((rule) => [rule.split(" ")[0]!, rule.split(" ").slice(1).join(" ")]));
    expect(rules.get("script-src")).toBe("'self'");
    expect(rules.get("default-src")).toBe("'self'");
    expect(rules.get("object-src")).toBe("'none'");
    expect(rules.get("base-uri")).toBe("'none'");
    expect(rules.get("frame-ancestors")).toBe("'none'");
    expect(rules.get("require-trusted-types-for")).toBe("'script'");
    expect(policy).not.toMatch(/unsafe|\*/);
    await own.close();
  });
  test("the checks themselves would see a secret that is told", () => {
    expect(server.secrets.size).toBeGreaterThan(20);
    expect(() => server.secrets.check("a log", `the password is ${PASSWORD}`)).toThrow(/tells the secret/);
  });
});

test("many passwords at once hold up nobody, and who leaves is not waited for", async () => {
  const own = await new Server().start();
  const tries = Array.from({ length: 12 }, (_, i) => own.post("/oculi/v1/session", { email: `nobody${i}@example.com`, password: "wrong, all of them" }, { token: null }));
  const began = performance.now();
  const left = new AbortController();
  const gone = own.post("/oculi/v1/session", { email: "admin@oculi.local", password: own.firstPassword() }, { token: null, signal: left.signal }).catch(() => undefined);
  let slowest = 0;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    expect((await own.get("/v7/tests")).status).toBe(200);
    slowest = Math.max(slowest, performance.now() - start);
  }
  left.abort();
  await gone;
  expect((await Promise.all(tries)).map((answer) => answer.status)).toEqual(Array(12).fill(401));
  expect(slowest).toBeLessThan((performance.now() - began) / 2);
  const many = await Promise.all(Array.from({ length: 80 }, () => own.post("/oculi/v1/session", { email: "x@example.com", password: "wrong, all of them" }, { token: null })));
  const statuses = new Set(many.map((answer) => answer.status));
  expect([...statuses].sort()).toEqual([401, 503]);
  expect(await own.stop()).toBe(0);
  await own.close();
}, 60_000);
