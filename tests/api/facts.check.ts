// What the server adds to addresses: networks and places from databases, names from DNS.
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Agent } from "./support/agent.ts";
import type { Json } from "./support/schema.ts";
import { BUILD, Server, until } from "./support/server.ts";

const path = ["10.0.0.1", "20.1.2.3", "20.200.0.1", "192.0.2.80"];
let slot: number;

const write = (file: string, type: string, ...blocks: string[]): void => {
  execFileSync(join(BUILD, "src/facts/facts_mmdb"), [file, type, ...blocks]);
};

/** A name server that knows names by their reversed address, and nothing else. */
const nameServer = async (names: Record<string, string>): Promise<{ socket: Socket; address: string; asked: string[] }> => {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (question, from) => {
    const labels: string[] = [];
    let at = 12;
    for (; question[at]; at += question[at]! + 1) labels.push(question.subarray(at + 1, at + 1 + question[at]!).toString());
    asked.push(labels.join("."));
    const name = names[labels.slice(0, 4).reverse().join(".")];
    const data = Buffer.concat([...(name ?? "").split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);
    const answer = Buffer.concat([
      question.subarray(0, at + 5),
      name ? Buffer.from([0xc0, 12, 0, 12, 0, 1, 0, 0, 2, 88, 0, data.length]) : Buffer.alloc(0),
      name ? data : Buffer.alloc(0),
    ]);
    answer.set([0x84, name ? 0x80 : 0x83, 0, 1, 0, name ? 1 : 0, 0, 0, 0, 0], 2);
    socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((done) => socket.bind(0, "127.0.0.1", done));
  return { socket, address: `127.0.0.1:${socket.address().port}`, asked };
};

const measured = async (server: Server): Promise<{ agent: Agent; testId: string }> => {
  const agent = await Agent.register(server, "Amsterdam");
  const created = await server.post("/v7/tests/agent-to-server", {
    testName: "facts", server: "192.0.2.80", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }],
  });
  expect(created.status, created.text).toBe(201);
  await agent.upload([{ testId: Number(created.json.testId), roundId: slot, path, flows: 1 }]);
  return { agent, testId: created.json.testId };
};
const hopsOf = async (server: Server, agent: Agent, testId: string): Promise<Json[]> =>
  (await server.get(`/v7/test-results/${testId}/path-vis/agent/${agent.id}/round/${slot}`)).json.results[0].pathTraces[0].hops;

beforeAll(() => {
  slot = Math.floor(Date.now() / 60_000) * 60;
});

describe("databases", () => {
  let server: Server;
  let agent: Agent;
  let testId: string;
  let directory: string;
  beforeAll(async () => {
    server = await new Server().start();
    directory = join(server.data, "geo"); // made by the server
    ({ agent, testId } = await measured(server));
  });
  afterAll(() => server.close());

  test("without any nothing is invented", async () => {
    for (const hop of await hopsOf(server, agent, testId)) {
      for (const field of ["network", "prefix", "location", "rdns"]) expect(hop).not.toHaveProperty(field);
    }
  });
  test("what is put there speaks about earlier rounds, bad files are named", async () => {
    write(join(directory, "any.mmdb"), "GeoLite2-ASN", "20.0.0.0/9", "autonomous_system_number=#64500;autonomous_system_organization=Example");
    write(join(directory, "other.mmdb"), "GeoLite2-City", "20.1.0.0/16", "city.names.en=Delft;country.names.en=Netherlands",
      "192.0.2.0/24", "city.names.en=Nowhere");
    write(join(directory, "own.mmdb"), "Our-Private-City", "10.0.0.0/8", "city.names.en=Our building");
    writeFileSync(join(directory, "bad.mmdb"), "no database");
    const hops = await until("the databases to be noticed", 30, async () => {
      const found = await hopsOf(server, agent, testId);
      return found[1].network && found[1].location && found[0].location && /bad\.mmdb/.test(server.stderr) ? found : undefined;
    });
    expect(hops[0]).toMatchObject({ ipAddress: "10.0.0.1", location: "Our building" });
    expect(hops[1]).toMatchObject({ network: "Example (AS 64500)", prefix: "20.0.0.0/9", location: "Delft, Netherlands" });
    expect(hops[2]).not.toHaveProperty("network");
    expect(hops[3]).not.toHaveProperty("location"); // a documentation address is nowhere
    expect(server.stderr).toMatch(/geo: .*bad\.mmdb: cannot be used: this is no whole database/);
    const paths = (await server.get(`/oculi/v1/tests/${testId}/paths?roundId=${slot}`)).json;
    expect(paths.hops.network).toEqual([null, "Example (AS 64500)", null, null]);
    expect(paths.hops.location).toEqual(["Our building", "Delft, Netherlands", null, null]);
    expect(paths.hops.prefix).toEqual([null, "20.0.0.0/9", null, null]);
    expect((await server.get("/metrics")).text).toMatch(/^oculi_geo_databases 3$/m);
  });
});

describe("names", () => {
  test("are asked for when rounds come in, if the operator says so", async () => {
    const dns = await nameServer({ "20.1.2.3": "core1.example.net", "10.0.0.1": "<b>", "20.200.0.1": "a.example.net" });
    const server = await new Server(["--resolve-names", "--name-servers", dns.address]).start();
    try {
      const { agent, testId } = await measured(server);
      await until("four questions", 10, () => (dns.asked.length >= 4 ? true : undefined));
      const hops = await until("names", 10, async () => {
        const found = await hopsOf(server, agent, testId);
        return found[1].rdns && found[2].rdns ? found : undefined;
      });
      expect(hops.map((hop) => hop.rdns)).toEqual([undefined, "core1.example.net", "a.example.net", undefined]);
      expect(new Set(dns.asked).size).toBe(dns.asked.length); // each once
    } finally {
      await server.close();
      dns.socket.close();
    }
  });
  test("are nobody's business without --resolve-names", async () => {
    const dns = await nameServer({});
    const server = await new Server(["--name-servers", dns.address]).start();
    try {
      const { agent, testId } = await measured(server);
      await hopsOf(server, agent, testId);
      expect(dns.asked).toEqual([]);
      expect((await server.get("/metrics")).text).toMatch(/^oculi_names_questions_total\{result="asked"\} 0$/m);
    } finally {
      await server.close();
      dns.socket.close();
    }
  });
  test("a list of servers that is none stops the start", async () => {
    const server = new Server(["--resolve-names", "--name-servers", "dns.example.net"]);
    await expect(server.start()).rejects.toThrow(/--name-servers: "dns\.example\.net" is no list of DNS servers/);
    await server.close();
  });
  test("an agent's prefixes travel with its plan", async () => {
    const server = await new Server().start();
    try {
      const { agent } = await measured(server);
      const bad = await server.put(`/v7/agents/${agent.id}`, { localResolutionPrefixes: ["20.0.0.0/33"] });
      expect(bad.status).toBe(400);
      expect(bad.text).toContain("localResolutionPrefixes");
      expect((await server.put(`/v7/agents/${agent.id}`, { localResolutionPrefixes: ["20.0.0.0/8"] })).status).toBe(200);
      const plan = (await agent.plan()).plan as unknown as { resolvePrefixes: string[] };
      expect(plan.resolvePrefixes).toEqual(["20.0.0.0/8"]);
    } finally {
      await server.close();
    }
  });
});
