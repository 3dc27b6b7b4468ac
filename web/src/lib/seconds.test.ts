import { describe, expect, it } from 'vitest';
import { describeSeconds, readSeconds } from './seconds';

const round = Date.parse('2026-11-21T14:05:00Z') / 1000;

describe('the seconds of a round', () => {
  it('are measured, lost, or neither', () => {
    expect(readSeconds('--00950-1')).toEqual({ measured: 6, lost: [4, 5, 8] });
    expect(readSeconds('')).toEqual({ measured: 0, lost: [] });
  });
  it('are told by the clock, those that follow one another together', () => {
    expect(describeSeconds('0'.repeat(60), round, true)).toBe('No loss in 60 seconds');
    expect(describeSeconds(`${'0'.repeat(20)}999${'0'.repeat(17)}5${'0'.repeat(19)}`, round, true)).toBe('Loss in 4 of 60 seconds: 14:05:20 to 14:05:22, 14:05:40');
    expect(describeSeconds('90'.repeat(30), round, true)).toBe('Loss in 30 of 60 seconds: 14:05:00, 14:05:02, 14:05:04, 14:05:06, 14:05:08 and more');
  });
});
