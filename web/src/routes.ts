/* The pages: one line each. A page is loaded when it is first shown. */
import type { Component } from 'svelte';

type Load = () => Promise<{ default: Component<never> | Component<Record<string, never>> | unknown }>;

export interface Page {
  name: string;
  title: string;
  rail: string;
  load: Load;
  params: Record<string, string>;
  redirect?: string;
}

const pages: { pattern: string; title: string; rail: string; load: Load }[] = [
  { pattern: '/login', title: 'Sign in', rail: '', load: () => import('./pages/Login.svelte') },
  { pattern: '/password', title: 'New password', rail: '', load: () => import('./pages/Password.svelte') },
  { pattern: '/start', title: 'Start', rail: 'start', load: () => import('./pages/Start.svelte') },
  { pattern: '/views', title: 'Views', rail: 'views', load: () => import('./views/Pick.svelte') },
  { pattern: '/views/:test', title: 'Views', rail: 'views', load: () => import('./views/Views.svelte') },
  { pattern: '/tests', title: 'Tests', rail: 'tests', load: () => import('./pages/Tests.svelte') },
  { pattern: '/tests/new', title: 'New test', rail: 'tests', load: () => import('./pages/TestEdit.svelte') },
  { pattern: '/tests/:type/:test/edit', title: 'Edit test', rail: 'tests', load: () => import('./pages/TestEdit.svelte') },
  { pattern: '/agents', title: 'Agents', rail: 'agents', load: () => import('./pages/Agents.svelte') },
  { pattern: '/settings/profile', title: 'Profile', rail: 'settings', load: () => import('./pages/Profile.svelte') },
];

const missing: Load = () => import('./pages/Missing.svelte');

function matchPattern(pattern: string, path: string): Record<string, string> | null {
  const want = pattern.split('/');
  const have = path.replace(/\/+$/, '').split('/');
  if (want.length !== have.length) return null;
  const params: Record<string, string> = {};
  for (let i = 0; i < want.length; i++) {
    if (want[i].startsWith(':')) {
      if (have[i] === '') return null;
      try {
        params[want[i].slice(1)] = decodeURIComponent(have[i]);
      } catch {
        return null;
      }
    } else if (want[i] !== have[i]) return null;
  }
  return params;
}

export function match(path: string): Page {
  if (path === '/' || path === '') return { name: 'home', title: '', rail: '', load: missing, params: {}, redirect: '/views' };
  if (path === '/settings') return { name: 'settings', title: '', rail: '', load: missing, params: {}, redirect: '/settings/profile' };
  for (const page of pages) {
    const params = matchPattern(page.pattern, path);
    if (params) return { name: page.pattern, title: page.title, rail: page.rail, load: page.load, params };
  }
  return { name: 'missing', title: 'Not found', rail: '', load: missing, params: {} };
}
