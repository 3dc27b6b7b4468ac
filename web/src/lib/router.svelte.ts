/*
 * The History API behind five functions. The location is state: components read it and follow. A page that holds
 * unsaved work sets a guard, which every way out asks: links, Back, and closing the tab.
 */
import { decode, encode, type Schema, type Values } from './codec';

class Location {
  path = $state(location.pathname);
  search = $state(location.search);
}

const here = new Location();
let guard: (() => Promise<boolean>) | null = null;
let depth = 0;

export const route = {
  get path(): string {
    return here.path;
  },
  get search(): string {
    return here.search;
  },
  get url(): string {
    return here.path + here.search;
  },
};

function sync(): void {
  here.path = location.pathname;
  here.search = location.search;
}

export interface Move {
  replace?: boolean;
  force?: boolean; /* without asking the guard: the work was saved */
}

export async function navigate(url: string, move: Move = {}): Promise<void> {
  const target = new URL(url, location.href);
  const samePage = target.pathname === location.pathname;
  if (guard && !move.force && !samePage && !(await guard())) return;
  if (!samePage) guard = null;
  if (target.href !== location.href) {
    if (move.replace) history.replaceState({ depth }, '', target);
    else history.pushState({ depth: ++depth }, '', target);
  }
  sync();
  if (!samePage) scrollTo(0, 0);
}

/* Sets the guard of the present page and returns what removes it. */
export function setGuard(ask: () => Promise<boolean>): () => void {
  guard = ask;
  const unload = (event: BeforeUnloadEvent): void => event.preventDefault();
  addEventListener('beforeunload', unload);
  return () => {
    if (guard === ask) guard = null;
    removeEventListener('beforeunload', unload);
  };
}

async function onPop(event: PopStateEvent): Promise<void> {
  const to = (event.state as { depth?: number } | null)?.depth ?? 0;
  if (guard && location.pathname !== here.path) {
    const wanted = location.pathname + location.search;
    const stay = here.path + here.search;
    history.pushState({ depth }, '', stay);
    if (!(await guard())) return;
    guard = null;
    history.replaceState({ depth: to }, '', wanted);
  }
  depth = to;
  sync();
}

function onClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.('a');
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
  if (link.pathname === location.pathname && link.hash) return;
  if (/^\/(v7|oculi|metrics|healthz)(\/|$)/.test(link.pathname)) return;
  event.preventDefault();
  void navigate(link.href);
}

export function startRouter(): () => void {
  depth = (history.state as { depth?: number } | null)?.depth ?? 0;
  const pop = (event: PopStateEvent): void => void onPop(event);
  addEventListener('popstate', pop);
  document.addEventListener('click', onClick);
  return () => {
    removeEventListener('popstate', pop);
    document.removeEventListener('click', onClick);
  };
}

/* A page's parameters: reading follows the URL, set() changes it. Selections push, so that Back undoes them. */
export class Params<S extends Schema> {
  readonly #schema: S;
  readonly #decoded: { values: Values<S>; ignored: string[] } = $derived.by(() =>
    decode(this.#schema, new URLSearchParams(here.search)),
  );

  constructor(schema: S) {
    this.#schema = schema;
  }

  get values(): Values<S> {
    return this.#decoded.values;
  }

  get ignored(): string[] {
    return this.#decoded.ignored;
  }

  url(change: Partial<Values<S>>, path = here.path): string {
    const query = encode(this.#schema, { ...this.values, ...change });
    return query ? `${path}?${query}` : path;
  }

  set(change: Partial<Values<S>>, move: Move = {}): void {
    const url = this.url(change);
    if (url !== here.path + here.search) void navigate(url, move);
  }
}
