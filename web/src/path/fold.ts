/*
 * Chains of at least two plain hops (one way in, one way out, nothing to see) fold into one link which carries their
 * number. Problems, slow links, loops, and hops which a caller wants to keep are never folded away.
 */
import { isProblem, type Graph, type GraphLink, type Node } from './graph';

export interface FoldOptions {
  lossLimit: number;
  delayLimit: number;
  keep?: (node: Node) => boolean;
}

export function foldGraph(graph: Graph, options: FoldOptions): Graph {
  const { nodes, links } = graph;
  const into: GraphLink[][] = nodes.map(() => []);
  const out: GraphLink[][] = nodes.map(() => []);
  const direct = new Set<string>();
  for (const link of links) {
    out[link.from].push(link);
    into[link.to].push(link);
    direct.add(`${link.from}>${link.to}`);
  }
  const isCalm = (link: GraphLink): boolean => !link.isBack && link.delayMs < options.delayLimit;
  const isPlain = (node: Node): boolean =>
    (node.kind === 'hop' || node.kind === 'silent') &&
    into[node.id].length === 1 &&
    out[node.id].length === 1 &&
    isCalm(into[node.id][0]) &&
    isCalm(out[node.id][0]) &&
    !isProblem(node, options.lossLimit) &&
    !options.keep?.(node);
  const plain = nodes.map(isPlain);

  const gone = new Set<GraphLink>();
  const folded = new Set<number>();
  const added: GraphLink[] = [];
  for (const node of nodes) {
    if (!plain[node.id] || plain[into[node.id][0].from]) continue;
    const chain = [node];
    for (let next = out[node.id][0].to; plain[next]; next = out[next][0].to) chain.push(nodes[next]);
    if (chain.length < 2) continue;
    const first = into[node.id][0];
    const last = out[chain[chain.length - 1].id][0];
    if (direct.has(`${first.from}>${last.to}`)) continue;
    direct.add(`${first.from}>${last.to}`);
    const parts = [first, ...chain.map((member) => out[member.id][0])];
    for (const part of parts) gone.add(part);
    for (const member of chain) folded.add(member.id);
    added.push({
      from: first.from,
      to: last.to,
      traces: last.traces,
      delayMs: parts.reduce((sum, part) => sum + part.delayMs, 0),
      isMpls: parts.some((part) => part.isMpls),
      isBack: false,
      folded: chain.length,
      through: chain.map((member) => member.hop),
    });
  }
  if (folded.size === 0) return graph;

  const place = new Map<number, number>();
  const kept = nodes.filter((node) => !folded.has(node.id)).map((node, id) => {
    place.set(node.id, id);
    return { ...node, id };
  });
  const moved = [...links.filter((link) => !gone.has(link)), ...added].map((link) => ({
    ...link,
    from: place.get(link.from) as number,
    to: place.get(link.to) as number,
  }));
  return { nodes: kept, links: moved, target: graph.target };
}
