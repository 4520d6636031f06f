import { describe, expect, test } from '@jest/globals';
import { agreementOf } from '../../../../gateway/evaluate/statistics/agreement.ts';
import { bootstrapMean, quantileOf } from '../../../../gateway/evaluate/statistics/bootstrap.ts';
import {
  brierScore,
  calibrationError,
  calibrationOf,
  rocAuc,
} from '../../../../gateway/evaluate/statistics/discrimination.ts';
import { chiSquareTail, normalCdf, normalQuantile } from '../../../../gateway/evaluate/statistics/distributions.ts';
import { comparePaired } from '../../../../gateway/evaluate/statistics/paired.ts';
import { paretoFront } from '../../../../gateway/evaluate/statistics/pareto.ts';
import { createRandom, drawPositions } from '../../../../gateway/evaluate/statistics/random.ts';
import { testSampleRatio } from '../../../../gateway/evaluate/statistics/sample-ratio.ts';

describe('distributions', () => {
  // Values of SciPy: chi2.sf(x, df) and norm.ppf(p).
  test.each([
    [3.841458820694124, 1, 0.05],
    [5.991464547107979, 2, 0.05],
    [10.82756617, 1, 0.0010000000003579366],
    [0.1, 1, 0.7518296340458492],
    [100, 50, 3.454931382984871e-5],
    [2, 10, 0.9963401531726563],
  ])('the chi-square tail of %d at %d degrees is %d', (x, degrees, tail) => {
    expect(chiSquareTail(x, degrees) / tail).toBeCloseTo(1, 10);
  });

  test.each([
    [0.975, 1.959963984540054],
    [0.5, 0],
    [0.0001, -3.719016485455709],
    [0.999999, 4.753424308822899],
  ])('the normal quantile of %d is %d', (p, value) => {
    expect(normalQuantile(p)).toBeCloseTo(value, 9);
    expect(normalCdf(value)).toBeCloseTo(p, 12);
  });

  test('there is no quantile of 0 and 1', () => {
    for (const p of [0, 1, -1, Number.NaN]) expect(() => normalQuantile(p)).toThrow(RangeError);
  });
});

describe('a seed', () => {
  test('gives the same numbers again, and another one others', () => {
    const draw = (seed: number): number[] => Array.from({ length: 5 }, createRandom(seed));
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test('gives numbers that are even', () => {
    const random = createRandom(3);
    const bins = new Array<number>(10).fill(0);
    for (let at = 0; at < 20_000; at++) bins[Math.floor(random() * 10)]!++;
    expect(testSampleRatio(bins, new Array(10).fill(1)).pValue).toBeGreaterThan(0.001);
  });

  test('draws different positions, in order, and all of them when as many are wanted', () => {
    const drawn = drawPositions(100, 10, createRandom(1));
    expect(new Set(drawn).size).toBe(10);
    expect(drawn).toEqual([...drawn].sort((a, b) => a - b));
    expect(drawPositions(3, 10, createRandom(1))).toEqual([0, 1, 2]);
  });
});

describe('the bootstrap', () => {
  test('covers the true mean about as often as it says', () => {
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const random = createRandom(1000 + trial);
      const scores = Array.from({ length: 60 }, () => [random() < 0.7 ? 1 : 0]);
      const { low, high } = bootstrapMean(scores, { resamples: 400, seed: trial });
      if (low <= 0.7 && 0.7 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(178);
    expect(covered).toBeLessThan(200);
  });

  test('does not take repeats of a task for other tasks', () => {
    const once = Array.from({ length: 20 }, (_, at) => [at % 2]);
    const tenTimes = once.map(([score]) => new Array<number>(10).fill(score!));
    const width = ({ low, high }: { low: number; high: number }): number => high - low;
    expect(width(bootstrapMean(tenTimes))).toBeCloseTo(width(bootstrapMean(once)), 1);
  });

  test('of tasks that all came out alike is not certain', () => {
    const { estimate, low, high } = bootstrapMean(new Array(30).fill([1]));
    expect(estimate).toBe(1);
    expect(high).toBeCloseTo(1, 12);
    expect(low).toBeCloseTo(0.8865, 3); // Wilson for 30 of 30
  });

  test('of nothing is refused', () => {
    expect(() => bootstrapMean([[]])).toThrow(RangeError);
  });

  test('quantiles lie between values in proportion', () => {
    expect(quantileOf([0, 10], 0.25)).toBe(2.5);
    expect(quantileOf([1, 2, 3], 0.5)).toBe(2);
    expect(quantileOf([], 0.5)).toBeNaN();
  });
});

describe('a paired comparison', () => {
  test('of few tasks has the exact p-value', () => {
    // 6 wins of 6: two of 64 sign patterns are as extreme.
    expect(comparePaired([1, 1, 1, 1, 1, 1]).pValue).toBe(2 / 64);
    expect(comparePaired([1, -1]).pValue).toBe(1);
    expect(comparePaired([0, 0, 0])).toMatchObject({ pValue: 1, ties: 3, wins: 0, losses: 0 });
  });

  test('finds no difference where there is none, but for about one in twenty', () => {
    let alarms = 0;
    for (let trial = 0; trial < 100; trial++) {
      const random = createRandom(trial);
      const differences = Array.from({ length: 40 }, () => Math.round(random() * 4 - 2));
      if (comparePaired(differences, trial).pValue < 0.05) alarms++;
    }
    expect(alarms).toBeLessThan(13);
  });

  test('finds a real one', () => {
    const random = createRandom(5);
    const { pValue, low } = comparePaired(Array.from({ length: 100 }, () => (random() < 0.7 ? 1 : -1)));
    expect(pValue).toBeLessThan(0.01);
    expect(low).toBeGreaterThan(0);
  });
});

describe('a sample ratio', () => {
  test('that is as planned is none to worry about', () => {
    expect(testSampleRatio([5_050, 4_950], [50, 50])).toMatchObject({ isMismatch: false });
    expect(testSampleRatio([0, 0], [50, 50])).toEqual({ pValue: 1, isMismatch: false });
  });

  test('that is not is a mismatch', () => {
    expect(testSampleRatio([5_300, 4_700], [50, 50]).isMismatch).toBe(true);
    expect(testSampleRatio([900, 50, 50], [80, 10, 10]).isMismatch).toBe(true);
  });

  test('is no mismatch by one early unit of a small arm', () => {
    expect(testSampleRatio([0, 1], [95, 5])).toMatchObject({ isMismatch: false });
    expect(testSampleRatio([1, 2], [99, 1])).toMatchObject({ isMismatch: false });
  });

  test('may be looked at after every unit: in a hundred experiments about one is ever called a mismatch', () => {
    const mismatches = Array.from({ length: 300 }, (_, seed) => {
      const random = createRandom(seed + 1);
      const units = [0, 0];
      for (let n = 0; n < 3_000; n++) {
        units[random() < 0.95 ? 0 : 1]!++;
        if (testSampleRatio(units, [95, 5]).isMismatch) return true;
      }
      return false;
    });
    expect(mismatches.filter(Boolean).length).toBeLessThan(9);
  });

  test('leaves out arms without a share', () => {
    expect(testSampleRatio([100, 100, 7], [1, 1, 0]).pValue).toBe(1);
  });
});

describe('how well a score tells', () => {
  const judged = (...cases: [number, boolean][]) => cases.map(([score, isTrue]) => ({ score, isTrue }));

  test('is the share of pairs in the right order, ties counting half', () => {
    expect(rocAuc(judged([0.1, false], [0.4, false], [0.35, true], [0.8, true]))).toBe(0.75);
    expect(rocAuc(judged([0.5, false], [0.5, true]))).toBe(0.5);
    expect(rocAuc(judged([0.5, true]))).toBeNaN();
  });

  test('is calibrated when shares are what scores say', () => {
    const cases = Array.from({ length: 1_000 }, (_, at) => ({ score: 0.25, isTrue: at % 4 === 0 }));
    expect(calibrationError(calibrationOf(cases))).toBeCloseTo(0, 2);
    expect(brierScore(cases)).toBeCloseTo(0.1875, 10);
    const sure = cases.map(({ isTrue }) => ({ score: 0.9, isTrue }));
    expect(calibrationError(calibrationOf(sure))).toBeCloseTo(0.65, 2);
  });

  test('has no more bins than cases', () => {
    expect(calibrationOf(judged([0.1, true], [0.2, false]), 10)).toHaveLength(2);
  });
});

describe('two judges', () => {
  test('who agree', () => {
    expect(
      agreementOf([
        [1, 1],
        [3, 3],
        [5, 5],
      ]),
    ).toEqual({ marks: 3, exact: 1, kappa: 1, correlation: 1 });
  });

  test('who are opposed', () => {
    const { kappa, correlation } = agreementOf([
      [1, 5],
      [3, 3],
      [5, 1],
    ])!;
    expect(kappa).toBeCloseTo(-1, 12);
    expect(correlation).toBeCloseTo(-1, 12);
  });

  test('of whom one does not tell anything apart', () => {
    expect(
      agreementOf([
        [1, 3],
        [2, 3],
      ]),
    ).toMatchObject({ kappa: Number.NaN, correlation: Number.NaN });
    expect(agreementOf([])).toBeUndefined();
  });
});

test('the Pareto front has what nothing beats', () => {
  const all = [
    { name: 'cheap', quality: 0.7, cost: 1 },
    { name: 'beaten', quality: 0.7, cost: 2 },
    { name: 'good', quality: 0.9, cost: 5 },
    { name: 'dear', quality: 0.9, cost: 6 },
    { name: 'best', quality: 0.95, cost: 50 },
  ];
  expect(paretoFront(all).map(({ name }) => name)).toEqual(['cheap', 'good', 'best']);
});
