/* Times are epoch seconds. People read them in their own zone or in UTC, always with the zone, always 24 h. */

export function zoneName(utc: boolean, at = Date.now() / 1000): string {
  if (utc) return 'UTC';
  const parts = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts(at * 1000);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? 'local';
}

function parts(at: number, utc: boolean): { date: string; time: string; seconds: string } {
  const date = new Date(at * 1000);
  const shifted = utc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  const iso = shifted.toISOString();
  return { date: iso.slice(0, 10), time: iso.slice(11, 16), seconds: iso.slice(11, 19) };
}

export function formatTime(at: number, utc: boolean): string {
  const { date, time } = parts(at, utc);
  return `${date} ${time} ${zoneName(utc, at)}`;
}

export function formatClock(at: number, utc: boolean): string {
  return parts(at, utc).time;
}

export function formatDay(at: number, utc: boolean): string {
  return parts(at, utc).date.slice(5);
}

export function formatExact(at: number, utc: boolean): string {
  const { date, seconds } = parts(at, utc);
  return `${date} ${seconds} ${zoneName(utc, at)}`;
}

const steps: [number, string][] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

/* 90 -> "1 min", 7200 -> "2 h". */
export function formatSpan(seconds: number): string {
  for (const [size, unit] of steps) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return '0 s';
}

export function formatAgo(at: number, now: number): string {
  const age = Math.max(0, now - at);
  return age < 5 ? 'just now' : `${formatSpan(age)} ago`;
}

const unitSeconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/* "-24h", "now" or "1790000000" as epoch seconds. */
export function resolveWhen(value: string, now: number): number {
  if (value === 'now') return Math.floor(now);
  const relative = /^-(\d+)([smhdw])$/.exec(value);
  if (relative) return Math.floor(now - Number(relative[1]) * unitSeconds[relative[2]]);
  return Number(value);
}
