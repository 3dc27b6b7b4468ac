/*
 * The UI in a real Chromium: against the made-up server with all the ways it can fail, and against oculid when it has
 * been built. Prints TAP. An argument picks the checks whose name contains it.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MockServer } from '../../web/mock/server';
import { hasChromium, launch } from './browser';
import { mockChecks } from './mock-checks';
import { Session } from './session';
import { serverChecks } from './server-checks';
import { run } from './tap';

const root = resolve(dirname(process.argv[1]), '../..');
const build = process.env.OCULI_BUILD ?? join(root, 'build');
const dist = [join(build, 'web'), join(root, 'web/dist')].find((dir) => existsSync(join(dir, 'index.html')));

if (!hasChromium() || !dist) {
  process.stdout.write(`TAP version 13\n1..1\nok 1 - the UI in a browser # SKIP ${dist ? 'there is no Chromium' : 'the UI has not been built'}\n`);
} else {
  const browser = await launch();
  const session = new Session(browser.context, new MockServer(dist));
  await session.start();
  mockChecks(session);
  const stopServer = serverChecks(session, build, dist);
  const good = await run(() => session.reset(), process.argv[2]);
  await stopServer();
  await browser.close();
  await session.stop();
  process.exitCode = good ? 0 : 1;
}
