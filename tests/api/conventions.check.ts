// The conventions every resource shares: who may ask, media types, methods, links, errors, limits.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import { v7, v7Path } from "./support/schema.ts";
import { Server } from "./support/server.ts";
import { v7Test } from "./support/v7.ts";

let server: Server;
beforeAll(async () => {
  server = await new Server().start();
});
afterAll(() => server.close());

v7Test(`v7's own description is beside the checkout (${v7Path})`, () => {
  expect(Object.keys(v7().paths).length).toBeGreaterThan(100);
});

describe("who asks", () => {
  test("no token, a wrong one and another scheme are 401 in OAuth's shape", async () => {
    const tries = [{ token: null }, { token: "wrong" }, { token: null, headers: { Authorization: "Basic YTpi" } }];
    for (const call of tries) {
      const answer = await server.get("/v7/tests", call);
      const body = expectV7(answer, "GET", "/tests", 401);
      expect(body.error).toBe("invalid_token");
      expect(body.error_description).toBe("Invalid access token");
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    }
  });
  test("a bearer of an agent is no user's token", async () => {
    expect((await server.get("/v7/tests", { token: "1.abc" })).status).toBe(401);
  });
  test("an account group one has no access to is 403, a malformed one too", async () => {
    for (const aid of ["999", "x", "-1", ""]) expectProblem(await server.get(`/v7/tests?aid=${aid}`), 403);
  });
});

describe("paths and methods", () => {
  test("unknown paths are 404 in the product's shape", async () => {
    const answer = await server.get("/v7/nothing/here");
    expect(answer.json).toEqual({ type: "about:blank", title: "404 Not Found", status: 404, instance: "/v7/nothing/here" });
    for (const path of ["/v7", "/v7/", "/v7/tests/", "/v7/tests.json", "/oculi/v1/none", "/v8/tests"])
      expectProblem(await server.get(path), 404);
  });
  test("a method the path does not have is 405 with Allow", async () => {
    const answer = await server.delete("/v7/tests");
    expectProblem(answer, 405);
    expect(answer.headers.get("allow")).toBe("GET");
    const patch = await server.call("PATCH", "/v7/tests/agent-to-server");
    expect(patch.status).toBe(405);
    expect(patch.headers.get("allow")!.split(", ").sort()).toEqual(["GET", "POST"]);
  });
  test("what v7 has and this version does not offer is 501, for every such operation", async () => {
    const probes = ["/v7/alerts", "/v7/dashboards", "/v7/tests/http-server", "/v7/streams", "/v7/endpoint/agents"];
    for (const path of probes) expectProblem(await server.get(path), 501);
    expectProblem(await server.get("/v7/alerts", { token: null }), 401);
  });
  v7Test("every operation of v7 is offered or 501, and none is unknown", async () => {
    let offered = 0;
    for (const [path, item] of Object.entries<Record<string, unknown>>(v7().paths)) {
      for (const method of ["get", "post", "put", "patch", "delete"]) {
        if (!item[method]) continue;
        const answer = await server.call(method.toUpperCase(), "/v7" + path.replace(/\{[^}]*\}/g, "77777"), { token: null });
        expect(answer.status, `${method} ${path}`).toBe(401);
        const asked = await server.call(method.toUpperCase(), "/v7" + path.replace(/\{[^}]*\}/g, "77777"), { headers: { Accept: "text/html" } });
        expect([406, 501], `${method} ${path}`).toContain(asked.status);
        offered += Number(asked.status === 406);
      }
    }
    expect(offered).toBeGreaterThanOrEqual(19);
  });
  test("HEAD is GET without a body", async () => {
    const answer = await server.call("HEAD", "/v7/tests");
    expect(answer.status).toBe(200);
    expect(answer.text).toBe("");
  });
  test("a path that is no UTF-8 is 400", async () => {
    expectProblem(await server.get("/v7/tests/%ff"), 400);
  });
});

describe("media types", () => {
  test("hal+json when Accept allows it, else json", async () => {
    const cases: [string, string][] = [
      ["application/hal+json", "application/hal+json"],
      ["application/hal+json, application/json", "application/hal+json"],
      ["application/json", "application/json"],
      ["*/*", "application/hal+json"],
      ["application/*;q=0.5", "application/hal+json"],
      ["application/hal+json;q=0, application/json", "application/json"],
    ];
    for (const [accept, type] of cases) {
      const answer = await server.get("/v7/tests", { headers: { Accept: accept } });
      expect(answer.headers.get("content-type"), accept).toBe(type);
    }
  });
  test("406 when neither is taken", async () => {
    expectProblem(await server.get("/v7/tests", { headers: { Accept: "text/html" } }), 406);
  });
  test("415 for bodies that are not JSON", async () => {
    expectProblem(await server.call("POST", "/v7/tests/agent-to-server", { raw: "a=b", headers: { "Content-Type": "text/plain" } }), 415);
  });
});

describe("links and headers", () => {
  test("self is absolute and echoes the query", async () => {
    const body = expectV7(await server.get("/v7/tests?unknown_parameter=1"), "GET", "/tests", 200);
    expect(selfLink(body)).toBe(`${server.url}/v7/tests?unknown_parameter=1`);
  });
  test("a request id, and the product's rate limit headers as plain numbers", async () => {
    const answer = await server.get("/v7/tests");
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{16}$/);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });
});

describe("bodies", () => {
  const path = "/v7/tests/agent-to-server";
  const send = (raw: string | Uint8Array) => server.call("POST", path, { raw, headers: { "Content-Type": "application/json" } });
  test("malformed JSON says where", async () => {
    for (const raw of ['{"a":', "{", "", "[1,]", '{"a":1}x', '{"a":01}', '{"a":"\\u0000"}', '{"a":1e999}']) {
      const problem = expectProblem(await send(raw), 400);
      expect(problem.title, raw).toMatch(/not valid JSON|JSON object/);
    }
  });
  test("what is no object, a name given twice, nesting without end", async () => {
    expectProblem(await send("[]"), 400);
    expectProblem(await send('{"interval":60,"interval":60}'), 400);
    expectProblem(await send("[".repeat(100_000)), 400);
    expectProblem(await send('{"a":'.repeat(50) + "1" + "}".repeat(50)), 400);
  });
  test("a body that is too large is 413", async () => {
    const answer = await send(new Uint8Array((16 << 20) + 10)).catch(() => undefined);
    if (answer) expect(answer.status).toBe(413);
    expect((await server.get("/v7/tests")).status).toBe(200);
  });
});

describe("rate limits", () => {
  let limited: Server;
  beforeAll(async () => {
    limited = await new Server(["--api-rate-limit", "8", "--instant-rate-limit", "2"]).start();
  });
  afterAll(() => limited.close());
  test("240 a minute by default, counted down in the headers, then 429 with the same headers", async () => {
    const seen: number[] = [];
    let last = await limited.get("/v7/tests");
    for (let i = 0; i < 20 && last.status === 200; i++) {
      seen.push(Number(last.headers.get("x-organization-rate-limit-remaining")));
      last = await limited.get("/v7/tests");
    }
    expect(seen.length).toBeGreaterThanOrEqual(8);
    expect(seen.slice(0, 2).map((n, i) => n + i)).toEqual([7, 7]);
    expectProblem(last, 429);
    expect(last.headers.get("x-organization-rate-limit-limit")).toBe("8");
    expect(last.headers.get("x-organization-rate-limit-remaining")).toBe("0");
    const reset = Number(last.headers.get("x-organization-rate-limit-reset"));
    expect(reset).toBeGreaterThan(Date.now() / 1000 - 1);
    expect(reset).toBeLessThanOrEqual(Date.now() / 1000 + 61);
  });
});

describe("operators", () => {
  test("health, readiness and metrics need no token", async () => {
    expect((await server.get("/healthz", { token: null })).text).toBe("ok\n");
    expect((await server.get("/readyz", { token: null })).status).toBe(200);
    expect((await server.get("/metrics", { token: null })).status).toBe(200);
  });
});
