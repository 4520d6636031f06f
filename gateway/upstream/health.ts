import type { Input } from '../types.gen.ts';

export type HealthState = Input['upstreams'][string]['state'];

/** Health of one upstream over the last minute, of at most the last 200 attempts. */
export interface HealthReading {
  readonly state: HealthState;
  /** Share of attempts that failed, 0 to 1: no answer, a broken one, 429 or 5xx. */
  readonly errorRate: number;
  /** Median time to the answer's head, milliseconds; 0 before the first. */
  readonly p50Ms: number;
}

/**
 * Live health of one upstream. `answered` and `failed` are O(1); `read` sorts at most 200 numbers four times a second
 * and is a field read otherwise. Times are milliseconds of one monotonic clock.
 */
export interface Health {
  /** The head of an answer came after `ttfbMs`. `ok` is false for 429 and 5xx. */
  answered(ok: boolean, ttfbMs: number, now: number): void;
  /** No answer came (`unanswered`), or one that had begun broke off. A caller that leaves is neither. */
  failed(unanswered: boolean, now: number): void;
  read(now: number): HealthReading;
}

const WINDOW_MS = 60_000;
const SIZE = 200;
const REFRESH_MS = 250;
/** From this error rate on, over at least `DEGRADED_ATTEMPTS`, an upstream is degraded. */
const DEGRADED_RATE = 0.2;
const DEGRADED_ATTEMPTS = 5;
/** After this many attempts in a row without an answer an upstream is down … */
export const DOWN_AFTER = 5;
/** … and reads `degraded` after this pause, so that policies try it again: one answer clears it, one more failure starts a new pause. */
export const HALF_OPEN_MS = 10_000;

/** Creates the record of one upstream. `onState` hears of each change of state, when it is next read or at once when it goes down or comes back. */
export const createHealth = (onState: (state: HealthState) => void = () => {}): Health => {
  const times = new Float64Array(SIZE).fill(Number.NEGATIVE_INFINITY);
  const ttfbs = new Float32Array(SIZE);
  const failures = new Uint8Array(SIZE);
  const scratch = new Float32Array(SIZE);
  let next = 0;
  let unansweredInARow = 0;
  let downAt = 0;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: HealthReading = { state: 'up', errorRate: 0, p50Ms: 0 };

  const record = (failed: boolean, ttfbMs: number, now: number): void => {
    times[next] = now;
    ttfbs[next] = ttfbMs;
    failures[next] = failed ? 1 : 0;
    next = next + 1 === SIZE ? 0 : next + 1;
  };

  const refresh = (now: number): void => {
    readAt = now;
    let attempts = 0;
    let failed = 0;
    let answers = 0;
    for (let i = 0; i < SIZE; i++) {
      if (now - times[i]! > WINDOW_MS) continue;
      attempts++;
      failed += failures[i]!;
      if (ttfbs[i]! >= 0) scratch[answers++] = ttfbs[i]!;
    }
    const errorRate = attempts === 0 ? 0 : Math.round((failed / attempts) * 1000) / 1000;
    const p50Ms = answers === 0 ? 0 : Math.round(scratch.subarray(0, answers).sort()[answers >> 1]! * 10) / 10;
    const state = stateOf(attempts, errorRate, now);
    const changed = state !== reading.state;
    reading = { state, errorRate, p50Ms };
    if (changed) onState(state);
  };

  const stateOf = (attempts: number, errorRate: number, now: number): HealthState => {
    if (unansweredInARow >= DOWN_AFTER) return now - downAt < HALF_OPEN_MS ? 'down' : 'degraded';
    return attempts >= DEGRADED_ATTEMPTS && errorRate >= DEGRADED_RATE ? 'degraded' : 'up';
  };

  return {
    answered(ok, ttfbMs, now) {
      record(!ok, ttfbMs, now);
      const wasDown = unansweredInARow >= DOWN_AFTER;
      unansweredInARow = 0;
      if (wasDown) refresh(now);
    },
    failed(unanswered, now) {
      record(true, -1, now);
      if (!unanswered) return;
      unansweredInARow++;
      if (unansweredInARow >= DOWN_AFTER) {
        downAt = now;
        refresh(now);
      }
    },
    read(now) {
      if (now - readAt >= REFRESH_MS) refresh(now);
      return reading;
    },
  };
};
