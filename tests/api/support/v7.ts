// Checks that need v7's own description beside the checkout. Without it they are skipped aloud; where nothing may be
// skipped (OCULI_CI=1) they are left out instead, for a checkout need not have it, and a line says so.
import { describe, test } from "vitest";
import { hasV7, v7Path } from "./schema.ts";

const isLeftOut = !hasV7 && process.env["OCULI_CI"] === "1";

export function v7Test(name: string, run: () => void | Promise<void>): void {
  if (isLeftOut) process.stderr.write(`left out, because ${v7Path} is not there: ${name}\n`);
  else test.skipIf(!hasV7)(name, run);
}

export function v7Describe(name: string, define: () => void): void {
  if (isLeftOut) process.stderr.write(`left out, because ${v7Path} is not there: ${name}\n`);
  else describe.skipIf(!hasV7)(name, define);
}
