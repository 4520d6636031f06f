import type { Calendar, CalendarPeriod } from './calendar.ts';
import type { LimitScope, Scope } from './limiter.ts';
import type { Rate } from './rate.ts';

/** Spend of one subject in one period, micro-USD. */
export interface Counter {
  readonly period: CalendarPeriod;
  spent: number;
  reserved: number;
}

/** A budget of a subject: its current counter, and the one before while a clock wavers around the boundary. */
export interface Budget {
  readonly scope: Scope;
  readonly period: 'day' | 'month';
  readonly timezone: string;
  /** The cap of the last take; for the snapshot only. */
  capMicroUsd: number;
  current: Counter | undefined;
  previous: Counter | undefined;
}

/** Everything the limiter holds of one (scope, subject). */
export interface Account {
  readonly scope: LimitScope;
  readonly subject: string;
  requests: Rate | undefined;
  tokens: Rate | undefined;
  /** Concurrency leases out. */
  leases: number;
  readonly budgets: Budget[];
  /** Shares of reservations that are not settled yet: an account with any is never swept. */
  open: number;
  usedAtMs: number;
}

/** Micro-USD that a subject has spent in [fromMs, toMs). Synchronous, because a take is. */
export type SpendHistory = (scope: Scope, subject: string, fromMs: number, toMs: number) => number;

/** The same from a store that others share. Rejects with HistoryAway while it cannot tell. */
export type SharedHistory = (scope: Scope, subject: string, fromMs: number, toMs: number) => number | Promise<number>;

/** Nobody can tell now what was spent: a budget that is not known yet stays closed, and is asked again soon. */
export class HistoryAway extends Error {
  constructor(cause: unknown) {
    super('what was spent cannot be looked up now', { cause });
    this.name = 'HistoryAway';
  }
}

/** When a budget is asked for again that was closed for lack of its history. */
export const HISTORY_RETRY_MS = 5_000;

/** An account that has used nothing. */
export const createAccount = (scope: LimitScope, subject: string, now: number): Account => ({
  scope,
  subject,
  requests: undefined,
  tokens: undefined,
  leases: 0,
  budgets: [],
  open: 0,
  usedAtMs: now,
});

/** The budget of an account in this period and zone, made when it is new; `scope` is the account's. */
export const budgetOf = (account: Account, scope: Scope, period: 'day' | 'month', timezone: string): Budget => {
  for (const budget of account.budgets) {
    if (budget.period === period && budget.timezone === timezone) return budget;
  }
  const budget: Budget = { scope, period, timezone, capMicroUsd: 0, current: undefined, previous: undefined };
  account.budgets.push(budget);
  return budget;
};

/**
 * The counter of the period that contains `now`. A counter seen for the first time starts at what history knows.
 * Throws RangeError when the zone does not exist or history returns anything but a safe non-negative integer.
 */
export const counterOf = (
  account: Account,
  budget: Budget,
  now: number,
  calendar: Calendar,
  history: SpendHistory | undefined,
): Counter => {
  const { current, previous } = budget;
  if (current !== undefined && contains(current, now)) return current;
  if (previous !== undefined && contains(previous, now)) return previous;
  const period = calendar(budget.period, budget.timezone, now);
  const spent = history?.(budget.scope, account.subject, period.startMs, period.endMs) ?? 0;
  assertAmount(spent, 'history');
  const counter: Counter = { period, spent, reserved: 0 };
  if (current !== undefined && now < current.period.startMs) {
    budget.previous = counter;
  } else {
    budget.previous = current;
    budget.current = counter;
  }
  return counter;
};

const contains = (counter: Counter, now: number): boolean =>
  now >= counter.period.startMs && now < counter.period.endMs;

/** Throws RangeError unless `value` is a non-negative integer that a double holds exactly. */
export const assertAmount = (value: number, what: string): void => {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${what}: ${String(value)} is not a non-negative safe integer`);
  }
};
