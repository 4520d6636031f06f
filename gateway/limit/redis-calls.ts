import { randomInt } from 'node:crypto';
import type { RedisLink } from './redis-link.ts';
import { keysOf, type Org, reservationText } from './redis-org.ts';
import type { Settlement } from './redis-outbox.ts';
import type { Plan } from './redis-plan.ts';

type Argument = string | number;
type Parts = Pick<Plan, 'accounts' | 'budgets'>;

/** The limiter's scripts as calls. Each throws RedisAway; what they give is told in redis-script.ts. */
export interface Calls {
  take(org: Org, id: string, plan: Plan, seeds: readonly number[]): Promise<number[]>;
  settle(settlement: Settlement): Promise<number[]>;
  /** Adds without asking; an empty id makes no reservation. With `late`, spend of budgets by name instead of what the plan reserves. */
  add(org: Org, id: string, plan: Parts, late?: ReadonlyMap<string, number>): Promise<number[]>;
  /** What every script that may find a loss is told first: now, run, an epoch for it, the known one, the grace. */
  header(epoch: number): Argument[];
}

export interface CallsOptions {
  readonly link: RedisLink;
  readonly owner: string;
  readonly leaseMs: number;
  /** The time to count by; empty: Redis' own. */
  readonly now: () => number | '';
  /** Which Redis it is. */
  readonly run: () => number;
  /** How long spend stays closed after a loss. */
  readonly graceMs: () => number;
}

/** Calls over a link. */
export const createCalls = ({ link, owner, leaseMs, now, run, graceMs }: CallsOptions): Calls => {
  const nonceBase = randomInt(2 ** 47);
  let nonces = 0;

  const header = (epoch: number): Argument[] => [now(), run(), nonceBase + ++nonces, epoch, graceMs()];

  return {
    header,

    take: (org, id, plan, seeds) =>
      link.call((redis) => {
        const { accounts, budgets } = plan;
        const keys = keysOf(org, id, plan);
        const args = header(org.epoch);
        args.push(leaseMs, id, reservationText(owner, plan), accounts.length, budgets.length);
        for (const { maxRequests, maxTokens, tokens, maxLeases, leases } of accounts) {
          args.push(maxRequests, maxTokens, tokens, maxLeases, leases);
        }
        for (let i = 0; i < budgets.length; i++) {
          const { capMicroUsd, amount, period, ttlMs } = budgets[i]!;
          args.push(capMicroUsd, amount, period.startMs, ttlMs, seeds[i] ?? -1);
        }
        return redis.aegisTake(keys.length, ...keys, ...args);
      }),

    settle: ({ id, org, plan, actual }) =>
      link.call((redis) => {
        const { accounts, budgets } = plan;
        const keys = keysOf(org, id, plan);
        const args: Argument[] = [now(), run(), id, actual.tokens, actual.microUsd, leaseMs];
        args.push(accounts.length, budgets.length);
        for (const { maxTokens, tokens, leases } of accounts) args.push(maxTokens, tokens, leases);
        for (const { amount } of budgets) args.push(amount);
        return redis.aegisSettle(keys.length, ...keys, ...args);
      }),

    add: (org, id, plan, late) =>
      link.call((redis) => {
        const { accounts, budgets } = plan;
        const keys = keysOf(org, id, plan);
        const args = header(org.epoch);
        args.push(leaseMs, id, id === '' ? '' : reservationText(owner, plan), accounts.length, budgets.length);
        for (const { maxRequests, requests, maxTokens, tokens, leases } of accounts) {
          args.push(maxRequests, requests, maxTokens, tokens, leases);
        }
        for (const { name, amount, ttlMs } of budgets) args.push(late ? 0 : amount, late?.get(name) ?? 0, ttlMs);
        return redis.aegisAdd(keys.length, ...keys, ...args);
      }),
  };
};
