// Enough CBOR (RFC 8949) to speak as an agent: what field tables write, and nothing more.

export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [name: string]: Value };

/** A number that travels as a 64-bit float even when it is whole. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

function head(major: number, n: bigint): Uint8Array {
  if (n < 24n) return Uint8Array.of((major << 5) | Number(n));
  const size = n < 1n << 8n ? 1 : n < 1n << 16n ? 2 : n < 1n << 32n ? 4 : 8;
  const out = new Uint8Array(1 + size);
  out[0] = (major << 5) | (24 + Math.log2(size));
  for (let i = 0; i < size; i++) out[size - i] = Number((n >> BigInt(8 * i)) & 0xffn);
  return out;
}

export function join(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function float(value: number): Uint8Array {
  const out = new Uint8Array(9);
  out[0] = 0xfb;
  new DataView(out.buffer).setFloat64(1, value);
  return out;
}

export function encode(value: unknown): Uint8Array {
  if (value === null) return Uint8Array.of(0xf6);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (value instanceof Float) return float(value.value);
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) {
    const n = BigInt(value);
    return n >= 0n ? head(0, n) : head(1, -1n - n);
  }
  if (typeof value === "number") return float(value);
  if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    return join([head(3, BigInt(bytes.length)), bytes]);
  }
  if (value instanceof Uint8Array) return join([head(2, BigInt(value.length)), value]);
  if (Array.isArray(value)) return join([head(4, BigInt(value.length)), ...value.map(encode)]);
  const entries = Object.entries(value as object).filter(([, item]) => item !== undefined);
  return join([head(5, BigInt(entries.length)), ...entries.flatMap(([name, item]) => [encode(name), encode(item)])]);
}

class Reader {
  at = 0;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    const size = 1 << (info - 24);
    let n = 0n;
    for (let i = 0; i < size; i++) n = (n << 8n) | BigInt(this.bytes[this.at++]!);
    return n;
  }

  read(): Value {
    const first = this.bytes[this.at++]!;
    const major = first >> 5;
    const info = first & 31;
    if (major === 7) return this.simple(info);
    const n = this.argument(info);
    const plain = n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
    if (major === 0) return plain;
    if (major === 1) return typeof plain === "number" ? -1 - plain : -1n - n;
    if (major === 2 || major === 3) {
      const bytes = this.bytes.subarray(this.at, this.at + Number(n));
      this.at += Number(n);
      return major === 2 ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    }
    if (major === 4) return Array.from({ length: Number(n) }, () => this.read());
    if (major === 5) {
      const map: { [name: string]: Value } = {};
      for (let i = 0; i < Number(n); i++) {
        const name = this.read() as string;
        map[name] = this.read();
      }
      return map;
    }
    throw new Error(`CBOR major type ${major}`);
  }

  private simple(info: number): Value {
    if (info === 20 || info === 21) return info === 21;
    if (info === 22) return null;
    if (info === 26) return this.view.getFloat32((this.at += 4) - 4);
    if (info === 27) return this.view.getFloat64((this.at += 8) - 8);
    throw new Error(`CBOR simple value ${info}`);
  }
}

export function decode(bytes: Uint8Array): Value {
  const reader = new Reader(bytes);
  const value = reader.read();
  if (reader.at !== bytes.length) throw new Error("bytes after the CBOR item");
  return value;
}

/** A zstd frame (RFC 8878) that stores its content in raw blocks: valid, and needs no library. */
export function zstd(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58)]; // window of 2 MB, no content size
  for (let at = 0; at === 0 || at < bytes.length; at += 100_000) {
    const block = bytes.subarray(at, at + 100_000);
    const header = (block.length << 3) | (at + 100_000 >= bytes.length ? 1 : 0);
    parts.push(Uint8Array.of(header & 255, (header >> 8) & 255, header >> 16), block);
  }
  return join(parts);
}
