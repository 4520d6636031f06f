import { describe, expect, test } from '@jest/globals';
import { formatCount, formatUsd } from '../../../gateway/store/money.ts';

describe('money', () => {
  test('micro-dollars become dollars exactly, up to the largest amount there is', () => {
    expect([0, 1, 999_999, 1_000_000, 1_234_567_890].map((amount) => formatUsd(amount))).toEqual([
      '0.000000',
      '0.000001',
      '0.999999',
      '1.000000',
      '1234.567890',
    ]);
    expect(formatUsd(Number.MAX_SAFE_INTEGER, { grouped: true })).toBe('9,007,199,254.740991');
    expect(formatUsd(-1_500, { grouped: true })).toBe('-0.001500');
    expect(formatCount(-1_234_567)).toBe('-1,234,567');
  });

  test('an amount that is not exact is an error, never a rounded figure', () => {
    for (const amount of [0.5, Number.NaN, 2 ** 53]) expect(() => formatUsd(amount)).toThrow(RangeError);
  });
});
