import { expect, test } from '@jest/globals';
import { fitLogistic, type LogisticCase, probabilityOf } from '../../../../gateway/evaluate/statistics/logistic.ts';
import { createRandom } from '../../../../gateway/evaluate/statistics/random.ts';

const drawn = (weights: readonly number[], count: number): LogisticCase[] => {
  const random = createRandom(11);
  return Array.from({ length: count }, () => {
    const features = [1, random() * 4 - 2, random() < 0.5 ? 1 : 0];
    return { features, isTrue: random() < probabilityOf(features, weights), weight: 1 };
  });
};

test('finds the weights that cases were drawn with', () => {
  const found = fitLogistic(drawn([-0.5, 1.2, 0.8], 20_000), [0, 0, 0], [0, 0, 0]);
  expect(found[0]).toBeCloseTo(-0.5, 0);
  expect(Math.abs(found[1]! - 1.2)).toBeLessThan(0.1);
  expect(Math.abs(found[2]! - 0.8)).toBeLessThan(0.1);
});

test('keeps the prior of a feature that no case has', () => {
  const cases = drawn([0, 1, 0], 500).map(({ features, ...rest }) => ({ ...rest, features: [...features, 0] }));
  expect(fitLogistic(cases, [0, 0, 0, 0.7], [0.01, 1, 1, 20])[3]).toBeCloseTo(0.7, 9);
});

test('a case of weight two counts as two', () => {
  const cases = drawn([0.3, 1, -1], 300);
  const weighted = cases.map((one, at) => ({ ...one, weight: at < 100 ? 2 : 1 }));
  const doubled = [...cases, ...cases.slice(0, 100)];
  const prior = [0, 0, 0];
  const found = fitLogistic(weighted, prior, prior);
  fitLogistic(doubled, prior, prior).forEach((weight, at) => {
    expect(found[at]).toBeCloseTo(weight, 9);
  });
});
