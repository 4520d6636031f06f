import { describe, expect, test } from '@jest/globals';
import { LATENCY_COLUMNS, latencyBucket, percentile } from '../../../gateway/store/latency.ts';

const countsOf = (durations: readonly number[]): number[] => {
  const counts = LATENCY_COLUMNS.map(() => 0);
  for (const ms of durations) counts[latencyBucket(ms)]! += 1;
  return counts;
};

describe('the latency histogram', () => {
  test('buckets rise with the duration and take every duration', () => {
    let last = 0;
    for (let ms = 0; ms < 1e7; ms = ms * 1.01 + 1) {
      const bucket = latencyBucket(ms);
      expect(bucket).toBeGreaterThanOrEqual(last);
      expect(bucket).toBeLessThan(LATENCY_COLUMNS.length);
      last = bucket;
    }
    expect(last).toBe(31);
  });

  test('a percentile is within a factor of 1.5 of the exact one', () => {
    for (const scale of [2, 40, 900, 30_000]) {
      const durations = Array.from({ length: 999 }, (_, i) => Math.round(scale * (1 + ((i * 7919) % 999) / 250)));
      const sorted = durations.toSorted((a, b) => a - b);
      for (const share of [0.5, 0.95, 0.99]) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
        const found = percentile(countsOf(durations), share)!;
        expect(found / exact).toBeGreaterThan(0.66);
        expect(found / exact).toBeLessThan(1.51);
      }
    }
  });

  test('nothing counted is no percentile, and one request has one', () => {
    expect(percentile(countsOf([]), 0.5)).toBeNull();
    expect(percentile(countsOf([0]), 0.95)).toBe(1);
  });
});
