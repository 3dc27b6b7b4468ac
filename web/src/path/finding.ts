/*
 * One sentence on where the loss is, when the traces say so: the hop with the most forwarding loss, which agents with
 * loss cross it, and whether healthy ones do. It never says more than that: "consistent with".
 */
import { formatShare } from '../lib/metric';
import { isProblem, type Graph, type Node } from './graph';
import type { Paths } from './model';

export interface Finding {
  node: Node;
  title: string;
  text: string;
}

const FAILING = 5; /* percent of an agent's stream */

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

/* Loss shows at the first hop behind it: the fault is on the way to the hop, or in front of it where traces end. */
function placeOf(node: Node, graph: Graph): string {
  const network = node.info?.network;
  if (node.loss?.isBehind) return `at ${node.label} or just behind it${network ? `, in ${network}` : ''}`;
  const before = graph.links.filter((link) => link.to === node.id && !link.isBack).map((link) => graph.nodes[link.from]);
  const known = before.filter((other) => other.info !== null);
  if (before.length !== 1 || known.length !== 1) return `on the way to ${node.label}${network ? ` in ${network}` : ''}`;
  const other = known[0].info?.network;
  if (network && other === network) return `inside ${network}, between ${known[0].label} and ${node.label}`;
  return `between ${known[0].label}${other ? ` in ${other}` : ''} and ${node.label}${network ? ` in ${network}` : ''}`;
}

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
  const others = healthy.size === 0 ? 'no agent is without loss' : spared === 0 ? (healthy.size === 1 ? 'the healthy agent does not' : `none of the ${healthy.size} healthy agents does`) : `so do ${spared} of ${count(healthy.size, 'healthy agent')}`;
  const share = formatShare(node.loss?.forwarding ?? 0);
  const lost = node.loss?.isBehind ? `${share} of the traces get no further` : `${share} of the probes are lost from there on`;
  return { node, title: `The loss is consistent with a fault ${placeOf(node, graph)}.`, text: `${who}, ${others}; ${lost}.` };
}
