// The public description of API v7, when it is beside the checkout: every body we answer is held against it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import formats from "ajv-formats";
import { parse } from "yaml";
import { ROOT } from "./server.ts";

const PATH = process.env["OCULI_V7_OPENAPI"] ?? join(ROOT, "../shared/reference/api/openapi-7.0.99.yaml");

export const hasV7 = existsSync(PATH);
export const v7Path = PATH;

/* eslint-disable @typescript-eslint/no-explicit-any */
export type Json = any;

let document: Json;
let ajv: Ajv | undefined;
const compiled = new Map<string, ValidateFunction>();

export function v7(): Json {
  document ??= parse(readFileSync(PATH, "utf8"));
  return document;
}

/** OpenAPI 3.0 schemas are JSON Schema but for a few words. */
function translate(node: Json): Json {
  if (Array.isArray(node)) return node.map(translate);
  if (node === null || typeof node !== "object") return node;
  const out: Json = {};
  for (const [name, value] of Object.entries(node)) {
    if (["example", "examples", "discriminator", "xml", "externalDocs", "readOnly", "writeOnly", "deprecated", "nullable"].includes(name) &&
      !(name === "example" && typeof node.type === "undefined" && node.properties)) continue;
    if (name === "properties") {
      out.properties = Object.fromEntries(Object.entries(value as object).map(([key, schema]) => [key, translate(schema)]));
    } else if (name === "$ref") {
      out.$ref = (value as string).replace("#/components/schemas/", "v7#/definitions/");
    } else {
      out[name] = translate(value);
    }
  }
  return out;
}

function validator(ref: string): ValidateFunction {
  const known = compiled.get(ref);
  if (known) return known;
  if (!ajv) {
    ajv = new Ajv({ strict: false, allErrors: true, logger: false });
    (formats as unknown as (ajv: Ajv) => void)(ajv);
    for (const name of ["int32", "int64", "float", "double", "password", "binary"]) ajv.addFormat(name, true);
    ajv.addSchema({ $id: "v7", definitions: translate(v7().components.schemas) });
  }
  const validate = ajv.compile({ $ref: ref.replace("#/components/schemas/", "v7#/definitions/") });
  compiled.set(ref, validate);
  return validate;
}

function resolve(node: Json): Json {
  let at = node;
  while (at?.$ref) at = at.$ref.slice(2).split("/").reduce((of: Json, name: string) => of[name], v7());
  return at;
}

/** What v7 says of this operation's answer with this status, or undefined. */
export function responseRef(method: string, path: string, status: number): string | undefined {
  const operation = v7().paths[path]?.[method.toLowerCase()];
  const response = resolve(operation?.responses?.[String(status)]);
  const content = response?.content;
  if (!content) return undefined;
  return (content["application/hal+json"] ?? content["application/problem+json"] ?? content["application/json"])?.schema?.$ref;
}

/** Problems of a body, as text; empty when it is as v7 says. */
export function problems(method: string, path: string, status: number, body: Json): string[] {
  const ref = responseRef(method, path, status);
  if (!ref) return [];
  const validate = validator(ref);
  if (validate(body)) return [];
  return (validate.errors ?? []).map((error) => `${error.instancePath || "/"} ${error.message} ${JSON.stringify(error.params)}`);
}

/** Names and types a schema may hold, with everything it is composed of: name -> set of types. */
export function flatten(root: Json, schema: Json, seen = new Set<string>()): Map<string, Set<string>> {
  const out = new Map<string, Set<string>>();
  const add = (name: string, types: Iterable<string>) => {
    const known = out.get(name) ?? new Set<string>();
    for (const type of types) known.add(type);
    out.set(name, known);
  };
  if (!schema) return out;
  if (schema.$ref) {
    if (seen.has(schema.$ref)) return out;
    const target = schema.$ref.slice(2).split("/").reduce((of: Json, name: string) => of[name], root);
    return flatten(root, target, new Set([...seen, schema.$ref]));
  }
  for (const word of ["allOf", "oneOf", "anyOf"]) {
    for (const part of schema[word] ?? []) for (const [name, types] of flatten(root, part, seen)) add(name, types);
  }
  for (const [name, property] of Object.entries<Json>(schema.properties ?? {})) add(name, typesOf(root, property));
  return out;
}

export function typesOf(root: Json, schema: Json, depth = 0): Set<string> {
  if (!schema || depth > 10) return new Set();
  if (schema.$ref) return typesOf(root, schema.$ref.slice(2).split("/").reduce((of: Json, name: string) => of[name], root), depth + 1);
  const out = new Set<string>();
  if (schema.type) out.add(schema.type);
  else if (schema.properties) out.add("object");
  for (const word of ["allOf", "oneOf", "anyOf"]) for (const part of schema[word] ?? []) for (const type of typesOf(root, part, depth + 1)) out.add(type);
  return out;
}
