/* The seconds of a continuous round: digits of the server, 0 (nothing lost) to 9 (all), - (not measured). */
import { formatExact } from './time';

export interface Seconds {
  measured: number;
  lost: number[]; /* of the round, from 0 */
}

export function readSeconds(digits: string): Seconds {
  const lost = [...digits].flatMap((digit, second) => (digit >= '1' && digit <= '9' ? [second] : []));
  return { measured: [...digits].filter((digit) => digit !== '-').length, lost };
}

/* "Loss in 4 of 60 seconds: 14:05:20 to 14:05:22, 14:05:40" */
export function describeSeconds(digits: string, roundId: number, utc: boolean): string {
  const { measured, lost } = readSeconds(digits);
  if (lost.length === 0) return `No loss in ${measured} seconds`;
  const clock = (second: number): string => formatExact(roundId + second, utc).slice(11, 19);
  const runs: [number, number][] = [];
  for (const second of lost) {
    const last = runs.at(-1);
    if (last && last[1] === second - 1) last[1] = second;
    else runs.push([second, second]);
  }
  const shown = runs.slice(0, 5).map(([first, last]) => (first === last ? clock(first) : `${clock(first)} to ${clock(last)}`));
  return `Loss in ${lost.length} of ${measured} seconds: ${shown.join(', ')}${runs.length > 5 ? ' and more' : ''}`;
}
