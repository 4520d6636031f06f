import type { RedisLink } from './redis-link.ts';
import type { Org } from './redis-org.ts';
import { reservationKeys } from './redis-org.ts';
import type { BudgetPart, Plan, Values } from './redis-plan.ts';

/** Of a cap: once less than this is free, nothing is held ahead, so that all of a budget can be used. */
const SCARCE = 0.05;
/** A slice that nobody renews is booked in full after this. */
const LEASE_MS = 60_000;
const RENEW_MS = 20_000;
/** Between two attempts to get more of one budget. */
const PAUSE_MS = 1_000;
/** Calls at once when all are renewed. */
const BATCH = 100;

/** A part of one budget that this replica holds in Redis, to grant from while Redis is away. */
interface Slice {
  readonly org: Org;
  readonly id: string;
  part: BudgetPart;
  /** Reserved in Redis. */
  amount: number;
  /** Of it: settled, and not told to Redis. */
  used: number;
  /** Of it: reserved by requests under way. */
  held: number;
  epoch: number;
  sequence: number;
  /** What the renewal says whose answer is not here yet: until then nobody knows how much is left. */
  sent: { readonly used: number; readonly held: number; readonly wanted: number } | undefined;
  calling: Promise<void> | undefined;
  /** Rises when everything it held was booked. */
  generation: number;
  wantedAtMs: number;
  renewedAtMs: number;
}

/** A share of a slice that a request holds. */
export interface SliceHold {
  readonly slice: Slice;
  readonly generation: number;
  readonly amount: number;
}

/** The slices of one replica. */
export interface Slices {
  /** After an answer of Redis: keeps a slice of each budget in use, and lets go of it when the budget becomes scarce. */
  note(org: Org, plan: Plan, values: Values): void;
  /** What may be granted of a budget without Redis, micro-USD. */
  available(org: Org, part: BudgetPart): number;
  /** Takes the amounts of all budgets of a plan; each must be available. */
  hold(org: Org, plan: Plan): SliceHold[];
  settle(holds: readonly SliceHold[], microUsd: number): void;
  /** Tells Redis what was used while it was away. */
  renewAll(): Promise<void>;
  /** Renews what is in use, gives back what is not. */
  tick(): void;
  /** Gives everything back. */
  release(): Promise<void>;
  readonly size: number;
}

export interface SlicesOptions {
  readonly link: RedisLink;
  readonly owner: string;
  /** Of a cap, what all replicas together hold ahead. */
  readonly ahead: number;
  readonly replicas: () => number;
  /** The arguments that every script takes first: now, run, nonce, known epoch, grace. */
  readonly header: (epoch: number) => (string | number)[];
}

/**
 * Slices are reservations like any other: with owner and expiry, counted against the cap, booked in full when their
 * replica dies. So what a replica grants from one while it cannot ask is covered, whatever happens.
 */
export const createSlices = ({ link, owner, ahead, replicas, header }: SlicesOptions): Slices => {
  const slices = new Map<string, Slice>();
  let made = 0;

  const sizeOf = ({ capMicroUsd, amount }: BudgetPart): number => {
    const size = Math.floor((capMicroUsd * ahead) / replicas());
    return size < Math.max(1, amount) ? 0 : size; // One that covers no request is of no use.
  };

  /** One call at a time. Resolves when there is an answer, or will be none. */
  const renew = (key: string, slice: Slice, wanted: number): Promise<void> => {
    if (!link.isUp) return Promise.resolve();
    slice.calling ??= ask(key, slice, wanted).finally(() => {
      slice.calling = undefined;
    });
    return slice.calling;
  };

  const ask = async (key: string, slice: Slice, wanted: number): Promise<void> => {
    if (slice.sent === undefined) {
      slice.sequence++;
      slice.sent = { used: slice.used, held: slice.held, wanted };
    }
    const { part, org, id, sent } = slice;
    let reply: [fate: number, epoch: number, amount: number];
    try {
      reply = await link.call((redis) => {
        const keys = [...reservationKeys(org, id), org.tag + part.name];
        const grantedMicroUsd = slice.used - sent.used + slice.held;
        const args = [...header(slice.epoch), LEASE_MS, id, JSON.stringify(owner), slice.sequence];
        args.push(sent.used, sent.held, sent.wanted, part.capMicroUsd, SCARCE, part.period.startMs, part.ttlMs);
        return redis.aegisSlice(keys.length, ...keys, ...args, JSON.stringify(part.name), grantedMicroUsd);
      });
    } catch {
      return; // Its answer may be lost: the same is asked again, with the same sequence.
    }
    const [fate, epoch, amount] = reply;
    slice.sent = undefined;
    slice.renewedAtMs = performance.now();
    slice.epoch = epoch;
    slice.amount = amount;
    if (fate === EXPIRED) {
      slice.used = 0;
      slice.held = 0;
      slice.generation++;
    } else {
      slice.used -= sent.used;
    }
    if (slice.amount === 0 && slice.used === 0 && slice.held === 0 && sent.wanted === 0) slices.delete(key);
  };

  const note: Slices['note'] = (org, plan, { reply, from }) => {
    const now = performance.now();
    let at = from + 3 * plan.accounts.length;
    for (const part of plan.budgets) {
      const free = part.capMicroUsd - reply[at]! - reply[at + 1]!;
      at += 2;
      const isScarce = free <= part.capMicroUsd * SCARCE;
      const key = org.tag + part.name;
      let slice = slices.get(key);
      if (slice === undefined) {
        if (isScarce || sizeOf(part) === 0) continue;
        slice = {
          org,
          id: `slice:${owner}:${++made}`,
          part,
          amount: 0,
          used: 0,
          held: 0,
          epoch: 0,
          sequence: 0,
          sent: undefined,
          calling: undefined,
          generation: 0,
          wantedAtMs: now,
          renewedAtMs: Number.NEGATIVE_INFINITY,
        };
        slices.set(key, slice);
      }
      slice.part = part;
      slice.wantedAtMs = now;
      if (isScarce) {
        if (slice.amount > slice.held) void renew(key, slice, 0);
      } else if (now - slice.renewedAtMs > PAUSE_MS) {
        const wanted = sizeOf(part);
        if (2 * (slice.amount - slice.used - slice.held) < wanted) void renew(key, slice, wanted);
      }
    }
  };

  const inBatches = async (work: (key: string, slice: Slice) => Promise<void>): Promise<void> => {
    const all = [...slices];
    for (let from = 0; from < all.length && link.isUp; from += BATCH) {
      await Promise.all(all.slice(from, from + BATCH).map(([key, slice]) => work(key, slice)));
    }
  };

  const available: Slices['available'] = (org, part) => {
    const slice = slices.get(org.tag + part.name);
    // What is being given back may be gone; what is being renewed is not less than it was.
    if (slice === undefined || slice.sent?.wanted === 0) return 0;
    return Math.max(0, slice.amount - slice.used - slice.held);
  };

  return {
    note,
    available,
    hold: (org, plan) =>
      plan.budgets.flatMap((part) => {
        const slice = slices.get(org.tag + part.name);
        if (slice === undefined) return []; // Nothing was asked of this budget.
        slice.held += part.amount;
        return { slice, generation: slice.generation, amount: part.amount };
      }),
    settle(holds, microUsd) {
      for (const { slice, generation, amount } of holds) {
        if (generation !== slice.generation) continue;
        slice.held -= amount;
        slice.used += microUsd;
      }
    },
    renewAll: () => inBatches((key, slice) => renew(key, slice, sizeOf(slice.part))),
    tick() {
      const now = performance.now();
      for (const [key, slice] of slices) {
        const isIdle = now - slice.wantedAtMs > LEASE_MS;
        if (isIdle || slice.sent !== undefined || slice.used > 0)
          void renew(key, slice, isIdle ? 0 : sizeOf(slice.part));
        else if (slice.amount > 0 && now - slice.renewedAtMs > RENEW_MS) void renew(key, slice, sizeOf(slice.part));
      }
    },
    async release() {
      // The first answer may be one that was on its way already.
      for (let turn = 0; turn < 3 && slices.size > 0 && link.isUp; turn++) {
        await inBatches((key, slice) => renew(key, slice, 0));
      }
    },
    get size() {
      return slices.size;
    },
  };
};

/** What became of a slice, as the script says. */
const EXPIRED = 2;
