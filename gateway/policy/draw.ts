import type { Input } from '../types.gen.ts';
import type { DrawnBy } from './rollout-plan.ts';

const BUCKETS = 10_000;

/** Which requests a canary decides. */
export interface Draw {
  readonly by: DrawnBy;
  /** Where the share begins, 0 to 9999. */
  readonly offset: number;
  /** How many of 10,000 buckets it has. */
  readonly buckets: number;
}

/**
 * The draw of a candidate at a percentage. Where its share begins follows from its digest: each rollout meets other callers
 * first, and a larger percentage has all callers of a smaller one.
 */
export const drawOf = (candidateDigest: string, by: DrawnBy, percent: number): Draw => ({
  by,
  offset: Number.parseInt(candidateDigest.slice(0, 8), 16) % BUCKETS,
  buckets: Math.round(percent * (BUCKETS / 100)),
});

/** Whether a request falls to the candidate. */
export const isDrawn = ({ by, offset, buckets }: Draw, bucket: Input['bucket']): boolean =>
  (bucket[by] + offset) % BUCKETS < buckets;
