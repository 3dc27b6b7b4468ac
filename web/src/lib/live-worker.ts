/* The shared worker: one hub for all tabs of this browser. Tabs send their topics, and a beat while they live. */
import { eventSource, Hub, type LiveMessage, type Tab } from './live';

const GONE_MS = 90_000;
const hub = new Hub(eventSource());
const tabs = new Map<MessagePort, Tab & { beat: number }>();

(self as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
  const port = event.ports[0];
  const tab = { topics: [] as string[], beat: Date.now(), send: (message: LiveMessage) => port.postMessage(message) };
  tabs.set(port, tab);
  port.onmessage = (message: MessageEvent<{ topics: string[] | null }>) => {
    tab.beat = Date.now();
    if (message.data.topics === null) {
      hub.remove(tab);
      tabs.delete(port);
      port.close();
      return;
    }
    const before = tab.topics.join();
    tab.topics = message.data.topics;
    if (before !== tab.topics.join()) hub.changed();
  };
  hub.add(tab);
  port.start();
};

setInterval(() => {
  hub.tick();
  for (const [port, tab] of tabs) {
    if (Date.now() - tab.beat <= GONE_MS) continue;
    hub.remove(tab);
    tabs.delete(port);
  }
}, 10_000);
