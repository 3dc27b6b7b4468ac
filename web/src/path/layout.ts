/*
 * The layered layout: agents in the left column, the target in the right one, every hop in the column its distance to
 * the target asks for; links go right. Within a column, nodes are ordered by the barycentre of their neighbours
 * (Sugiyama, Tagawa and Toda, 1981) and then pulled towards them without overlapping, by pooling adjacent violators
 * (isotonic regression). The work is linear in nodes and links but for sorting columns; `steps` counts it, so that a
 * check can hold it to a bound on any machine. Equal graphs give equal layouts.
 */
import type { Graph, GraphLink, Node } from './graph';

export interface LayoutOptions {
  width: number;
  left: number;   /* room for the agents' names */
  right: number;  /* room for the target's name */
  gap: number;    /* least distance of two nodes of a column */
  agentGap: number;
}

export interface Placed {
  x: Float64Array;
  y: Float64Array;
  column: Int32Array;
  columns: number[][];
  height: number;
  steps: number;
}

const SWEEPS = 6;
const PULLS = 6;
const MARGIN = 30;
const LEAST_DX = 12; /* a telephone is narrow; all columns shall be on it */

class Layout {
  readonly nodes: Node[];
  readonly links: GraphLink[];
  readonly into: number[][];
  readonly out: number[][];
  readonly column: Int32Array;
  readonly y: Float64Array;
  readonly rank: Float64Array;
  columns: number[][] = [];
  steps = 0;

  constructor(graph: Graph) {
    this.nodes = graph.nodes;
    this.links = graph.links;
    const count = graph.nodes.length;
    this.into = Array.from({ length: count }, () => []);
    this.out = Array.from({ length: count }, () => []);
    this.column = new Int32Array(count);
    this.y = new Float64Array(count);
    this.rank = new Float64Array(count);
    graph.links.forEach((link, i) => {
      this.steps++;
      if (link.isBack) return;
      this.out[link.from].push(i);
      this.into[link.to].push(i);
    });
  }

  /* Links count with their folded hops, so that folding moves nothing between columns more than it must. */
  assignColumns(): void {
    const { nodes, links, out, into, column } = this;
    const distance = new Int32Array(nodes.length);
    const waiting = out.map((list) => list.length);
    const ready: number[] = [];
    nodes.forEach((node, i) => {
      if (waiting[i] > 0) return;
      distance[i] = node.kind === 'target' ? 0 : Math.max(1, node.remaining);
      ready.push(i);
    });
    for (let head = 0; head < ready.length; head++) {
      const v = ready[head];
      this.steps++;
      for (const li of into[v]) {
        const u = links[li].from;
        this.steps++;
        distance[u] = Math.max(distance[u], distance[v] + 1);
        if (--waiting[u] === 0) ready.push(u);
      }
    }
    const used = new Set<number>();
    nodes.forEach((node, i) => {
      if (node.kind !== 'agent') used.add(distance[i]);
    });
    const byDistance = [...used].sort((a, b) => b - a);
    const columnOf = new Map(byDistance.map((d, i) => [d, i + 1]));
    nodes.forEach((node, i) => (column[i] = node.kind === 'agent' ? 0 : (columnOf.get(distance[i]) as number)));
    this.columns = Array.from({ length: byDistance.length + 1 }, () => []);
    nodes.forEach((_, i) => this.columns[column[i]].push(i));
  }

  #barycentre(edges: number[], end: 'from' | 'to', value: Float64Array, fallback: number): number {
    let sum = 0;
    let weight = 0;
    for (const li of edges) {
      const link = this.links[li];
      this.steps++;
      sum += value[link[end]] * link.traces.length;
      weight += link.traces.length;
    }
    return weight > 0 ? sum / weight : fallback;
  }

  #order(k: number, side: 'into' | 'out'): void {
    const members = this.columns[k];
    const end = side === 'into' ? 'from' : 'to';
    const wish = members.map((v, i) => ({ v, i, at: this.#barycentre(this[side][v], end, this.rank, this.rank[v]) }));
    wish.sort((a, b) => a.at - b.at || a.i - b.i);
    this.steps += members.length;
    wish.forEach((item, i) => {
      members[i] = item.v;
      this.rank[item.v] = (i + 0.5) / members.length;
    });
  }

  orderColumns(): void {
    for (const members of this.columns) members.forEach((v, i) => (this.rank[v] = (i + 0.5) / members.length));
    const last = this.columns.length - 1;
    for (let sweep = 0; sweep < SWEEPS; sweep++) {
      for (let k = last - 1; k >= 0; k--) this.#order(k, 'out');
      for (let k = 1; k <= last; k++) this.#order(k, 'into');
    }
    for (let k = last - 1; k >= 0; k--) this.#order(k, 'out');
  }

  /* Places a column as near to what its nodes wish as order and gap allow: least squares under a chain of bounds. */
  #pull(k: number, gap: number, sides: ('into' | 'out')[]): void {
    const members = this.columns[k];
    const blocks: { mean: number; size: number; first: number }[] = [];
    for (let i = 0; i < members.length; i++) {
      const v = members[i];
      const wishes = sides.filter((side) => this[side][v].length > 0).map((side) => this.#barycentre(this[side][v], side === 'into' ? 'from' : 'to', this.y, 0));
      const wish = wishes.length > 0 ? wishes.reduce((a, b) => a + b, 0) / wishes.length : this.y[v];
      let block = { mean: wish - i * gap, size: 1, first: i };
      this.steps++;
      while (blocks.length > 0 && blocks[blocks.length - 1].mean > block.mean) {
        const above = blocks.pop() as typeof block;
        const size = above.size + block.size;
        block = { mean: (above.mean * above.size + block.mean * block.size) / size, size, first: above.first };
        this.steps++;
      }
      blocks.push(block);
    }
    for (const block of blocks) {
      for (let i = block.first; i < block.first + block.size; i++) this.y[members[i]] = block.mean + i * gap;
    }
  }

  placeRows(gap: number, agentGap: number): void {
    const gapOf = (k: number): number => (k === 0 ? agentGap : gap);
    this.columns.forEach((members, k) => members.forEach((v, i) => (this.y[v] = (i - (members.length - 1) / 2) * gapOf(k))));
    const last = this.columns.length - 1;
    for (let pull = 0; pull < PULLS; pull++) {
      for (let k = 1; k <= last; k++) this.#pull(k, gapOf(k), ['into', 'out']);
      for (let k = last - 1; k >= 1; k--) this.#pull(k, gapOf(k), ['into', 'out']);
    }
    this.#pull(0, agentGap, ['out']);
  }
}

export function layoutGraph(graph: Graph, options: LayoutOptions): Placed {
  const layout = new Layout(graph);
  layout.assignColumns();
  layout.orderColumns();
  layout.placeRows(options.gap, options.agentGap);
  const { y, column, columns, nodes } = layout;
  let top = Infinity;
  let bottom = -Infinity;
  for (const value of y) {
    top = Math.min(top, value);
    bottom = Math.max(bottom, value);
  }
  const last = Math.max(1, columns.length - 1);
  const dx = Math.max(LEAST_DX, (options.width - options.left - options.right) / last);
  const x = new Float64Array(nodes.length);
  for (let i = 0; i < nodes.length; i++) {
    x[i] = options.left + column[i] * dx;
    y[i] = y[i] - top + MARGIN;
  }
  const height = nodes.length > 0 ? bottom - top + 2 * MARGIN : 2 * MARGIN;
  return { x, y, column, columns, height, steps: layout.steps };
}
