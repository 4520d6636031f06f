import type { UpstreamConfig } from './endpoint.ts';
import type { KeyRest, UpstreamStatus } from './upstream.ts';

/**
 * The keys of one upstream: spread by weight, and each with its rests. Times are milliseconds of one monotonic clock.
 */
export interface KeyRing {
  /** The keys themselves, in the config's order: for headers alone. */
  readonly keys: readonly string[];
  /** The next key for a model by weight among those that are ready and not in `except` (bits by index); -1 for none. */
  take(model: string, except: number, now: number): number;
  /** Whether `take` would give one. */
  isReady(model: string, except: number, now: number): boolean;
  /** Until the first key is ready for this model. */
  waitMs(model: string, now: number): number;
  /** A key is out. Gives how long it rests, 0 for not at all. */
  rest(key: number, why: KeyRest, model: string, waitMs: number, now: number): number;
  /** A key has been accepted: its next rest for money is a short one again. */
  accepted(key: number): void;
  status(now: number): UpstreamStatus['keys'];
}

/** A key whose account is out of money rests for so long at first; each time again, twice as long. */
export const SPEND_REST_MS = 60_000;
/** No rest is longer, whatever a provider asks: an operator who pays, or raises a limit, waits no longer than this. */
export const MAX_REST_MS = 900_000;
/** Models of which a key keeps a limit: more than these is a caller that makes names up. */
const MAX_MODELS = 64;

interface Key {
  readonly weight: number;
  /** Smooth weighted round robin: each turn adds the weight, the one taken pays the total. */
  credit: number;
  restUntil: number;
  /** 'spend_limit' or 'refused'. */
  why: KeyRest;
  nextRestMs: number;
  /** Until when a rate limit of one model holds. */
  readonly limits: Map<string, number>;
}

/**
 * Creates the ring of an upstream's `api_keys`, or its one `api_key`, or none, which is then key -1 and never rests.
 */
export const createKeyRing = (config: Pick<UpstreamConfig, 'api_key' | 'api_keys'>): KeyRing => {
  const configured = config.api_keys ?? (config.api_key ? [{ key: config.api_key }] : []);
  const ring = configured.map(
    ({ weight = 1 }): Key => ({
      weight,
      credit: 0,
      restUntil: Number.NEGATIVE_INFINITY,
      why: 'spend_limit',
      nextRestMs: SPEND_REST_MS,
      limits: new Map(),
    }),
  );
  /** Whether any key rests at all, so that one that does not costs one comparison. */
  let restsUntil = Number.NEGATIVE_INFINITY;

  const readyAt = (key: Key, model: string): number => {
    const limit = key.limits.get(model);
    return limit === undefined ? key.restUntil : Math.max(limit, key.restUntil);
  };
  const isReadyKey = (index: number, model: string, except: number, now: number): boolean =>
    (except & (1 << index)) === 0 && (now >= restsUntil || readyAt(ring[index]!, model) <= now);

  const take = (model: string, except: number, now: number): number => {
    if (ring.length === 1) return isReadyKey(0, model, except, now) ? 0 : -1;
    let total = 0;
    let best = -1;
    for (let index = 0; index < ring.length; index++) {
      if (!isReadyKey(index, model, except, now)) continue;
      const key = ring[index]!;
      total += key.weight;
      key.credit += key.weight;
      if (best < 0 || key.credit > ring[best]!.credit) best = index;
    }
    if (best >= 0) ring[best]!.credit -= total;
    return best;
  };

  return {
    keys: configured.map(({ key }) => key),
    take,
    isReady: (model, except, now) =>
      ring.length === 0 || ring.some((_, index) => isReadyKey(index, model, except, now)),
    waitMs: (model, now) =>
      ring.length === 0 ? 0 : Math.max(0, Math.min(...ring.map((key) => readyAt(key, model))) - now),
    rest(index, why, model, waitMs, now) {
      const key = ring[index];
      // A lone key that is not accepted is tried on: its refusals tell the operator more than silence would.
      if (!key || (why === 'refused' && ring.length === 1)) return 0;
      if (why === 'rate_limit') {
        const restMs = Math.min(waitMs, MAX_REST_MS);
        if (restMs <= 0) return 0;
        if (key.limits.size >= MAX_MODELS) key.limits.clear();
        key.limits.set(model, Math.max(key.limits.get(model) ?? 0, now + restMs));
        restsUntil = Math.max(restsUntil, now + restMs);
        return restMs;
      }
      // Requests that were under way together refuse together: that is one rest.
      if (key.restUntil > now) return 0;
      const restMs = key.nextRestMs;
      key.nextRestMs = Math.min(restMs * 2, MAX_REST_MS);
      key.restUntil = now + restMs;
      key.why = why;
      restsUntil = Math.max(restsUntil, key.restUntil);
      return restMs;
    },
    accepted(index) {
      if (index >= 0) ring[index]!.nextRestMs = SPEND_REST_MS;
    },
    status: (now) =>
      ring.map((key, index) => {
        for (const [model, until] of key.limits) if (until <= now) key.limits.delete(model);
        const limited = Math.max(Number.NEGATIVE_INFINITY, ...key.limits.values());
        const isOut = key.restUntil > now;
        const until = isOut ? key.restUntil : limited;
        return until > now
          ? {
              index,
              state: 'resting',
              why: isOut ? key.why : 'rate_limit',
              until: new Date(Date.now() + until - now).toISOString(),
            }
          : { index, state: 'ready', why: null, until: null };
      }),
  };
};
