import { describe, expect, it } from 'vitest';
import { rangeFor } from './params';

describe('the range of a view without one', () => {
  const now = 1_790_000_000;
  it('holds the whole age of a young test', () => {
    expect([0, 60, 3600, 3601, 6 * 3600, 20 * 3600, 3 * 86400].map((age) => rangeFor(now - age, now))).toEqual(['-1h', '-1h', '-1h', '-6h', '-6h', '-24h', '-7d']);
  });
  it('is a day for an old test, and an hour for one without rounds', () => {
    expect(rangeFor(now - 30 * 86400, now)).toBe('-24h');
    expect(rangeFor(null, now)).toBe('-1h');
  });
});
