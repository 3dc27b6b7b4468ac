/*
 * A settings form out of the server's field table: what to draw for a field, how text becomes a value, and what can be
 * said against it before the server is asked. The server has the last word; its problems name fields as we do.
 */
import { MEASURE_TYPES, type FieldInfo } from './generated';

export type Draft = Record<string, string | boolean>;

export interface MeasureType {
  name: string;
  title: string;
  help: string;
  target: string;
  fields: readonly FieldInfo[];
  unsupported: Readonly<Record<string, readonly string[]>>; /* words of fields that no agent of this version can run */
}

export function typeOf(name: string): MeasureType {
  return (MEASURE_TYPES as readonly MeasureType[]).find((type) => type.name === name) ?? MEASURE_TYPES[0];
}

/* Fields a person may set: not what the server writes, nor what has no effect. */
export function editable(fields: readonly FieldInfo[]): FieldInfo[] {
  const kinds = ['bool', 'i32', 'i64', 'f64', 'str', 'enum'];
  return fields.filter((field) => !field.readonly && !field.ignored && !field.secret && kinds.includes(field.kind));
}

/* "numPathTraces" -> "Num path traces" -> with known short forms spelled out. */
export function titleOf(name: string): string {
  const short: Record<string, string> = { num: 'number of', dscp: 'DSCP', id: '', ipv6: 'IPv6', mtu: 'MTU', bgp: 'BGP' };
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').split(' ').map((word) => short[word.toLowerCase()] ?? word.toLowerCase());
  const text = words.filter((word) => word !== '').join(' ');
  return text[0].toUpperCase() + text.slice(1);
}

/* The words of a field that the server would refuse. */
export function refusedWords(type: MeasureType, field: string): readonly string[] {
  return type.unsupported[field] ?? [];
}

/* A new test begins with the presets, but for those which are not supported: there with the first word that is. */
export function newDraft(type: MeasureType): Draft {
  const draft = draftOf(type.fields);
  for (const field of editable(type.fields)) {
    const refused = refusedWords(type, field.name);
    const word = field.words?.find((candidate) => !refused.includes(candidate));
    if (word !== undefined && refused.includes(String(draft[field.name]))) draft[field.name] = word;
  }
  return draft;
}

export function draftOf(fields: readonly FieldInfo[], record: Record<string, unknown> = {}): Draft {
  const draft: Draft = {};
  for (const field of editable(fields)) {
    const value = record[field.name] ?? field.preset;
    draft[field.name] = field.kind === 'bool' ? value === true || value === 'true' : value === undefined || value === null ? '' : String(value);
  }
  return draft;
}

const isNumber = (field: FieldInfo): boolean => field.kind === 'i32' || field.kind === 'i64' || field.kind === 'f64';

export function checkField(field: FieldInfo, value: string | boolean): string {
  if (typeof value === 'boolean') return '';
  const text = value.trim();
  if (text === '') return field.required ? 'This is needed.' : '';
  if (isNumber(field)) {
    const number = Number(text);
    if (!Number.isFinite(number) || (field.kind !== 'f64' && !Number.isInteger(number))) return 'A whole number is needed.';
    if (field.min !== undefined && number < field.min) return `At least ${field.min}${field.unit ? ` ${field.unit}` : ''}.`;
    if (field.max !== undefined && number > field.max) return `At most ${field.max}${field.unit ? ` ${field.unit}` : ''}.`;
  } else if (field.kind === 'str' && field.max !== undefined && text.length > field.max) return `At most ${field.max} characters.`;
  return '';
}

/* The values to send. An emptied field is null (absent) where it had a value, and left out where it had none. */
export function valuesOf(fields: readonly FieldInfo[], draft: Draft, before: Record<string, unknown> = {}): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const field of editable(fields)) {
    const value = draft[field.name];
    if (typeof value === 'boolean') values[field.name] = value;
    else if (value !== undefined && value.trim() !== '') values[field.name] = isNumber(field) ? Number(value) : value.trim();
    else if (before[field.name] !== undefined && before[field.name] !== null) values[field.name] = null;
  }
  return values;
}

/* Rounds an hour that a test costs, in words. */
export function costOf(agents: number, intervalSeconds: number): string {
  const perHour = 3600 / intervalSeconds;
  return `${agents} ${agents === 1 ? 'agent' : 'agents'} × ${perHour}/h = ${agents * perHour} rounds an hour`;
}
