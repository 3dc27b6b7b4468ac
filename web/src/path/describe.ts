/* What a node is in words: for tooltips, the live region, tables and files. */
import { formatShare, formatValue } from '../lib/metric';
import type { Node } from './graph';

export function nodeNotes(node: Node): string[] {
  const notes: string[] = [];
  const loss = node.loss;
  if (loss && loss.forwarding > 0) notes.push(`${formatShare(loss.forwarding)} forwarding loss`);
  else if (loss?.isLimited) notes.push(`replies limited (${formatShare(loss.replyLoss)} unanswered, hops behind answer)`);
  else if (loss && loss.inherited > 0) notes.push(`${formatShare(loss.inherited)} loss begins before it`);
  if (node.tunnel !== null) notes.push(node.tunnel[0].toLowerCase() + node.tunnel.slice(1));
  if (node.ends > 0) notes.push(`${node.ends} ${node.ends === 1 ? 'trace ends' : 'traces end'} here`);
  if (node.isLoop) notes.push('loop');
  return notes;
}

export function nodeText(node: Node, agentText = ''): string {
  const traces = `${node.traces.length} ${node.traces.length === 1 ? 'trace' : 'traces'}`;
  if (node.kind === 'agent') return [node.label, agentText, node.traces.length === 0 ? 'no trace in this round' : traces, ...nodeNotes(node)].filter((part) => part !== '').join(' · ');
  if (node.kind === 'silent') return `No reply · ${traces}`;
  if (node.kind === 'target' && node.traces.length === 0) return `${node.label} · no trace reached it`;
  return [node.label, node.info?.network ?? '', formatValue(node.rttMs, 'ms'), ...nodeNotes(node), traces].filter((part) => part !== '').join(' · ');
}
