import { normalQuantile } from './distributions.ts';
import { createRandom } from './random.ts';

/** A figure and the interval it lies in with the level's probability. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  readonly resamples?: number;
  readonly seed?: number;
  /** Probability of the interval. */
  readonly level?: number;
}

const RESAMPLES = 2_000;

/**
 * The mean of scores with its percentile bootstrap interval. Each member of `clusters` holds the scores of one task,
 * repeats included: whole tasks are drawn, because repeats of one task say little about other tasks. Scores of 0 to 1 that
 * are all equal have no spread to draw from: then the interval is Wilson's, by the number of tasks. Throws RangeError
 * without a score. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13.3; Wilson (1927).
 */
export const bootstrapMean = (
  clusters: readonly (readonly number[])[],
  { resamples = RESAMPLES, seed = 1, level = 0.95 }: BootstrapOptions = {},
): Interval => {
  const filled = clusters.filter((scores) => scores.length > 0);
  if (filled.length === 0) throw new RangeError('a mean needs a score');
  const sums = Float64Array.from(filled, (scores) => scores.reduce((sum, score) => sum + score, 0));
  const counts = Float64Array.from(filled, (scores) => scores.length);
  const estimate = total(sums) / total(counts);
  const first = sums[0]! / counts[0]!;
  if (filled.every((scores) => scores.every((score) => score === first))) return unanimous(first, filled.length, level);
  const random = createRandom(seed);
  const means = new Float64Array(resamples);
  for (let round = 0; round < resamples; round++) {
    let sum = 0;
    let count = 0;
    for (let at = 0; at < filled.length; at++) {
      const drawn = Math.floor(random() * filled.length);
      sum += sums[drawn]!;
      count += counts[drawn]!;
    }
    means[round] = sum / count;
  }
  means.sort();
  const tail = (1 - level) / 2;
  return { estimate, low: quantileOf(means, tail), high: quantileOf(means, 1 - tail) };
};

const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

/** Wilson's score interval where every one of `n` scored the same. */
const unanimous = (score: number, n: number, level: number): Interval => {
  if (score < 0 || score > 1) return { estimate: score, low: score, high: score };
  const z = normalQuantile(1 - (1 - level) / 2);
  const centre = (score + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((score * (1 - score)) / n + (z * z) / (4 * n * n));
  return { estimate: score, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
};

/** The quantile of ascending values, between two of them in proportion. NaN without any. */
export const quantileOf = (ascending: ArrayLike<number>, share: number): number => {
  if (ascending.length === 0) return Number.NaN;
  const place = share * (ascending.length - 1);
  const below = ascending[Math.floor(place)] as number;
  const above = ascending[Math.ceil(place)] as number;
  return below + (above - below) * (place - Math.floor(place));
};
