/** Buckets grow by this factor, so a percentile is right to within it; interpolation makes it far better as a rule. */
const FACTOR = 1.5;

const column = <N extends number>(bucket: N): `ms_${N}` => `ms_${bucket}`;

/**
 * Counters of a logarithmic histogram of durations: `ms_0` counts those below 1.5 ms, `ms_k` those from 1.5^k to
 * 1.5^(k+1) ms, `ms_31` everything from 4.8 minutes.
 */
export const LATENCY_COLUMNS = Array.from({ length: 32 }, (_, bucket) => column(bucket));

const LOWER_BOUNDS = LATENCY_COLUMNS.map((_, bucket) => (bucket === 0 ? 0 : FACTOR ** bucket));

/** The bucket of a duration in milliseconds. */
export const latencyBucket = (ms: number): number => {
  let bucket = 0;
  while (bucket < LOWER_BOUNDS.length - 1 && ms >= LOWER_BOUNDS[bucket + 1]!) bucket++;
  return bucket;
};

/**
 * The duration in milliseconds below which a share of the counted durations lies, interpolated within its bucket: wrong
 * by at most a factor of 1.5. Null when nothing was counted.
 */
export const percentile = (counts: readonly number[], share: number): number | null => {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = share * total;
  let below = 0;
  for (const [bucket, count] of counts.entries()) {
    if (count === 0 || below + count < rank) {
      below += count;
      continue;
    }
    const lower = Math.max(LOWER_BOUNDS[bucket]!, 1);
    return Math.round(lower * FACTOR ** ((rank - below) / count));
  }
  return null;
};
