/*
 * From traces to a graph. Nodes merge by address. A hop that did not answer is merged by its distance to the next hop
 * that did: "two before 192.0.2.1" is one place whoever passes it, while merging by neighbours would make several of
 * one router. What is silent behind the last answer is no node; the trace ends there with a cross. An address that comes
 * again within a trace is a loop: the link back is kept as such and takes no part in the layout.
 */
import { hopLosses, type HopLoss } from './loss';
import { answered, type Hop, type HopInfo, type Paths, type Trace } from './model';

export type NodeKind = 'agent' | 'hop' | 'silent' | 'target';

export interface Node {
  id: number;
  key: string;
  kind: NodeKind;
  label: string;
  agent: number;       /* index for agents, -1 otherwise */
  hop: number;         /* index for hops and targets that answered, -1 otherwise */
  info: HopInfo | null;
  loss: HopLoss | null;
  agentLoss: number | null;
  rttMs: number | null; /* lowest seen: queueing only adds */
  mpls: string | null;
  tunnel: string | null; /* in words */
  traces: number[];
  agents: Set<number>;
  ends: number;
  isLoop: boolean;
  remaining: number;   /* hops to the target as traces that end here know it, 0 = not known */
}

export interface GraphLink {
  from: number;
  to: number;
  traces: number[];
  delayMs: number;
  isMpls: boolean;
  isBack: boolean;
  folded: number;      /* plain hops hidden in it */
  through: number[];   /* and what they were: hop indexes, -1 = silent */
}

export interface Graph {
  nodes: Node[];
  links: GraphLink[];
  target: string;
}

interface Builder extends Graph {
  byKey: Map<string, number>;
  byLink: Map<string, number>;
  delays: Map<GraphLink, number[]>;
}

function nodeOf(b: Builder, key: string, kind: NodeKind, label: string): Node {
  let id = b.byKey.get(key);
  if (id === undefined) {
    id = b.nodes.length;
    b.byKey.set(key, id);
    b.nodes.push({
      id, key, kind, label, agent: -1, hop: -1, info: null, loss: null, agentLoss: null, rttMs: null, mpls: null, tunnel: null,
      traces: [], agents: new Set(), ends: 0, isLoop: false, remaining: 0,
    });
  }
  return b.nodes[id];
}

function linkOf(b: Builder, from: number, to: number): GraphLink {
  const key = `${from}>${to}`;
  let index = b.byLink.get(key);
  if (index === undefined) {
    index = b.links.length;
    b.byLink.set(key, index);
    b.links.push({ from, to, traces: [], delayMs: 0, isMpls: false, isBack: false, folded: 0, through: [] });
  }
  return b.links[index];
}

/* "2>192.0.2.1": the distance to the next hop that answered, and who that was. */
function silentKey(paths: Paths, hops: Hop[], at: number): string {
  for (let i = at + 1; i < hops.length; i++) {
    if (hops[i].hop >= 0) return `${hops[i].ttl - hops[at].ttl}>${paths.hops[hops[i].hop].address}`;
  }
  return '';
}

function visit(node: Node, trace: Trace): void {
  if (node.traces[node.traces.length - 1] !== trace.index) node.traces.push(trace.index);
  node.agents.add(trace.agent);
}

/* A label was seen, or a tunnel is told by other signs; what is only possible is said at the hop and not drawn. */
function isInTunnel(hop: Hop): boolean {
  return hop.mpls !== null || (hop.tunnel !== null && !hop.tunnel.startsWith('Possibly'));
}

function addTrace(b: Builder, paths: Paths, trace: Trace, usual: number): void {
  const start = b.nodes[b.byKey.get(`agent ${trace.agent}`) as number];
  const hops = answered(trace);
  const seen = new Set<number>([start.id]);
  let previous = start;
  let lastRtt = 0;
  let inLabels = false;
  visit(start, trace);
  for (let i = 0; i < hops.length; i++) {
    const hop = hops[i];
    const isTarget = hop.hop >= 0 && hop.hop === trace.target;
    const info = hop.hop >= 0 ? paths.hops[hop.hop] : null;
    const key = info ? `hop ${info.address}` : `silent ${silentKey(paths, hops, i)}`;
    const node = nodeOf(b, key, info ? 'hop' : 'silent', info ? info.address : 'no reply');
    if (isTarget) node.kind = 'target';
    if (info) {
      node.info = info;
      node.hop = hop.hop;
      if (hop.rttMs !== null) node.rttMs = node.rttMs === null ? hop.rttMs : Math.min(node.rttMs, hop.rttMs);
      node.mpls ??= hop.mpls;
      node.tunnel ??= hop.tunnel;
    }
    if (node !== previous) {
      const link = linkOf(b, previous.id, node.id);
      if (link.traces[link.traces.length - 1] !== trace.index) link.traces.push(trace.index);
      if (seen.has(node.id)) node.isLoop = true;
      if (hop.rttMs !== null) {
        const list = b.delays.get(link) ?? [];
        list.push(Math.max(0, hop.rttMs - lastRtt));
        b.delays.set(link, list);
      }
      if (isInTunnel(hop) || (inLabels && info === null)) link.isMpls = true;
    } else if (info && hops.length > 1) node.isLoop = node.isLoop || trace.end === 'loop';
    inLabels = isInTunnel(hop) || (inLabels && info === null);
    if (hop.rttMs !== null) lastRtt = hop.rttMs;
    seen.add(node.id);
    visit(node, trace);
    previous = node;
  }
  if (trace.end !== 'reached') {
    previous.ends++;
    if (trace.end === 'loop') previous.isLoop = true;
    const ttl = hops.length > 0 ? hops[hops.length - 1].ttl : 0;
    if (usual > 0) previous.remaining = Math.max(previous.remaining, usual - ttl, 1);
  }
}

/* How long paths of an agent usually are; of all agents for one that reached nothing. */
function usualLengths(paths: Paths): (agent: number) => number {
  const byAgent = new Map<number, number>();
  let most = 0;
  for (const trace of paths.traces) {
    if (trace.end !== 'reached' || trace.hops.length === 0) continue;
    const length = trace.hops[trace.hops.length - 1].ttl;
    byAgent.set(trace.agent, Math.max(byAgent.get(trace.agent) ?? 0, length));
    most = Math.max(most, length);
  }
  return (agent) => byAgent.get(agent) ?? most;
}

/* Links that would go back: found by walking depth first from the agents, in a fixed order, without recursion. */
function markBackLinks(nodes: Node[], links: GraphLink[]): void {
  const out: number[][] = nodes.map(() => []);
  links.forEach((link, i) => out[link.from].push(i));
  const colour = new Uint8Array(nodes.length);
  for (let root = 0; root < nodes.length; root++) {
    if (colour[root] !== 0) continue;
    const stack: [number, number][] = [[root, 0]];
    colour[root] = 1;
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top[1] >= out[top[0]].length) {
        colour[top[0]] = 2;
        stack.pop();
        continue;
      }
      const link = links[out[top[0]][top[1]++]];
      if (colour[link.to] === 1) link.isBack = true;
      else if (colour[link.to] === 0) {
        colour[link.to] = 1;
        stack.push([link.to, 0]);
      }
    }
  }
}

export interface GraphOptions {
  agents?: ReadonlySet<number>; /* only the traces of these; undefined = all */
}

export function buildGraph(paths: Paths, options: GraphOptions = {}): Graph {
  const b: Builder = { nodes: [], links: [], target: paths.target, byKey: new Map(), byLink: new Map(), delays: new Map() };
  const losses = hopLosses(paths);
  const usual = usualLengths(paths);
  paths.agents.forEach((agent, i) => {
    if (options.agents && !options.agents.has(i)) return;
    const node = nodeOf(b, `agent ${i}`, 'agent', agent.name);
    node.agent = i;
    node.agentLoss = agent.loss;
    node.agents.add(i);
  });
  for (const trace of paths.traces) {
    if (!options.agents || options.agents.has(trace.agent)) addTrace(b, paths, trace, usual(trace.agent));
  }
  b.links.forEach((link) => {
    const list = (b.delays.get(link) ?? []).sort((x, y) => x - y);
    link.delayMs = list.length > 0 ? list[(list.length - 1) >> 1] : 0;
  });
  const targets = b.nodes.filter((node) => node.kind === 'target');
  for (const node of b.nodes) {
    if (node.hop >= 0) node.loss = losses.get(node.hop) ?? null;
    if (node.kind === 'target') node.label = targets.length > 1 ? `${paths.target} (${node.label})` : paths.target;
  }
  if (targets.length === 0 && b.nodes.length > 0) nodeOf(b, 'target', 'target', paths.target);
  markBackLinks(b.nodes, b.links);
  return { nodes: b.nodes, links: b.links, target: paths.target };
}

/* What a person should look at: loss that is believed, an end, a loop. */
export function isProblem(node: Node, lossLimit: number): boolean {
  if (node.kind === 'agent') return (node.agentLoss ?? 0) >= 1 || node.ends > 0;
  return node.ends > 0 || node.isLoop || (node.loss?.forwarding ?? 0) >= lossLimit;
}

/* Agents with loss, with a trace that did not arrive, or whose traces cross a hop that loses. */
export function agentsWithProblems(paths: Paths, graph: Graph, lossLimit: number): Set<number> {
  const agents = new Set<number>();
  paths.agents.forEach((agent, i) => {
    if ((agent.loss ?? 0) >= 1) agents.add(i);
  });
  for (const trace of paths.traces) if (trace.end !== 'reached') agents.add(trace.agent);
  for (const node of graph.nodes) {
    if ((node.loss?.forwarding ?? 0) >= lossLimit) for (const agent of node.agents) agents.add(agent);
  }
  return agents;
}
