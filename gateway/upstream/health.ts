import type { Input } from '../types.gen.ts';
import { createCircuit } from './circuit.ts';

export type HealthState = Input['upstreams'][string]['state'];

/** Health of one upstream over the last minute, of at most the last 200 attempts. */
export interface HealthReading {
  /** `down` while the circuit is open; `degraded` while it is half open, or many attempts fail. */
  readonly state: HealthState;
  /** Share of attempts that failed, 0 to 1: no answer, a broken one, 429 or 5xx. */
  readonly errorRate: number;
  /** Median time to the answer's head, milliseconds; 0 before the first. */
  readonly p50Ms: number;
}

/**
 * Live health of one upstream, and its circuit. `enter`, `answered` and `failed` are O(1) while all is well; `read`
 * sorts at most 200 numbers four times a second and is a field read otherwise. Times are milliseconds of one monotonic
 * clock.
 */
export interface Health {
  /** Whether a request may be sent: `probe` is the one that tries a half-open circuit. */
  enter(now: number): 'pass' | 'probe' | 'stop';
  /** The head of an answer came after `ttfbMs`. */
  answered(status: number, ttfbMs: number, now: number, isProbe: boolean): void;
  /** No answer came (`unanswered`), or one that had begun broke off. A caller that leaves is neither. */
  failed(unanswered: boolean, now: number, isProbe: boolean): void;
  /** The probe told nothing: its caller left, or it was not sent. */
  release(): void;
  read(now: number): HealthReading;
  circuit(now: number): 'closed' | 'open' | 'half_open';
  /** Milliseconds until a request may be let through. */
  waitMs(now: number): number;
}

const WINDOW_MS = 60_000;
const SIZE = 200;
const REFRESH_MS = 250;
/** From this error rate on, over at least `DEGRADED_ATTEMPTS`, an upstream is degraded. */
const DEGRADED_RATE = 0.2;
const DEGRADED_ATTEMPTS = 5;
/** After this many attempts in a row without an answer, or with a 5xx, the circuit opens … */
export const DOWN_AFTER = 5;
/** … or when at least this share of the window failed that way, of at least so many. */
export const OPEN_RATE = 0.5;
export const OPEN_ATTEMPTS = 20;

const OK = 0;
/** The upstream's fault. */
const FAULT = 1;
/** A 429: it does answer, so it counts in the error rate but never opens the circuit. */
const LIMITED = 2;

/**
 * Creates the record of one upstream. `onState` hears of each change of state, when it is next read or at once when the
 * circuit opens or closes. `openMs` is the circuit's first pause.
 */
export const createHealth = (onState: (state: HealthState) => void = () => {}, openMs?: number): Health => {
  const times = new Float64Array(SIZE).fill(Number.NEGATIVE_INFINITY);
  const ttfbs = new Float32Array(SIZE);
  const results = new Uint8Array(SIZE);
  const scratch = new Float32Array(SIZE);
  const circuit = createCircuit(openMs);
  let next = 0;
  let faultsInARow = 0;
  /** What was before the circuit closed does not open it again. */
  let countsFrom = Number.NEGATIVE_INFINITY;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: HealthReading = { state: 'up', errorRate: 0, p50Ms: 0 };

  const record = (result: number, ttfbMs: number, now: number): void => {
    times[next] = now;
    ttfbs[next] = ttfbMs;
    results[next] = result;
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
      if (results[i] !== OK) failed++;
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
    const position = circuit.state(now);
    if (position !== 'closed') return position === 'open' ? 'down' : 'degraded';
    return attempts >= DEGRADED_ATTEMPTS && errorRate >= DEGRADED_RATE ? 'degraded' : 'up';
  };

  const isMostlyFaults = (now: number): boolean => {
    let attempts = 0;
    let faults = 0;
    for (let i = 0; i < SIZE; i++) {
      if (now - times[i]! > WINDOW_MS || times[i]! < countsFrom) continue;
      attempts++;
      if (results[i] === FAULT) faults++;
    }
    return attempts >= OPEN_ATTEMPTS && faults >= attempts * OPEN_RATE;
  };

  const fault = (now: number, isProbe: boolean): void => {
    if (isProbe) circuit.reopen(now);
    // What was sent before it opened tells nothing new.
    else if (circuit.state(now) !== 'closed') return;
    else if (++faultsInARow >= DOWN_AFTER || isMostlyFaults(now)) circuit.open(now);
    else return;
    refresh(now);
  };

  return {
    enter: circuit.enter,
    answered(status, ttfbMs, now, isProbe) {
      const isFault = status >= 500;
      record(isFault ? FAULT : status === 429 ? LIMITED : OK, ttfbMs, now);
      if (isFault) return fault(now, isProbe);
      faultsInARow = 0;
      if (!isProbe) return;
      circuit.close(now);
      countsFrom = now;
      refresh(now);
    },
    failed(unanswered, now, isProbe) {
      record(FAULT, -1, now);
      if (unanswered) return fault(now, isProbe);
      if (circuit.state(now) !== 'closed' || !isMostlyFaults(now)) return;
      circuit.open(now);
      refresh(now);
    },
    release: circuit.release,
    read(now) {
      if (now - readAt >= REFRESH_MS) refresh(now);
      return reading;
    },
    circuit: circuit.state,
    waitMs: circuit.waitMs,
  };
};
