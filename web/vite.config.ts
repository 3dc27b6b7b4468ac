import { readFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/* The licences of what is bundled travel with the bundle. */
function licences(): Plugin {
  const packages = ['@fontsource-variable/inter', '@fontsource-variable/jetbrains-mono', '@lucide/svelte', 'svelte', 'uplot'];
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const found = packages.map((name) => {
        for (const file of ['LICENSE', 'LICENSE.md', 'LICENCE']) {
          try {
            return `${name}\n\n${readFileSync(`node_modules/${name}/${file}`, 'utf8').trim()}\n`;
          } catch {
            continue;
          }
        }
        return this.error(`${name} has no licence text`);
      });
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: found.join(`\n${'-'.repeat(78)}\n\n`) });
    },
  };
}

const server = process.env.OCULI_URL ?? 'http://127.0.0.1:8089';

/* Nothing is inlined as data: URLs, because the content security policy forbids them. */
export default defineConfig({
  plugins: [svelte(), licences()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { host: '127.0.0.1', proxy: { '/oculi': server, '/v7': server } },
  test: { include: ['src/**/*.test.ts', 'mock/**/*.test.ts'], environment: 'node' },
});
