import { describe, expect, it } from 'vitest';
import { formatDuration, formatShare, formatTicks, formatValue } from './metric';

describe('values for people', () => {
  it('says durations with three digits', () => {
    const said = [172, 172.4, 26.1, 26.14, 50, 8.2149, 1, 0.82, 0.1, 9.999, 99.96, 1234.6].map(formatDuration);
    expect(said).toEqual(['172 ms', '172 ms', '26.1 ms', '26.1 ms', '50.0 ms', '8.21 ms', '1.00 ms', '0.82 ms', '0.10 ms', '10.0 ms', '100 ms', '1235 ms']);
  });
  it('goes down to microseconds', () => {
    expect([0.0999, 0.0432, 0.0041, 0.00004, 0].map(formatDuration)).toEqual(['99.9 µs', '43.2 µs', '4.1 µs', '< 0.1 µs', '0 ms']);
  });
  it('says shares without hiding the rest', () => {
    expect([0, 0.04, 0.5, 1, 12.34, 33.333, 99.97, 100].map(formatShare)).toEqual(['0%', '< 0.1%', '0.5%', '1%', '12%', '33%', '99.9%', '100%']);
  });
  it('says values by their unit, and nothing of what is absent', () => {
    expect([formatValue(0.82, 'ms'), formatValue(2, '%'), formatValue(4.237, ''), formatValue(null, 'ms'), formatValue(NaN, '%')]).toEqual(['0.82 ms', '2%', '4.24', '–', '–']);
  });
  it('marks an axis in one unit', () => {
    expect(formatTicks([0, 0.1, 0.2, 0.30000000000000004], 'ms')).toEqual(['0 µs', '100 µs', '200 µs', '300 µs']);
    expect(formatTicks([0, 0.5, 1], 'ms')).toEqual(['0 ms', '0.5 ms', '1 ms']);
    expect(formatTicks([0, 20], '%')).toEqual(['0%', '20%']);
  });
});
