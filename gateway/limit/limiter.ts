import type { Decision, Input } from '../types.gen.ts';

/** What a budget may be for. */
export type Scope = Input['spend'][number]['scope'];

/** What a limit may be for: beside those, one model of one upstream (subject `<org>/<upstream>/<model>`). */
export type LimitScope = Scope | Decision['rate']['limits'][number]['scope'];

/** One limit that a request needs a share of. `subject` names whose it is; scope and subject together are its key. */
export type Demand =
  | {
      readonly kind: 'requests';
      readonly scope: LimitScope;
      readonly subject: string;
      readonly perMinute: number;
      readonly amount: 1;
    }
  | {
      readonly kind: 'tokens';
      readonly scope: LimitScope;
      readonly subject: string;
      readonly perMinute: number;
      readonly amount: number;
    }
  | {
      readonly kind: 'concurrent';
      readonly scope: LimitScope;
      readonly subject: string;
      readonly max: number;
      readonly amount: 1;
    }
  | {
      readonly kind: 'spend';
      readonly scope: Scope;
      readonly subject: string;
      readonly period: 'day' | 'month';
      /** IANA time zone in which the period is counted. */
      readonly timezone: string;
      readonly capMicroUsd: number;
      /** Upper bound of the request's cost, millionths of a US dollar. */
      readonly amount: number;
    };

/** What one limit has left after a take: for OpenAI's x-ratelimit headers. */
export interface LimitState {
  readonly kind: Demand['kind'];
  readonly scope: LimitScope;
  readonly subject: string;
  readonly limit: number;
  readonly remaining: number;
  /** Until it is full again. */
  readonly resetMs: number;
}

/** Shares taken by one request, to be settled once. */
export interface Permit {
  readonly granted: true;
  readonly id: string;
  readonly states: readonly LimitState[];
  /** The state of this limiter is worse than it should be, such as a lost Redis: the word for x-aegis-degraded. */
  readonly degraded?: string;
}

/** Nothing was taken. */
export interface Refusal {
  readonly granted: false;
  readonly demand: Demand;
  /** When it may work; null when waiting does not help (more than the whole limit, or a cap). */
  readonly retryAfterMs: number | null;
  readonly states: readonly LimitState[];
}

/** What a request really used. */
export interface Actual {
  readonly tokens: number;
  readonly microUsd: number;
}

/** How a limiter that shares its counts with other gateways stands. */
export interface LimiterState {
  /** local: what is shared cannot be reached, this gateway grants its share of each limit. */
  readonly mode: 'shared' | 'local';
  /** Since when, milliseconds since 1970. */
  readonly sinceMs: number;
  /** Why it is local. */
  readonly reason: string | undefined;
  /** Gateways that share, as last seen; itself among them. */
  readonly replicas: number;
  /** Settlements that are not confirmed yet. */
  readonly waiting: number;
  /** Settlements that were given up: what they reserved is booked in full. */
  readonly dropped: number;
  /** Budgets of which a part is held ahead. */
  readonly slices: number;
}

/**
 * Takes all of a request's limits at once or none. Rates follow GCRA, concurrency is a lease, spend is reserved as an
 * upper bound: spent + reserved never exceeds a cap. Every permit is settled exactly once; a second settle is ignored.
 */
export interface Limiter {
  /** `org` groups keys (one hash tag on Redis). `id` is the reservation's; it expires by itself after `leaseMs`. */
  take(id: string, org: string, demands: readonly Demand[], now: number): Promise<Permit | Refusal> | Permit | Refusal;
  /** Gives back what was reserved too much, books what was used, ends the concurrency lease. */
  settle(id: string, actual: Actual, now: number): void;
  /** What this replica knows of the budgets of these subjects, at no call. */
  spend(subjects: readonly { readonly scope: Scope; readonly subject: string }[], now: number): Input['spend'];
  /** How it stands, for readiness and metrics; absent where nothing is shared. */
  state?(): LimiterState;
}
