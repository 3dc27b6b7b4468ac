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

export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.1) return value.toFixed(2);
  if (size < 10) return value.toFixed(1).replace(/\.0$/, '');
  return String(Math.round(value));
}

export function formatValue(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  return unit === '%' ? `${formatNumber(value)}%` : `${formatNumber(value)} ${unit}`;
}
