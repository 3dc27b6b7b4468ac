/* The state of a view, as its URL says it. `round` absent = the latest one, which moves on as rounds come in. */
import { flag, ids, text, when, whole, word } from '../lib/codec';
import { METRICS } from '../lib/metric';
import { resolveWhen } from '../lib/time';

export const viewSchema = {
  layer: text(),
  tab: word(['path', 'table'], 'path'),
  metric: word(METRICS.map((metric) => metric.id), 'loss'),
  from: when(''), /* '' = as far back as the test's age asks for */
  to: when('now'),
  round: whole(null, 1, 99_999_999_999),
  agents: ids(),
  agent: text(), /* id of the agent whose path is selected */
  node: text(), /* key of the node whose card is open */
  only: flag(false),
  fold: flag(true),
  as: word(['graph', 'table'], 'graph'),
  find: text(),
  loss: whole(10, 1, 100),
  delay: whole(50, 5, 500),
  sort: text('-loss'),
};

export const RANGES: { from: string; label: string }[] = [
  { from: '-1h', label: '1 h' },
  { from: '-6h', label: '6 h' },
  { from: '-24h', label: '24 h' },
  { from: '-7d', label: '7 d' },
];

/* The smallest of the ranges that holds everything since the first round; a day where that is longer than all. */
export function rangeFor(first: number | null, now: number): string {
  const age = first === null ? 0 : now - first;
  return RANGES.find((range) => age <= now - resolveWhen(range.from, now))?.from ?? '-24h';
}

/* Twice as wide around the same middle, not beyond now; the known ranges when that fits. */
export function zoomOut(from: number, to: number, now: number): { from: string; to: string } {
  const span = (to - from) * 2;
  const end = Math.min(now, Math.round((from + to) / 2 + span / 2));
  if (now - end < 120) {
    const hours = span / 3600;
    return { from: hours <= 6 ? '-6h' : hours <= 24 ? '-24h' : '-7d', to: 'now' };
  }
  return { from: String(Math.round(end - Math.min(span, 90 * 86400))), to: String(end) };
}
