// What was acknowledged is kept, once: through kill -9, a full disk and a damaged file.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, openSync, writeSync, closeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Agent, type Round } from "./support/agent.ts";
import { encode } from "./support/cbor.ts";
import type { Json } from "./support/schema.ts";
import { Server } from "./support/server.ts";

const KILLS = Number(process.env["OCULI_KILLS"] ?? 4);

const create = async (server: Server, agent: Agent): Promise<string> => {
  const answer = await server.post("/v7/tests/agent-to-server", {
    testName: "durable", server: "192.0.2.80", protocol: "icmp", interval: 60, agents: [{ agentId: String(agent.id) }],
  });
  expect(answer.status, answer.text).toBe(201);
  return answer.json.testId as string;
};

const now = Math.floor(Date.now() / 60_000) * 60;

/** Every round id v7 knows of a test in the last 29 days, through all pages. */
async function roundIds(server: Server, testId: string): Promise<number[]> {
  const ids: number[] = [];
  let path = `/v7/test-results/${testId}/network?window=4w`;
  while (path) {
    const answer = await server.get(path);
    expect(answer.status, answer.text).toBe(200);
    ids.push(...answer.json.results.map((result: Json) => result.roundId as number));
    const next = answer.json._links?.next?.href as string | undefined;
    path = next ? next.replace(/^https?:\/\/[^/]+/, "") : "";
  }
  return ids;
}

function expectOnce(ids: number[], wanted: number[]): void {
  const sorted = [...ids].sort((a, b) => a - b);
  expect(new Set(sorted).size).toBe(sorted.length);
  expect(sorted).toEqual([...wanted].sort((a, b) => a - b));
}

/** The agent as it speaks to a server that came back on another port. */
const moved = (agent: Agent, server: Server): Agent => new Agent(server, agent.id, agent.bearer.split(".")[1]!, agent.aid);

/** A directory on a small disk of its own; undefined where we may not mount. */
function smallDisk(size: string): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), "oculi-small-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "oculi-check", dir], { stdio: "ignore" });
    return dir;
  } catch {
    rmSync(dir, { recursive: true });
    return undefined;
  }
}

describe("kill -9", () => {
  test("rounds sent while the server dies again and again are there exactly once", async () => {
    const server = await new Server().start();
    try {
      let agent = await Agent.register(server, "Oslo");
      const testId = await create(server, agent);
      const wanted: number[] = [];
      for (let life = 0; life < KILLS; life++) {
        const rounds: Round[] = Array.from({ length: 40 }, (_, i) => ({ testId: Number(testId), roundId: now - 60 * (life * 40 + i) }));
        wanted.push(...rounds.map((round) => round.roundId));
        // Batches of ten at once; the server dies after the first receipt, whatever has become of the others.
        const sending = [0, 10, 20, 30].map((at) => agent.upload(rounds.slice(at, at + 10)).then(() => true, () => false));
        await Promise.race(sending);
        await server.stop("SIGKILL");
        await Promise.all(sending);
        await server.start();
        agent = moved(agent, server);
        // As an agent does: what has no receipt goes again, and here all of it.
        const receipt = await agent.upload(rounds);
        expect(receipt.accepted + receipt.duplicates).toBe(40);
        expect(receipt.duplicates).toBeGreaterThanOrEqual(10);
        expect(receipt.refused).toBe(0);
      }
      expectOnce(await roundIds(server, testId), wanted);
    } finally {
      await server.close();
    }
  });
});

describe("a full disk", () => {
  test("is told, loses nothing that has a receipt, and ends when there is room again", async (context) => {
    const dir = smallDisk("6m");
    if (!dir) return context.skip("no mount allowed here");
    const data = join(dir, "data");
    mkdirSync(data);
    const server = new Server([], { data });
    try {
      await server.start();
      const agent = await Agent.register(server, "Lima");
      const testId = await create(server, agent);
      const kept: number[] = [];
      const batch = (n: number): Round[] =>
        Array.from({ length: 50 }, (_, i) => ({ testId: Number(testId), roundId: now - 60 * (n * 50 + i), latency: Math.random() * 100, flows: 6 }));
      let n = 0;
      let refused = 0;
      for (; !refused && n < 500; n++) {
        const answer = await agent.uploadRaw(encode(agent.batch(batch(n))));
        if (answer.status === 200) kept.push(...batch(n).map((round) => round.roundId));
        else refused = answer.status;
        if (refused) expect(JSON.parse(new TextDecoder().decode(answer.body)).title).toContain("Insufficient Storage");
      }
      expect(refused).toBe(507);
      expect(kept.length).toBeGreaterThan(100);
      // What has a receipt, and perhaps the first slices of the batch that was refused.
      const refusedIds = new Set(batch(n - 1).map((round) => round.roundId));
      const there = await roundIds(server, testId);
      const early = there.filter((id) => refusedIds.has(id));
      expectOnce(there, [...kept, ...early]);
      expect((await server.get("/healthz")).status).toBeLessThan(600);

      execFileSync("mount", ["-o", "remount,size=40m", dir]);
      expect(await agent.upload(batch(n - 1))).toEqual({ accepted: 50 - early.length, duplicates: early.length, refused: 0 });
      kept.push(...batch(n - 1).map((round) => round.roundId));
      await server.stop("SIGKILL");
      await server.start();
      expectOnce(await roundIds(server, testId), kept);
    } finally {
      await server.stop();
      execFileSync("umount", [dir]);
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe("a damaged store", () => {
  test("stops the server with the file's name", async () => {
    const server = await new Server().start();
    try {
      const agent = await Agent.register(server, "Rome");
      const testId = await create(server, agent);
      await agent.upload([{ testId: Number(testId), roundId: now }]);
      await server.stop();
      const file = readdirSync(server.data).map((name) => join(server.data, name))
        .find((path) => statSync(path).isFile() && statSync(path).size > 8192)!;
      copyFileSync(file, `${file}.good`);
      const damages: (() => void)[] = [
        () => truncateSync(file, 0),
        () => rmSync(file),
        () => truncateSync(file, 5000),
        () => {
          const fd = openSync(file, "r+");
          writeSync(fd, "this is no database".padEnd(200, "!"), 0);
          closeSync(fd);
        },
      ];
      for (const damage of damages) {
        damage();
        server.stderr = "";
        await expect(server.start()).rejects.toThrow(/oculid ended/);
        expect(server.stderr).toContain(file);
        expect(server.child!.exitCode).toBeGreaterThan(0);
        copyFileSync(`${file}.good`, file);
      }
      await server.start();
      expect(await roundIds(server, testId)).toEqual([now]);
    } finally {
      await server.close();
    }
  });
  test("a second server on the same data is refused", async () => {
    const server = await new Server().start();
    const second = new Server([], { data: mkdtempSync(join(tmpdir(), "oculi-api-")) });
    try {
      rmSync(second.data, { recursive: true });
      second.data = server.data;
      const url = server.url;
      await expect(second.start()).rejects.toThrow(/another process/);
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
    } finally {
      await server.close();
    }
  });
});
