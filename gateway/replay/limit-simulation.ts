import { type CalendarPeriod, createCalendar } from '../limit/calendar.ts';
import { add, drain, type Rate, waitFor } from '../limit/rate.ts';
import type { Decision } from '../types.gen.ts';
import { AS_TAKEN, NO_LIST, spendKey } from './limit-rows.ts';
import { type Counts, count } from './tally.ts';

/** Limits and budgets of one decision. */
export interface LimitList {
  readonly limits: Decision['rate']['limits'];
  readonly budgets: Decision['budgets'];
}

/** Micro-USD that a budget had spent when the log starts, by spendKey. */
export type Openings = ReadonlyMap<string, number>;

interface Spent {
  spent: number;
  reserved: number;
}

type Share =
  | { readonly kind: 'requests' | 'tokens'; readonly scope: string; readonly rate: Rate; readonly perMinute: number }
  | {
      readonly kind: 'spend';
      readonly scope: string;
      readonly cap: number;
      readonly counterAt: (nowMs: number) => Spent;
    };

interface Taken {
  readonly rates: readonly Rate[];
  readonly tokens: number;
  readonly counters: readonly Spent[];
  readonly bound: number;
}

/**
 * The limits of one bundle's decisions, played through in the order of the log: requests and tokens a minute and budgets,
 * all of a request's or none, as gateway/limit does it. Requests at a time are not simulated.
 */
export class LimitSimulation {
  readonly #rates = new Map<string, Rate>();
  readonly #counters = new Map<string, Spent>();
  readonly #taken = new Map<number, Taken>();
  readonly #openings: Openings;
  readonly #period = createCalendar();
  /** Refused requests by kind and scope of the limit that refused. */
  readonly refused: Counts = new Map();
  asked = 0;

  constructor(openings: Openings) {
    this.#openings = openings;
  }

  /** A decision's list, to be taken from many times. */
  prepare(list: LimitList): readonly Share[] {
    const shares: Share[] = [];
    for (const { scope, subject, requests_per_minute, tokens_per_minute } of list.limits) {
      for (const [kind, perMinute] of [
        ['requests', requests_per_minute] as const,
        ['tokens', tokens_per_minute] as const,
      ]) {
        if (perMinute !== undefined)
          shares.push({ kind, scope, rate: this.#rateOf(`${kind}\n${scope}\n${subject}`), perMinute });
      }
    }
    for (const { scope, subject, period, timezone, micro_usd } of list.budgets) {
      let at: CalendarPeriod | undefined;
      let counter: Spent | undefined;
      const counterAt = (nowMs: number): Spent => {
        if (!at || !counter || nowMs < at.startMs || nowMs >= at.endMs) {
          at = this.#period(period, timezone, nowMs);
          counter = this.#counterOf(spendKey(scope, subject, at.key));
        }
        return counter;
      };
      shares.push({ kind: 'spend', scope, cap: micro_usd, counterAt });
    }
    return shares;
  }

  /** Takes a request's share of each, or none. `id` is named again by `settle`. Gives whether it would have been refused. */
  take(id: number, shares: readonly Share[], nowMs: number, tokens: number, bound: number): boolean {
    this.asked++;
    for (const share of shares) {
      if (!fits(share, nowMs, tokens, bound)) {
        count(this.refused, `${KINDS[share.kind]} of ${share.scope}`);
        return true;
      }
    }
    const rates: Rate[] = [];
    const counters: Spent[] = [];
    for (const share of shares) {
      if (share.kind === 'spend') {
        const counter = share.counterAt(nowMs);
        counter.reserved += bound;
        counters.push(counter);
      } else {
        share.rate.perMinute = share.perMinute;
        add(share.rate, share.kind === 'tokens' ? tokens : 1);
        if (share.kind === 'tokens') rates.push(share.rate);
      }
    }
    this.#taken.set(id, { rates, tokens, counters, bound });
    return false;
  }

  /** Puts what was used in the place of what was taken. */
  settle(id: number, tokens: number, cost: number): void {
    const taken = this.#taken.get(id);
    if (!taken) return;
    this.#taken.delete(id);
    const used = tokens === AS_TAKEN ? taken.tokens : tokens;
    for (const rate of taken.rates) add(rate, used - taken.tokens);
    for (const counter of taken.counters) {
      counter.reserved -= taken.bound;
      counter.spent += cost === AS_TAKEN ? taken.bound : cost;
    }
  }

  #rateOf(key: string): Rate {
    let rate = this.#rates.get(key);
    if (!rate) {
      rate = { level60k: 0, drainedAtMs: 0, perMinute: 0 };
      this.#rates.set(key, rate);
    }
    return rate;
  }

  #counterOf(key: string): Spent {
    let counter = this.#counters.get(key);
    if (!counter) {
      counter = { spent: this.#openings.get(key) ?? 0, reserved: 0 };
      this.#counters.set(key, counter);
    }
    return counter;
  }
}

const KINDS = { requests: 'requests a minute', tokens: 'tokens a minute', spend: 'budget' } as const;

const fits = (share: Share, nowMs: number, tokens: number, bound: number): boolean => {
  if (share.kind === 'spend') {
    const { spent, reserved } = share.counterAt(nowMs);
    return spent + reserved + bound <= share.cap;
  }
  drain(share.rate, nowMs);
  return waitFor(share.rate, share.kind === 'tokens' ? tokens : 1, share.perMinute) === 0;
};

/** What both simulations say. */
export interface LimitEffect {
  /** Requests that both decisions allow or one of them. */
  readonly askedBefore: number;
  readonly askedAfter: number;
  readonly refusedBefore: Counts;
  readonly refusedAfter: Counts;
  /** Refused under the candidate and not under the serving bundle, and the other way round. */
  readonly newlyRefused: number;
  readonly noLongerRefused: number;
}

/** Both bundles' limits over one log. Rows come in the order of the log. */
export class BothLimits {
  readonly #openings = new Map<string, number>();
  readonly #before = new LimitSimulation(this.#openings);
  readonly #after = new LimitSimulation(this.#openings);
  #newlyRefused = 0;
  #noLongerRefused = 0;

  /** A list as both sides take from it. */
  prepare(list: LimitList): PreparedList {
    return { before: this.#before.prepare(list), after: this.#after.prepare(list) };
  }

  /** What a budget had spent before the log; the first word counts. */
  open(key: string, microUsd: number): void {
    if (!this.#openings.has(key)) this.#openings.set(key, microUsd);
  }

  take(take: {
    id: number;
    timeMs: number;
    before: PreparedList | undefined;
    after: PreparedList | undefined;
    tokens: number;
    boundBefore: number;
    boundAfter: number;
  }): void {
    const { id, timeMs, tokens } = take;
    const one =
      take.before !== undefined && this.#before.take(id, take.before.before, timeMs, tokens, take.boundBefore);
    const other = take.after !== undefined && this.#after.take(id, take.after.after, timeMs, tokens, take.boundAfter);
    // A request that one of them denies anyway is among the flips.
    if (take.before === undefined || take.after === undefined) return;
    if (other && !one) this.#newlyRefused++;
    if (one && !other) this.#noLongerRefused++;
  }

  settle(id: number, tokens: number, costBefore: number, costAfter: number): void {
    this.#before.settle(id, tokens, costBefore);
    this.#after.settle(id, tokens, costAfter);
  }

  get effect(): LimitEffect {
    return {
      askedBefore: this.#before.asked,
      askedAfter: this.#after.asked,
      refusedBefore: this.#before.refused,
      refusedAfter: this.#after.refused,
      newlyRefused: this.#newlyRefused,
      noLongerRefused: this.#noLongerRefused,
    };
  }
}

/** A list of both sides. */
export interface PreparedList {
  readonly before: readonly Share[];
  readonly after: readonly Share[];
}

/** The list of that number; undefined for a decision that refuses. */
export const listOf = (lists: readonly PreparedList[], number: number): PreparedList | undefined =>
  number === NO_LIST ? undefined : lists[number];
