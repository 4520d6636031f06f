import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../gateway/evaluate/statistics/random.ts';
import { ratioOf } from '../../../gateway/evaluate/statistics/sequential.ts';
import { ratioOfMoments } from '../../../gateway/experiments/ratio-of-moments.ts';
import { momentsOf } from '../../support/experiments.ts';

const MEAN = { isShare: false };

describe('ratioOfMoments', () => {
  test('gives from sums what ratioOf gives from the units', () => {
    const random = createRandom(3);
    const units = Array.from({ length: 500 }, () => {
      const count = 1 + Math.floor(random() * 9);
      return { sum: count * 800_000 * random(), count };
    });
    const expected = ratioOf(units)!;
    const actual = ratioOfMoments(momentsOf(units.map(({ sum, count }) => [sum, count])), MEAN)!;
    expect(actual).toMatchObject({ units: 500, count: expected.count });
    expect(actual.estimate).toBeCloseTo(expected.estimate, 6);
    expect(actual.variance / expected.variance).toBeCloseTo(1, 9);
  });

  test('knows nothing of one unit, or of none that counts', () => {
    expect(ratioOfMoments(momentsOf([[1, 1]]), MEAN)).toBeUndefined();
    expect(ratioOfMoments(momentsOf([[0, 0]]), MEAN)).toBeUndefined();
  });

  test('takes no mean for certain, though all units agree', () => {
    const ratio = ratioOfMoments(momentsOf(Array.from({ length: 100 }, () => [40, 1] as const)), MEAN)!;
    expect(ratio.estimate).toBe(40);
    expect(Math.sqrt(ratio.variance)).toBeCloseTo(0.04, 9);
  });

  test('takes no share for certain: fifty units without a failure may have one', () => {
    const ratio = ratioOfMoments(momentsOf(Array.from({ length: 50 }, () => [0, 1] as const)), { isShare: true })!;
    expect(ratio.estimate).toBe(0);
    expect(Math.sqrt(ratio.variance)).toBeCloseTo(Math.sqrt((1 / 52) * (51 / 52) * (1 / 51)), 3);
  });
});
