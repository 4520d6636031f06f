import { logGamma } from './distributions.ts';

/** Below this the shares are not what they should be: the chance of ever saying so of arms that are as planned. */
export const MISMATCH_BELOW = 0.01;

/**
 * How sure the test is beforehand that shares are off by little, in units. At 100 it is quickest where an arm of a half is
 * off by some five in a hundred.
 */
const CONCENTRATION = 100;

/** Whether arms got the shares of units that they should. `pValue` is always valid: it holds at every look at once. */
export interface SampleRatio {
  readonly pValue: number;
  readonly isMismatch: boolean;
}

/**
 * Tests the numbers of units by arm against their planned shares (in any unit). A mismatch means that the assignment or the
 * counting is at fault, and that no metric is to be believed. Arms without a share are left out. Exact, so that one early
 * unit of a small arm is no alarm, and one may look after every unit: 1 / the Bayes factor of shares off by a Dirichlet
 * distribution around the planned ones. Source: Lindon and Malek, Anytime-Valid Inference for Multinomial Count Data
 * (NeurIPS 2022).
 */
export const testSampleRatio = (units: readonly number[], shares: readonly number[]): SampleRatio => {
  const arms = units.map((count, at) => ({ count, share: shares[at] ?? 0 })).filter(({ share }) => share > 0);
  const total = arms.reduce((sum, { count }) => sum + count, 0);
  const whole = arms.reduce((sum, { share }) => sum + share, 0);
  if (total === 0 || arms.length < 2) return { pValue: 1, isMismatch: false };
  const logFactor = arms.reduce(
    (sum, { count, share }) => {
      const planned = share / whole;
      const prior = CONCENTRATION * planned;
      return sum + logGamma(prior + count) - logGamma(prior) - count * Math.log(planned);
    },
    logGamma(CONCENTRATION) - logGamma(CONCENTRATION + total),
  );
  const pValue = Math.min(1, Math.exp(-logFactor));
  return { pValue, isMismatch: pValue < MISMATCH_BELOW };
};
