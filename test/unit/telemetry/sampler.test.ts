import { describe, expect, test } from '@jest/globals';
import { createSampler } from '../../../gateway/telemetry/sampler.ts';

const ASKED = ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'];
const NOT_ASKED = ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'];

describe('sampling', () => {
  test('records the share of new traces that it is told to', () => {
    let value = 0;
    const sample = createSampler(
      0.25,
      () => 0,
      () => (value = (value + 0.1) % 1),
    );
    const recorded = Array.from({ length: 100 }, () => sample([])).filter(({ isSampled }) => isSampled);
    expect(recorded).toHaveLength(20);
  });

  test.each([
    [0, 0],
    [1, 50],
  ])('with a ratio of %d records %d of 50', (ratio, count) => {
    const sample = createSampler(ratio);
    expect(Array.from({ length: 50 }, () => sample([])).filter(({ isSampled }) => isSampled)).toHaveLength(count);
  });

  test('does with a caller’s trace what the caller does', () => {
    const sample = createSampler(0.5, () => 0);
    expect(sample(ASKED).isSampled).toBe(true);
    expect(sample(NOT_ASKED).isSampled).toBe(false);
  });

  test('goes on with a caller’s trace that it does not record', () => {
    expect(createSampler(0)(ASKED)).toMatchObject({ isSampled: false, traceId: '4bf92f3577b34da6a3ce929d0e0e4736' });
  });

  test('lets callers have only so many traces a second', () => {
    let now = 0;
    const sample = createSampler(1e-9, () => now);
    const recorded = (): number => Array.from({ length: 1000 }, () => sample(ASKED)).filter((t) => t.isSampled).length;
    expect(recorded()).toBe(100);
    expect(recorded()).toBe(0);
    now += 1000;
    expect(recorded()).toBe(50);
    now += 3_600_000;
    expect(recorded()).toBe(100);
  });
});
