/*
 * Runs a TypeScript program: node scripts/ts.mjs FILE [ARGUMENT...]. The file and what it imports by path become one
 * module inside node_modules, so that packages resolve from here wherever the file lies.
 */
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'vite';

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const entry = resolve(process.cwd(), process.argv[2]);
const outDir = resolve(web, 'node_modules/.cache/oculi');
const name = `${basename(dirname(entry))}-${basename(entry, '.ts')}`;

await build({
  root: web,
  configFile: false,
  logLevel: 'warn',
  build: {
    ssr: entry,
    outDir,
    emptyOutDir: false,
    target: 'node20',
    minify: false,
    rollupOptions: { external: /^(node:|@?[a-z])/, output: { entryFileNames: `${name}.mjs`, codeSplitting: false } },
  },
});
process.argv.splice(1, 2, entry);
await import(pathToFileURL(resolve(outDir, `${name}.mjs`)).href);
