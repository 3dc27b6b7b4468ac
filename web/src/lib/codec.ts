/*
 * URL is state: a page declares its parameters once, with a default each. Defaults are left out of the URL; what a
 * URL has and the page does not know is passed over and reported, never an error.
 */

export interface Codec<T> {
  readonly preset: T;
  decode(text: string): T | undefined; /* undefined = not a value of this parameter */
  encode(value: T): string;
}

export function word<const W extends string>(words: readonly W[], preset: W): Codec<W> {
  return {
    preset,
    decode: (text) => words.find((candidate) => candidate === text),
    encode: (value) => value,
  };
}

export function text(preset = ''): Codec<string> {
  return { preset, decode: (value) => value, encode: (value) => value };
}

export function flag(preset: boolean): Codec<boolean> {
  return {
    preset,
    decode: (value) => (value === '1' ? true : value === '0' ? false : undefined),
    encode: (value) => (value ? '1' : '0'),
  };
}

export function whole<P extends number | null>(preset: P, min: number, max: number): Codec<number | P> {
  return {
    preset,
    decode: (value) => {
      const number = /^-?\d{1,15}$/.test(value) ? Number(value) : NaN;
      return number >= min && number <= max ? number : undefined;
    },
    encode: (value) => String(value),
  };
}

/* Ids in ascending text order, so that equal sets have equal URLs. */
export function ids(): Codec<readonly string[]> {
  return {
    preset: [],
    decode: (value) => {
      const parts = value.split('.').filter((part) => part !== '');
      return parts.length > 0 && parts.every((part) => /^\d{1,20}$/.test(part)) ? [...new Set(parts)].sort() : undefined;
    },
    encode: (value) => [...new Set(value)].sort().join('.'),
  };
}

/* "-24h", "now" or epoch seconds. */
export type When = string;
export function when(preset: When): Codec<When> {
  return {
    preset,
    decode: (value) => (value === 'now' || /^-\d{1,6}[smhdw]$/.test(value) || /^\d{9,11}$/.test(value) ? value : undefined),
    encode: (value) => value,
  };
}

export type Schema = Record<string, Codec<never> | Codec<unknown>>;
export type Values<S> = { [K in keyof S]: S[K] extends Codec<infer T> ? T : never };

export function decode<S extends Schema>(schema: S, query: URLSearchParams): { values: Values<S>; ignored: string[] } {
  const values: Record<string, unknown> = {};
  const ignored: string[] = [];
  for (const [name, codec] of Object.entries(schema)) {
    const given = query.get(name);
    const value = given === null ? undefined : codec.decode(given);
    if (given !== null && value === undefined) ignored.push(`${name}=${given}`);
    values[name] = value === undefined ? codec.preset : value;
  }
  for (const name of new Set(query.keys())) if (!(name in schema)) ignored.push(name);
  return { values: values as Values<S>, ignored };
}

export function encode<S extends Schema>(schema: S, values: Partial<Values<S>>): string {
  const query = new URLSearchParams();
  for (const [name, codec] of Object.entries(schema) as [string, Codec<unknown>][]) {
    const value = (values as Record<string, unknown>)[name];
    if (value === undefined || value === null) continue;
    const encoded = codec.encode(value);
    if (codec.preset !== null && encoded === codec.encode(codec.preset)) continue;
    if (encoded !== '') query.set(name, encoded);
  }
  return query.toString();
}
