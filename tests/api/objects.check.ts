// Resources that are kept and answered, without a life of their own: credentials, devices, user agents, monitors.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, expectV7, selfLink } from "./support/expect.ts";
import { Server } from "./support/server.ts";

let server: Server;
beforeAll(async () => {
  server = await new Server().start();
});
afterAll(() => server.close());

describe("credentials", () => {
  const SECRET = "correct-horse-battery-staple-4711";
  let id = "";
  test("the secret goes in and never comes out", async () => {
    const made = await server.post("/v7/credentials", { name: "portal", value: SECRET });
    const body = expectV7(made, "POST", "/credentials", 201);
    expect(made.headers.get("location")).toBe(selfLink(body));
    id = body.id;
    const answers = [made, await server.get("/v7/credentials"), await server.get(`/v7/credentials/${id}`),
      await server.put(`/v7/credentials/${id}`, { name: "intranet" })];
    for (const answer of answers) expect(answer.text).not.toContain(SECRET);
    expectV7(answers[1]!, "GET", "/credentials", 200);
    expectV7(answers[2]!, "GET", "/credentials/{id}", 200);
    expect(expectV7(answers[3]!, "PUT", "/credentials/{id}", 200).name).toBe("intranet");
    for (const name of readdirSync(server.data)) {
      const path = join(server.data, name);
      if (/\.(db|wal|shm)|db-wal/.test(name)) expect(readFileSync(path).includes(SECRET), name).toBe(false);
    }
    expect((server.stdout + server.stderr)).not.toContain(SECRET);
  });
  test("what is missing or there already is named", async () => {
    expectProblem(await server.post("/v7/credentials", { name: "x" }), 400, "value");
    expectProblem(await server.post("/v7/credentials", { value: "x" }), 400, "name");
    expectProblem(await server.post("/v7/credentials", { name: "x", value: "" }), 400, "value");
    expectProblem(await server.post("/v7/credentials", { name: "intranet", value: "y" }), 400, "name");
    expectProblem(await server.get("/v7/credentials/4711"), 404);
  });
  test("delete", async () => {
    expectV7(await server.delete(`/v7/credentials/${id}`), "DELETE", "/credentials/{id}", 204);
    expectProblem(await server.get(`/v7/credentials/${id}`), 404);
  });
});

describe("emulation", () => {
  test("devices: those of the product and one's own", async () => {
    const list = expectV7(await server.get("/v7/emulated-devices"), "GET", "/emulated-devices", 200).emulatedDevices;
    expect(list.length).toBeGreaterThan(5);
    expect(list[0]).not.toHaveProperty("availableUserAgents");
    const made = expectV7(await server.post("/v7/emulated-devices", { category: "phone", width: 400, height: 900 }), "POST", "/emulated-devices", 201);
    expect(made).toMatchObject({ category: "phone", width: 400, height: 900 });
    const again = expectV7(await server.get("/v7/emulated-devices?expand=user-agent"), "GET", "/emulated-devices", 200).emulatedDevices;
    expect(again).toHaveLength(list.length + 1);
    expect(again.at(-1)).toMatchObject({ id: made.id, availableUserAgents: [expect.stringContaining("Mobile")] });
    expect(new Set(again.map((each: { id: string }) => each.id)).size).toBe(again.length);
    expectProblem(await server.post("/v7/emulated-devices", { category: "phone", width: 49, height: 900 }), 400, "width");
    expectProblem(await server.post("/v7/emulated-devices", { category: "fridge", width: 400, height: 900 }), 400, "category");
  });
  test("user agents", async () => {
    const list = expectV7(await server.get("/v7/user-agents"), "GET", "/user-agents", 200).userAgents;
    for (const each of list) expect(each.value).toMatch(/^Mozilla\/5\.0 \(/);
  });
});

test("monitors: none, honestly", async () => {
  expect(expectV7(await server.get("/v7/monitors"), "GET", "/monitors", 200).monitors).toEqual([]);
});

test("interface groups", async () => {
  const path = "/v7/network/path-vis/interface-groups";
  const made = expectV7(await server.post(path, { groupName: "edge", ipAddresses: ["192.0.2.1", "2001:db8::1"] }), "POST", "/network/path-vis/interface-groups", 201);
  expect(made).toMatchObject({ groupName: "edge", ipAddresses: ["192.0.2.1", "2001:db8::1"], aid: "1" });
  expect(expectV7(await server.get(path), "GET", "/network/path-vis/interface-groups", 200).pathVisInterfaceGroups).toHaveLength(1);
  expectProblem(await server.post(path, { groupName: "edge" }), 400, "groupName");
  expectProblem(await server.post(path, { groupName: "x", ipAddresses: ["192.0.2"] }), 400, "ipAddresses");
  const put = await server.put(`${path}/${made.groupId}`, { ipAddresses: ["192.0.2.9"] });
  expect(expectV7(put, "PUT", "/network/path-vis/interface-groups/{interfaceGroupId}", 200)).toMatchObject({ groupName: "edge", ipAddresses: ["192.0.2.9"] });
  expectV7(await server.delete(`${path}/${made.groupId}`), "DELETE", "/network/path-vis/interface-groups/{interfaceGroupId}", 204);
  expectProblem(await server.delete(`${path}/${made.groupId}`), 404);
});
