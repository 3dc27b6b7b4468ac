// Single sign-on against an identity provider of our own: the way there and back, who is let in, and every way a token
// can be wrong.
import { createHash, createHmac, generateKeyPairSync, createSign, type KeyObject } from "node:crypto";
import { createServer, type Server as HttpServer } from "node:http";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem } from "./support/expect.ts";
import { makePerson, makeRole, PASSWORD, Person, permissions } from "./support/people.ts";
import { Server } from "./support/server.ts";

/* eslint-disable @typescript-eslint/no-explicit-any */
const b64 = (value: string | Buffer) => Buffer.from(value).toString("base64url");
const CLIENT = "oculi client";
const SECRET = "a client secret: with/odd+signs";

class Provider {
  url = "";
  keys = new Map<string, { private: KeyObject; jwk: any }>();
  jwks: any[] = [];
  code = "";
  seen: { verifier?: string; authorization?: string; redirect?: string } = {};
  challenge = "";
  token: (claims: any) => string = (claims) => this.sign(claims);
  claims: any = {};
  isDown = false;
  private server: HttpServer | undefined;

  addKey(id: string, type: "rsa" | "ec"): void {
    const pair = type === "rsa" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const jwk = { ...(pair.publicKey.export({ format: "jwk" }) as object), kid: id, use: "sig" };
    this.keys.set(id, { private: pair.privateKey, jwk });
    this.jwks.push(jwk);
  }
  sign(claims: any, id = "one", header: object = {}): string {
    const key = this.keys.get(id)!;
    const alg = key.jwk.kty === "RSA" ? "RS256" : "ES256";
    const data = `${b64(JSON.stringify({ alg, kid: id, typ: "JWT", ...header }))}.${b64(JSON.stringify(claims))}`;
    return `${data}.${b64(createSign("sha256").update(data).sign({ key: key.private, dsaEncoding: "ieee-p1363" }))}`;
  }
  async start(): Promise<void> {
    this.addKey("one", "rsa");
    this.addKey("two", "ec");
    this.server = createServer((request, response) => {
      const path = request.url!;
      const json = (status: number, body: unknown) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
      if (this.isDown) return void request.socket.destroy();
      if (path === "/.well-known/openid-configuration")
        return void json(200, { issuer: this.url, authorization_endpoint: `${this.url}/authorize?tenant=1`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/keys` });
      if (path === "/keys") return void json(200, { keys: this.jwks });
      let body = "";
      request.on("data", (piece) => (body += piece));
      request.on("end", () => {
        const form = new URLSearchParams(body);
        this.seen = { verifier: form.get("code_verifier")!, authorization: request.headers.authorization!, redirect: form.get("redirect_uri")! };
        const proves = createHash("sha256").update(this.seen.verifier ?? "").digest("base64url") === this.challenge;
        if (path !== "/token" || form.get("code") !== this.code || !proves) return json(400, { error: "invalid_grant" });
        return json(200, { access_token: "x", token_type: "Bearer", id_token: this.token(this.claims) });
      });
    });
    await new Promise<void>((done) => this.server!.listen(0, "127.0.0.1", done));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
  stop(): void {
    this.server?.close();
  }
}

let provider: Provider;
let server: Server;
let group: string;
let person: Person;

async function freePort(): Promise<number> {
  const socket = createSocket();
  await new Promise<void>((done) => socket.listen(0, "127.0.0.1", done));
  const port = (socket.address() as AddressInfo).port;
  await new Promise((done) => socket.close(done));
  return port;
}

beforeAll(async () => {
  provider = new Provider();
  await provider.start();
  const secret = join(mkdtempSync(join(tmpdir(), "oculi-sso-")), "secret");
  writeFileSync(secret, `${SECRET}\n`);
  const port = await freePort();
  server = await new Server(["--listen", `127.0.0.1:${port}`, "--public-url", `http://127.0.0.1:${port}`, "--oidc-issuer", provider.url,
    "--oidc-client-id", CLIENT, "--oidc-secret-file", secret, "--oidc-label", "Sign in with Example"]).start();
  group = (await server.get("/v7/account-groups")).json.accountGroups[0].aid;
  person = await makePerson(server, "ann@example.com", { login: group, groups: { [group]: ["3"] } });
});
afterAll(async () => {
  provider.stop();
  await server.close();
});

interface Out {
  cookie: string;
  query: URLSearchParams;
}
async function goOut(): Promise<Out> {
  const answer = await server.get("/oculi/v1/sso", { token: null });
  expect(answer.status, answer.text).toBe(302);
  const url = new URL(answer.headers.get("location")!);
  provider.challenge = url.searchParams.get("code_challenge")!;
  return { cookie: answer.headers.get("set-cookie")!.split(";")[0]!, query: url.searchParams };
}
const claimsFor = (out: Out, more: object = {}) => {
  const now = Math.floor(Date.now() / 1000);
  return { iss: provider.url, aud: CLIENT, sub: "subject-1", nonce: out.query.get("nonce"), iat: now, exp: now + 300,
    email: "Ann@example.com", email_verified: true, ...more };
};
async function comeBack(out: Out, claims: object = claimsFor(out), state = out.query.get("state")!): Promise<any> {
  provider.code = "code-" + Math.random();
  provider.claims = claims;
  return server.get(`/oculi/v1/sso/callback?code=${encodeURIComponent(provider.code)}&state=${state}`, { token: null, headers: { Cookie: out.cookie } });
}
const sessionOf = (answer: any) => (answer.headers.getSetCookie() as string[]).find((each) => each.startsWith("oculi_session="))?.split(";")[0];

describe("the way there", () => {
  test("is offered, and only where there is one", async () => {
    expect((await server.get("/oculi/v1/sign-in", { token: null })).json).toEqual({ singleSignOn: "Sign in with Example" });
    const other = await new Server().start();
    expect((await other.get("/oculi/v1/sign-in", { token: null })).json).toEqual({});
    expectProblem(await other.get("/oculi/v1/sso", { token: null }), 501);
    expectProblem(await other.get("/oculi/v1/sso/callback?code=1&state=2", { token: null }), 501);
    await other.close();
  });
  test("has all it needs, and differs each time", async () => {
    const answer = await server.get("/oculi/v1/sso", { token: null });
    const url = new URL(answer.headers.get("location")!);
    expect(url.origin + url.pathname).toBe(`${provider.url}/authorize`);
    expect(Object.fromEntries(url.searchParams)).toMatchObject({ tenant: "1", response_type: "code", client_id: CLIENT,
      redirect_uri: `${server.url}/oculi/v1/sso/callback`, scope: "openid email profile", code_challenge_method: "S256" });
    expect(answer.headers.get("set-cookie")).toMatch(/^oculi_sso=sealed:\S+; Path=\/oculi\/v1\/sso; HttpOnly; SameSite=Lax; Max-Age=600$/);
    const again = await goOut();
    for (const name of ["state", "nonce", "code_challenge"]) expect(again.query.get(name)).not.toBe(url.searchParams.get(name));
    for (const name of ["state", "nonce"]) expect(decodeURIComponent(again.cookie)).not.toContain(again.query.get(name)!);
  });
});

describe("the way back", () => {
  test("signs in who has the verified address, and links him", async () => {
    const out = await goOut();
    const answer = await comeBack(out);
    expect(answer.status, answer.text + server.stderr).toBe(200);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(provider.seen.redirect).toBe(`${server.url}/oculi/v1/sso/callback`);
    const [user, password] = Buffer.from(provider.seen.authorization!.slice(6), "base64").toString().split(":");
    expect([decodeURIComponent(user!), decodeURIComponent(password!)]).toEqual([CLIENT, SECRET]);
    const session = await server.get("/oculi/v1/session", { token: null, headers: { Cookie: sessionOf(answer)! } });
    expect(session.json.user.email).toBe("ann@example.com");
    const later = await goOut();
    const renamed = await comeBack(later, claimsFor(later, { email: "anything@elsewhere.example", email_verified: false }));
    expect(renamed.status).toBe(200); /* by the link */
    const log = JSON.stringify((await server.get("/v7/audit-user-events")).json);
    expect(log).toContain("Login via single sign-on");
  });
  test("with a key of the other kind, and with one that is new", async () => {
    for (const id of ["two"]) {
      provider.token = (claims) => provider.sign(claims, id);
      const out = await goOut();
      expect((await comeBack(out)).status, server.stderr).toBe(200);
    }
    provider.token = (claims) => provider.sign(claims);
  });
  test("every wrong token is refused, without a session", async () => {
    const now = Math.floor(Date.now() / 1000);
    const wrong: Record<string, (out: Out) => object> = {
      "another issuer": (out) => claimsFor(out, { iss: "https://evil.example" }),
      "another audience": (out) => claimsFor(out, { aud: "somebody" }),
      "two audiences without a party": (out) => claimsFor(out, { aud: [CLIENT, "somebody"] }),
      "another party": (out) => claimsFor(out, { azp: "somebody" }),
      "another nonce": (out) => claimsFor(out, { nonce: "old" }),
      "no nonce": (out) => claimsFor(out, { nonce: undefined }),
      "expired": (out) => claimsFor(out, { exp: now - 61 }),
      "no expiry": (out) => claimsFor(out, { exp: undefined }),
      "of the future": (out) => claimsFor(out, { iat: now + 600 }),
      "nobody": (out) => claimsFor(out, { sub: "" }),
      "an address that is not verified": (out) => claimsFor(out, { sub: "s9", email_verified: false }),
      "an address that is verified in words only": (out) => claimsFor(out, { sub: "s9", email_verified: "true" }),
      "no address": (out) => claimsFor(out, { sub: "s9", email: undefined }),
      "an unknown address": (out) => claimsFor(out, { sub: "s9", email: "unknown@example.com" }),
      "a linked user by another subject": (out) => claimsFor(out, { sub: "s9" }),
    };
    for (const [name, make] of Object.entries(wrong)) {
      const out = await goOut();
      const answer = await comeBack(out, make(out));
      expect(answer.status, name).toBe(401);
      expect(sessionOf(answer), name).toBeUndefined();
      expect(answer.text, name).not.toMatch(/example\.com|nonce|issuer/);
    }
  });
  test("every wrong signature is refused", async () => {
    const rsa = provider.keys.get("one")!;
    const unsigned = (claims: any, header: object) => `${b64(JSON.stringify(header))}.${b64(JSON.stringify(claims))}`;
    const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
    provider.jwks.push({ ...(small.publicKey.export({ format: "jwk" }) as object), kid: "small" });
    const forged: Record<string, (claims: any) => string> = {
      none: (claims) => unsigned(claims, { alg: "none" }) + ".",
      "none with a key": (claims) => unsigned(claims, { alg: "none", kid: "one" }) + "." + b64("x"),
      "HMAC with the public key": (claims) => {
        const data = unsigned(claims, { alg: "HS256", kid: "one" });
        return `${data}.${createHmac("sha256", Buffer.from(rsa.jwk.n, "base64url")).update(data).digest("base64url")}`;
      },
      "another's key": (claims) => {
        const data = unsigned(claims, { alg: "RS256", kid: "one" });
        return `${data}.${b64(createSign("sha256").update(data).sign(stranger))}`;
      },
      "a key that brings itself": (claims) => {
        const data = unsigned(claims, { alg: "RS256", jwk: rsa.jwk });
        return `${data}.${b64(createSign("sha256").update(data).sign(stranger))}`;
      },
      "a small key": (claims) => {
        const data = unsigned(claims, { alg: "RS256", kid: "small" });
        return `${data}.${b64(createSign("sha256").update(data).sign(small.privateKey))}`;
      },
      "an unknown key": (claims) => provider.sign(claims, "one", { kid: "nobody" }),
      "critical extensions": (claims) => provider.sign(claims, "one", { crit: ["x"] }),
      "other claims": (claims) => {
        const [header, , signature] = provider.sign(claims).split(".");
        return `${header}.${b64(JSON.stringify({ ...claims, email: "admin@oculi.local", sub: "admin" }))}.${signature}`;
      },
      "cut": (claims) => provider.sign(claims).slice(0, -3),
      "empty": () => "", "two parts": () => "a.b", "four parts": (claims) => provider.sign(claims) + ".x", "noise": () => "a.b.c",
    };
    for (const [name, token] of Object.entries(forged)) {
      provider.token = token;
      const answer = await comeBack(await goOut());
      expect(answer.status, `${name}: ${answer.text}`).toBe(401);
      expect(sessionOf(answer), name).toBeUndefined();
    }
    provider.token = (claims) => provider.sign(claims);
    const out = await goOut();
    expect((await comeBack(out)).status).toBe(200);
  });
  test("of another visit, of no visit, with a forged cookie, or with a refusal", async () => {
    const out = await goOut(), other = await goOut();
    expect((await comeBack(out, claimsFor(out), other.query.get("state")!)).status).toBe(401);
    expect((await comeBack({ ...out, cookie: "oculi_sso=" }, claimsFor(out))).status).toBe(401);
    expect((await comeBack({ ...out, cookie: `${out.cookie}A` }, claimsFor(out))).status).toBe(401);
    const refused = await server.get(`/oculi/v1/sso/callback?error=access_denied&state=${out.query.get("state")}`, { token: null, headers: { Cookie: out.cookie } });
    expect(refused.status).toBe(401);
    provider.code = "right";
    provider.challenge = "not the one"; /* the code was stolen: who has no verifier gets nothing */
    const stolen = await server.get(`/oculi/v1/sso/callback?code=right&state=${out.query.get("state")}`, { token: null, headers: { Cookie: out.cookie } });
    expect(stolen.status).toBe(401);
  });
  test("only with leave to sign in so; a one-time password is void after it", async () => {
    const all = await permissions(server);
    const role = await makeRole(server, "Password only", all.filter((each) => each.name === "VIEW_TESTS").map((each) => each.id));
    await makePerson(server, "bea@example.com", { login: group, groups: { [group]: [role] } });
    const out = await goOut();
    expect((await comeBack(out, claimsFor(out, { sub: "bea", email: "bea@example.com" }))).status).toBe(403);
    const once = (await server.post(`/oculi/v1/users/${person.uid}/one-time-password`)).json.password;
    const again = await goOut();
    const answer = await comeBack(again);
    expect((await server.get("/v7/tests", { token: null, headers: { Cookie: sessionOf(answer)! } })).status).toBe(200);
    for (const password of [once, PASSWORD])
      expect((await server.post("/oculi/v1/session", { email: person.email, password }, { token: null })).status).toBe(401);
  });
  test("a changed address unlinks", async () => {
    await server.put(`/v7/users/${person.uid}`, { email: "ann.new@example.com" });
    const out = await goOut();
    expect((await comeBack(out)).status).toBe(401);
  });
  test("a provider that is away is told, and nothing hangs", async () => {
    const out = await goOut();
    provider.isDown = true;
    const answer = await comeBack(out);
    expect(answer.status).toBe(401 + 101);
    expect(answer.text).toContain("cannot be reached");
    provider.isDown = false;
    expect((await server.get("/healthz", { token: null })).status).toBe(200);
  });
  test("neither secrets nor tokens are in the log", () => {
    const log = server.stdout + server.stderr;
    for (const secret of [SECRET, provider.seen.verifier!, provider.code, "id_token"]) expect(log).not.toContain(secret);
  });
});
