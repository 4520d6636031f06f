import type { RatioEstimate } from '../evaluate/statistics/sequential.ts';
import type { Moments } from '../store/experiment-readings.ts';

/** A metric that is a share varies at least as if one more unit had it and one had not. */
export interface RatioOptions {
  readonly isShare: boolean;
}

/**
 * Whatever the sample, a mean is not taken to be known better than to a hundredth of itself a unit: arms whose answers all
 * cost the same can still be compared.
 */
const LEAST_DEVIATION = 0.01;

/**
 * The ratio of ratioOf from sums over the units, with its variance by the delta method. Where too little varies to tell,
 * the variance is that of a cautious guess: no failure in fifty units does not mean that there never is one. Undefined for
 * fewer than two units or nothing counted.
 */
export const ratioOfMoments = (moments: Moments, { isShare }: RatioOptions): RatioEstimate | undefined => {
  const { units, s, c } = moments;
  if (units < 2 || c === 0) return undefined;
  const estimate = s / c;
  const variance = isShare ? varianceOf(withTwoMore(moments)) : varianceOf(moments);
  const least = isShare ? 0 : (LEAST_DEVIATION * estimate) ** 2 / units;
  return { units, count: c, estimate, variance: Math.max(variance, least) };
};

const varianceOf = ({ units, s, c, ss, sc, cc }: Moments): number => {
  const estimate = s / c;
  const squares = Math.max(0, ss - 2 * estimate * sc + estimate ** 2 * cc);
  return ((squares / (units - 1)) * units) / (c * c);
};

/** One unit more of the usual size of which all counts, and one of which nothing does (Agresti and Caffo, 2000). */
const withTwoMore = ({ units, s, c, ss, sc, cc }: Moments): Moments => {
  const size = c / units;
  const square = size ** 2;
  return { units: units + 2, s: s + size, c: c + 2 * size, ss: ss + square, sc: sc + square, cc: cc + 2 * square };
};
