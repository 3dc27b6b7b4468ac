import { defineConfig } from "vitest/config";

// One file at a time: every file starts servers of its own, and the machine may have two cores.
export default defineConfig({
  test: { include: ["**/*.check.ts"], fileParallelism: false, testTimeout: 30_000, hookTimeout: 60_000 },
});
