import { describe, expect, it } from 'vitest';
import { nodeNotes } from './describe';
import { foldGraph } from './fold';
import { agentsWithProblems, buildGraph, isProblem, type Graph } from './graph';
import { layoutGraph, type LayoutOptions, type Placed } from './layout';
import { findLoss } from './finding';
import { chanceOfAtMost, hopLosses } from './loss';
import { unpack } from './model';
import { sample, sampleWorld, type SampleTrace } from './sample';

const options: LayoutOptions = { width: 1200, left: 150, right: 150, gap: 27, agentGap: 27 };
const graphOf = (traces: SampleTrace[], losses = {}) => buildGraph(unpack(sample(traces, losses)));
const node = (graph: Graph, label: string) => {
  const found = graph.nodes.find((candidate) => candidate.label === label);
  if (!found) throw new Error(`no node ${label}`);
  return found;
};
const limits = { lossLimit: 10, delayLimit: 50 };

function expectSound(graph: Graph, placed: Placed): void {
  for (const link of graph.links) {
    if (!link.isBack) expect(placed.column[link.to]).toBeGreaterThan(placed.column[link.from]);
  }
  placed.columns.forEach((column, k) => {
    for (let i = 1; i < column.length; i++) {
      expect(placed.y[column[i]] - placed.y[column[i - 1]]).toBeGreaterThanOrEqual((k === 0 ? options.agentGap : options.gap) - 1e-6);
    }
  });
  graph.nodes.forEach((_, i) => {
    expect(placed.x[i]).toBeGreaterThanOrEqual(0);
    expect(placed.y[i]).toBeGreaterThanOrEqual(0);
    expect(placed.y[i]).toBeLessThanOrEqual(placed.height);
  });
}

describe('graph', () => {
  it('merges hops by address', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a m t' }, { agent: 'B', hops: 'b m t' }]);
    expect(graph.nodes.map((item) => item.label).sort()).toEqual(['A', 'B', 'a', 'b', 'm', 'target.example']);
    expect(node(graph, 'm').traces).toEqual([0, 1]);
    expect(graph.links.find((link) => link.from === node(graph, 'm').id)?.traces.length).toBe(2);
  });
  it('merges silent hops by the distance to the next answer, not by neighbours', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a * x t' }, { agent: 'B', hops: 'b * x t' }, { agent: 'C', hops: 'c * * x t' }]);
    expect(graph.nodes.filter((item) => item.kind === 'silent').map((item) => item.key).sort()).toEqual(['silent 1>x', 'silent 2>x']);
  });
  it('ends a trace with a cross at its last answer', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a m t' }, { agent: 'B', hops: 'b m * * *', end: 'silent' }]);
    expect(node(graph, 'm').ends).toBe(1);
    expect(graph.nodes.filter((item) => item.kind === 'silent')).toEqual([]);
  });
  it('puts the cross at the agent when nobody answered', () => {
    const graph = graphOf([{ agent: 'A', hops: '* * *', end: 'silent' }]);
    expect(node(graph, 'A').ends).toBe(1);
    expect(node(graph, 'target.example').traces).toEqual([]);
    expectSound(graph, layoutGraph(graph, options));
  });
  it('keeps a loop as a link back with a badge', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b c b c', end: 'loop' }, { agent: 'B', hops: 'x t' }]);
    expect(graph.links.filter((link) => link.isBack).length).toBe(1);
    expect(graph.nodes.filter((item) => item.isLoop).length).toBeGreaterThan(0);
    expectSound(graph, layoutGraph(graph, options));
  });
  it('survives traces that cross each other in opposite orders', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b t' }, { agent: 'B', hops: 'b a t' }]);
    expect(graph.links.filter((link) => link.isBack).length).toBe(1);
    expect(graph.nodes.some((item) => item.isLoop)).toBe(false);
    expectSound(graph, layoutGraph(graph, options));
  });
  it('marks MPLS links and slow links', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b!L=16 c t', rtts: [1, 2, 80, 81] }]);
    const link = (to: string) => graph.links.find((item) => item.to === node(graph, to).id);
    expect(link('b')?.isMpls).toBe(true);
    expect(link('c')?.isMpls).toBe(false);
    expect(link('c')?.delayMs).toBe(78);
  });
  it('marks tunnels that show no label, but not those that are only possible', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b!~3-hop_MPLS_tunnel c!~Possibly_2_hops_hidden_in_an_MPLS_tunnel t' }]);
    const link = (to: string) => graph.links.find((item) => item.to === node(graph, to).id);
    expect(link('b')?.isMpls).toBe(true);
    expect(link('c')?.isMpls).toBe(false);
    expect(nodeNotes(node(graph, 'b'))).toEqual(['3-hop MPLS tunnel']);
    expect(nodeNotes(node(graph, 'c'))).toEqual(['possibly 2 hops hidden in an MPLS tunnel']);
  });
  it('shows agents without traces', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a t' }], { A: 0, Z: null });
    expect(node(graph, 'Z').traces).toEqual([]);
    expectSound(graph, layoutGraph(graph, options));
  });
  it('is empty for a round without agents', () => {
    const graph = buildGraph(unpack(sample([])));
    expect(graph.nodes).toEqual([]);
    expect(layoutGraph(graph, options).columns.flat()).toEqual([]);
  });
});

describe('forwarding loss', () => {
  const many = (agent: string, hops: string, count: number, end?: 'silent'): SampleTrace[] =>
    Array.from({ length: count }, () => ({ agent, hops, end }));
  const lossAt = (traces: SampleTrace[], address: string, losses = {}) => {
    const paths = unpack(sample(traces, losses));
    return hopLosses(paths).get(paths.hops.findIndex((hop) => hop.address === address));
  };

  it('believes loss that persists on the hops behind, and charges the first that shows it', () => {
    const traces = many('A', 'a b x/3/2 y/3/2 t/3/2', 3);
    expect(lossAt(traces, 'x')?.forwarding).toBeCloseTo(33.3, 0);
    expect(lossAt(traces, 'y')?.forwarding).toBe(0);
    expect(lossAt(traces, 'y')?.inherited).toBeCloseTo(33.3, 0);
    expect(lossAt(traces, 'b')?.forwarding).toBe(0);
  });
  it('calls it limited replies when hops behind answer', () => {
    const loss = lossAt(many('A', 'a x/3/1 y t', 3), 'x');
    expect(loss).toMatchObject({ forwarding: 0, isLimited: true });
    expect(loss?.replyLoss).toBeCloseTo(66.7, 0);
  });
  it('is not misled by one lucky or one limited hop behind', () => {
    expect(lossAt(many('A', 'a x/2/1 y/1/1 z/2/1 u/2/1 t/2/1', 3), 'x')?.forwarding).toBe(50);
    expect(lossAt(many('A', 'a x/3/1 y/3/1 z u t', 3), 'x')?.forwarding).toBe(0);
  });
  it('is not misled about where it begins by few probes', () => {
    const traces = [...many('A', 'a b x/2/1 y/2/1 z/1/1 t/2/1', 1), ...many('A', 'a b x/1/1 y/1/1 z/3/1 t/2/1', 3), ...many('A', 'a b x/1/1 y/2/1 z/2/1 t/1/1', 2)];
    expect(lossAt(traces, 'x')?.forwarding).toBeGreaterThan(20);
    expect(lossAt(traces, 'y')?.forwarding).toBe(0);
  });
  it('tells a second fault from the first', () => {
    const traces = many('A', 'a x/10/9 y/10/9 z/10/3 u/10/3 v/10/3 t/10/3', 6);
    expect(lossAt(traces, 'x')?.forwarding).toBeCloseTo(10, 0);
    expect(lossAt(traces, 'y')?.forwarding).toBe(0);
    expect(lossAt(traces, 'z')?.forwarding).toBeCloseTo(70, 0);
    expect(lossAt(traces, 'u')?.forwarding).toBe(0);
  });
  it('knows the binomial distribution', () => {
    expect(chanceOfAtMost(0, 3, 50)).toBeCloseTo(0.125, 6);
    expect(chanceOfAtMost(1, 3, 50)).toBeCloseTo(0.5, 6);
    expect(chanceOfAtMost(3, 3, 50)).toBeCloseTo(1, 6);
    expect(chanceOfAtMost(0, 5, 0)).toBe(1);
  });
  it('says where it is, and no more than the traces say', () => {
    const say = (traces: SampleTrace[], losses: Record<string, number>) => {
      const paths = unpack(sample(traces, losses));
      return findLoss(paths, buildGraph(paths), 10);
    };
    const lossy = [...many('A', 'a b x/3/2 y/3/2 t/3/2', 3), ...many('B', 'd e t', 3)];
    expect(say(lossy, { A: 30, B: 0 })?.title).toBe('The loss is consistent with a fault between b and x.');
    expect(say(lossy, { A: 30, B: 0 })?.text).toBe('The one agent with loss crosses it, the healthy agent does not; 33% of the probes are lost from there on.');
    expect(say(many('A', 'a b * *', 3, 'silent'), { A: 100 })?.title).toBe('The loss is consistent with a fault at b or just behind it.');
    expect(say(lossy, { A: 0, B: 0 })).toBeNull();
    expect(say([...many('A', 'a x/3/1 y t', 3)], { A: 20 })).toBeNull();
  });
  it('asks for several traces', () => {
    expect(lossAt([{ agent: 'A', hops: 'a x/3/1 y/3/1 t/3/1' }], 'x')?.forwarding).toBe(0);
  });
  it('counts traces that end as loss there', () => {
    const traces = [...many('A', 'a x y t', 3), ...many('B', 'b x * * *', 2, 'silent')];
    expect(lossAt(traces, 'x', { A: 0, B: 100 })).toMatchObject({ forwarding: 40, ends: 2 });
  });
  it('asks for several of them too', () => {
    const traces = [...many('A', 'a x y t', 3), ...many('B', 'b x * * *', 1, 'silent')];
    expect(lossAt(traces, 'x', { A: 0, B: 30 })).toMatchObject({ forwarding: 0, ends: 1 });
  });
  it('charges a link once: the hop before it, when traces end there', () => {
    const traces = [...many('A', 'a x y/3/2 z/3/2 t/3/2', 3), ...many('A', 'a x * *', 2, 'silent')];
    expect(lossAt(traces, 'x', { A: 50 })?.forwarding).toBe(40);
    expect(lossAt(traces, 'y', { A: 50 })?.forwarding).toBe(0);
  });
  it('does not when the stream arrives: then the target only does not answer traces', () => {
    expect(lossAt(many('A', 'a x * *', 3, 'silent'), 'x', { A: 0 })).toMatchObject({ forwarding: 0, ends: 3 });
    expect(lossAt(many('A', 'a x * *', 3, 'silent'), 'x', { A: 90 })?.forwarding).toBe(100);
    expect(lossAt(many('A', 'a x * *', 3, 'silent'), 'x', { A: null })?.forwarding).toBe(100);
  });
  it('finds the agents that cross a problem', () => {
    const paths = unpack(sample([...many('A', 'a t', 2), ...many('B', 'b x/3/2 y/3/2 t/3/2', 3), ...many('C', 'c t/1/1', 2)], { C: 4 }));
    const graph = buildGraph(paths);
    expect([...agentsWithProblems(paths, graph, 10)].sort()).toEqual([1, 2]);
    expect(isProblem(graph.nodes[0], 10)).toBe(false);
  });
});

describe('folding', () => {
  it('folds chains of two or more plain hops into a number', () => {
    const folded = foldGraph(graphOf([{ agent: 'A', hops: 'a b c t' }]), limits);
    expect(folded.nodes.map((item) => item.kind)).toEqual(['agent', 'target']);
    expect(folded.links).toHaveLength(1);
    expect(folded.links[0]).toMatchObject({ folded: 3, from: 0, to: 1, delayMs: 4 });
  });
  it('leaves single hops, branches, problems and slow links', () => {
    const alone = graphOf([{ agent: 'A', hops: 'a t' }]);
    expect(foldGraph(alone, limits)).toBe(alone);
    const slow = foldGraph(graphOf([{ agent: 'A', hops: 'a b c d t', rtts: [1, 2, 90, 91, 92] }]), limits);
    expect(slow.nodes.map((item) => item.label)).toContain('c');
    const bad = foldGraph(graphOf(Array.from({ length: 3 }, () => ({ agent: 'A', hops: 'a b c/2/1 d/2/1 t/2/1' }))), limits);
    expect(bad.nodes.map((item) => item.label)).toContain('c');
  });
  it('keeps what it is asked to keep', () => {
    const graph = foldGraph(graphOf([{ agent: 'A', hops: 'a b c t' }]), { ...limits, keep: (item) => item.label === 'b' });
    expect(graph.nodes.map((item) => item.label)).toContain('b');
  });
  it('loses no trace', () => {
    const graph = buildGraph(unpack(sampleWorld(20, 14, 3)));
    const folded = foldGraph(graph, limits);
    const count = (g: Graph) => new Set(g.links.flatMap((link) => link.traces)).size;
    expect(count(folded)).toBe(count(graph));
    expect(folded.nodes.length).toBeLessThan(graph.nodes.length);
    expectSound(folded, layoutGraph(folded, options));
  });
});

describe('layout', () => {
  it('has no overlaps and links that go right', () => {
    for (const [agents, depth, flows] of [[1, 12, 3], [6, 12, 3], [40, 18, 4]]) {
      const graph = buildGraph(unpack(sampleWorld(agents, depth, flows)));
      expectSound(graph, layoutGraph(graph, options));
    }
  });
  it('puts agents left and the target right', () => {
    const graph = buildGraph(unpack(sampleWorld(6, 12, 3)));
    const placed = layoutGraph(graph, options);
    for (const item of graph.nodes) {
      if (item.kind === 'agent') expect(placed.x[item.id]).toBe(options.left);
      if (item.kind === 'target') expect(placed.x[item.id]).toBe(options.width - options.right);
    }
  });
  it('is the same for the same graph', () => {
    const make = () => layoutGraph(buildGraph(unpack(sampleWorld(30, 16, 3))), options);
    const [a, b] = [make(), make()];
    expect([...a.x]).toEqual([...b.x]);
    expect([...a.y]).toEqual([...b.y]);
  });
  it('draws one agent as a line', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b c t' }]);
    const placed = layoutGraph(graph, options);
    expect(new Set(placed.y).size).toBe(1);
  });
  it('keeps lost traces short of the target by the hops they miss', () => {
    const graph = graphOf([{ agent: 'A', hops: 'a b c d t' }, { agent: 'A', hops: 'x * * * *', end: 'silent' }]);
    const placed = layoutGraph(graph, options);
    expect(placed.column[node(graph, 'x').id]).toBe(placed.column[node(graph, 'a').id]);
  });
  it('stays within a linear number of steps at 3,000 nodes', () => {
    const graph = buildGraph(unpack(sampleWorld(200, 21, 2)));
    expect(graph.nodes.length).toBeGreaterThan(3000);
    const { steps } = layoutGraph(graph, options);
    expect(steps).toBeLessThan(60 * (graph.nodes.length + graph.links.length));
  });
});
