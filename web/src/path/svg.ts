/* A pen that writes SVG, for exports. Text is measured by whoever made the pen, since SVG has no way to ask. */
import type { Pen } from './draw';

const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string);
const n = (value: number): string => String(Math.round(value * 100) / 100);

export class SvgPen implements Pen {
  fillStyle: string | CanvasGradient | CanvasPattern = '#000';
  strokeStyle: string | CanvasGradient | CanvasPattern = '#000';
  lineWidth = 1;
  globalAlpha = 1;
  font = '12px sans-serif';
  textAlign: CanvasTextAlign = 'left';
  textBaseline: CanvasTextBaseline = 'alphabetic';
  lineJoin: CanvasLineJoin = 'miter';
  readonly #measure: (text: string, font: string) => TextMetrics;
  #path = '';
  #dash: number[] = [];
  #out: string[] = [];

  constructor(measure: (text: string, font: string) => TextMetrics) {
    this.#measure = measure;
  }

  #add(element: string, attributes: Record<string, string>, text?: string): void {
    const alpha = this.globalAlpha < 1 ? { opacity: n(this.globalAlpha) } : {};
    const list = Object.entries({ ...attributes, ...alpha }).map(([key, value]) => ` ${key}="${escape(value)}"`).join('');
    this.#out.push(text === undefined ? `<${element}${list}/>` : `<${element}${list}>${escape(text)}</${element}>`);
  }

  #stroked(): Record<string, string> {
    return { stroke: String(this.strokeStyle), 'stroke-width': n(this.lineWidth), ...(this.#dash.length ? { 'stroke-dasharray': this.#dash.join(' ') } : {}) };
  }

  beginPath(): void {
    this.#path = '';
  }
  moveTo(x: number, y: number): void {
    this.#path += `M${n(x)} ${n(y)}`;
  }
  lineTo(x: number, y: number): void {
    this.#path += `L${n(x)} ${n(y)}`;
  }
  bezierCurveTo(a: number, b: number, c: number, d: number, x: number, y: number): void {
    this.#path += `C${n(a)} ${n(b)} ${n(c)} ${n(d)} ${n(x)} ${n(y)}`;
  }
  /* Whole circles only, which is all that is drawn. */
  arc(x: number, y: number, r: number): void {
    this.#path += `M${n(x - r)} ${n(y)}a${n(r)} ${n(r)} 0 1 0 ${n(2 * r)} 0a${n(r)} ${n(r)} 0 1 0 ${n(-2 * r)} 0`;
  }
  closePath(): void {
    this.#path += 'Z';
  }
  roundRect(x: number, y: number, w: number, h: number, radii?: number | DOMPointInit | Iterable<number | DOMPointInit>): void {
    const r = Math.min(typeof radii === 'number' ? radii : 0, w / 2, h / 2);
    this.#path += `M${n(x + r)} ${n(y)}h${n(w - 2 * r)}a${n(r)} ${n(r)} 0 0 1 ${n(r)} ${n(r)}v${n(h - 2 * r)}a${n(r)} ${n(r)} 0 0 1 ${n(-r)} ${n(r)}h${n(2 * r - w)}a${n(r)} ${n(r)} 0 0 1 ${n(-r)} ${n(-r)}v${n(2 * r - h)}a${n(r)} ${n(r)} 0 0 1 ${n(r)} ${n(-r)}Z`;
  }
  fill(): void {
    this.#add('path', { d: this.#path, fill: String(this.fillStyle) });
  }
  stroke(): void {
    this.#add('path', { d: this.#path, fill: 'none', ...this.#stroked() });
  }
  fillRect(x: number, y: number, w: number, h: number): void {
    this.#add('rect', { x: n(x), y: n(y), width: n(w), height: n(h), fill: String(this.fillStyle) });
  }
  #textAttributes(x: number, y: number): Record<string, string> {
    const anchor = this.textAlign === 'center' ? 'middle' : this.textAlign === 'right' ? 'end' : 'start';
    const [, weight, size, family] = /^(\d+ )?([\d.]+px) (.*)$/.exec(this.font) ?? ['', '', '12px', 'sans-serif'];
    return { x: n(x), y: n(y), 'text-anchor': anchor, 'dominant-baseline': 'central', 'font-size': size, 'font-family': family, 'font-weight': (weight ?? '400').trim() };
  }
  fillText(text: string, x: number, y: number): void {
    this.#add('text', { ...this.#textAttributes(x, y), fill: String(this.fillStyle) }, text);
  }
  strokeText(text: string, x: number, y: number): void {
    this.#add('text', { ...this.#textAttributes(x, y), fill: 'none', 'stroke-linejoin': this.lineJoin, ...this.#stroked() }, text);
  }
  measureText(text: string): TextMetrics {
    return this.#measure(text, this.font);
  }
  setLineDash(segments: Iterable<number>): void {
    this.#dash = [...segments];
  }

  toString(width: number, height: number): string {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${n(width)}" height="${n(height)}" viewBox="0 0 ${n(width)} ${n(height)}" xml:space="preserve">\n${this.#out.join('\n')}\n</svg>\n`;
  }
}
