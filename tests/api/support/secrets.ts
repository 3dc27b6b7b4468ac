// What must stay secret in a run of checks, and where it must not appear: in no log, and in no answer but that of a
// route made to tell it once. Every call of every check goes through here.
import { execFileSync } from "node:child_process";

/* eslint-disable @typescript-eslint/no-explicit-any */
const GIVEN = new Set(["password", "current", "new", "clientSecret", "token", "authToken"]);
const TOLD = new Set(["bearerToken", "agentToken", "accountToken", "password", "key", "recoveryCodes", "secret"]);

let telling: RegExp[] | undefined;

/** Whether the table of routes says that this one tells secrets. */
function tells(oculid: string, method: string, path: string): boolean {
  telling ??= execFileSync(oculid, ["schema", "routes"], { encoding: "utf8" }).trim().split("\n").map((line) => line.split("\t"))
    .filter((fields) => fields[5]!.split(",").includes("secret"))
    .map((fields) => new RegExp(`^${fields[0]} ${fields[1]!.replace(/\{[^}]*\}/g, "[^/]+")}$`));
  return telling.some((pattern) => pattern.test(`${method} ${path}`));
}

export class Secrets {
  private readonly known = new Set<string>();
  private readonly oculid: string;
  constructor(oculid: string) {
    this.oculid = oculid;
  }
  add(secret: unknown): void {
    if (typeof secret === "string" && secret.length >= 8) this.known.add(secret);
  }
  private learn(value: any, names: Set<string>): void {
    if (Array.isArray(value)) for (const each of value) this.learn(each, names);
    else if (value !== null && typeof value === "object")
      for (const [name, each] of Object.entries<any>(value)) {
        if (names.has(name)) for (const secret of Array.isArray(each) ? each : [each]) this.add(secret);
        else this.learn(each, names);
      }
  }
  asked(method: string, path: string, body: any, headers: Record<string, string>): void {
    this.learn(body, path.startsWith("/v7/credentials") && method !== "GET" ? new Set([...GIVEN, "value"]) : GIVEN);
    this.add(/^Bearer (.*)$/.exec(headers["Authorization"] ?? "")?.[1]);
    this.add(/oculi_session=([^;]+)/.exec(headers["Cookie"] ?? "")?.[1]);
  }
  answered(method: string, path: string, text: string, json: any): void {
    const isTelling = tells(this.oculid, method, path);
    if (isTelling) this.learn(json, TOLD);
    else this.check(`the answer of ${method} ${path}`, text);
  }
  check(where: string, text: string): void {
    for (const secret of this.known)
      if (text.includes(secret)) throw new Error(`${where} tells the secret "${secret.slice(0, 4)}…": ${text.slice(Math.max(0, text.indexOf(secret) - 200), text.indexOf(secret))}`);
  }
  get size(): number {
    return this.known.size;
  }
}
