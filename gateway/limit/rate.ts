/**
 * One rate bucket. GCRA in its other form, the leaky bucket as a meter: the level is what was used and has not drained
 * yet; it drains at `perMinute` and may not exceed a minute's amount. A level above that is a debt. It is counted in
 * 60,000ths, the share of one millisecond, so that whole milliseconds and amounts below 1.5e11 are exact.
 */
export interface Rate {
  level60k: number;
  drainedAtMs: number;
  perMinute: number;
}

const SHARES = 60_000;

/** Lets a bucket drain until `now`, at the rate that was in force. */
export const drain = (rate: Rate, now: number): void => {
  const elapsed = now - rate.drainedAtMs;
  if (elapsed <= 0) return;
  rate.drainedAtMs = now;
  if (rate.level60k > 0) rate.level60k = Math.max(0, rate.level60k - elapsed * rate.perMinute);
};

/** Adds an amount, or takes it back when negative; a bucket is never emptier than empty. */
export const add = (rate: Rate, amount: number): void => {
  rate.level60k = Math.max(0, rate.level60k + amount * SHARES);
};

/** What is used and not drained yet, in the unit of the limit. */
export const levelOf = (rate: Rate): number => rate.level60k / SHARES;

/** Milliseconds until `amount` fits: 0 now, null never. */
export const waitFor = (rate: Rate, amount: number, perMinute: number): number | null => {
  if (amount > perMinute) return null;
  const excess = rate.level60k + (amount - perMinute) * SHARES;
  if (excess <= 0) return 0;
  return perMinute === 0 ? null : Math.ceil(excess / perMinute);
};

/** Milliseconds until the bucket is empty, that is, its allowance full again. */
export const resetOf = (rate: Rate, perMinute: number): number =>
  perMinute === 0 ? 0 : Math.ceil(rate.level60k / perMinute);
