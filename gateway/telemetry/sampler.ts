import { remoteSpanOf, Trace } from '../trace.ts';

/** Traces a second, in the mean, that callers may make the gateway record by their own flag; and how many at once. */
const ASKED_PER_SECOND = 50;
const ASKED_AT_ONCE = 100;

/**
 * Begins traces: the caller's where it sent one. A root is recorded with the probability `ratio`, a caller's trace
 * when the caller records it: but only so many a second, since anybody can set a flag. With ratio 0 none is.
 */
export const createSampler = (
  ratio: number,
  now: () => number = () => performance.now(),
  random: () => number = Math.random,
): ((rawHeaders: readonly string[]) => Trace) => {
  let left = ASKED_AT_ONCE;
  let filledAt = now();
  const mayRecord = (): boolean => {
    const at = now();
    left = Math.min(ASKED_AT_ONCE, left + ((at - filledAt) / 1000) * ASKED_PER_SECOND);
    filledAt = at;
    if (left < 1) return false;
    left -= 1;
    return true;
  };
  return (rawHeaders) => {
    const parent = remoteSpanOf(rawHeaders);
    if (ratio === 0) return new Trace(parent, false);
    return new Trace(parent, parent ? parent.isSampled && mayRecord() : random() < ratio);
  };
};
