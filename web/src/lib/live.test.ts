import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Hub, type LiveMessage, type Tab } from './live';

interface Opened {
  url: string;
  isClosed: boolean;
  handlers: { open(): void; fail(): void; event(name: string, data: string): void };
}

let opened: Opened[];
let hub: Hub;
const makeTab = (...topics: string[]): Tab & { heard: LiveMessage[] } => {
  const heard: LiveMessage[] = [];
  return { topics, heard, send: (message) => heard.push(message) };
};
const links = (tab: { heard: LiveMessage[] }): string[] => tab.heard.filter((m) => m.kind === 'link').map((m) => (m.kind === 'link' ? m.link : ''));
const events = (tab: { heard: LiveMessage[] }): string[] => tab.heard.filter((m) => m.kind === 'event').map((m) => (m.kind === 'event' ? m.event : ''));

beforeEach(() => {
  vi.useFakeTimers({ now: 1_790_000_000_000 });
  opened = [];
  hub = new Hub((url, handlers) => {
    const item: Opened = { url, handlers, isClosed: false };
    opened.push(item);
    return { close: () => (item.isClosed = true) };
  });
});
afterEach(() => vi.useRealTimers());

describe('the one stream', () => {
  it('is opened once for the topics of all tabs', () => {
    hub.add(makeTab('test:1', 'agents'));
    hub.add(makeTab('tests', 'test:1'));
    vi.advanceTimersByTime(200);
    expect(opened.map((item) => decodeURIComponent(item.url))).toEqual(['/oculi/v1/stream?topics=agents,test:1,tests']);
  });
  it('follows topics, and closes when nobody listens', () => {
    const tab = makeTab('tests');
    hub.add(tab);
    vi.advanceTimersByTime(200);
    opened[0].handlers.open();
    tab.topics = ['agents'];
    hub.changed();
    vi.advanceTimersByTime(200);
    expect(opened.map((item) => item.isClosed)).toEqual([true, false]);
    hub.remove(tab);
    vi.advanceTimersByTime(200);
    expect(opened[1].isClosed).toBe(true);
  });
  it('asks pages to fetch once more when it opens, and hands events to every tab', () => {
    const [a, b] = [makeTab('tests'), makeTab('tests')];
    hub.add(a);
    hub.add(b);
    vi.advanceTimersByTime(200);
    opened[0].handlers.open();
    opened[0].handlers.event('round', '{"testId":"1"}');
    opened[0].handlers.event('ping', '{}');
    opened[0].handlers.event('round', 'not json');
    expect(events(a)).toEqual(['reset', 'round']);
    expect(events(b)).toEqual(['reset', 'round']);
  });
  it('says that it is lost, and tries again with growing pauses', () => {
    const tab = makeTab('tests');
    hub.add(tab);
    vi.advanceTimersByTime(200);
    opened[0].handlers.open();
    opened[0].handlers.fail();
    expect(links(tab)).toEqual(['idle', 'live', 'lost']);
    vi.advanceTimersByTime(1000);
    opened[1].handlers.fail();
    vi.advanceTimersByTime(1999);
    expect(opened.length).toBe(2);
    vi.advanceTimersByTime(1);
    opened[2].handlers.open();
    expect(links(tab)).toEqual(['idle', 'live', 'lost', 'live']);
  });
  it('does not believe a stream that says nothing for long', () => {
    const tab = makeTab('tests');
    hub.add(tab);
    vi.advanceTimersByTime(200);
    opened[0].handlers.open();
    vi.advanceTimersByTime(39_000);
    hub.tick();
    expect(links(tab).at(-1)).toBe('live');
    vi.advanceTimersByTime(2000);
    hub.tick();
    expect(links(tab).at(-1)).toBe('lost');
    expect(opened[0].isClosed).toBe(true);
  });
});
