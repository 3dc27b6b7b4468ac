// What operators and their tools read: health, readiness, metrics, the log.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readMetrics } from "./support/metrics.ts";
import { OCULID, Server, until } from "./support/server.ts";

const OPEN = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5";
const PROMTOOL = ["/usr/bin/promtool", "/usr/local/bin/promtool"].find((path) => existsSync(path));

describe("metrics", () => {
  let server: Server;
  beforeAll(async () => {
    server = await new Server().start();
    await server.get("/v7/tests");
    await server.get("/v7/tests/999999");
  });
  afterAll(() => server.close());

  test("in the text format", async () => {
    const answer = await server.get("/metrics", { token: null });
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const families = readMetrics(answer.text, false);
    for (const name of ["oculi_build_info", "oculi_http_requests_total", "oculi_rounds_total", "oculi_agents_online", "oculi_store_bytes",
      "oculi_limit_hits_total", "oculi_loop_lag_seconds", "oculi_disk_free_bytes", "process_resident_memory_bytes"])
      expect([...families.keys()]).toContain(name);
    const requests = families.get("oculi_http_requests_total")!.samples;
    expect(requests.find((s) => s.labels["part"] === "v7" && s.labels["code"] === "404")?.value).toBe(1);
    const times = families.get("oculi_http_request_duration_seconds")!.samples;
    expect(times.find((s) => s.name.endsWith("_count") && s.labels["part"] === "v7")?.value).toBe(2);
    expect(times.some((s) => s.labels["part"] === "plans")).toBe(false);
  });
  test("in OpenMetrics for who asks for it", async () => {
    const answer = await server.get("/metrics", { token: null, headers: { Accept: OPEN } });
    expect(answer.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect([...readMetrics(answer.text, true).keys()]).toContain("oculi_rounds");
  });
  test.skipIf(!PROMTOOL)("promtool has nothing to say about them", async () => {
    const answer = await server.get("/metrics", { token: null });
    const result = spawnSync(PROMTOOL!, ["check", "metrics"], { input: answer.text, encoding: "utf8" });
    expect(result.stderr + result.stdout).toBe("");
    expect(result.status).toBe(0);
  });
  test("are for this machine only: not for who comes through a proxy of it, whatever he shows", async () => {
    for (const name of ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"]) {
      const answer = await server.get("/metrics", { headers: { [name]: "198.51.100.7" } });
      expect(answer.status, name).toBe(403);
      expect(answer.text).not.toContain("oculi_rounds");
    }
  });
  test("with a token: for who shows it and nobody else; a new one needs no restart", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "oculi-api-")), "token");
    writeFileSync(file, "first-token\n");
    const other = await new Server(["--metrics-token-file", file]).start();
    const status = async (token: string | null) => (await other.get("/metrics", { token })).status;
    expect([await status(null), await status("first-toke"), await status("first-token2"), await status("first-token")]).toEqual([401, 401, 401, 200]);
    expect((await other.get("/metrics", { token: null })).headers.get("www-authenticate")).toBe("Bearer");
    expect((await other.get("/metrics", { token: "first-token", headers: { "X-Forwarded-For": "198.51.100.7" } })).status).toBe(200);
    expect((await other.get("/readyz", { token: null })).status).toBe(200);
    writeFileSync(file, "second-token");
    expect([await status("first-token"), await status("second-token")]).toEqual([401, 200]);
    rmSync(file);
    expect(await status("second-token")).toBe(401);
    await other.close();
    writeFileSync(file, "\n");
    const refused = spawnSync(OCULID, ["--metrics-token-file", file, "--data", join(file, "..", "data")], { encoding: "utf8", timeout: 20_000 });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(file);
  });
  const address = Object.values(networkInterfaces()).flat().find((one) => one && !one.internal && one.family === "IPv4")?.address;
  test.skipIf(!address)("are not for other machines", async () => {
    const other = await new Server(["--listen", "0.0.0.0:0"]).start();
    const port = new URL(other.url).port;
    expect((await fetch(`http://${address}:${port}/metrics`)).status).toBe(403);
    expect((await fetch(`http://${address}:${port}/healthz`)).status).toBe(200);
    await other.close();
  });
});

describe("readiness", () => {
  test("says line by line what works; why it does not only to operators", async () => {
    const server = await new Server().start();
    const here = await server.get("/readyz", { token: null });
    expect(here.status).toBe(200);
    expect(here.text).toMatch(/^ready\nstore: ok\ndisk: (ok|warning: \d+ MiB are free)\nupkeep: ok\n$/);
    const passedOn = await server.get("/readyz", { token: null, headers: { Via: "1.1 proxy" } });
    expect(passedOn.text).toMatch(/^ready\nstore: ok\ndisk: (ok|warning)\nupkeep: ok\n$/);
    await server.close();
  });
});

describe("the log", () => {
  test("of the journal never has the one-time password", async () => {
    const server = await new Server([], { wrapper: ["/usr/bin/env", "JOURNAL_STREAM=8:1"] }).start();
    expect(server.firstPassword()).toMatch(/-/);
    expect(server.stdout).toContain("first-login");
    expect(server.stdout + server.stderr).not.toContain(server.firstPassword());
    await server.close();
  });
  test("as JSON: one object a line with the same keys, and no secrets", async () => {
    const server = await new Server(["--log-format", "json", "--log-level", "debug"]).start();
    await server.get("/v7/tests?secret=in-the-query");
    await server.post("/oculi/v1/session", { email: "admin@oculi.local", password: "guessed-wrongly" });
    await server.get("/%ff%00");
    await server.stop();
    const lines = server.stderr.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const line of lines) {
      expect(Object.keys(line).slice(0, 6)).toEqual(["time", "level", "program", "pid", "area", "message"]);
      expect(line["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    }
    const access = lines.filter((line) => line["area"] === "access");
    expect(access[0]).toMatchObject({ method: "GET", path: "/v7/tests", status: 200, client: "127.0.0.1", user: "admin@oculi.local" });
    for (const secret of [server.token, server.agentToken, "in-the-query", "guessed-wrongly", server.firstPassword()])
      expect(server.stderr).not.toContain(secret);
    await server.close();
  });
});

describe("the service manager", () => {
  test.skipIf(!existsSync("/usr/bin/socat"))("is told ready, reloading, alive and stopping", async () => {
    const dir = mkdtempSync(join(tmpdir(), "oculi-api-"));
    const path = join(dir, "notify");
    const { spawn } = await import("node:child_process");
    const listener = spawn("/usr/bin/socat", ["-u", `UNIX-RECV:${path}`, "STDOUT"]);
    let told = "";
    listener.stdout.on("data", (bytes: Buffer) => (told += bytes.toString() + "\n"));
    await until("the socket", 5, () => (existsSync(path) ? true : undefined));
    const server = await new Server([], { wrapper: ["/usr/bin/env", `NOTIFY_SOCKET=${path}`, "WATCHDOG_USEC=100000"] }).start();
    await until("READY=1 and WATCHDOG=1", 10, () => (/READY=1[^]*WATCHDOG=1/.test(told) ? true : undefined));
    server.child!.kill("SIGHUP");
    await until("RELOADING=1", 10, () => (/RELOADING=1\nMONOTONIC_USEC=\d+[^]*READY=1/.test(told) ? true : undefined));
    await server.stop();
    await until("STOPPING=1", 10, () => (/STOPPING=1/.test(told) ? true : undefined));
    listener.kill();
    await server.close();
    rmSync(dir, { recursive: true });
  });
});

describe("the configuration file that --print-config makes", () => {
  test("names every option of --help, and does nothing as it is", () => {
    const printed = spawnSync(OCULID, ["--print-config"], { encoding: "utf8" }).stdout;
    const help = spawnSync(OCULID, ["--help"], { encoding: "utf8" }).stdout;
    const named = [...help.matchAll(/^ {2}--([a-z-]+)/gm)].map((match) => match[1]!).filter((name) => !["config", "help", "version", "print-config"].includes(name));
    expect([...printed.matchAll(/^#([a-z-]+) =/gm)].map((match) => match[1]!)).toEqual(named);
    for (const line of printed.split("\n")) expect(line).toMatch(/^(#|$)/);
    const file = join(mkdtempSync(join(tmpdir(), "oculi-api-")), "oculid.conf");
    writeFileSync(file, printed.replace(/^#([a-z-]+ = .)/gm, "$1"));
    const result = spawnSync(OCULID, ["token", "--config", file, "--data", "/nonexistent"], { encoding: "utf8" });
    expect(result.stderr).toContain("/nonexistent");
  });
});
