/** What an upstream may be asked again: a share of what it is asked the first time, so that a storm feeds no storm. */
export interface RetryBudget {
  /** A request is sent for the first time. */
  first(now: number): void;
  /** Takes one retry; false when there is none left. */
  take(now: number): boolean;
  read(now: number): { readonly first_attempts: number; readonly retries: number; readonly left: number };
}

/** Retries of the last ten seconds are at most this share of their first attempts (invariant 36) … */
export const RETRY_SHARE = 0.2;
/** … and so many more, for an upstream that is asked seldom. */
export const RETRY_FLOOR = 3;

const BUCKET_MS = 1000;
const BUCKETS = 10;

/** Creates the budget of one upstream. Times are milliseconds of one monotonic clock. `first` is O(1). */
export const createRetryBudget = (): RetryBudget => {
  const firsts = new Float64Array(BUCKETS);
  const retries = new Float64Array(BUCKETS);
  let last = 0;

  /** The bucket of this second; those since the last call are emptied. */
  const bucketAt = (now: number): number => {
    const second = Math.floor(now / BUCKET_MS);
    if (second > last) {
      for (let s = Math.max(last + 1, second - BUCKETS + 1); s <= second; s++) {
        firsts[s % BUCKETS] = 0;
        retries[s % BUCKETS] = 0;
      }
      last = second;
    }
    return last % BUCKETS;
  };
  const sum = (counts: Float64Array): number => counts.reduce((total, count) => total + count, 0);
  const left = (): number => Math.floor(sum(firsts) * RETRY_SHARE + RETRY_FLOOR - sum(retries) + 1e-9);

  return {
    first(now) {
      firsts[bucketAt(now)]!++;
    },
    take(now) {
      const bucket = bucketAt(now);
      if (left() < 1) return false;
      retries[bucket]!++;
      return true;
    },
    read(now) {
      bucketAt(now);
      return { first_attempts: sum(firsts), retries: sum(retries), left: Math.max(0, left()) };
    },
  };
};
