/*
 * The one stream of server-sent events a browser holds, whoever holds it: the shared worker, or the leader among the
 * tabs. Tabs say which topics they show; the stream is opened for all of them together and opened anew when that
 * changes. Events are hints: what they mean is fetched by the page.
 */

export type Link = 'idle' | 'live' | 'lost';

export type LiveMessage =
  | { kind: 'link'; link: Link; since: number }
  | { kind: 'event'; event: string; data: Record<string, unknown> };

export interface Tab {
  topics: readonly string[];
  send(message: LiveMessage): void;
}

export interface Source {
  close(): void;
}
export type OpenSource = (url: string, handlers: { open(): void; fail(): void; event(name: string, data: string): void }) => Source;

export const EVENTS = ['round', 'agent', 'test', 'reset', 'ping'] as const;
const MAX_TOPICS = 64;
const SETTLE_MS = 150;
const SILENT_MS = 40_000; /* the server says something every 15 s */

export class Hub {
  readonly #open: OpenSource;
  readonly #now: () => number;
  readonly #tabs = new Set<Tab>();
  #source: Source | null = null;
  #topics = '';
  #link: Link = 'idle';
  #since = 0;
  #heard = 0;
  #retry = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(open: OpenSource, now: () => number = Date.now) {
    this.#open = open;
    this.#now = now;
  }

  add(tab: Tab): void {
    this.#tabs.add(tab);
    tab.send({ kind: 'link', link: this.#link, since: this.#since });
    this.changed();
  }

  remove(tab: Tab): void {
    if (this.#tabs.delete(tab)) this.changed();
  }

  /* Topics changed: pages come and go in bursts, so the stream follows when they have settled. */
  changed(): void {
    this.#later(SETTLE_MS, () => this.#follow());
  }

  wanted(): string {
    const all = new Set<string>();
    for (const tab of this.#tabs) for (const topic of tab.topics) all.add(topic);
    return [...all].sort().slice(0, MAX_TOPICS).join(',');
  }

  /* Called from time to time: a stream that has gone silent is dead, whatever the socket says. */
  tick(): void {
    if (this.#source && this.#link === 'live' && this.#now() - this.#heard > SILENT_MS) this.#fail();
  }

  #later(delay: number, then: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      then();
    }, delay);
  }

  #follow(): void {
    const topics = this.wanted();
    if (topics === this.#topics && (this.#source || topics === '')) return;
    this.#source?.close();
    this.#source = null;
    this.#topics = topics;
    if (topics === '') this.#tell('idle');
    else this.#connect();
  }

  #connect(): void {
    this.#source = this.#open(`/oculi/v1/stream?topics=${encodeURIComponent(this.#topics)}`, {
      open: () => {
        this.#retry = 0;
        this.#heard = this.#now();
        this.#tell('live');
        /* What happened between a page's first fetch and now was not heard: fetch once more. */
        for (const tab of this.#tabs) tab.send({ kind: 'event', event: 'reset', data: {} });
      },
      fail: () => this.#fail(),
      event: (name, data) => {
        this.#heard = this.#now();
        if (name === 'ping') return;
        try {
          const message: LiveMessage = { kind: 'event', event: name, data: JSON.parse(data || '{}') as Record<string, unknown> };
          for (const tab of this.#tabs) tab.send(message);
        } catch {
          /* A hint that cannot be read is no hint. */
        }
      },
    });
  }

  #fail(): void {
    this.#source?.close();
    this.#source = null;
    this.#tell('lost');
    const delay = Math.min(30_000, 1000 * 2 ** this.#retry++);
    this.#later(delay, () => {
      this.#topics = this.wanted();
      if (this.#topics !== '') this.#connect();
    });
  }

  #tell(link: Link): void {
    if (link === this.#link) return;
    this.#link = link;
    this.#since = Math.floor(this.#now() / 1000);
    for (const tab of this.#tabs) tab.send({ kind: 'link', link, since: this.#since });
  }
}

/* A source over EventSource. It is closed on the first failure, because we decide ourselves when to try again. */
export function eventSource(): OpenSource {
  return (url, handlers) => {
    const source = new EventSource(url);
    source.onopen = () => handlers.open();
    source.onerror = () => handlers.fail();
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        handlers.event(name, (event as MessageEvent<string>).data);
      });
    }
    return { close: () => source.close() };
  };
}
