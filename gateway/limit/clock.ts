/** A step back larger than this is a corrected clock; a smaller one is a caller that read the time earlier. */
const STEP_MS = 10_000;

/**
 * Turns the times that callers pass into one that never runs backwards, so that no bucket drains twice and no lease
 * outlives its end. When the clock is set back, time goes on from there instead of standing still until it catches up.
 */
export const createElapsedClock = (): ((now: number) => number) => {
  let last: number | undefined;
  let elapsed = 0;
  return (now) => {
    if (last === undefined) last = now;
    const delta = now - last;
    if (delta > 0) {
      elapsed += delta;
      last = now;
    } else if (delta < -STEP_MS) {
      last = now;
    }
    return elapsed;
  };
};
