import { randomBytes } from 'node:crypto';
import { assertAmount, HISTORY_RETRY_MS, HistoryAway, type SharedHistory } from './account.ts';
import { createCalendar } from './calendar.ts';
import { createElapsedClock } from './clock.ts';
import type { Actual, Limiter, LimiterState, Permit, Refusal } from './limiter.ts';
import { createCalls } from './redis-calls.ts';
import { openRedisLink, RedisAway } from './redis-link.ts';
import { createLocalLimiter } from './redis-local.ts';
import { createOrg, type Org } from './redis-org.ts';
import { createOutbox, type Settlement } from './redis-outbox.ts';
import { type Plan, planOf, refusalOf, statesOf } from './redis-plan.ts';
import { createRecent } from './redis-recent.ts';
import { CLOSED, GRANTED, LOST, REFUSED, SEED } from './redis-script.ts';
import { createSlices, type SliceHold } from './redis-slices.ts';
import { createViews } from './redis-views.ts';

const LEASE_MS = 900_000;
const SILENCE_MS = 30;
/** Of a cap, what all replicas together hold ahead for the time when Redis is away. */
const AHEAD = 0.02;
const BEAT_MS = 1_000;
/** A replica that gave no sign for so long is gone. */
const GONE_MS = 5_000;
const TICK_MS = 5_000;
/** How long a start waits for Redis, and an end for what must still be told. */
const PATIENCE_MS = 1_000;
/** After a loss, until every replica has told what it holds. */
const GRACE_MS = 350;
/** Answers other than yes and no that one take may get. */
const TURNS = 6;
const NOTHING: Actual = { tokens: 0, microUsd: 0 };

/** What the Redis limiter can be given. */
export interface RedisLimiterOptions {
  /** redis://, rediss:// or unix socket. */
  readonly url: string;
  /** Gateways with the same prefix share their limits. */
  readonly prefix?: string;
  /**
   * What a subject has already spent in a period, asked when Redis cannot know. While it is away (HistoryAway) such a
   * budget is closed; if it throws anything else, so does the take.
   */
  readonly history?: SharedHistory;
  /** After this a reservation that was never settled ends: its leases are freed, its spend is booked in full. */
  readonly leaseMs?: number;
  /** Silence after which Redis counts as hung. */
  readonly silenceMs?: number;
  /** Of each cap, what all replicas together hold ahead to grant from while Redis is away; 0 holds nothing. */
  readonly ahead?: number;
  /** Whose time counts for rates and leases. `caller` is for tests that make time pass. */
  readonly clock?: 'redis' | 'caller';
  readonly onWarning?: (message: string) => void;
  /** Told of each change between shared and local. */
  readonly onChange?: (state: LimiterState) => void;
}

/** A limiter on Redis. */
export interface RedisLimiter extends Limiter {
  state(): LimiterState;
  /** Tells Redis what it has not heard, gives back what was held ahead, and disconnects. */
  close(): Promise<void>;
}

/** A reservation of this replica, from its take to its settlement. */
interface Open {
  readonly org: Org;
  readonly plan: Plan;
  readonly expiresAtMs: number;
  answer: Promise<Permit | Refusal> | Permit;
  /** asking: no answer yet; shared: Redis has it; local: granted while Redis was away; told: local, and Redis knows. */
  state: 'asking' | 'shared' | 'local' | 'told';
  holds: readonly SliceHold[];
  /** A settlement that came before the answer. */
  early: Actual | undefined;
}

/**
 * The limiter of several processes: every take is one script call, a settlement another that nobody waits for. While
 * Redis is away, at most 30 ms after it fell silent, takes are granted from this replica's share (limits_local) and
 * spend from what it holds ahead; it is asked again as soon as it answers. Errors are as the memory limiter's. Waits up
 * to a second for Redis and serves without it from then on.
 */
export const openRedisLimiter = async ({
  url,
  prefix = 'aegis',
  history,
  leaseMs = LEASE_MS,
  silenceMs = SILENCE_MS,
  ahead = AHEAD,
  clock = 'redis',
  onWarning = () => {},
  onChange = () => {},
}: RedisLimiterOptions): Promise<RedisLimiter> => {
  const owner = randomBytes(9).toString('base64url');
  const calendar = createCalendar();
  const elapsed = createElapsedClock();
  const views = createViews();
  const recent = createRecent();
  const orgs = new Map<string, Org>();
  /** In the order of expiry. */
  const open = new Map<string, Open>();
  let run = 0;
  let replicas = 1;
  let replicasBefore = 0;
  let upAtMs = 0;
  let callerNow = Date.now();
  let at = 0;
  let changedAtMs = Date.now();
  let reason: string | undefined = 'not connected yet';

  /** After Redis was away others may come back later: for a while as many count as before. */
  const replicasSeen = (): number => Math.max(1, replicas, performance.now() - upAtMs < GONE_MS ? replicasBefore : 0);
  const replicasKey = `${prefix}:replicas`;

  const link = openRedisLink({
    url,
    silenceMs,
    onUp,
    onDown,
    onWarning,
    greet: async (redis) => {
      replicas = Number(await redis.aegisBeat(1, replicasKey, owner, GONE_MS));
    },
  });
  const calls = createCalls({
    link,
    owner,
    leaseMs,
    now: () => (clock === 'caller' ? callerNow : ''),
    run: () => run,
    graceMs: () => (replicasSeen() > 1 ? GRACE_MS : 0),
  });
  const slices = createSlices({ link, owner, ahead, replicas: replicasSeen, header: calls.header });
  const local = createLocalLimiter(views, slices, replicasSeen);
  const outbox = createOutbox(deliver, () => link.isUp);

  const orgOf = (name: string): Org => {
    let org = orgs.get(name);
    if (org === undefined) {
      org = createOrg(prefix, name);
      orgs.set(name, org);
    }
    return org;
  };

  /** Lets time pass. */
  const pass = (now: number): void => {
    callerNow = now;
    at = elapsed(now);
    for (const [id, entry] of open) {
      if (entry.expiresAtMs > at) return;
      open.delete(id);
      if (entry.state === 'asking') continue;
      views.lease(entry.plan, -1);
      // Redis ends what it has by itself. Of what only this replica knows the spend is booked in full.
      for (const hold of entry.holds) slices.settle([hold], hold.amount);
    }
  };

  const state = (): LimiterState => ({
    mode: link.isUp ? 'shared' : 'local',
    sinceMs: changedAtMs,
    reason: link.isUp ? undefined : reason,
    replicas: replicasSeen(),
    waiting: outbox.size,
    dropped: outbox.dropped,
    slices: slices.size,
  });

  // --- away and back ---

  function onDown(why: string): void {
    reason = why;
    replicasBefore = replicasSeen();
    changedAtMs = Date.now();
    local.begin();
    onChange(state());
  }

  function onUp(newRun: number): void {
    const isOther = run !== 0 && run !== newRun;
    run = newRun;
    upAtMs = performance.now();
    changedAtMs = Date.now();
    // In this order on one connection: what Redis forgot, what it never knew, what it waits for.
    if (isOther) for (const org of orgs.values()) if (org.epoch !== 0) void recover(org);
    tellLocal();
    void outbox.flush();
    void slices.renewAll();
    onChange(state());
  }

  /** Tells a Redis that has lost count what this replica has in it: open reservations, and what history may not have. */
  function recover(org: Org): Promise<void> {
    org.recovery ??= (async () => {
      try {
        const telling: Promise<number[]>[] = [];
        for (const [id, entry] of open) {
          if (entry.org !== org || (entry.state !== 'shared' && entry.state !== 'told')) continue;
          telling.push(
            entry.state === 'shared' ? calls.add(org, id, entry.plan) : calls.add(org, idTold(id), told(entry.plan)),
          );
        }
        const settled = recent.of(org, performance.now());
        const late = new Map(settled.map(({ part, microUsd }) => [part.name, microUsd]));
        telling.push(calls.add(org, '', { accounts: [], budgets: settled.map(({ part }) => part) }, late));
        const replies = await Promise.all(telling);
        org.epoch = replies.at(-1)![1]!;
      } catch (error) {
        if (!isAway(error)) throw error; // Away again: the next take finds the loss.
      } finally {
        org.recovery = undefined;
      }
    })();
    return org.recovery;
  }

  /** What happened while Redis was away: leases that are still out, and what was used of rates. */
  const tellLocal = (): void => {
    for (const [id, entry] of open) {
      if (entry.state !== 'local') continue;
      entry.state = 'told';
      calls.add(entry.org, idTold(id), told(entry.plan)).catch(ignoreAway);
    }
    for (const { org, accounts } of local.takeDebits()) {
      for (let from = 0; from < accounts.length; from += DEBITS) {
        calls.add(org, '', { accounts: accounts.slice(from, from + DEBITS), budgets: [] }).catch(ignoreAway);
      }
    }
  };

  async function deliver(settlement: Settlement): Promise<void> {
    const { org, plan } = settlement;
    const reply = await calls.settle(settlement);
    if (reply[0] === 1) views.learn(plan, { reply, from: 2 }, at);
    if (reply[1] !== org.epoch && org.epoch !== 0) await recover(org);
  }

  // --- takes ---

  const ask = async (id: string, entry: Open, now: number): Promise<Permit | Refusal> => {
    const { org, plan } = entry;
    const seeds: number[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      let reply: number[];
      try {
        if (org.recovery !== undefined) await org.recovery;
        reply = await calls.take(org, id, plan, seeds);
      } catch (error) {
        if (!isAway(error)) throw error;
        break;
      }
      const [status, epoch] = reply as [number, number];
      if (status === LOST) {
        await recover(org);
        seeds.length = 0; // What history said before the loss is old by now.
        continue;
      }
      if (org.epoch === 0) org.epoch = epoch;
      if (status === SEED) {
        const unknown = reply.slice(2);
        try {
          const spent = await Promise.all(unknown.map((index) => spentBefore(plan, index)));
          for (const [i, index] of unknown.entries()) seeds[index] = spent[i]!;
        } catch (error) {
          if (error instanceof HistoryAway) return closed(plan, HISTORY_RETRY_MS);
          throw error;
        }
        continue;
      }
      if (status === CLOSED) return closed(plan, reply[2]!);
      if (status !== GRANTED && status !== REFUSED) break;
      const values = { reply, from: 2 };
      views.learn(plan, values, at);
      slices.note(org, plan, values);
      if (status === REFUSED) return refusalOf(plan, values, now);
      entry.state = 'shared';
      views.lease(plan, 1);
      return { granted: true, id, states: statesOf(plan, values, now) };
    }
    // It may have been carried out: it is given back, for no attempt was made under it.
    outbox.put({ id, org, plan, actual: NOTHING });
    return takeLocal(id, entry, now);
  };

  const spentBefore = async (plan: Plan, index: number): Promise<number> => {
    const { scope, subject, period } = plan.budgets[index]!;
    const spent = (await history?.(scope, subject, period.startMs, period.endMs)) ?? 0;
    assertAmount(spent, 'history');
    return spent;
  };

  const takeLocal = (id: string, entry: Open, now: number): Permit | Refusal => {
    const taken = local.take(id, entry.org, entry.plan, now, at);
    if (!('permit' in taken)) return taken;
    entry.state = 'local';
    entry.holds = taken.holds;
    views.lease(entry.plan, 1);
    return taken.permit;
  };

  const finish = (id: string, entry: Open, answer: Permit | Refusal): Permit | Refusal => {
    if (!answer.granted) {
      open.delete(id);
    } else {
      entry.answer = answer;
      if (entry.early !== undefined) end(id, entry, entry.early);
    }
    return answer;
  };

  const end = (id: string, entry: Open, actual: Actual): void => {
    open.delete(id);
    const { org, plan, holds } = entry;
    views.lease(plan, -1);
    if (entry.state === 'shared') {
      views.settle(plan, actual.microUsd);
      recent.add(org, plan, actual.microUsd, performance.now());
      outbox.put({ id, org, plan, actual });
      return;
    }
    local.settle(org, plan, holds, actual, entry.state === 'told', at);
    if (entry.state === 'told') outbox.put({ id: idTold(id), org, plan: told(plan), actual });
  };

  const beats = setInterval(() => {
    link
      .call<number>((redis) => redis.aegisBeat(1, replicasKey, owner, GONE_MS))
      .then((count) => {
        replicas = count;
      }, ignoreAway);
  }, BEAT_MS).unref();
  const ticks = setInterval(() => slices.tick(), TICK_MS).unref();
  await link.settled(PATIENCE_MS);

  return {
    take(id, orgName, demands, now) {
      pass(now);
      const repeated = open.get(id);
      if (repeated !== undefined) return repeated.answer;
      const plan = planOf(demands, now, leaseMs, calendar);
      if (demands.length === 0) return { granted: true, id, states: [] };
      const entry = createOpen(orgOf(orgName), plan, at + leaseMs);
      if (!link.isUp) {
        const answer = takeLocal(id, entry, now);
        if (!answer.granted) return answer;
        open.set(id, entry);
        entry.answer = answer;
        return answer;
      }
      open.set(id, entry);
      entry.answer = ask(id, entry, now).then(
        (answer) => finish(id, entry, answer),
        (error: unknown) => {
          open.delete(id);
          throw error;
        },
      );
      return entry.answer;
    },

    settle(id, actual, now) {
      assertAmount(actual.tokens, 'actual tokens');
      assertAmount(actual.microUsd, 'actual micro-USD');
      pass(now);
      const entry = open.get(id);
      if (entry === undefined) return;
      if (entry.state === 'asking') entry.early ??= actual;
      else end(id, entry, actual);
    },

    spend(subjects, now) {
      pass(now);
      return views.spend(subjects, now, at);
    },

    state,

    async close() {
      clearInterval(beats);
      clearInterval(ticks);
      if (link.isUp) {
        await within(PATIENCE_MS, outbox.flush());
        await within(PATIENCE_MS, slices.release());
        await within(PATIENCE_MS, link.call((redis) => redis.aegisBeat(1, replicasKey, owner, 0)).catch(ignoreAway));
      }
      link.close();
    },
  };
};

/** Accounts in one call of what is told at once. */
const DEBITS = 50;

const createOpen = (org: Org, plan: Plan, expiresAtMs: number): Open => ({
  org,
  plan,
  expiresAtMs,
  answer: NO_ANSWER,
  state: 'asking',
  holds: [],
  early: undefined,
});
const NO_ANSWER: Promise<Permit | Refusal> = new Promise(() => {});

/** A local grant in Redis has an id of its own: the take's may be void there. Its spend is covered by slices. */
const idTold = (id: string): string => `${id}~local`;
const told = (plan: Plan): Plan => ({ ...plan, budgets: [] });

const closed = (plan: Plan, retryAfterMs: number): Refusal => {
  const demand = plan.demands.find(({ kind }) => kind === 'spend')!;
  return { granted: false, demand, retryAfterMs, states: [] };
};

const isAway = (error: unknown): boolean => error instanceof RedisAway;
const ignoreAway = (error: unknown): void => {
  if (!isAway(error)) throw error;
};

/** Waits for `work`, but not longer. */
const within = async (timeoutMs: number, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  try {
    await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
};
