// /v7/tags: one by one, many at once, and what they are put on.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import { Server } from "./support/server.ts";

let server: Server;
let agent: Agent;
let testId = "";
beforeAll(async () => {
  server = await new Server().start();
  agent = await Agent.register(server, "Amsterdam");
  const made = await server.post("/v7/tests/agent-to-server", { interval: 60, server: "192.0.2.1", protocol: "icmp", agents: [{ agentId: String(agent.id) }] });
  testId = made.json.testId;
});
afterAll(() => server.close());

const tag = (more: object = {}) => ({ key: "branch", value: "sfo", objectType: "test", accessType: "all", ...more });

describe("one tag", () => {
  let id = "";
  test("create, with the defaults of the product", async () => {
    const made = await server.post("/v7/tags", tag());
    const body = expectV7(made, "POST", "/tags", 201);
    expect(body).toMatchObject({ key: "branch", value: "sfo", color: "#A7EB10", icon: "LABEL", type: "static", aid: 1, builtIn: false });
    expect(body.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(made.headers.get("location")).toBe(selfLink(body));
    expect(body).not.toHaveProperty("assignments");
    id = body.id;
    expect(expectV7(await server.get(`/v7/tags/${id}`), "GET", "/tags/{id}", 200)).toEqual(body);
    expect(expectV7(await server.get("/v7/tags"), "GET", "/tags", 200).tags).toEqual([body]);
  });
  test("what is missing, wrong or there already is named", async () => {
    for (const name of ["key", "value", "objectType", "accessType"]) {
      expectProblem(await server.post("/v7/tags", { ...tag({ value: "x" }), [name]: undefined }), 400, name);
    }
    expectProblem(await server.post("/v7/tags", tag({ accessType: "ALL" })), 400, "accessType");
    expectProblem(await server.post("/v7/tags", tag({ accessType: "system" })), 403);
    expectProblem(await server.post("/v7/tags", tag({ type: "dynamic" })), 400, "type");
    expectProblem(await server.post("/v7/tags", tag({ objectType: "endpoint-agent", type: "dynamic", matchType: "and" })), 400, "filters");
    expectProblem(await server.post("/v7/tags", tag()), 409);
    expectProblem(await server.get("/v7/tags/00000000-0000-4000-8000-000000000000"), 404);
    expectProblem(await server.get("/v7/tags/1"), 404);
  });
  test("PUT sets the whole tag; its object type stays", async () => {
    const body = expectV7(await server.put(`/v7/tags/${id}`, tag({ value: "ams", color: "#FF0000" })), "PUT", "/tags/{id}", 200);
    expect(body).toMatchObject({ id, value: "ams", color: "#FF0000" });
    expect(expectV7(await server.put(`/v7/tags/${id}`, tag({ value: "ams" })), "PUT", "/tags/{id}", 200).color).toBe("#A7EB10");
    expectProblem(await server.put(`/v7/tags/${id}`, { key: "branch" }), 400);
    expectProblem(await server.put(`/v7/tags/${id}`, tag({ objectType: "dashboard" })), 409);
    const again = await server.put(`/v7/tags/${id}`, { ...body, description: "offices" });
    expect(expectV7(again, "PUT", "/tags/{id}", 200).description).toBe("offices");
  });
  test("put on objects and taken off", async () => {
    const assignments = [{ id: testId, type: "test" }];
    const on = expectV7(await server.post(`/v7/tags/${id}/assign`, { assignments }), "POST", "/tags/{id}/assign", 207);
    expect(on).toMatchObject({ tagId: id, assignments });
    const read = async () => expectV7(await server.get(`/v7/tags/${id}?expand=assignments`), "GET", "/tags/{id}", 200).assignments;
    await server.post(`/v7/tags/${id}/assign`, { assignments: [...assignments, ...assignments] });
    expect(await read()).toEqual(assignments);
    expectProblem(await server.post(`/v7/tags/${id}/assign`, { assignments: [{ id: "4711", type: "test" }] }), 404);
    expectProblem(await server.post(`/v7/tags/${id}/assign`, { assignments: [{ id: String(agent.id), type: "v-agent" }] }), 400, "assignments");
    expect(await read()).toEqual(assignments);
    const off = await server.post(`/v7/tags/${id}/unassign`, { assignments });
    expectV7(off, "POST", "/tags/{id}/unassign", 204);
    expect(await read()).toEqual([]);
  });
  test("delete", async () => {
    expectV7(await server.delete(`/v7/tags/${id}`), "DELETE", "/tags/{id}", 204);
    expectProblem(await server.get(`/v7/tags/${id}`), 404);
    expectProblem(await server.delete(`/v7/tags/${id}`), 404);
  });
});

describe("many tags", () => {
  test("those that can be made are made, the others say why", async () => {
    const answer = await server.post("/v7/tags/bulk", { tags: [tag({ value: "a" }), tag({ value: "a" }), { key: "x" }, tag({ value: "b", objectType: "v-agent" })] });
    const body = expectV7(answer, "POST", "/tags/bulk", 207);
    expect(body.tags.map((each: { value: string }) => each.value)).toEqual(["a", "b"]);
    expect(body.errors.map((each: { responseCode: number }) => each.responseCode)).toEqual([409, 400]);
    const tags = [
      { tagId: body.tags[0].id, assignments: [{ id: testId, type: "test" }] },
      { tagId: body.tags[1].id, assignments: [{ id: String(agent.id), type: "v-agent" }] },
    ];
    expect(expectV7(await server.post("/v7/tags/assign", { tags }), "POST", "/tags/assign", 207).tags).toEqual(tags);
    expectProblem(await server.post("/v7/tags/unassign", { tags: [tags[0], { ...tags[1], tagId: "none" }] }), 404);
    const all = expectV7(await server.get("/v7/tags?expand=assignments"), "GET", "/tags", 200).tags;
    expect(all.map((each: { assignments: object[] }) => each.assignments.length)).toEqual([1, 1]);
    expectV7(await server.post("/v7/tags/unassign", { tags }), "POST", "/tags/unassign", 207);
  });
});
