import { bootstrapMean, type Interval } from './bootstrap.ts';
import { createRandom } from './random.ts';

/** How two models differ on the same tasks. */
export interface PairedComparison extends Interval {
  /** Tasks that both answered. */
  readonly tasks: number;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
  /** Probability of a mean difference at least so large if the two were alike, two-sided. */
  readonly pValue: number;
}

/** Up to so many tasks that differ, all sign patterns are tried; beyond, so many are drawn. */
const EXACT_UP_TO = 14;
const DRAWS = 10_000;
/** Sums of the same numbers in another order differ by less. */
const ROUNDING = 1e-9;

/**
 * Compares two models by the difference of their scores on each task (theirs less the baseline's): the mean with its
 * bootstrap interval, and the p-value of a sign-flip permutation test, which assumes nothing of how scores are distributed.
 * Throws RangeError without a task. Source: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), 3.
 */
export const comparePaired = (differences: readonly number[], seed = 1): PairedComparison => {
  const moving = differences.filter((difference) => difference !== 0);
  return {
    ...intervalOf(differences, seed),
    tasks: differences.length,
    wins: differences.filter((difference) => difference > 0).length,
    losses: differences.filter((difference) => difference < 0).length,
    ties: differences.length - moving.length,
    pValue: signFlipTest(moving, seed),
  };
};

/** The mean difference. Where all are the same there is no spread to draw from: then as few tasks differ as Wilson allows, by up to 1. */
const intervalOf = (differences: readonly number[], seed: number): Interval => {
  const clusters = differences.map((difference) => [difference]);
  const [first = 0] = differences;
  if (!differences.every((difference) => difference === first)) return bootstrapMean(clusters, { seed });
  const { low: alike } = bootstrapMean(differences.map(() => [1]));
  const [middle, reach] = [first * alike, 1 - alike];
  return { estimate: first, low: Math.max(-1, middle - reach), high: Math.min(1, middle + reach) };
};

const signFlipTest = (values: readonly number[], seed: number): number => {
  if (values.length === 0) return 1;
  const observed = Math.abs(values.reduce((sum, value) => sum + value, 0)) - ROUNDING;
  if (values.length <= EXACT_UP_TO) {
    const patterns = 2 ** values.length;
    let extreme = 0;
    for (let pattern = 0; pattern < patterns; pattern++) {
      let sum = 0;
      for (let at = 0; at < values.length; at++) sum += pattern & (1 << at) ? values[at]! : -values[at]!;
      if (Math.abs(sum) >= observed) extreme++;
    }
    return extreme / patterns;
  }
  const random = createRandom(seed);
  let extreme = 0;
  for (let draw = 0; draw < DRAWS; draw++) {
    let sum = 0;
    for (const value of values) sum += random() < 0.5 ? value : -value;
    if (Math.abs(sum) >= observed) extreme++;
  }
  // The observed pattern counts as one, so that the p-value is never 0.
  return (extreme + 1) / (DRAWS + 1);
};
