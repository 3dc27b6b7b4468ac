/*
 * Live data for this tab: which topics it shows, what the link is, and who wants to hear of which event. The stream
 * itself is in a shared worker, so that seven tabs do not use up the six connections HTTP/1.1 gives a browser; where
 * there are no shared workers, one tab leads and the others listen to it.
 */
import workerUrl from './live-worker.ts?sharedworker&url';
import { eventSource, Hub, type Link, type LiveMessage, type Tab } from './live';
import { clock } from './prefs.svelte';

export type Heard = (event: string, data: Record<string, unknown>) => void;
interface Interest {
  topics: readonly string[];
  heard: Heard;
}

const LOST_S = 20;
const POLL_S = 30;
const BEAT_MS = 30_000;

class Live {
  #link = $state<Link>('idle');
  #since = $state(0);
  #interests = new Set<Interest>();
  #post: (topics: readonly string[] | null) => void = () => undefined;

  get link(): Link {
    return this.#link;
  }
  get since(): number {
    return this.#since;
  }
  /* Lost for long enough that a person should know. */
  get isStale(): boolean {
    return this.#link === 'lost' && clock.now - this.#since >= LOST_S;
  }

  topics(): string[] {
    if (document.hidden) return [];
    return [...new Set([...this.#interests].flatMap((interest) => interest.topics))].sort();
  }

  /* Calls heard for each event of the topics, and without any event every 30 s while the stream is lost. */
  subscribe(topics: readonly string[], heard: Heard): () => void {
    const interest = { topics, heard };
    this.#interests.add(interest);
    this.#post(this.topics());
    return () => {
      this.#interests.delete(interest);
      this.#post(this.topics());
    };
  }

  start(): void {
    const receive = (message: LiveMessage): void => {
      if (message.kind === 'link') {
        this.#link = message.link;
        this.#since = message.since;
      } else this.#tell(message.event, message.data);
    };
    this.#post = typeof SharedWorker === 'function' ? viaWorker(receive) : viaLeader(receive);
    this.#post(this.topics());
    setInterval(() => this.#post(this.topics()), BEAT_MS);
    setInterval(() => {
      if (this.isStale && !document.hidden) this.#tell('poll', {});
    }, POLL_S * 1000);
    document.addEventListener('visibilitychange', () => {
      this.#post(this.topics());
      if (!document.hidden) this.#tell('reset', {});
    });
    addEventListener('pagehide', () => this.#post(null));
    addEventListener('pageshow', (event) => {
      if (event.persisted) location.reload();
    });
  }

  #tell(event: string, data: Record<string, unknown>): void {
    for (const interest of this.#interests) {
      if (event === 'reset' || event === 'poll' || concerns(interest.topics, event, data)) interest.heard(event, data);
    }
  }
}

/* A round or a test event concerns its test and the list of tests; an agent event concerns the agents. */
export function concerns(topics: readonly string[], event: string, data: Record<string, unknown>): boolean {
  if (event === 'agent') return topics.includes('agents');
  const test = typeof data.testId === 'string' || typeof data.testId === 'number' ? `test:${data.testId}` : '';
  return topics.includes(test) || topics.includes('tests');
}

/* A worker's address is a script address: under Trusted Types it needs a policy, and ours knows only this one. */
function scriptUrl(url: string): string {
  interface Policies {
    createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
  }
  const policies = (globalThis as { trustedTypes?: Policies }).trustedTypes;
  if (!policies) return url;
  const own = (given: string): string => {
    if (given !== workerUrl) throw new TypeError('Only the worker of this page may be started');
    return given;
  };
  return policies.createPolicy('oculi', { createScriptURL: own }).createScriptURL(url);
}

type Post = (topics: readonly string[] | null) => void;

function viaWorker(receive: (message: LiveMessage) => void): Post {
  const worker = new SharedWorker(scriptUrl(workerUrl), { type: 'module', name: 'oculi-live' });
  worker.port.onmessage = (event: MessageEvent<LiveMessage>) => receive(event.data);
  worker.port.start();
  return (topics) => worker.port.postMessage({ topics });
}

function viaLeader(receive: (message: LiveMessage) => void): Post {
  const channel = new BroadcastChannel('oculi-live');
  const self = crypto.randomUUID();
  let own: readonly string[] = [];
  let hub: Hub | null = null;
  const tabs = new Map<string, Tab & { topics: readonly string[] }>();
  const put = (id: string, topics: readonly string[] | null): void => {
    if (!hub) return;
    const known = tabs.get(id);
    if (topics === null) {
      if (known) hub.remove(known);
      tabs.delete(id);
    } else if (known) {
      known.topics = topics;
      hub.changed();
    } else {
      const send = id === self ? receive : (message: LiveMessage) => channel.postMessage({ to: id, message });
      const tab = { topics, send };
      tabs.set(id, tab);
      hub.add(tab);
    }
  };
  channel.onmessage = (event: MessageEvent<{ to?: string; message?: LiveMessage; from?: string; topics?: string[] | null; lead?: true }>) => {
    const data = event.data;
    if (data.message && data.to === self) receive(data.message);
    else if (data.from && data.topics !== undefined) put(data.from, data.topics);
    else if (data.lead) channel.postMessage({ from: self, topics: own });
  };
  const lead = async (): Promise<void> => {
    hub = new Hub(eventSource());
    put(self, own);
    channel.postMessage({ lead: true });
    setInterval(() => hub?.tick(), 10_000);
    await new Promise(() => undefined); /* leads until the tab closes */
  };
  if (navigator.locks) void navigator.locks.request('oculi-live', lead);
  else void lead();
  return (topics) => {
    own = topics ?? [];
    if (hub) put(self, topics);
    else channel.postMessage({ from: self, topics });
  };
}

export const live = new Live();
