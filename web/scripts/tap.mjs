/* The checks of this folder as TAP on standard output: vitest's, and that types and templates are sound. */
import { spawnSync } from 'node:child_process';

const vitest = spawnSync('npx', ['--no-install', 'vitest', 'run', '--reporter=tap-flat'], { encoding: 'utf8' });
process.stderr.write(vitest.stderr);
const lines = vitest.stdout.split('\n').filter((line) => !/^(TAP version|1\.\.\d)/.test(line) && line !== '');
let number = lines.reduce((most, line) => Math.max(most, Number(/^(?:not )?ok (\d+)/.exec(line)?.[1] ?? 0)), 0);
if (vitest.status !== 0 && !lines.some((line) => line.startsWith('not ok'))) {
  lines.push(`not ok ${++number} - vitest ended with status ${vitest.status}`);
}

const check = spawnSync('npm', ['run', '--silent', 'check'], { encoding: 'utf8' });
process.stderr.write(check.stdout + check.stderr);
lines.push(`${check.status === 0 ? 'ok' : 'not ok'} ${++number} - types and templates`);

process.stdout.write(`TAP version 13\n1..${number}\n${lines.join('\n')}\n`);
process.exitCode = lines.some((line) => line.startsWith('not ok')) ? 1 : 0;
