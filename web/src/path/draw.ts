/*
 * Drawing a laid-out graph with a pen: the canvas on the page, or the SVG of an export. What is drawn where is decided
 * here once for both. Labels are placed by importance, and one that would cover another goes below or stays away.
 */
import { formatDuration, formatShare } from '../lib/metric';
import type { State } from '../lib/types';
import { isProblem, type Graph, type GraphLink, type Node } from './graph';
import type { Placed } from './layout';

export type Pen = Pick<
  CanvasRenderingContext2D,
  | 'beginPath' | 'moveTo' | 'lineTo' | 'bezierCurveTo' | 'arc' | 'closePath' | 'roundRect' | 'fill' | 'stroke' | 'fillRect'
  | 'fillText' | 'strokeText' | 'measureText' | 'setLineDash' | 'fillStyle' | 'strokeStyle' | 'lineWidth' | 'globalAlpha'
  | 'font' | 'textAlign' | 'textBaseline' | 'lineJoin'
>;

export type Colours = Record<
  | 'panel' | 'fg' | 'fg2' | 'fg3' | 'link' | 'hop' | 'ok' | 'minor' | 'major' | 'critical' | 'no-data' | 'mpls' | 'line2' | 'accent'
  | 'ok-t' | 'minor-t' | 'major-t' | 'critical-t' | 'no-data-t',
  string
>;
export const COLOUR_NAMES: (keyof Colours)[] = [
  'panel', 'fg', 'fg2', 'fg3', 'link', 'hop', 'ok', 'minor', 'major', 'critical', 'no-data', 'mpls', 'line2', 'accent',
  'ok-t', 'minor-t', 'major-t', 'critical-t', 'no-data-t',
];

export interface Scene {
  graph: Graph;
  placed: Placed;
  width: number;
  height: number;
  scale: number;  /* of y; x is always fitted */
  shift: number;
  colours: Colours;
  agentMark: (agent: number) => { state: State; text: string };
  lit: ReadonlySet<number> | null;     /* traces that stand out; null = all alike */
  numbers: ReadonlyMap<number, string> | null; /* hop numbers of the selected agent, by hop index */
  focus: number;  /* node under the pointer or the keyboard, -1 = none */
  picked: number; /* node whose card is open */
  found: ReadonlySet<number>;          /* nodes that match what is searched */
  lossLimit: number;
  delayLimit: number;
  targetBelow: boolean;                /* narrow: the target's name goes under it */
}

const SANS = '"Inter Variable", system-ui, sans-serif';
const MONO = '"JetBrains Mono Variable", ui-monospace, monospace';
const DIM = 0.16;

interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

export function yOf(scene: Scene, id: number): number {
  return scene.placed.y[id] * scene.scale + scene.shift;
}

export function nodeRadius(scene: Scene, node: Node): number {
  const isBig = node.kind === 'agent' || node.kind === 'target';
  if (scene.scale < 0.25) return isBig ? 3 : 2;
  if (scene.scale < 0.6) return isBig ? 5 : 3.2;
  return isBig ? 7 : 5;
}

export function shape(pen: Pen, x: number, y: number, r: number, state: State): void {
  pen.beginPath();
  if (state === 'minor') {
    pen.moveTo(x, y - r * 1.15);
    pen.lineTo(x + r * 1.15, y + r);
    pen.lineTo(x - r * 1.15, y + r);
    pen.closePath();
  } else if (state === 'major') {
    pen.moveTo(x, y - r * 1.25);
    pen.lineTo(x + r * 1.25, y);
    pen.lineTo(x, y + r * 1.25);
    pen.lineTo(x - r * 1.25, y);
    pen.closePath();
  } else if (state === 'critical') {
    const q = r * 1.1;
    const h = q * 0.42;
    pen.moveTo(x - h, y - q);
    for (const [dx, dy] of [[h, -q], [q, -h], [q, h], [h, q], [-h, q], [-q, h], [-q, -h]]) pen.lineTo(x + dx, y + dy);
    pen.closePath();
  } else {
    pen.moveTo(x + r, y);
    pen.arc(x, y, r, 0, 2 * Math.PI);
  }
}

class Painter {
  readonly pen: Pen;
  readonly scene: Scene;
  readonly taken: Rect[] = [];

  constructor(pen: Pen, scene: Scene) {
    this.pen = pen;
    this.scene = scene;
  }

  isLit(traces: readonly number[]): boolean {
    const { lit } = this.scene;
    return lit === null || traces.some((trace) => lit.has(trace));
  }

  at(node: Node): { x: number; y: number } {
    return { x: this.scene.placed.x[node.id], y: yOf(this.scene, node.id) };
  }

  isFree(rect: Rect): boolean {
    return !this.taken.some((other) => rect.x < other.x + other.w && other.x < rect.x + rect.w && rect.y < other.y + other.h && other.y < rect.y + rect.h);
  }

  links(): void {
    const { graph, scene, pen } = { graph: this.scene.graph, scene: this.scene, pen: this.pen };
    interface Group {
      colour: string;
      width: number;
      alpha: number;
      dash: number[];
      members: GraphLink[];
    }
    const groups = new Map<string, Group>();
    for (const link of graph.links) {
      const isLit = this.isLit(link.traces);
      const isSlow = link.delayMs >= scene.delayLimit;
      const colour = isSlow ? scene.colours.major : link.isMpls ? scene.colours.mpls : scene.colours.link;
      const thin = scene.scale < 0.25 ? 0.6 : 1;
      const width = Math.min(5, 1 + Math.log2(1 + link.traces.length) * 0.6) * thin + (isLit && scene.lit ? 0.8 : 0);
      const alpha = isLit ? (scene.lit ? 1 : 0.85) : DIM;
      const toSilent = graph.nodes[link.to].kind === 'silent' || graph.nodes[link.from].kind === 'silent';
      const key = `${isLit ? 1 : 0}${colour}${width.toFixed(1)}${toSilent ? 'd' : ''}`;
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { colour, width, alpha, dash: toSilent ? [2, 4] : [], members: [] }));
      group.members.push(link);
    }
    for (const [, group] of [...groups].sort((a, b) => a[1].alpha - b[1].alpha)) {
      pen.globalAlpha = group.alpha;
      pen.strokeStyle = group.colour;
      pen.lineWidth = group.width;
      pen.setLineDash(group.dash);
      pen.beginPath();
      for (const link of group.members) this.curve(link);
      pen.stroke();
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  curve(link: GraphLink): void {
    const a = this.at(this.scene.graph.nodes[link.from]);
    const b = this.at(this.scene.graph.nodes[link.to]);
    this.pen.moveTo(a.x, a.y);
    if (link.isBack) {
      const lift = 34 + Math.abs(a.x - b.x) * 0.18;
      this.pen.bezierCurveTo(a.x, Math.min(a.y, b.y) - lift, b.x, Math.min(a.y, b.y) - lift, b.x, b.y);
    } else {
      const middle = (a.x + b.x) / 2;
      this.pen.bezierCurveTo(middle, a.y, middle, b.y, b.x, b.y);
    }
  }

  pill(x: number, y: number, text: string, colour: string, ink: string, alpha: number): boolean {
    const { pen, scene } = this;
    pen.font = `500 10px ${MONO}`;
    const w = pen.measureText(text).width + 9;
    const rect = { x: x - w / 2, y: y - 7.5, w, h: 15 };
    if (!this.isFree(rect)) return false;
    this.taken.push(rect);
    pen.globalAlpha = alpha;
    pen.fillStyle = scene.colours.panel;
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.roundRect(rect.x, rect.y, w, 15, 7.5);
    pen.fill();
    pen.stroke();
    pen.fillStyle = ink;
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    pen.fillText(text, x, y + 0.5);
    pen.globalAlpha = 1;
    return true;
  }

  pills(): void {
    const { scene } = this;
    if (scene.scale < 0.5) return;
    const { nodes, links } = scene.graph;
    const worst = links
      .filter((link) => !link.isBack && (link.folded > 0 || link.delayMs >= scene.delayLimit))
      .sort((a, b) => (b.delayMs >= scene.delayLimit ? b.delayMs : 0) - (a.delayMs >= scene.delayLimit ? a.delayMs : 0));
    for (const link of worst) {
      const a = this.at(nodes[link.from]);
      const b = this.at(nodes[link.to]);
      const alpha = this.isLit(link.traces) ? 1 : 0.25;
      const isSlow = link.delayMs >= scene.delayLimit;
      const colour = isSlow ? scene.colours.major : link.isMpls ? scene.colours.mpls : scene.colours.line2;
      const text = isSlow ? formatDuration(link.delayMs) : String(link.folded);
      this.pill((a.x + b.x) / 2, (a.y + b.y) / 2, text, colour, isSlow ? scene.colours['major-t'] : scene.colours.fg2, alpha);
    }
  }

  agent(node: Node, x: number, y: number, r: number): void {
    const { pen, scene } = this;
    const mark = scene.agentMark(node.agent);
    shape(pen, x, y, r, mark.state);
    if (mark.state === 'no-data') {
      pen.fillStyle = scene.colours.panel;
      pen.fill();
      pen.setLineDash([3, 2]);
      pen.strokeStyle = scene.colours['no-data'];
      pen.lineWidth = 1.5;
      pen.stroke();
      pen.setLineDash([]);
      return;
    }
    pen.fillStyle = scene.colours[mark.state];
    pen.fill();
    if (mark.state === 'minor') {
      pen.strokeStyle = scene.colours['minor-t'];
      pen.lineWidth = 0.8;
      pen.stroke();
    }
  }

  hop(node: Node, x: number, y: number, r: number): void {
    const { pen, scene } = this;
    const isBad = (node.loss?.forwarding ?? 0) >= scene.lossLimit;
    shape(pen, x, y, r, 'ok');
    pen.fillStyle = node.kind === 'silent' ? scene.colours.panel : node.loss?.isLimited && !isBad ? scene.colours.panel : scene.colours.hop;
    pen.fill();
    pen.lineWidth = isBad ? 3 : node.kind === 'silent' ? 1 : 1.6;
    pen.strokeStyle = isBad ? scene.colours.critical : node.kind === 'silent' ? scene.colours['no-data'] : node.loss?.isLimited ? scene.colours.hop : scene.colours.panel;
    if (node.kind === 'silent') pen.setLineDash([2, 2]);
    pen.stroke();
    pen.setLineDash([]);
    if (isBad) {
      pen.beginPath();
      pen.moveTo(x + r + 4, y);
      pen.arc(x, y, r + 4, 0, 2 * Math.PI);
      pen.lineWidth = 1;
      pen.stroke();
    }
  }

  cross(x: number, y: number, r: number): void {
    const { pen, scene } = this;
    const left = x + r + 5;
    const s = Math.max(2.5, r * 0.75);
    pen.strokeStyle = scene.colours['critical-t'];
    pen.lineWidth = 2.2;
    pen.beginPath();
    pen.moveTo(left, y - s);
    pen.lineTo(left + 2 * s, y + s);
    pen.moveTo(left + 2 * s, y - s);
    pen.lineTo(left, y + s);
    pen.stroke();
  }

  nodes(): void {
    const { pen, scene } = this;
    const order = [...scene.graph.nodes].sort((a, b) => Number(isProblem(a, scene.lossLimit)) - Number(isProblem(b, scene.lossLimit)));
    for (const node of order) {
      const { x, y } = this.at(node);
      const r = nodeRadius(scene, node);
      if (y < -20 || y > scene.height + 20) continue;
      pen.globalAlpha = this.isLit(node.traces) || (node.kind === 'target' && node.traces.length === 0) ? 1 : 0.24;
      if (node.kind === 'agent') this.agent(node, x, y, r);
      else if (node.kind === 'target') {
        shape(pen, x, y, r, 'ok');
        pen.fillStyle = node.traces.length > 0 ? scene.colours.fg : scene.colours.panel;
        pen.fill();
        pen.strokeStyle = scene.colours.fg;
        pen.lineWidth = 1.2;
        pen.stroke();
      } else this.hop(node, x, y, r);
      if (node.ends > 0) this.cross(x, y, r);
      if (node.id === scene.focus || node.id === scene.picked || scene.found.has(node.id)) {
        pen.beginPath();
        pen.moveTo(x + r + 5, y);
        pen.arc(x, y, r + 5, 0, 2 * Math.PI);
        pen.strokeStyle = scene.colours.accent;
        pen.lineWidth = 2;
        pen.stroke();
      }
      this.taken.push({ x: x - r - 1, y: y - r - 1, w: 2 * r + 2, h: 2 * r + 2 });
    }
    pen.globalAlpha = 1;
  }

  /* Tries the places in turn; `must` draws at the first one when none is free. */
  label(text: string, font: string, ink: string, places: [number, number, CanvasTextAlign][], must: boolean, size: number): void {
    const { pen, scene } = this;
    pen.font = font;
    const w = pen.measureText(text).width;
    let chosen: [number, number, CanvasTextAlign] | null = null;
    let taken: Rect | null = null;
    for (const [px, py, align] of places) {
      const left = align === 'center' ? px - w / 2 : align === 'right' ? px - w : px;
      const rect = { x: left - 2, y: py - size / 2 - 1, w: w + 4, h: size + 2 };
      if (rect.x < 0 || rect.x + rect.w > scene.width || rect.y < 0 || rect.y + rect.h > scene.height) continue;
      if (!this.isFree(rect)) continue;
      chosen = [px, py, align];
      taken = rect;
      break;
    }
    if (!chosen) {
      if (!must || places.length === 0) return;
      chosen = places[0];
    } else if (taken) this.taken.push(taken);
    pen.textAlign = chosen[2];
    pen.textBaseline = 'middle';
    pen.lineJoin = 'round';
    pen.strokeStyle = scene.colours.panel;
    pen.lineWidth = 3.5;
    pen.strokeText(text, chosen[0], chosen[1]);
    pen.fillStyle = ink;
    pen.fillText(text, chosen[0], chosen[1]);
  }

  agentLabel(node: Node, x: number, y: number): void {
    const { pen, scene } = this;
    const mark = scene.agentMark(node.agent);
    let right = x - 14;
    pen.textAlign = 'right';
    pen.textBaseline = 'middle';
    if (mark.text !== '') {
      pen.font = `500 11px ${SANS}`;
      pen.fillStyle = scene.colours[`${mark.state}-t`];
      pen.fillText(mark.text, right, y);
      right -= pen.measureText(mark.text).width + 7;
    }
    pen.font = `500 12px ${SANS}`;
    pen.fillStyle = scene.colours.fg;
    let name = node.label;
    while (name.length > 3 && pen.measureText(name).width > right - 6) name = `${name.replace(/…$/, '').slice(0, -1)}…`;
    pen.fillText(name, right, y);
  }

  around(node: Node): [number, number, CanvasTextAlign][] {
    const { x, y } = this.at(node);
    return [
      [x, y - 17, 'center'],
      [x, y + 18, 'center'],
      [x + 14, y - 13, 'left'],
      [x - 14, y - 13, 'right'],
      [x + 14, y + 14, 'left'],
      [x - 14, y + 14, 'right'],
      [x, y - 31, 'center'],
      [x, y + 32, 'center'],
      [x, y - 45, 'center'],
      [x, y + 46, 'center'],
    ];
  }

  labels(): void {
    const { pen, scene } = this;
    const { nodes } = scene.graph;
    const isDense = scene.scale < 0.45;
    for (const node of nodes) {
      const { x, y } = this.at(node);
      pen.globalAlpha = this.isLit(node.traces) ? 1 : 0.3;
      if (node.kind === 'agent' && (!isDense || scene.agentMark(node.agent).state !== 'ok')) this.agentLabel(node, x, y);
      if (node.kind === 'target') {
        pen.globalAlpha = 1;
        const text = node.traces.length > 0 ? node.label : `${node.label} not reached`;
        const places: [number, number, CanvasTextAlign][] = scene.targetBelow ? [[Math.min(scene.width - 8, x + 12), y + 20, 'right'], [Math.min(scene.width - 8, x + 12), y - 20, 'right']] : [[x + 14, y, 'left']];
        this.label(text, `500 12px ${SANS}`, scene.colours.fg, places, true, 13);
      }
    }
    const bad = nodes.filter((node) => node.kind === 'hop' && (node.loss?.forwarding ?? 0) >= scene.lossLimit);
    bad.sort((a, b) => (b.loss?.forwarding ?? 0) - (a.loss?.forwarding ?? 0));
    for (const node of bad) {
      pen.globalAlpha = this.isLit(node.traces) ? 1 : 0.3;
      this.label(`${node.label}  ${formatShare(node.loss?.forwarding ?? 0)}`, `500 11px ${MONO}`, scene.colours['critical-t'], this.around(node), true, 12);
    }
    pen.globalAlpha = 1;
    for (const node of nodes) {
      if (node.isLoop && node.kind !== 'agent') this.label('loop', `600 10px ${SANS}`, scene.colours['critical-t'], this.around(node), true, 11);
    }
    for (const id of [scene.focus, scene.picked, ...scene.found]) {
      const node = nodes[id];
      if (node && node.kind !== 'agent' && node.kind !== 'target' && !bad.includes(node)) this.label(node.label, `500 11px ${MONO}`, scene.colours.fg, this.around(node), id === scene.focus, 12);
    }
    for (const node of nodes) {
      const number = node.hop >= 0 && scene.numbers && this.isLit(node.traces) ? scene.numbers.get(node.hop) : undefined;
      const { x, y } = this.at(node);
      if (number) this.label(number, `600 10px ${MONO}`, scene.colours.fg, [[x, y - 12, 'center'], [x, y + 13, 'center']], false, 11);
    }
    if (scene.scale >= 1.8) {
      for (const node of nodes) {
        if (node.kind === 'hop') this.label(node.label, `400 10px ${MONO}`, scene.colours.fg2, this.around(node).slice(0, 2), false, 11);
      }
    }
  }
}

export function drawGraph(pen: Pen, scene: Scene): void {
  pen.globalAlpha = 1;
  pen.fillStyle = scene.colours.panel;
  pen.fillRect(0, 0, scene.width, scene.height);
  const painter = new Painter(pen, scene);
  painter.links();
  painter.nodes();
  painter.pills();
  painter.labels();
  pen.globalAlpha = 1;
}

/* The node at a point, or -1: the nearest within reach. */
export function hit(scene: Scene, x: number, y: number, reach = 14): number {
  let best = -1;
  let least = reach * reach;
  for (const node of scene.graph.nodes) {
    const dx = scene.placed.x[node.id] - x;
    const dy = yOf(scene, node.id) - y;
    const distance = dx * dx + dy * dy;
    if (distance < least) {
      least = distance;
      best = node.id;
    }
  }
  return best;
}
