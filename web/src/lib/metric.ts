/* The metrics a timeline can show, and how values and states are said. */
import type { State } from './types';

export interface Metric {
  id: string;
  title: string;
  unit: string;
  thresholds: [number, number, number] | null; /* minor, major, critical; null = no fixed limits */
}

export const METRICS: readonly Metric[] = [
  { id: 'loss', title: 'Loss', unit: '%', thresholds: [1, 10, 50] },
  { id: 'avgLatency', title: 'Latency', unit: 'ms', thresholds: null },
  { id: 'jitter', title: 'Jitter', unit: 'ms', thresholds: null },
];

export function metricOf(id: string): Metric {
  return METRICS.find((metric) => metric.id === id) ?? METRICS[0];
}

export const STATE_WORDS: Record<State, string> = {
  ok: 'OK',
  minor: 'Minor',
  major: 'Major',
  critical: 'Critical',
  'no-data': 'No data',
};

export const STATE_ORDER: State[] = ['ok', 'no-data', 'minor', 'major', 'critical'];

export function stateOf(metric: Metric, value: number | null | undefined): State {
  if (value === null || value === undefined || Number.isNaN(value)) return 'no-data';
  if (!metric.thresholds) return 'ok';
  const [minor, major, critical] = metric.thresholds;
  return value >= critical ? 'critical' : value >= major ? 'major' : value >= minor ? 'minor' : 'ok';
}

const rounded = (value: number): number => Number(value.toPrecision(3));

/* A share in per cent, below ten to a tenth; never 100% while something is left, never 0% while there is something. */
export function formatShare(value: number): string {
  if (value > 0 && value < 0.1) return '< 0.1%';
  if (value > 99 && value < 100) return `${Math.min(99.9, Math.round(value * 10) / 10)}%`;
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)}%`;
}

/* A duration to three digits: "172 ms", "26.1 ms", "0.82 ms"; below a tenth of a millisecond in microseconds. */
export function formatDuration(ms: number): string {
  const value = Math.abs(ms) < 100 ? rounded(ms) : Math.round(ms);
  const size = Math.abs(value);
  if (size === 0) return '0 ms';
  if (size < 0.0001) return '< 0.1 µs';
  if (size < 0.1) return `${rounded(value * 1000)} µs`;
  return `${value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)} ms`;
}

/* 1 agent, 2 agents. */
export function countOf(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/* The one way a measured value is said. */
export function formatValue(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (unit === '%') return formatShare(value);
  return unit === 'ms' ? formatDuration(value) : `${rounded(value)} ${unit}`.trimEnd();
}

/* The marks of an axis: all in one unit, with no more digits than they differ by. */
export function formatTicks(ticks: readonly number[], unit: string): string[] {
  const most = Math.max(0, ...ticks);
  if (unit === '%') return ticks.map((tick) => `${rounded(tick)}%`);
  return unit === 'ms' && most < 0.5 ? ticks.map((tick) => `${rounded(tick * 1000)} µs`) : ticks.map((tick) => `${rounded(tick)} ${unit}`);
}
