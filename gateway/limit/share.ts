import type { Account, Counter } from './account.ts';
import type { Demand, LimitState } from './limiter.ts';
import { add, drain, levelOf, type Rate, resetOf, waitFor } from './rate.ts';

/** Nobody knows when a request under way ends, so a refusal for concurrency names this wait. */
export const CONCURRENT_RETRY_MS = 1_000;

/** One demand's share of one limit, kept until the reservation is settled. */
export interface Share {
  readonly demand: Demand;
  readonly account: Account;
  /** What is reserved: the demand's amount, or the largest of those on the same limit. */
  amount: number;
  /** The earlier share of the same take on the same limit, which is charged for both. */
  lead: Share | undefined;
  readonly rate: Rate | undefined;
  readonly counter: Counter | undefined;
}

/** The maximum that a demand names, in its own unit. */
export const limitOf = (demand: Demand): number =>
  demand.kind === 'spend' ? demand.capMicroUsd : demand.kind === 'concurrent' ? demand.max : demand.perMinute;

/** Of several shares of one limit the first is charged, at the largest amount; a rate drains at the strictest. */
export const joinRepeats = (shares: readonly Share[]): void => {
  for (let i = 0; i < shares.length; i++) {
    const share = shares[i]!;
    const lead = leadOf(shares, i);
    share.lead = lead;
    if (lead !== undefined) lead.amount = Math.max(lead.amount, share.amount);
    if (share.rate === undefined) continue;
    const perMinute = limitOf(share.demand);
    share.rate.perMinute = lead === undefined ? perMinute : Math.min(share.rate.perMinute, perMinute);
  }
};

const leadOf = (shares: readonly Share[], index: number): Share | undefined => {
  const { account, counter, demand } = shares[index]!;
  for (let i = 0; i < index; i++) {
    const earlier = shares[i]!;
    if (earlier.account === account && earlier.demand.kind === demand.kind && earlier.counter === counter)
      return earlier;
  }
  return undefined;
};

/** Milliseconds until this share fits; 0 now, null when waiting does not help. */
export const waitOf = (share: Share): number | null => {
  const { demand, account, rate, counter } = share;
  const amount = (share.lead ?? share).amount;
  if (demand.kind === 'spend') return amount <= demand.capMicroUsd - counter!.spent - counter!.reserved ? 0 : null;
  if (demand.kind !== 'concurrent') return waitFor(rate!, amount, demand.perMinute);
  if (amount > demand.max) return null;
  return account.leases + amount <= demand.max ? 0 : CONCURRENT_RETRY_MS;
};

/** Takes what the share reserves. */
export const openShare = ({ demand, account, amount, lead, rate, counter }: Share): void => {
  account.open++;
  if (lead !== undefined) return;
  if (demand.kind === 'spend') counter!.reserved += amount;
  else if (demand.kind === 'concurrent') account.leases += amount;
  else add(rate!, amount);
};

/** Ends a share: the lease is free, the tokens are corrected by what was used too much or too little, the cost is booked. */
export const closeShare = (share: Share, tokens: number, microUsd: number, at: number): void => {
  const { demand, account, amount, rate, counter } = share;
  account.open--;
  account.usedAtMs = at;
  if (share.lead !== undefined) return;
  if (demand.kind === 'spend') {
    counter!.reserved -= amount;
    counter!.spent = Math.min(Number.MAX_SAFE_INTEGER, counter!.spent + microUsd);
  } else if (demand.kind === 'concurrent') {
    account.leases -= amount;
  } else if (demand.kind === 'tokens') {
    drain(rate!, at);
    add(rate!, tokens - amount);
  }
};

/** What each share's limit has left. */
export const statesOf = (shares: readonly Share[], now: number): LimitState[] => {
  const states: LimitState[] = [];
  for (const { demand, account, rate, counter } of shares) {
    const { kind, scope, subject } = demand;
    const limit = limitOf(demand);
    let used = account.leases;
    let resetMs = account.leases === 0 ? 0 : CONCURRENT_RETRY_MS;
    if (rate !== undefined) {
      used = levelOf(rate);
      resetMs = resetOf(rate, limit);
    } else if (counter !== undefined) {
      used = counter.spent + counter.reserved;
      resetMs = Math.max(0, counter.period.endMs - now);
    }
    states.push({ kind, scope, subject, limit, remaining: Math.max(0, Math.floor(limit - used)), resetMs });
  }
  return states;
};
