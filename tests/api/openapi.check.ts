// The served description of the API: it agrees with v7's own for what is offered, and what we answer agrees with it.
import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flatten, v7, type Json } from "./support/schema.ts";
import { OCULID, Server } from "./support/server.ts";
import { v7Describe } from "./support/v7.ts";

let server: Server;
let ours: Json;
beforeAll(async () => {
  server = await new Server().start();
  ours = (await server.get("/v7/openapi.json", { token: null })).json;
});
afterAll(() => server.close());

const METHODS = ["get", "post", "put", "delete"];
const operations = (): [string, string, Json][] =>
  Object.entries<Json>(ours.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method): [string, string, Json] => [method, path, item[method]]));

const at = (root: Json, ref: string): Json => ref.slice(2).split("/").reduce((of: Json, name: string) => of[name.replace(/~1/g, "/")], root);
const resolve = (root: Json, node: Json): Json => (node?.$ref ? resolve(root, at(root, node.$ref)) : node);

function bodyOf(root: Json, holder: Json): Json {
  const content = resolve(root, holder)?.content;
  return (content?.["application/hal+json"] ?? content?.["application/json"])?.schema;
}

/** Every property of ours, and of what it nests, is one of v7's and of one of its types; `oculi` is our own. */
function compare(mine: Json, theirs: Json, path: string, depth = 0): string[] {
  if (depth > 6 || !mine || !theirs) return [];
  const left = flatten(ours, mine);
  const right = flatten(v7(), theirs);
  const out: string[] = [];
  if (right.size === 0) return [];
  for (const [name, types] of left) {
    if (name === "oculi" || name === "_links") continue;
    const known = right.get(name);
    if (!known) {
      out.push(`${path}.${name} is not in v7`);
      continue;
    }
    for (const type of types)
      if (known.size && !known.has(type) && !(type === "integer" && known.has("number"))) out.push(`${path}.${name} is ${type}, v7 has ${[...known].join("|")}`);
    const [a, b] = [property(ours, mine, name), property(v7(), theirs, name)];
    out.push(...compare(items(ours, a) ?? a, items(v7(), b) ?? b, `${path}.${name}`, depth + 1));
  }
  return out;
}

function items(root: Json, schema: Json): Json | undefined {
  const node = resolve(root, schema);
  return node?.type === "array" ? node.items : undefined;
}

function property(root: Json, schema: Json, name: string): Json | undefined {
  const node = resolve(root, schema);
  if (!node) return undefined;
  if (node.properties?.[name]) return node.properties[name];
  for (const word of ["allOf", "oneOf", "anyOf"])
    for (const part of node[word] ?? []) {
      const found = property(root, part, name);
      if (found) return found;
    }
  return undefined;
}

describe("the document", () => {
  test("is OpenAPI 3.0, says where it is served, and every reference in it resolves", () => {
    expect(ours.openapi).toBe("3.0.1");
    expect(ours.servers).toEqual([{ url: `${server.url}/v7` }]);
    const walk = (node: Json): void => {
      if (node && typeof node === "object") {
        if (typeof node.$ref === "string") expect(at(ours, node.$ref), node.$ref).toBeDefined();
        Object.values(node).forEach(walk);
      }
    };
    walk(ours);
    const ids = operations().map(([, , operation]) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(operations().length).toBeGreaterThanOrEqual(20);
  });
  test("oculid schema openapi prints the same paths", () => {
    const printed = JSON.parse(spawnSync(OCULID, ["schema", "openapi"], { encoding: "utf8", maxBuffer: 1 << 26 }).stdout);
    expect(Object.keys(printed.paths)).toEqual(Object.keys(ours.paths));
    expect(printed.components).toEqual(ours.components);
  });
  test("oculid schema typescript prints types of every record", () => {
    const text = spawnSync(OCULID, ["schema", "typescript"], { encoding: "utf8", maxBuffer: 1 << 26 }).stdout;
    for (const name of Object.keys(ours.components.schemas)) if (name !== "Error") expect(text, name).toContain(`export interface ${name} {`);
  });
  test("without a token, and every operation in it answers something else than 404, 405 and 501", async () => {
    for (const [method, path] of operations()) {
      const answer = await server.call(method.toUpperCase(), "/v7" + path.replace(/\{[^}]*\}/g, "77777"), { headers: { Accept: "text/html" } });
      expect(answer.status, `${method} ${path}`).toBe(406);
    }
  });
});

v7Describe("agrees with v7's own", () => {
  test("paths, methods and operation ids", () => {
    for (const [method, path, operation] of operations()) {
      const theirs = v7().paths[path]?.[method];
      expect(theirs, `${method} ${path}`).toBeDefined();
      expect(operation.operationId.toLowerCase()).toBe(theirs.operationId.toLowerCase());
    }
  });
  test("status codes of success", () => {
    for (const [method, path, operation] of operations()) {
      const good = (of: Json) => Object.keys(of.responses).filter((status) => status.startsWith("2"));
      expect(good(operation), `${method} ${path}`).toEqual(good(v7().paths[path][method]));
    }
  });
  test("query parameters", () => {
    for (const [method, path, operation] of operations()) {
      const theirs = (v7().paths[path][method].parameters ?? []).map((p: Json) => resolve(v7(), p)).map((p: Json) => `${p.in}:${p.name}`);
      for (const parameter of operation.parameters) expect(theirs, `${method} ${path}`).toContain(`${parameter.in}:${parameter.name}`);
    }
  });
  test("request bodies: names and types", () => {
    for (const [method, path, operation] of operations()) {
      const theirs = v7().paths[path][method];
      expect(!!operation.requestBody, `${method} ${path}`).toBe(!!theirs.requestBody);
      if (!operation.requestBody) continue;
      const out = compare(bodyOf(ours, operation.requestBody), bodyOf(v7(), theirs.requestBody), `${method} ${path}`);
      // Read-only names are known in requests so that an answer can be sent back; instant tests take every setting of
      // the type, also what v7 has for scheduled ones only.
      const more = /\/instant\.(port|bgpMeasurements|usePublicBgp|monitors) is not in v7$/;
      expect(out.filter((line) => !more.test(line) && !/\.(testId|type|createdBy|createdDate|modifiedBy|modifiedDate|liveShare|savedEvent) is not in v7$/.test(line))).toEqual([]);
    }
  });
  test("answers: names and types", () => {
    const out: string[] = [];
    for (const [method, path, operation] of operations()) {
      const theirs = v7().paths[path][method];
      for (const status of Object.keys(operation.responses).filter((code) => code.startsWith("2"))) {
        const mine = bodyOf(ours, operation.responses[status]);
        if (mine) out.push(...compare(mine, bodyOf(v7(), theirs.responses[status]), `${method} ${path}`));
      }
    }
    // The settings of a type are one table, also for what v7 has in requests only (a port, the BGP monitors).
    const requested = [...flatten(v7(), bodyOf(v7(), v7().paths["/tests/agent-to-server"].post.requestBody)).keys()];
    expect(out.filter((line) => !/^[a-z]+ \/tests\/agent-to-server/.test(line) || !requested.some((name) => line.endsWith(`.${name} is not in v7`)))).toEqual([]);
  });
});
