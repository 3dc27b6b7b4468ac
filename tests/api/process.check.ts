// The program itself: first start, options, second instances, signals, crashes, full disks, TLS, the web UI's files.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { expectProblem } from "./support/expect.ts";
import { OCULID, ROOT, Server, until } from "./support/server.ts";

const run = (...options: string[]) => spawnSync(OCULID, options, { encoding: "utf8", timeout: 20_000 });

describe("the first start", () => {
  let server: Server;
  beforeAll(async () => {
    server = await new Server().start();
  });
  afterAll(() => server.close());
  test("says the one-time password once and keeps secrets to their owner", async () => {
    const password = server.firstPassword();
    expect(password).toMatch(/^[a-z2-9]{5}(-[a-z2-9]{5}){3}$/);
    expect(server.stdout).toContain(password);
    for (const name of ["first-login", "agent-token", "api-token", "key", "run.json", "oculi.db"])
      expect((statSync(join(server.data, name)).mode & 0o777).toString(8), name).toBe("600");
    expect(server.stderr).not.toContain(password);
    expect(server.stderr).not.toContain(server.token);
  });
  test("oculid token prints a token that works", async () => {
    const token = run("token", "--data", server.data).stdout.trim();
    expect((await server.get("/v7/tests", { token })).status).toBe(200);
  });
  test("a second server on the same data is refused, and the first goes on", async () => {
    const second = run("--data", server.data, "--listen", "127.0.0.1:0");
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/oculi\.db/);
    expect((await server.get("/v7/tests")).status).toBe(200);
    const listening = server.url.slice("http://".length);
    const data = mkdtempSync(join(tmpdir(), "oculi-api-"));
    const port = run("--data", data, "--listen", listening);
    expect(port.status).toBe(1);
    expect(port.stderr).toContain(listening);
    rmSync(data, { recursive: true });
  });
  test("starts again on the same data, with another local token and the same agent token", async () => {
    const before = [server.token, server.agentToken];
    expect(await server.stop("SIGINT")).toBe(0);
    await server.start();
    expect(server.agentToken).toBe(before[1]);
    expect(server.token).not.toBe(before[0]);
    expect((await server.get("/v7/tests", { token: before[0]! })).status).toBe(401);
    expect(server.stdout.match(/one-time password/g)).toHaveLength(1);
  });
});

describe("options", () => {
  const cases: [string, string[], RegExp][] = [
    ["an unknown option", ["--colour", "red"], /--colour/],
    ["a missing value", ["--listen"], /--listen.*value/],
    ["a word that is none", ["--log-level", "loud"], /--log-level.*loud/],
    ["a number out of range", ["--retention-days", "-1"], /--retention-days/],
    ["half of TLS", ["--tls-cert", "/dev/null"], /tlsKey|tls-key/],
    ["an address that is none", ["--listen", "127.0.0.1:99999", "--data", "/tmp/oculi-none"], /99999/],
    ["an unknown command", ["dance"], /dance/],
  ];
  test.each(cases)("%s is named, with exit status 1 or 2", (_name, options, text) => {
    const result = run(...options);
    expect([1, 2]).toContain(result.status);
    expect(result.stderr).toMatch(text);
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
  });
  test("a configuration file; errors name its line", () => {
    const file = join(mkdtempSync(join(tmpdir(), "oculi-api-")), "oculid.conf");
    writeFileSync(file, "# comment\n\nlisten = 127.0.0.1:0\ncolour = red\n");
    expect(run("--config", file).stderr).toContain(`${file}:4`);
    writeFileSync(file, "api-rate-limit = many\n");
    expect(run("--config", file).stderr).toContain(`${file}:1`);
    expect(run("--config", "/nowhere/x.conf").stderr).toContain("/nowhere/x.conf");
  });
  test("help lists every option, version is one line", () => {
    const help = run("--help").stdout;
    for (const option of ["listen", "data", "public-url", "web", "tls-cert", "tls-key", "log-level", "config", "retention-days"]) expect(help).toContain(`--${option}`);
    expect(run("--version").stdout).toMatch(/^oculid \d+\.\d+\.\d+\n$/);
  });
  test("a data directory that cannot be made", () => {
    const result = run("--data", "/proc/oculi", "--listen", "127.0.0.1:0");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("/proc/oculi");
  });
  test("--public-url is what links begin with", async () => {
    const server = await new Server(["--public-url", "https://oculi.example.net"]).start();
    expect((await server.get("/v7/tests")).json._links.self.href).toBe("https://oculi.example.net/v7/tests");
    await server.close();
  });
  test("a Host header cannot put anything else into links", async () => {
    const server = await new Server().start();
    const port = Number(new URL(server.url).port);
    const text = await new Promise<string>((done) => {
      httpRequest({ port, host: "127.0.0.1", path: "/v7/tests", headers: { Host: 'evil"/<x>', Authorization: `Bearer ${server.token}` } },
        (answer) => answer.on("data", (bytes: Buffer) => done(bytes.toString()))).end();
    });
    expect(text).not.toContain("evil");
    await server.close();
  });
});

describe("the worst", () => {
  test("kill -9 loses nothing that was acknowledged", async () => {
    const server = await new Server().start();
    const agent = await Agent.register(server, "A");
    const made = (await server.post("/v7/tests/agent-to-server", { testName: "t", server: "192.0.2.80", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }] })).json;
    const slot = Math.floor(Date.now() / 60_000) * 60;
    for (let i = 0; i < 20; i++) await agent.upload([{ testId: Number(made.testId), roundId: slot - 60 * i }]);
    await server.stop("SIGKILL");
    await server.start();
    expect((await server.get(`/v7/test-results/${made.testId}/network?window=1h`)).json.results).toHaveLength(20);
    expect((await server.get(`/oculi/v1/tests/${made.testId}`)).json.lastRoundId).toBe(slot);
    expect((await agent.plan()).plan!.tests).toHaveLength(1);
    expect(await agent.upload([{ testId: Number(made.testId), roundId: slot }])).toEqual({ accepted: 0, duplicates: 1, refused: 0 });
    await server.close();
  });
  test("SIGTERM ends long polls and streams at once", async () => {
    const server = await new Server().start();
    const agent = await Agent.register(server, "A");
    const { plan } = await agent.plan();
    const waiting = agent.plan(plan!.version, 50).then((answer) => answer.status, () => 0);
    const stream = fetch(`${server.url}/oculi/v1/stream?topics=tests`, { headers: { Authorization: `Bearer ${server.token}` } }).then((answer) => answer.text(), () => "");
    await new Promise((done) => setTimeout(done, 200));
    const start = Date.now();
    expect(await server.stop()).toBe(0);
    expect(Date.now() - start).toBeLessThan(3000);
    expect([0, 503]).toContain(await waiting);
    await stream;
    await server.close();
  });
  const canMount = process.getuid?.() === 0 && spawnSync("unshare", ["-m", "true"]).status === 0;
  test.skipIf(!canMount)("a full disk: 507, nothing half done, reading goes on, and writing again once there is room", async () => {
    const mount = mkdtempSync(join(tmpdir(), "oculi-api-full-"));
    const server = await new Server(["--store", `sqlite:${mount}/oculi.db`], {
      wrapper: ["unshare", "-m", "sh", "-c", `mount -t tmpfs -o size=1600k none ${mount} && exec "$@"`, "sh"],
    }).start();
    const agent = await Agent.register(server, "A");
    const made = (await server.post("/v7/tests/agent-to-server", { testName: "t", server: "192.0.2.80", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }] })).json;
    const slot = Math.floor(Date.now() / 60_000) * 60;
    let acknowledged = 0;
    let full: number | undefined;
    for (let i = 0; i < 4000 && full === undefined; i++) {
      const answer = await agent.uploadRaw((await import("./support/cbor.ts")).encode(agent.batch([{ testId: Number(made.testId), roundId: slot - 60 * i, flows: 10 }])));
      if (answer.status === 200) acknowledged++;
      else full = answer.status;
    }
    expect(full).toBe(507);
    expect(acknowledged).toBeGreaterThan(10);
    const seen = new Set<number>();
    let path: string | undefined = `/v7/test-results/${made.testId}/network?window=30d`;
    while (path) {
      const answer = await server.get(path);
      expect(answer.status).toBe(200);
      for (const item of answer.json.results) seen.add(item.roundId as number);
      path = (answer.json._links.next?.href as string | undefined)?.slice(server.url.length);
    }
    expect(seen.size).toBe(acknowledged);
    const create = await server.post("/v7/tests/agent-to-server", { testName: "big", description: "x".repeat(9000), server: "192.0.2.80", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }] });
    if (create.status !== 201) {
      expectProblem(create, 507);
      expect((await server.get("/v7/tests")).json.tests).toHaveLength(1);
    }
    expect((await server.get("/healthz")).status).toBe(200);
    await server.close();
    rmSync(mount, { recursive: true, force: true });
  });
});

describe("TLS", () => {
  test("HTTPS with a certificate; the cookie is Secure", async () => {
    const dir = mkdtempSync(join(tmpdir(), "oculi-api-tls-"));
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "2",
      "-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")], { stdio: "ignore" });
    const server = await new Server(["--tls-cert", join(dir, "cert.pem"), "--tls-key", join(dir, "key.pem")]).start();
    expect(server.url).toMatch(/^https:/);
    const answer = await new Promise<{ status: number; headers: IncomingHttpHeaders }>((done, fail) => {
      const body = JSON.stringify({ email: "admin@oculi.local", password: server.firstPassword() });
      const call = httpsRequest(server.url + "/oculi/v1/session", {
        method: "POST", ca: readFileSync(join(dir, "cert.pem")), checkServerIdentity: () => undefined,
        headers: { "Content-Type": "application/json", "Content-Length": String(body.length) },
      }, (message) => {
        message.resume();
        done({ status: message.statusCode!, headers: message.headers });
      });
      call.on("error", fail);
      call.end(body);
    });
    expect(answer.status).toBe(200);
    expect(answer.headers["set-cookie"]![0]).toMatch(/; Secure$/);
    await server.close();
    const broken = run("--tls-cert", "/dev/null", "--tls-key", "/dev/null", "--data", dir, "--listen", "127.0.0.1:0");
    expect(broken.status).toBe(1);
    expect(broken.stderr).toMatch(/certificate/);
    rmSync(dir, { recursive: true });
  });
});

// A key and a certificate of its own for each name.
function certify(dir: string, name: string): { key: string; cert: string } {
  const key = join(dir, `${name}-key.pem`), cert = join(dir, `${name}-cert.pem`);
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`, "-days", "2",
    "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key, cert };
}

// The name in the certificate that a new connection is shown.
function shown(server: Server, options: Record<string, unknown> = {}): Promise<string> {
  return new Promise((done, fail) => {
    const url = new URL(server.url);
    const socket = tlsConnect({ host: url.hostname, port: Number(url.port), rejectUnauthorized: false, ...options }, () => {
      done(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on("error", fail);
  });
}

describe("a certificate that is renewed", () => {
  let dir: string, server: Server;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "oculi-api-tls-"));
    const { key, cert } = certify(dir, "first");
    copyFileSync(key, join(dir, "key.pem"));
    copyFileSync(cert, join(dir, "cert.pem"));
    server = await new Server(["--tls-cert", join(dir, "cert.pem"), "--tls-key", join(dir, "key.pem")]).start();
  });
  afterAll(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });

  test("TLS 1.2 and 1.3 are spoken, 1.1 is not", async () => {
    expect(await shown(server, { maxVersion: "TLSv1.2" })).toBe("first");
    expect(await shown(server, { minVersion: "TLSv1.3" })).toBe("first");
    await expect(shown(server, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" })).rejects.toThrow();
    await expect(shown(server, { maxVersion: "TLSv1.2", ciphers: "AES128-SHA:AES256-SHA256:ECDHE-ECDSA-AES128-SHA" })).rejects.toThrow();
  });

  test("SIGHUP: new connections are shown the new one, those that are open go on", async () => {
    const url = new URL(server.url);
    const open = tlsConnect({ host: url.hostname, port: Number(url.port), rejectUnauthorized: false });
    await new Promise((done) => open.once("secureConnect", done));
    const { key, cert } = certify(dir, "second");
    copyFileSync(cert, join(dir, "cert.pem")); // half of it is there: the old pair goes on
    server.child!.kill("SIGHUP");
    await until("the refusal", 20, () => /the old certificate goes on serving: .*key\.pem: this is not the private key of the certificate/.test(server.stderr) || undefined);
    expect(await shown(server)).toBe("first");
    copyFileSync(key, join(dir, "key.pem"));
    server.child!.kill("SIGHUP");
    await until("the reading", 20, () => /the certificate was read again/.test(server.stderr) || undefined);
    expect(await shown(server)).toBe("second");
    open.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    const answer = await new Promise((done) => open.once("data", (bytes) => done(String(bytes))));
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
    open.destroy();
  });

  test("it is also seen when the files change", { timeout: 30_000 }, async () => {
    const { key, cert } = certify(dir, "third");
    renameSync(key, join(dir, "key.pem"));
    renameSync(cert, join(dir, "cert.pem"));
    await until("the third certificate", 25, async () => (await shown(server)) === "third" || undefined);
  });

  test("what cannot work is told by its file before anything is opened", () => {
    const one = certify(dir, "one"), two = certify(dir, "two");
    const start = (cert: string, key: string) => run("--tls-cert", cert, "--tls-key", key, "--data", dir, "--listen", "127.0.0.1:0").stderr;
    expect(start(one.cert, two.key)).toMatch(/two-key\.pem: this is not the private key of the certificate .*one-cert\.pem/);
    expect(start(one.key, one.cert)).toMatch(/one-key\.pem: this is a private key: the certificate is the other file/);
    expect(start(one.cert, two.cert)).toMatch(/two-cert\.pem: this is a certificate: the key is the other file/);
    expect(start(join(dir, "none.pem"), one.key)).toMatch(/none\.pem/);
  });
});

describe("the web UI's files", () => {
  let server: Server;
  let web: string;
  beforeAll(async () => {
    web = mkdtempSync(join(tmpdir(), "oculi-api-web-"));
    mkdirSync(join(web, "assets"));
    writeFileSync(join(web, "index.html"), "<!doctype html><title>Oculi</title>");
    writeFileSync(join(web, "assets/app-1a2b3c.js"), "export const x = 1;\n".repeat(100));
    writeFileSync(join(web, "assets/app-1a2b3c.js.gz"), gzipSync("export const x = 1;\n".repeat(100)));
    writeFileSync(join(web, "icon.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>");
    symlinkSync("/etc/hostname", join(web, "outside.txt"));
    chmodSync(web, 0o755);
    server = await new Server(["--web", web]).start();
  });
  afterAll(async () => {
    await server.close();
    rmSync(web, { recursive: true });
  });
  const raw = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }>((done, fail) => {
      const url = new URL(server.url);
      const call = httpRequest({ host: url.hostname, port: url.port, path, headers }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (bytes: Buffer) => parts.push(bytes));
        answer.on("end", () => done({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(parts) }));
      });
      call.on("error", fail);
      call.end();
    });
  test("the page is never kept, and every page of the UI is the page", async () => {
    for (const path of ["/", "/index.html", "/views/12", "/tests?search=a"]) {
      const answer = await raw(path);
      expect(answer.status, path).toBe(200);
      expect(answer.headers["content-type"]).toBe("text/html; charset=utf-8");
      expect(answer.headers["cache-control"]).toBe("no-store");
      expect(answer.body.toString()).toContain("<title>Oculi</title>");
    }
  });
  test("the content security policy lets nothing foreign in", async () => {
    const { headers } = await raw("/");
    const policy = String(headers["content-security-policy"]);
    for (const part of ["default-src 'self'", "script-src 'self'", "style-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"])
      expect(policy).toContain(part);
    expect(policy).not.toContain("unsafe");
    expect(headers["x-content-type-options"]).toBe("nosniff");
  });
  test("files named by their content are kept for ever and sent compressed", async () => {
    const packed = await raw("/assets/app-1a2b3c.js", { "Accept-Encoding": "gzip, br" });
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(packed.headers["content-type"]).toBe("text/javascript; charset=utf-8");
    expect(packed.headers["cache-control"]).toContain("immutable");
    expect(packed.body.length).toBe(statSync(join(web, "assets/app-1a2b3c.js.gz")).size);
    const plain = await raw("/assets/app-1a2b3c.js");
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(plain.body.length).toBe(2000);
  });
  test("others are asked for again, cheaply", async () => {
    const first = await raw("/icon.svg");
    expect(first.headers["content-type"]).toBe("image/svg+xml");
    const again = await raw("/icon.svg", { "If-None-Match": first.headers.etag! });
    expect(again.status).toBe(304);
    expect(again.body.length).toBe(0);
  });
  test("nothing outside the directory", async () => {
    for (const path of ["/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../../../etc/passwd", "//etc/passwd", "/outside.txt", "/assets/none.js", "/assets", "/none.txt"]) {
      const answer = await raw(path);
      expect(answer.body.toString(), path).not.toMatch(/root:|^[a-z0-9-]+\n$/);
      if (answer.status === 200) expect(answer.headers["content-type"]).toBe("text/html; charset=utf-8");
    }
    expect((await raw("/assets/none.js")).status).toBe(404);
    expect((await raw("/outside.txt")).status).toBe(404);
  });
  test("every page that the UI knows is the page, and no other address is", async () => {
    const routes = readFileSync(join(ROOT, "web/src/routes.ts"), "utf8");
    const patterns = [...routes.matchAll(/pattern: '([^']+)'/g)].map((found) => found[1]!.replaceAll(/:[a-z]+/gi, "12"));
    expect(patterns.length).toBeGreaterThan(5);
    for (const path of ["/", "/settings", ...patterns]) {
      const answer = await raw(path);
      expect([path, answer.status, answer.headers["content-type"]]).toEqual([path, 200, "text/html; charset=utf-8"]);
    }
    for (const path of ["/v7", "/v7/", "/oculi", "/none", "/viewsx", "/views/a.js", "/wp-login.php", "/tests//1", "/.git/config"]) {
      const answer = await raw(path);
      expect([path, answer.status, answer.headers["content-type"]]).toEqual([path, 404, "application/problem+json"]);
    }
  });
  test("the API's paths are never the page", async () => {
    for (const path of ["/v7/none", "/oculi/v1/none"]) expect((await raw(path)).headers["content-type"]).toBe("application/problem+json");
    expect(existsSync(join(web, "index.html"))).toBe(true);
  });
});
