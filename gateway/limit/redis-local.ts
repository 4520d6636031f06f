import type { Actual, Demand, LimitState, Permit, Refusal } from './limiter.ts';
import { add, drain, type Rate, waitFor } from './rate.ts';
import type { Org } from './redis-org.ts';
import { type AccountPart, NONE, type Plan, statesOf, type Values } from './redis-plan.ts';
import type { SliceHold, Slices } from './redis-slices.ts';
import type { AccountView, Views } from './redis-views.ts';
import { CONCURRENT_RETRY_MS } from './share.ts';

/** The word for x-aegis-degraded. */
export const DEGRADED = 'limits_local';
/** Redis may be back by then: what a replica's share does not cover may still fit the whole limit. */
const RETRY_MS = 1_000;
/** Of usage that is kept to be told, accounts an organisation. Rates are open: beyond it they are forgotten. */
const MAX_DEBITS = 10_000;

/** What was granted while Redis was away. */
export interface LocalGrant {
  readonly permit: Permit;
  readonly holds: readonly SliceHold[];
}

/** What an account used while Redis was away, as parts of a plan without leases. */
export interface Debits {
  readonly org: Org;
  readonly accounts: readonly AccountPart[];
}

/** The limiter of one replica while Redis is away. */
export interface LocalLimiter {
  /** Forgets the buckets of the last time: they begin with what Redis last said. */
  begin(): void;
  take(id: string, org: Org, plan: Plan, now: number, atMs: number): LocalGrant | Refusal;
  settle(org: Org, plan: Plan, holds: readonly SliceHold[], actual: Actual, isTold: boolean, atMs: number): void;
  /** What was used and not told to Redis yet; it is forgotten here. */
  takeDebits(): Debits[];
}

interface Bucket {
  readonly requests: Rate;
  readonly tokens: Rate;
}

/**
 * Rates and leases at limit/N, N being the replicas that Redis last knew, from where each bucket stood; spend out of
 * what the slices hold and nothing else.
 */
export const createLocalLimiter = (views: Views, slices: Slices, replicas: () => number): LocalLimiter => {
  const buckets = new Map<string, Bucket>();
  const debits = new Map<Org, Map<string, AccountPart>>();

  const shareOf = (limit: number): number => (limit <= 0 ? limit : Math.max(1, Math.floor(limit / replicas())));

  const bucketOf = (name: string, atMs: number): Bucket => {
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      const view = views.account(name);
      bucket = {
        requests: rateOf(view, view?.requests60k, view?.requestsPerMinute, replicas(), atMs),
        tokens: rateOf(view, view?.tokens60k, view?.tokensPerMinute, replicas(), atMs),
      };
      buckets.set(name, bucket);
    }
    return bucket;
  };

  const debit = (org: Org, part: AccountPart, tokens: number): void => {
    if (part.maxRequests === NONE && part.maxTokens === NONE) return;
    let mine = debits.get(org);
    if (mine === undefined) {
      mine = new Map();
      debits.set(org, mine);
    }
    const known = mine.get(part.name);
    if (known === undefined) {
      if (mine.size < MAX_DEBITS) mine.set(part.name, { ...part, tokens, leases: 0 });
      return;
    }
    known.requests += part.requests;
    known.tokens += tokens;
  };

  const take: LocalLimiter['take'] = (id, org, plan, now, atMs) => {
    const waits = plan.accounts.map((part) => {
      const bucket = bucketOf(part.name, atMs);
      return accountWaits(part, bucket, shareOf, views.account(part.name)?.own ?? 0, atMs);
    });
    let worst: Demand | undefined;
    let worstMs = 0;
    plan.demands.forEach((demand, index) => {
      const place = plan.places[index]!;
      let waitMs: number;
      if (demand.kind === 'spend') {
        const part = plan.budgets[place]!;
        waitMs = part.amount <= slices.available(org, part) ? 0 : RETRY_MS;
      } else {
        waitMs = waits[place]![demand.kind];
      }
      if (waitMs <= worstMs) return;
      worst = demand;
      worstMs = waitMs;
    });
    const values = (): Values => valuesOf(org, plan, atMs);
    if (worst !== undefined) {
      const retryAfterMs = worstMs === Number.POSITIVE_INFINITY ? null : worstMs;
      return { granted: false, demand: worst, retryAfterMs, states: statesOf(plan, values(), now) };
    }
    for (const part of plan.accounts) {
      const { requests, tokens } = bucketOf(part.name, atMs);
      add(requests, part.requests);
      if (part.maxTokens !== NONE) add(tokens, part.tokens);
    }
    const holds = slices.hold(org, plan);
    const states: LimitState[] = statesOf(plan, values(), now);
    return { permit: { granted: true, id, states, degraded: DEGRADED }, holds };
  };

  /** As if the others had used the rest: then what is left is what this replica has left. */
  const valuesOf = (org: Org, plan: Plan, atMs: number): Values => {
    const reply: number[] = [];
    for (const part of plan.accounts) {
      const { requests, tokens } = bucketOf(part.name, atMs);
      const own = views.account(part.name)?.own ?? 0;
      reply.push(
        others(part.maxRequests, shareOf) * 60_000 + requests.level60k,
        others(part.maxTokens, shareOf) * 60_000 + tokens.level60k,
        others(part.maxLeases, shareOf) + own,
      );
    }
    for (const part of plan.budgets) reply.push(Math.max(0, part.capMicroUsd - slices.available(org, part)), 0);
    return { reply, from: 0 };
  };

  return {
    begin: () => buckets.clear(),
    take,
    settle(org, plan, holds, actual, isTold, atMs) {
      slices.settle(holds, actual.microUsd);
      if (isTold) return;
      for (const part of plan.accounts) {
        if (part.maxTokens !== NONE) {
          const { tokens } = bucketOf(part.name, atMs);
          drain(tokens, atMs);
          add(tokens, actual.tokens - part.tokens);
        }
        debit(org, part, actual.tokens);
      }
    },
    takeDebits() {
      const all = [...debits].map(([org, mine]) => ({ org, accounts: [...mine.values()] }));
      debits.clear();
      return all;
    },
  };
};

/** A replica's share of a bucket, as full as the whole one was. */
const rateOf = (
  view: AccountView | undefined,
  level60k: number | undefined,
  perMinute: number | undefined,
  replicas: number,
  atMs: number,
): Rate => {
  if (view === undefined || level60k === undefined || perMinute === undefined) {
    return { level60k: 0, drainedAtMs: atMs, perMinute: 0 };
  }
  const whole: Rate = { level60k: Math.min(level60k, perMinute * 60_000), drainedAtMs: view.atMs, perMinute };
  drain(whole, atMs);
  return { level60k: Math.floor(whole.level60k / replicas), drainedAtMs: atMs, perMinute };
};

/** Milliseconds until an account has room, by kind; Infinity when the whole limit is too small. Drains its buckets. */
const accountWaits = (
  part: AccountPart,
  bucket: Bucket,
  shareOf: (limit: number) => number,
  own: number,
  atMs: number,
): Record<'requests' | 'tokens' | 'concurrent', number> => {
  const rateWait = (rate: Rate, limit: number, amount: number): number => {
    if (limit === NONE) return 0;
    const share = shareOf(limit);
    drain(rate, atMs);
    rate.perMinute = share;
    return waitFor(rate, amount, share) ?? (amount > limit || limit === 0 ? Number.POSITIVE_INFINITY : RETRY_MS);
  };
  let concurrent = 0;
  if (part.maxLeases !== NONE) {
    if (part.leases > part.maxLeases) concurrent = Number.POSITIVE_INFINITY;
    else if (own + part.leases > shareOf(part.maxLeases)) concurrent = CONCURRENT_RETRY_MS;
  }
  return {
    requests: rateWait(bucket.requests, part.maxRequests, part.requests),
    tokens: rateWait(bucket.tokens, part.maxTokens, part.tokens),
    concurrent,
  };
};

const others = (limit: number, shareOf: (limit: number) => number): number =>
  limit === NONE ? 0 : limit - shareOf(limit);
