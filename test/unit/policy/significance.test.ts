import { describe, expect, test } from '@jest/globals';
import {
  isPairedIncreaseAbove,
  isRatioAbove,
  rateIncreaseLower,
  wilson,
} from '../../../gateway/policy/significance.ts';

const Z95 = 1.959964;

/** A fixed sequence of numbers between 0 and 1. */
const dice = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};

describe('significance', () => {
  test("Wilson's interval is the published one", () => {
    // Newcombe 1998, Interval estimation for the single proportion, table I: 81 of 263 and 15 of 148.
    const large = wilson({ count: 81, of: 263 }, Z95);
    expect([large.lower.toFixed(4), large.upper.toFixed(4)]).toEqual(['0.2553', '0.3662']);
    const small = wilson({ count: 15, of: 148 }, Z95);
    expect([small.lower.toFixed(4), small.upper.toFixed(4)]).toEqual(['0.0624', '0.1605']);
    expect(wilson({ count: 0, of: 20 }, Z95).lower).toBe(0);
    expect(wilson({ count: 0, of: 0 })).toEqual({ lower: 0, upper: 1 });
  });

  test("Newcombe's lower bound of a difference is the published one", () => {
    // Newcombe 1998, table II, method 10: 56/70 − 48/80 and 9/10 − 3/10.
    expect(rateIncreaseLower({ count: 56, of: 70 }, { count: 48, of: 80 }, Z95).toFixed(4)).toBe('0.0524');
    expect(rateIncreaseLower({ count: 9, of: 10 }, { count: 3, of: 10 }, Z95).toFixed(4)).toBe('0.1705');
  });

  test('nothing measured is never an increase', () => {
    expect(rateIncreaseLower({ count: 0, of: 0 }, { count: 0, of: 0 })).toBeLessThanOrEqual(0);
    expect(rateIncreaseLower({ count: 100, of: 100 }, { count: 0, of: 0 })).toBeLessThanOrEqual(0);
    expect(isPairedIncreaseAbove(0, 0, 0, 0.01)).toBe(false);
    expect(isRatioAbove({ n: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 }, 1)).toBe(false);
  });

  test('a few pairs are chance, eighteen that all go one way are not', () => {
    expect(isPairedIncreaseAbove(17, 0, 1_000, 0)).toBe(false);
    expect(isPairedIncreaseAbove(18, 0, 1_000, 0)).toBe(true);
    expect(isPairedIncreaseAbove(60, 40, 1_000, 0)).toBe(false);
    expect(isPairedIncreaseAbove(40, 60, 1_000, 0)).toBe(false);
  });

  test.each([
    [20, 1, 200, 0.01],
    [30, 10, 300, 0.02],
    [11, 0, 100, 0.01],
    [60, 40, 1_000, 0],
    [300, 0, 10_000, 0.01],
  ])("Tango's test of %d against %d of %d, above %d, has the most likely share that a search finds", (b, c, n, max) => {
    const likelihood = (q: number): number =>
      b * Math.log(q + max) + (c && c * Math.log(q)) + (n - b - c) * Math.log(1 - 2 * q - max);
    let q = 0;
    for (let step = 1; step < 100_000; step++) {
      const next = (step / 100_000) * ((1 - max) / 2);
      if (likelihood(next) > likelihood(q)) q = next;
    }
    const z = (b - c - n * max - 1) / Math.sqrt(n * (2 * q + max * (1 - max)));
    expect(isPairedIncreaseAbove(b, c, n, max, z - 0.01)).toBe(true);
    expect(isPairedIncreaseAbove(b, c, n, max, z + 0.01)).toBe(false);
  });

  test('two equal bundles are seldom told apart, however often one looks', () => {
    const roll = dice(7);
    let alarms = 0;
    for (let day = 0; day < 200; day++) {
      let [bad, good, ours, theirs] = [0, 0, 0, 0];
      let isAlarmed = false;
      // A canary of one in ten; each has 3 % errors; a look after each ten requests.
      for (let n = 0; n < 3_000; n++) {
        const isError = roll() < 0.03;
        if (roll() < 0.1) {
          ours++;
          if (isError) bad++;
        } else {
          theirs++;
          if (isError) good++;
        }
        if (n % 10 === 0 && ours >= 100) {
          isAlarmed ||= rateIncreaseLower({ count: bad, of: ours }, { count: good, of: theirs }) > 0;
        }
      }
      if (isAlarmed) alarms++;
    }
    expect(alarms).toBeLessThanOrEqual(6);
  });

  test('a cost is above its maximum only when that is more than chance', () => {
    const sums = (pairs: readonly [number, number][]) =>
      pairs.reduce(
        (sum, [x, y]) => ({
          n: sum.n + 1,
          x: sum.x + x,
          y: sum.y + y,
          xx: sum.xx + x * x,
          yy: sum.yy + y * y,
          xy: sum.xy + x * y,
        }),
        { n: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 },
      );
    const same = Array.from({ length: 100 }, (): [number, number] => [100, 100]);
    expect(isRatioAbove(sums(same.map(([x]) => [x, 1.5 * x])), 1.25)).toBe(true);
    expect(isRatioAbove(sums(same.map(([x]) => [x, 1.2 * x])), 1.25)).toBe(false);
    // One huge answer moved to a dear model: the sum is doubled, and it says nothing of the others.
    expect(isRatioAbove(sums([...same, [10_000, 30_000]]), 1.25)).toBe(false);
  });
});
