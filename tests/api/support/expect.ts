import { expect } from "vitest";
import { hasV7, problems, type Json } from "./schema.ts";
import type { Answer } from "./server.ts";

/** The answer has this status, its media type, and (when v7's description is here) the shape v7 gives it. */
export function expectV7(answer: Answer, method: string, path: string, status: number): Json {
  expect(answer.status, answer.text).toBe(status);
  if (status === 204) {
    expect(answer.text).toBe("");
    return undefined;
  }
  const type = (answer.headers.get("content-type") ?? "").split(";")[0];
  expect(["application/hal+json", "application/json", "application/problem+json"]).toContain(type);
  if (hasV7) expect(problems(method, path, status, answer.json)).toEqual([]);
  return answer.json;
}

/** A problem document that names the field. */
export function expectProblem(answer: Answer, status: number, field?: string): Json {
  expect(answer.status, answer.text).toBe(status);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.json.status).toBe(status);
  expect(typeof answer.json.title).toBe("string");
  if (field !== undefined) expect(answer.json.errors?.map((error: { field: string }) => error.field)).toEqual([field]);
  return answer.json;
}

export function selfLink(body: Json): string {
  return body._links.self.href as string;
}
