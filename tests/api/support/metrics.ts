// A strict reader of metrics: the text format 0.0.4 and OpenMetrics 1.0, as far as this server speaks them.

export interface Family {
  type: string;
  help: string;
  samples: { name: string; labels: Record<string, string>; value: number }[];
}

const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/y;

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let at = 0;
  while (at < text.length) {
    LABEL.lastIndex = at;
    const match = LABEL.exec(text);
    if (!match) throw new Error(`labels: ${text}`);
    if (match[1]! in labels) throw new Error(`label twice: ${text}`);
    labels[match[1]!] = match[2]!;
    at = LABEL.lastIndex;
    if (at < text.length && text[at++] !== ",") throw new Error(`labels: ${text}`);
  }
  return labels;
}

function checkHistogram(name: string, family: Family): void {
  const series = new Map<string, { bounds: number[]; counts: number[]; count?: number; sum?: number }>();
  for (const sample of family.samples) {
    const { le, ...rest } = sample.labels;
    const key = JSON.stringify(rest);
    const one = series.get(key) ?? { bounds: [], counts: [] };
    series.set(key, one);
    if (sample.name === `${name}_bucket`) {
      one.bounds.push(le === "+Inf" ? Infinity : Number(le));
      one.counts.push(sample.value);
    } else if (sample.name === `${name}_count`) one.count = sample.value;
    else one.sum = sample.value;
  }
  for (const [key, one] of series) {
    const isAscending = (list: number[], isStrict: boolean) =>
      list.every((value, i) => i === 0 || (isStrict ? value > list[i - 1]! : value >= list[i - 1]!));
    if (!isAscending(one.bounds, true) || !isAscending(one.counts, false)) throw new Error(`${name} ${key}: buckets`);
    if (one.bounds.at(-1) !== Infinity || one.count !== one.counts.at(-1) || one.sum === undefined)
      throw new Error(`${name} ${key}: +Inf, sum and count`);
  }
}

/** Every family of a page; throws at the first line that a strict reader would not take. */
export function readMetrics(text: string, isOpen: boolean): Map<string, Family> {
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: [string, Family] | undefined;
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const lines = text.slice(0, -1).split("\n");
  if (isOpen && lines.pop() !== "# EOF") throw new Error("no # EOF");
  for (const line of lines) {
    const meta = /^# (HELP|TYPE) ([a-z_][a-z0-9_]*) (.+)$/.exec(line);
    if (meta?.[1] === "HELP") {
      if (families.has(meta[2]!)) throw new Error(`family twice: ${line}`);
      current = [meta[2]!, { type: "", help: meta[3]!, samples: [] }];
      families.set(...current);
      continue;
    }
    if (!current) throw new Error(`before any family: ${line}`);
    const [name, family] = current;
    if (meta) {
      if (meta[2] !== name || family.type || !["counter", "gauge", "histogram"].includes(meta[3]!)) throw new Error(line);
      family.type = meta[3]!;
      if (!isOpen && (family.type === "counter") !== name.endsWith("_total")) throw new Error(`name and type: ${line}`);
      if (isOpen && name.endsWith("_total")) throw new Error(`a family's name has no _total: ${line}`);
      continue;
    }
    const sample = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)$/.exec(line);
    if (!sample || !family.type) throw new Error(`no sample: ${line}`);
    const tails = family.type === "histogram" ? ["_bucket", "_sum", "_count"] : [isOpen && family.type === "counter" ? "_total" : ""];
    if (!tails.some((tail) => sample[1] === name + tail)) throw new Error(`not of ${name}: ${line}`);
    const labels = readLabels(sample[2] ?? "");
    const key = sample[1] + JSON.stringify(labels);
    if (seen.has(key)) throw new Error(`sample twice: ${line}`);
    seen.add(key);
    const value = Number(sample[3]);
    if (family.type !== "gauge" && value < 0) throw new Error(`negative: ${line}`);
    family.samples.push({ name: sample[1]!, labels, value });
  }
  for (const [name, family] of families) {
    if (!family.type) throw new Error(`no type: ${name}`);
    if (family.type === "histogram") checkHistogram(name, family);
  }
  return families;
}
