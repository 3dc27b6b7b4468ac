/*
 * Forwarding loss, told apart from routers that limit their replies.
 *
 * A router that does not answer every probe has lost nothing: answering is the least of its tasks. Loss at a hop is
 * believed only if it persists, that is, if the hops after it are missing answers as well in the traces that cross
 * it, and if several traces cross it. The share is the median over the hop and those after it, because one of them may
 * limit its replies and another may be lucky. Loss is charged to the first hop that shows it, so it happens on the way
 * to that hop; hops behind inherit it unless they lose significantly more. A round has few probes, so "first" counts
 * one lost probe where the share explains that not more were: a hop that happened to lose 1 of 7 stands before one that
 * lost 4 of 9, when a loss of 40 % makes both likely.
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
  isBehind: boolean; /* the forwarding loss lies behind this hop (traces end here), not on the way to it */
}

export const SEVERAL = 2;       /* traces that must cross a hop before its loss is believed */
const LEAST = 5;                /* percent: below is noise of few probes */
const UNLIKELY = 0.02;          /* chance below which a count is not explained by a share */
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

/* The chance that at most `lost` of `sent` probes are lost at a share of loss in percent (binomial). */
export function chanceOfAtMost(lost: number, sent: number, percent: number): number {
  const p = percent / 100;
  if (p <= 0) return 1;
  if (p >= 1) return lost >= sent ? 1 : 0;
  let term = sent * Math.log(1 - p);
  let sum = Math.exp(term);
  for (let k = 1; k <= lost; k++) {
    term += Math.log(((sent - k + 1) / k) * (p / (1 - p)));
    sum += Math.exp(term);
  }
  return Math.min(1, sum);
}

/* The share that persists from a hop on, 0 where nothing was lost at the hop itself. */
function persisting(tally: Tally): number {
  const lost = Math.max(0, tally.sent - tally.received);
  if (lost === 0 || tally.traces.size < SEVERAL) return 0;
  const own = share(tally.sent, tally.received);
  const shares = [own, ...[...tally.after.values()].map(([sent, received]) => share(sent, received))];
  const typical = median(shares);
  if (own >= typical) return typical;
  return chanceOfAtMost(lost, tally.sent, typical) >= UNLIKELY ? typical : own;
}

function judge(tallies: Map<number, Tally>): Map<number, HopLoss> {
  const persists = new Map<number, number>();
  for (const [hop, tally] of tallies) persists.set(hop, persisting(tally));
  const losses = new Map<number, HopLoss>();
  for (const [hop, tally] of tallies) {
    const lost = Math.max(0, tally.sent - tally.received);
    const own = share(tally.sent, tally.received);
    const stays = persists.get(hop) ?? 0;
    let inherited = 0;
    for (const before of tally.before) inherited = Math.max(inherited, persists.get(before) ?? 0, endedShare(tallies.get(before)));
    const isMore = inherited < LEAST || 1 - chanceOfAtMost(lost - 1, tally.sent, inherited) < UNLIKELY;
    const starts = stays >= LEAST && isMore ? stays : 0;
    const ended = endedShare(tally) >= LEAST ? endedShare(tally) : 0;
    const forwarding = Math.max(starts, ended);
    losses.set(hop, {
      crossing: tally.traces.size,
      sent: tally.sent,
      received: tally.received,
      replyLoss: own,
      forwarding,
      inherited: forwarding > 0 ? 0 : stays >= LEAST ? stays : 0,
      isLimited: own >= 10 && stays < own / 2,
      ends: tally.ends,
      isBehind: ended > starts,
    });
  }
  return losses;
}
