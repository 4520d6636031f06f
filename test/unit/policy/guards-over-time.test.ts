import { describe, expect, test } from '@jest/globals';
import { judgeGuards } from '../../../gateway/policy/guards.ts';
import { newTally } from '../../../gateway/policy/readings.ts';
import { guardsOf } from '../../../gateway/policy/rollout-plan.ts';

// Guards are judged again and again on nearly the same requests: what one look seldom takes for a breach, one of a day's
// looks often does. A look is taken here after each of the window's 60 slots.
const GUARDS = guardsOf({});
const WINDOW_SLOTS = 60;
const SLOT_MS = GUARDS.windowMs / WINDOW_SLOTS;
const DAY_SLOTS = 86_400_000 / SLOT_MS;

/** A fixed sequence of numbers between 0 and 1 (mulberry32). */
const dice = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

interface Traffic {
  /** Requests in one slot. */
  readonly candidate: number;
  readonly stable: number;
  /** Shares of the answers. */
  readonly errors: number;
  readonly candidateErrors: number;
  /** Shares of the compared. */
  readonly newlyDenied: number;
  readonly newlyAllowed: number;
}
type Counts = Omit<Traffic, 'candidate' | 'stable'>;
const SAME: Traffic = {
  candidate: 2,
  stable: 38,
  errors: 0.05,
  candidateErrors: 0.05,
  newlyDenied: 0,
  newlyAllowed: 0,
};

/** In which slot a guard is breached first; Infinity: in none. */
const breachedAfter = (traffic: Traffic, seed: number, slots = DAY_SLOTS): number => {
  const roll = dice(seed);
  const often = (of: number, share: number): number => {
    let count = 0;
    for (let n = 0; n < of; n++) if (roll() < share) count++;
    return count;
  };
  const sum = newTally();
  const add = (counts: Counts, sign: 1 | -1): void => {
    sum.candidate.requests += sign * traffic.candidate;
    sum.candidate.answers += sign * traffic.candidate;
    sum.candidate.errors += sign * counts.candidateErrors;
    sum.stable.requests += sign * traffic.stable;
    sum.stable.answers += sign * traffic.stable;
    sum.stable.errors += sign * counts.errors;
    sum.compared.compared += sign * (traffic.candidate + traffic.stable);
    sum.compared.newlyDenied += sign * counts.newlyDenied;
    sum.compared.newlyAllowed += sign * counts.newlyAllowed;
  };
  const inWindow: Counts[] = [];
  for (let slot = 0; slot < slots; slot++) {
    const counts = {
      candidateErrors: often(traffic.candidate, traffic.candidateErrors),
      errors: often(traffic.stable, traffic.errors),
      newlyDenied: often(traffic.candidate + traffic.stable, traffic.newlyDenied),
      newlyAllowed: often(traffic.candidate + traffic.stable, traffic.newlyAllowed),
    };
    add(counts, 1);
    inWindow.push(counts);
    if (inWindow.length > WINDOW_SLOTS) add(inWindow.shift() as Counts, -1);
    const judged = judgeGuards(sum, GUARDS, { stage: 'canary', baseline: null });
    if (judged.some(({ verdict }) => verdict === 'breached')) return slot;
  }
  return Number.POSITIVE_INFINITY;
};
const isBreachedInADay = (traffic: Partial<Traffic>): boolean => breachedAfter({ ...SAME, ...traffic }, 1) < DAY_SLOTS;

describe('over a day of looks', () => {
  test('a candidate that is as good as stable stays, where few requests are its own', () => {
    expect(isBreachedInADay({})).toBe(false);
  });
  test('a candidate that fails more often, and less than the maximum more, stays', () => {
    expect(isBreachedInADay({ candidate: 25, stable: 75, errors: 0.01, candidateErrors: 0.02 })).toBe(false);
  });
  test('a candidate that refuses more, and less than the maximum more, stays', () => {
    expect(isBreachedInADay({ newlyDenied: 0.005 })).toBe(false);
  });
  test('a candidate that refuses other requests and not more of them stays', () => {
    expect(isBreachedInADay({ newlyDenied: 0.05, newlyAllowed: 0.05 })).toBe(false);
  });
});

describe('within minutes', () => {
  const latest = (traffic: Partial<Traffic>): number =>
    Math.max(...[1, 2, 3].map((seed) => breachedAfter({ ...SAME, ...traffic }, seed, 1_000))) * (SLOT_MS / 60_000);
  test('a candidate that fails once in five is taken back, on two requests in five seconds', () => {
    expect(latest({ candidateErrors: 0.25 })).toBeLessThan(15);
  });
  test('a candidate that fails once in ten is taken back, where it has more requests', () => {
    expect(latest({ candidate: 25, stable: 75, candidateErrors: 0.15 })).toBeLessThan(3);
  });
  test('a candidate that refuses one in ten more is taken back', () => {
    expect(latest({ newlyDenied: 0.1 })).toBeLessThan(2);
  });
});
