import { chiSquareTail } from './distributions.ts';

/** Below this the shares are not what they should be. One looks often, so it is far below 0.05. */
export const MISMATCH_BELOW = 0.001;

/** Whether arms got the shares of units that they should: `pValue` of Pearson's chi-square test. */
export interface SampleRatio {
  readonly pValue: number;
  readonly isMismatch: boolean;
}

/**
 * Tests the numbers of units by arm against their planned shares (in any unit). A mismatch means that the assignment or the
 * counting is at fault, and that no metric is to be believed. Arms without a share are left out. Source: Fabijan et al.,
 * Diagnosing Sample Ratio Mismatch in Online Controlled Experiments (KDD 2019).
 */
export const testSampleRatio = (units: readonly number[], shares: readonly number[]): SampleRatio => {
  const arms = units.map((count, at) => ({ count, share: shares[at] ?? 0 })).filter(({ share }) => share > 0);
  const total = arms.reduce((sum, { count }) => sum + count, 0);
  const whole = arms.reduce((sum, { share }) => sum + share, 0);
  if (total === 0 || arms.length < 2) return { pValue: 1, isMismatch: false };
  const statistic = arms.reduce((sum, { count, share }) => {
    const expected = (total * share) / whole;
    return sum + (count - expected) ** 2 / expected;
  }, 0);
  const pValue = chiSquareTail(statistic, arms.length - 1);
  return { pValue, isMismatch: pValue < MISMATCH_BELOW };
};
