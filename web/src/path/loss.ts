/*
 * Forwarding loss, told apart from routers that limit their replies.
 *
 * A router that does not answer every probe has lost nothing: answering is the least of its tasks. Loss at a hop is
 * believed only if it persists, that is, if the hops after it are missing answers as well in the traces that cross
 * it, and if several traces cross it. Then the share is what persists: the lower of the loss at the hop itself and the
 * median of the losses after it. (The median, because one hop after it may limit its replies, and another may be lucky.)
 * It is charged to the first hop that shows it; hops behind only inherit it.
 *
 * Traces that end at a hop lost everything behind it, so their share counts as loss too; unless the agent's own
 * stream arrives well while none of its traces does, for then the target does not answer traces.
 */
import { answered, type Hop, type Paths } from './model';

export interface HopLoss {
  crossing: number;  /* traces that cross or end here */
  sent: number;
  received: number;
  replyLoss: number; /* percent of the probes to this hop without an answer */
  forwarding: number; /* percent lost here, 0 = none that can be believed */
  inherited: number; /* percent that persists from a hop before */
  isLimited: boolean; /* misses answers, while hops behind do not: replies limited */
  ends: number;      /* traces that end here without reaching the target */
}

export const SEVERAL = 2;       /* traces that must cross a hop before its loss is believed */
const LEAST = 5;                /* percent: below is noise of few probes */
const STREAM_WELL = 1;          /* percent of loss that still counts as an agent whose stream arrives */

interface Tally {
  traces: Set<number>;
  sent: number;
  received: number;
  after: Map<number, [sent: number, received: number]>;
  ends: number;
  lostEnds: number;
  before: Set<number>;
}

const share = (sent: number, received: number): number => (sent > 0 ? (100 * (sent - Math.min(sent, received))) / sent : 0);

function median(values: number[]): number {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/* Agents whose stream arrives although no trace of theirs does. */
function hiddenTargets(paths: Paths): Set<number> {
  const reached = new Set<number>();
  for (const trace of paths.traces) if (trace.end === 'reached') reached.add(trace.agent);
  const hidden = new Set<number>();
  paths.agents.forEach((agent, i) => {
    if (!reached.has(i) && agent.loss !== null && agent.loss < STREAM_WELL) hidden.add(i);
  });
  return hidden;
}

function addAfter(tally: Tally, hops: Hop[], from: number, isEnd: boolean): void {
  for (let k = from; k < hops.length; k++) {
    const distance = k - from + 1;
    const pool = tally.after.get(distance) ?? [0, 0];
    pool[0] += hops[k].sent;
    pool[1] += hops[k].received;
    tally.after.set(distance, pool);
  }
  if (isEnd) {
    const pool = tally.after.get(hops.length - from + 1) ?? [0, 0];
    pool[0] += 1;
    tally.after.set(hops.length - from + 1, pool);
  }
}

/* By hop index. */
export function hopLosses(paths: Paths): Map<number, HopLoss> {
  const tallies = new Map<number, Tally>();
  const hidden = hiddenTargets(paths);
  for (const trace of paths.traces) {
    const hops = answered(trace);
    const isEnd = trace.end !== 'reached' && !hidden.has(trace.agent);
    let previous = -1;
    for (let i = 0; i < hops.length; i++) {
      const hop = hops[i];
      if (hop.hop < 0) continue;
      let tally = tallies.get(hop.hop);
      if (!tally) {
        tally = { traces: new Set(), sent: 0, received: 0, after: new Map(), ends: 0, lostEnds: 0, before: new Set() };
        tallies.set(hop.hop, tally);
      }
      const isLast = i === hops.length - 1;
      if (!tally.traces.has(trace.index)) {
        tally.traces.add(trace.index);
        tally.sent += hop.sent;
        tally.received += hop.received;
        addAfter(tally, hops, i + 1, isEnd && trace.end !== 'loop');
        if (previous >= 0) tally.before.add(previous);
      }
      if (isLast && trace.end !== 'reached') {
        tally.ends++;
        if (isEnd && trace.end !== 'loop') tally.lostEnds++;
      }
      previous = hop.hop;
    }
  }
  return judge(tallies);
}

/* Percent of the traces here that got no further; a single one of them proves nothing. What the next hops then lose is lost on the same links. */
function endedShare(tally: Tally | undefined): number {
  return tally && tally.lostEnds >= SEVERAL ? (100 * tally.lostEnds) / tally.traces.size : 0;
}

function judge(tallies: Map<number, Tally>): Map<number, HopLoss> {
  const persists = new Map<number, number>();
  for (const [hop, tally] of tallies) {
    const own = share(tally.sent, tally.received);
    const after = tally.after.size === 0 ? own : median([...tally.after.values()].map(([sent, received]) => share(sent, received)));
    persists.set(hop, tally.traces.size >= SEVERAL ? Math.min(own, after) : 0);
  }
  const losses = new Map<number, HopLoss>();
  for (const [hop, tally] of tallies) {
    const own = share(tally.sent, tally.received);
    const stays = persists.get(hop) ?? 0;
    let inherited = 0;
    for (const before of tally.before) inherited = Math.max(inherited, persists.get(before) ?? 0, endedShare(tallies.get(before)));
    const starts = stays >= LEAST && inherited < stays / 2 ? stays : 0;
    const ended = endedShare(tally);
    const forwarding = Math.max(starts, ended >= LEAST ? ended : 0);
    losses.set(hop, {
      crossing: tally.traces.size,
      sent: tally.sent,
      received: tally.received,
      replyLoss: own,
      forwarding,
      inherited: forwarding > 0 ? 0 : stays >= LEAST ? stays : 0,
      isLimited: own >= 10 && stays < own / 2,
      ends: tally.ends,
    });
  }
  return losses;
}
