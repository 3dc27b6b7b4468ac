import { describe, expect, it } from 'vitest';
import { decode, encode, flag, ids, text, when, whole, word, type Values } from './codec';

const schema = {
  tab: word(['path', 'table'], 'path'),
  metric: text('loss'),
  from: when('-24h'),
  round: whole(null, 0, 99_999_999_999),
  loss: whole(10, 1, 100),
  agents: ids(),
  fold: flag(true),
};
const trip = (values: Partial<Values<typeof schema>>) => decode(schema, new URLSearchParams(encode(schema, values))).values;

describe('URL codec', () => {
  it('leaves defaults out', () => {
    expect(encode(schema, decode(schema, new URLSearchParams()).values)).toBe('');
    expect(encode(schema, { tab: 'path', fold: true, loss: 10 })).toBe('');
  });
  it('makes round trips of every value', () => {
    const values = { tab: 'table', metric: 'a&b=c ü', from: '1790000000', round: 0, loss: 100, agents: ['12', '3'], fold: false } as const;
    expect(trip(values)).toEqual(values);
    for (let loss = 1; loss <= 100; loss++) expect(trip({ loss }).loss).toBe(loss);
    for (const from of ['-1s', '-90m', '-24h', '-7d', '-2w', 'now', '1790000000']) expect(trip({ from }).from).toBe(from);
  });
  it('gives equal sets equal URLs', () => {
    expect(encode(schema, { agents: ['7', '3', '7'] })).toBe(encode(schema, { agents: ['3', '7'] }));
  });
  it('passes over what it does not know and says so', () => {
    const { values, ignored } = decode(schema, new URLSearchParams('tab=nonsense&loss=0&round=-1&agents=x&fold=yes&from=tomorrow&colour=red'));
    expect(values).toEqual(decode(schema, new URLSearchParams()).values);
    expect(ignored.sort()).toEqual(['agents=x', 'colour', 'fold=yes', 'from=tomorrow', 'loss=0', 'round=-1', 'tab=nonsense']);
  });
});
