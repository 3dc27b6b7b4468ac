/*
 * One sentence on where the loss is, when the traces say so: the hop with the most forwarding loss, which agents with
 * loss cross it, and whether healthy ones do. It never says more than that: "consistent with".
 */
import { formatNumber } from '../lib/metric';
import { isProblem, type Graph, type Node } from './graph';
import type { Paths } from './model';

export interface Finding {
  node: Node;
  title: string;
  text: string;
}

const FAILING = 5; /* percent of an agent's stream */

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

export function findLoss(paths: Paths, graph: Graph, lossLimit: number): Finding | null {
  const failing = new Set<number>();
  const healthy = new Set<number>();
  paths.agents.forEach((agent, i) => {
    if (agent.loss === null) return;
    if (agent.loss >= FAILING) failing.add(i);
    else if (agent.loss < 1) healthy.add(i);
  });
  if (failing.size === 0) return null;
  const crossing = (node: Node, set: Set<number>): number => [...set].filter((agent) => node.agents.has(agent)).length;
  const suspects = graph.nodes
    .filter((node) => node.kind === 'hop' && (node.loss?.forwarding ?? 0) >= lossLimit && isProblem(node, lossLimit) && crossing(node, failing) > 0)
    .sort((a, b) => crossing(b, failing) - crossing(a, failing) || (b.loss?.forwarding ?? 0) - (a.loss?.forwarding ?? 0));
  const node = suspects[0];
  if (!node) return null;
  const crossed = crossing(node, failing);
  const spared = crossing(node, healthy);
  const all = crossed === failing.size;
  const who = all ? (failing.size === 1 ? 'The one agent with loss crosses it' : `All ${failing.size} agents with loss cross it`) : `${crossed} of ${count(failing.size, 'agent')} with loss cross it`;
  const others = healthy.size === 0 ? 'no agent is without loss' : spared === 0 ? `none of the ${count(healthy.size, 'healthy agent')} does` : `so do ${spared} of ${count(healthy.size, 'healthy agent')}`;
  const place = node.info?.network ? `inside ${node.info.network}` : `at ${node.label}`;
  return {
    node,
    title: `The loss is consistent with a fault ${place}.`,
    text: `${who}, ${others}; ${formatNumber(node.loss?.forwarding ?? 0)}% of what it forwards is lost.`,
  };
}
