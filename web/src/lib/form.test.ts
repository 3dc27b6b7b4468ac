import { describe, expect, it } from 'vitest';
import { checkField, costOf, draftOf, editable, newDraft, refusedWords, titleOf, typeOf, valuesOf } from './form';
import { MEASURE_TYPES, type FieldInfo } from './generated';

const type = typeOf(MEASURE_TYPES[0].name);
const { fields } = type;
const field = (name: string): FieldInfo => fields.find((candidate) => candidate.name === name) as FieldInfo;

describe('settings form', () => {
  it('offers what a person may set', () => {
    const names = editable(fields).map((candidate) => candidate.name);
    expect(names).toContain('server');
    expect(names).toContain('numPathTraces');
    expect(names).not.toContain('dscp'); /* read-only */
    expect(names).not.toContain('bgpMeasurements'); /* without effect */
  });
  it('starts from the presets and makes round trips', () => {
    const draft = draftOf(fields);
    expect(draft).toMatchObject({ protocol: 'tcp', numPathTraces: '3', port: '', continuousMode: false });
    expect(valuesOf(fields, { ...draft, server: ' a.example ' })).toMatchObject({ server: 'a.example', protocol: 'tcp', numPathTraces: 3, continuousMode: false });
    expect(valuesOf(fields, draft)).not.toHaveProperty('port');
  });
  it('begins with what is supported', () => {
    const limited = { ...type, unsupported: { protocol: ['tcp'], continuousMode: ['true'] } };
    expect(newDraft(limited)).toMatchObject({ protocol: 'icmp', continuousMode: false });
    expect(newDraft({ ...type, unsupported: {} })).toMatchObject({ protocol: 'tcp' });
    expect(refusedWords(limited, 'protocol')).toEqual(['tcp']);
    expect(refusedWords(limited, 'server')).toEqual([]);
  });
  it('clears a value that was there', () => {
    const before = { server: 'a', port: 443 };
    expect(valuesOf(fields, { ...draftOf(fields, before), port: '' }, before).port).toBeNull();
  });
  it('holds numbers to their bounds', () => {
    expect(checkField(field('numPathTraces'), '10')).toBe('');
    expect(checkField(field('numPathTraces'), '11')).toBe('At most 10.');
    expect(checkField(field('numPathTraces'), '0')).toBe('At least 1.');
    expect(checkField(field('numPathTraces'), '2.5')).toBe('A whole number is needed.');
    expect(checkField(field('server'), ' ')).toBe('This is needed.');
    expect(checkField(field('port'), '')).toBe('');
  });
  it('has names for people', () => {
    expect(titleOf('numPathTraces')).toBe('Number of path traces');
    expect(titleOf('dscpId')).toBe('DSCP');
    expect(titleOf('ipv6Policy')).toBe('IPv6 policy');
  });
  it('says what a test costs', () => {
    expect(costOf(14, 300)).toBe('14 agents × 12/h = 168 rounds an hour');
    expect(costOf(1, 60)).toBe('1 agent × 60/h = 60 rounds an hour');
  });
});
