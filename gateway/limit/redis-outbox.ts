import type { Actual } from './limiter.ts';
import type { Org } from './redis-org.ts';
import type { Plan } from './redis-plan.ts';

/** A settlement on its way to Redis. */
export interface Settlement {
  readonly id: string;
  readonly org: Org;
  readonly plan: Plan;
  readonly actual: Actual;
}

/** Settlements that Redis has not confirmed. Each may be sent again: Redis books an id once. */
export interface Outbox {
  put(settlement: Settlement): void;
  /** Sends all that wait. */
  flush(): Promise<void>;
  readonly size: number;
  /** How many were given up because too many waited: their reservations expire and are booked in full. */
  readonly dropped: number;
}

/** About what 10 s of a busy gateway are. */
const MAX_WAITING = 50_000;
const BATCH = 200;

/** `send` resolves when Redis has it, and rejects when that is not known. */
export const createOutbox = (send: (settlement: Settlement) => Promise<void>, isUp: () => boolean): Outbox => {
  const waiting = new Map<string, Settlement>();
  let dropped = 0;
  let isFlushing = false;

  const deliver = async (settlement: Settlement): Promise<void> => {
    try {
      await send(settlement);
      if (waiting.get(settlement.id) === settlement) waiting.delete(settlement.id);
    } catch {
      // It waits until Redis is back.
    }
  };

  return {
    put(settlement) {
      if (waiting.size >= MAX_WAITING) {
        for (const oldest of waiting.keys()) {
          waiting.delete(oldest);
          dropped++;
          break;
        }
      }
      waiting.set(settlement.id, settlement);
      if (isUp()) void deliver(settlement);
    },
    async flush() {
      if (isFlushing) return;
      isFlushing = true;
      try {
        const all = [...waiting.values()];
        for (let from = 0; from < all.length && isUp(); from += BATCH) {
          await Promise.all(all.slice(from, from + BATCH).map(deliver));
        }
      } finally {
        isFlushing = false;
      }
    },
    get size() {
      return waiting.size;
    },
    get dropped() {
      return dropped;
    },
  };
};
