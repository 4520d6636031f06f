import { assertAmount, budgetOf, type Counter, counterOf, HistoryAway, type SpendHistory } from './account.ts';
import { createAccounts } from './accounts.ts';
import { createCalendar } from './calendar.ts';
import { createElapsedClock } from './clock.ts';
import type { Demand, Limiter, Permit, Refusal } from './limiter.ts';
import { drain, type Rate } from './rate.ts';
import { closeShare, joinRepeats, limitOf, openShare, type Share, statesOf, waitOf } from './share.ts';

const LEASE_MS = 900_000;
/** schemas/input.json bounds `spend`. */
const MAX_SPEND_ENTRIES = 32;

/** What the memory limiter can be given. */
export interface MemoryLimiterOptions {
  /**
   * What a subject has already spent in a period, micro-USD: asked once when a budget's counter is first seen, and
   * before an idle one is dropped. It restores budgets after a restart. If it throws, so does the take: fail closed.
   */
  readonly history?: SpendHistory;
  /** After this a reservation that was never settled ends: its lease is freed, its spend is booked in full. */
  readonly leaseMs?: number;
}

interface Reservation {
  readonly permit: Permit;
  readonly shares: readonly Share[];
  readonly expiresAtMs: number;
}

/**
 * The limiter of a single process. Two demands of one take on the same limit count once: at the larger amount, and both
 * maxima hold. `take` throws RangeError on an amount or a limit that is not a non-negative safe integer, and on an
 * unknown time zone; nothing is taken then. `settle` throws RangeError on such an actual; the reservation stays.
 */
export const createMemoryLimiter = ({ history, leaseMs = LEASE_MS }: MemoryLimiterOptions = {}): Limiter => {
  const accounts = createAccounts(history);
  const calendar = createCalendar();
  const elapsed = createElapsedClock();
  /** In the order of expiry, since every lease is equally long and the clock never runs backwards. */
  const reservations = new Map<string, Reservation>();
  let nextExpiryMs = 0;

  const expire = (at: number): void => {
    if (at < nextExpiryMs) return;
    for (const [id, reservation] of reservations) {
      if (reservation.expiresAtMs > at) {
        nextExpiryMs = reservation.expiresAtMs;
        return;
      }
      reservations.delete(id);
      for (const share of reservation.shares) closeShare(share, share.amount, share.amount, at);
    }
    nextExpiryMs = at + leaseMs;
  };

  const shareOf = (demand: Demand, at: number, now: number): Share => {
    assertAmount(demand.amount, `${demand.kind} amount`);
    assertAmount(limitOf(demand), `${demand.kind} limit`);
    const account = accounts.of(demand.scope, demand.subject, at);
    account.usedAtMs = at;
    let rate: Rate | undefined;
    let counter: Counter | undefined;
    if (demand.kind === 'spend') {
      const budget = budgetOf(account, demand.scope, demand.period, demand.timezone);
      counter = counterOf(account, budget, now, calendar, history);
      budget.capMicroUsd = demand.capMicroUsd;
    } else if (demand.kind !== 'concurrent') {
      rate = account[demand.kind] ?? { level60k: 0, drainedAtMs: at, perMinute: demand.perMinute };
      account[demand.kind] = rate;
      drain(rate, at);
    }
    return { demand, account, amount: demand.amount, lead: undefined, rate, counter };
  };

  return {
    take(id, _org, demands, now) {
      const at = elapsed(now);
      expire(at);
      const repeated = reservations.get(id);
      if (repeated !== undefined) return repeated.permit;
      accounts.sweep(at, now);

      const shares: Share[] = [];
      for (const demand of demands) shares.push(shareOf(demand, at, now));
      joinRepeats(shares);

      const refusal = refuse(shares, now);
      if (refusal !== undefined) return refusal;

      for (const share of shares) openShare(share);
      const permit: Permit = { granted: true, id, states: statesOf(shares, now) };
      if (reservations.size === 0) nextExpiryMs = at + leaseMs;
      reservations.set(id, { permit, shares, expiresAtMs: at + leaseMs });
      return permit;
    },

    settle(id, actual, now) {
      assertAmount(actual.tokens, 'actual tokens');
      assertAmount(actual.microUsd, 'actual micro-USD');
      const at = elapsed(now);
      expire(at);
      const reservation = reservations.get(id);
      if (reservation === undefined) return;
      reservations.delete(id);
      for (const share of reservation.shares) closeShare(share, actual.tokens, actual.microUsd, at);
    },

    spend(subjects, now) {
      expire(elapsed(now));
      const entries: ReturnType<Limiter['spend']> = [];
      for (const { scope, subject } of subjects) {
        const account = accounts.find(scope, subject);
        if (account === undefined) continue;
        for (const budget of account.budgets) {
          if (entries.length === MAX_SPEND_ENTRIES) return entries;
          if (budget.current === undefined) continue; // Its first take failed: an unknown zone, or no history.
          const counter = knownCounter(account, budget, now, calendar, history);
          if (counter === undefined) continue;
          entries.push({
            scope,
            subject,
            period: counter.period.key,
            micro_usd: counter.spent,
            reserved_micro_usd: counter.reserved,
            cap_micro_usd: budget.capMicroUsd,
            age_ms: 0,
          });
        }
      }
      return entries;
    },
  };
};

/** The counter of the period, or undefined while it is a new one of which nobody was asked yet: the take to come will ask. */
const knownCounter = (...args: Parameters<typeof counterOf>): Counter | undefined => {
  try {
    return counterOf(...args);
  } catch (error) {
    if (error instanceof HistoryAway) return undefined;
    throw error;
  }
};

/** The refusal that takes longest to pass, or undefined when every share fits. Changes nothing. */
const refuse = (shares: readonly Share[], now: number): Refusal | undefined => {
  let worst: Demand | undefined;
  let worstMs = 0;
  for (const share of shares) {
    const waitMs = waitOf(share) ?? Number.POSITIVE_INFINITY;
    if (waitMs <= worstMs) continue;
    worst = share.demand;
    worstMs = waitMs;
  }
  if (worst === undefined) return undefined;
  const retryAfterMs = worstMs === Number.POSITIVE_INFINITY ? null : worstMs;
  return { granted: false, demand: worst, retryAfterMs, states: statesOf(shares, now) };
};
