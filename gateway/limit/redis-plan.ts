import { assertAmount } from './account.ts';
import type { Calendar, CalendarPeriod } from './calendar.ts';
import type { Demand, LimitState, Refusal, Scope } from './limiter.ts';
import { resetOf, waitFor } from './rate.ts';
import { CONCURRENT_RETRY_MS, limitOf } from './share.ts';

/** No limit of this kind. */
export const NONE = -1;
const DAY_MS = 86_400_000;

/** What one take asks of the rates and leases of one (scope, subject). A limit that is not asked is NONE. */
export interface AccountPart {
  /** The key after the tag. */
  readonly name: string;
  maxRequests: number;
  requests: number;
  maxTokens: number;
  tokens: number;
  maxLeases: number;
  leases: number;
}

/** What one take asks of one budget. */
export interface BudgetPart {
  /** The key after the tag. */
  readonly name: string;
  readonly scope: Scope;
  readonly subject: string;
  readonly unit: 'day' | 'month';
  readonly timezone: string;
  readonly period: CalendarPeriod;
  capMicroUsd: number;
  amount: number;
  /** After which Redis may forget it: late settlements are booked where they were reserved. */
  readonly ttlMs: number;
}

/**
 * The demands of a take by what they touch. Demands on the same limit are one: at the larger amount under the smaller
 * limit, so that it counts once and both maxima hold.
 */
export interface Plan {
  readonly demands: readonly Demand[];
  readonly accounts: readonly AccountPart[];
  readonly budgets: readonly BudgetPart[];
  /** Of each demand, the index of its account or budget. */
  readonly places: readonly number[];
}

/** Throws RangeError on an amount or limit that is no safe non-negative integer, and on an unknown time zone. */
export const planOf = (demands: readonly Demand[], now: number, leaseMs: number, calendar: Calendar): Plan => {
  const accounts: AccountPart[] = [];
  const budgets: BudgetPart[] = [];
  const places: number[] = [];
  for (const demand of demands) {
    assertAmount(demand.amount, `${demand.kind} amount`);
    assertAmount(limitOf(demand), `${demand.kind} limit`);
    places.push(
      demand.kind === 'spend' ? addBudget(budgets, demand, now, leaseMs, calendar) : addAccount(accounts, demand),
    );
  }
  return { demands, accounts, budgets, places };
};

const smaller = (limit: number, other: number): number => (limit === NONE ? other : Math.min(limit, other));

const addAccount = (accounts: AccountPart[], demand: Exclude<Demand, { kind: 'spend' }>): number => {
  const { scope, subject } = demand;
  const name = `a:${scope}:${subject}`;
  let index = indexOfName(accounts, name);
  if (index < 0) {
    index = accounts.length;
    accounts.push({ name, maxRequests: NONE, requests: 0, maxTokens: NONE, tokens: 0, maxLeases: NONE, leases: 0 });
  }
  const part = accounts[index]!;
  if (demand.kind === 'requests') {
    part.maxRequests = smaller(part.maxRequests, demand.perMinute);
    part.requests = 1;
  } else if (demand.kind === 'tokens') {
    part.maxTokens = smaller(part.maxTokens, demand.perMinute);
    part.tokens = Math.max(part.tokens, demand.amount);
  } else {
    part.maxLeases = smaller(part.maxLeases, demand.max);
    part.leases = Math.max(part.leases, demand.amount);
  }
  return index;
};

const addBudget = (
  budgets: BudgetPart[],
  { scope, subject, period: unit, timezone, capMicroUsd, amount }: Extract<Demand, { kind: 'spend' }>,
  now: number,
  leaseMs: number,
  calendar: Calendar,
): number => {
  const period = calendar(unit, timezone, now);
  // The subject comes last: it alone may hold anything.
  const name = `s:${period.key}:${timezone}:${scope}:${subject}`;
  const index = indexOfName(budgets, name);
  if (index < 0) {
    const ttlMs = Math.max(0, period.endMs - now) + leaseMs + DAY_MS;
    return budgets.push({ name, scope, subject, unit, timezone, period, capMicroUsd, amount, ttlMs }) - 1;
  }
  const part = budgets[index]!;
  part.capMicroUsd = Math.min(part.capMicroUsd, capMicroUsd);
  part.amount = Math.max(part.amount, amount);
  return index;
};

/** A request has a handful of each: looking is cheaper than a table. */
const indexOfName = (parts: readonly { readonly name: string }[], name: string): number => {
  for (let i = 0; i < parts.length; i++) if (parts[i]!.name === name) return i;
  return -1;
};

/** The numbers of a script's reply: three of each account, then two of each budget. */
export interface Values {
  readonly reply: readonly number[];
  /** Where the first of them is. */
  readonly from: number;
}

/** What each demand's limit has left. */
export const statesOf = (plan: Plan, values: Values, now: number): LimitState[] =>
  plan.demands.map((demand, index) => {
    const { kind, scope, subject } = demand;
    const limit = limitOf(demand);
    const [used, resetMs] = usedOf(plan, values, index, now);
    return { kind, scope, subject, limit, remaining: Math.max(0, Math.floor(limit - used)), resetMs };
  });

const usedOf = (plan: Plan, { reply, from }: Values, index: number, now: number): [used: number, resetMs: number] => {
  const demand = plan.demands[index]!;
  const place = plan.places[index]!;
  if (demand.kind === 'spend') {
    const at = from + 3 * plan.accounts.length + 2 * place;
    return [reply[at]! + reply[at + 1]!, Math.max(0, plan.budgets[place]!.period.endMs - now)];
  }
  const at = from + 3 * place;
  if (demand.kind === 'concurrent') return [reply[at + 2]!, reply[at + 2] === 0 ? 0 : CONCURRENT_RETRY_MS];
  const level60k = reply[demand.kind === 'requests' ? at : at + 1]!;
  const rate = { level60k, drainedAtMs: 0, perMinute: demand.perMinute };
  return [level60k / 60_000, resetOf(rate, demand.perMinute)];
};

/** The refusal that takes longest to pass. */
export const refusalOf = (plan: Plan, values: Values, now: number): Refusal => {
  let worst: Demand = plan.demands[0]!;
  let worstMs = 0;
  plan.demands.forEach((demand, index) => {
    const waitMs = waitOf(plan, values, index) ?? Number.POSITIVE_INFINITY;
    if (waitMs <= worstMs) return;
    worst = demand;
    worstMs = waitMs;
  });
  const retryAfterMs = worstMs === Number.POSITIVE_INFINITY ? null : worstMs;
  return { granted: false, demand: worst, retryAfterMs, states: statesOf(plan, values, now) };
};

const waitOf = (plan: Plan, { reply, from }: Values, index: number): number | null => {
  const demand = plan.demands[index]!;
  const place = plan.places[index]!;
  if (demand.kind === 'spend') {
    const at = from + 3 * plan.accounts.length + 2 * place;
    return plan.budgets[place]!.amount <= demand.capMicroUsd - reply[at]! - reply[at + 1]! ? 0 : null;
  }
  const part = plan.accounts[place]!;
  const at = from + 3 * place;
  if (demand.kind === 'concurrent') {
    if (part.leases > demand.max) return null;
    return reply[at + 2]! + part.leases <= demand.max ? 0 : CONCURRENT_RETRY_MS;
  }
  const isRequests = demand.kind === 'requests';
  const rate = { level60k: reply[isRequests ? at : at + 1]!, drainedAtMs: 0, perMinute: demand.perMinute };
  return waitFor(rate, isRequests ? part.requests : part.tokens, demand.perMinute);
};
