import { Redis } from 'ioredis';
import { ADD, BEAT, SETTLE, SLICE, TAKE } from './redis-script.ts';

/** A script: how many keys, the keys, the arguments. */
type Script = (keys: number, ...args: (string | number)[]) => Promise<unknown>;

/** The commands that the limiter adds to a client. */
export type RedisScripts = Redis &
  Record<'aegisTake' | 'aegisSettle' | 'aegisAdd' | 'aegisSlice' | 'aegisBeat', Script>;

/** Redis is not there: refused, gone, or silent. */
export class RedisAway extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'RedisAway';
  }
}

export interface LinkOptions {
  readonly url: string;
  /** Silence after which Redis counts as hung, milliseconds. */
  readonly silenceMs: number;
  /** Which Redis it is that answers again: another run, another memory. Called before any other call is made. */
  readonly onUp: (run: number) => void;
  readonly onDown: (reason: string) => void;
  /** What makes counts wrong although Redis serves. */
  readonly onWarning: (message: string) => void;
  /** A first write, that must work before Redis counts as there. */
  readonly greet: (redis: RedisScripts) => Promise<unknown>;
}

/** One connection to Redis, with a breaker: while Redis is away every call fails at once. */
export interface RedisLink {
  readonly isUp: boolean;
  /** Makes a call. Throws RedisAway when Redis is away or hangs; whether it was carried out is not known then. */
  call<T>(send: (redis: RedisScripts) => Promise<unknown>): Promise<T>;
  /** Waits until Redis was reached, or `timeoutMs` are over. */
  settled(timeoutMs: number): Promise<void>;
  close(): void;
}

/** A Redis that answers others but this one so late is of no use to the request that waits. */
const LONGEST_MS = 250;
/** A connection on which nothing came back for so long may be half open: a new one is made. */
const STALE_MS = 2_000;
const CONNECT_MS = 1_000;

interface Pending {
  readonly sentAt: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Connects and stays connected. A hung Redis is told by silence: a call is out for `silenceMs` and nothing at all came
 * back meanwhile. That is what ioredis' `commandTimeout` cannot tell: it ends the calls of a busy Redis too, and those
 * whose answers already wait in the socket while this process was busy. All calls under way fail at once then.
 */
export const openRedisLink = (options: LinkOptions): RedisLink => {
  const redis = new Redis(options.url, {
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: 250,
    retryStrategy: (times) => Math.min(25 * times, 250),
    disableClientInfo: true,
    protocol: 2,
  }) as RedisScripts;
  for (const [name, lua] of Object.entries({ Take: TAKE, Settle: SETTLE, Add: ADD, Slice: SLICE, Beat: BEAT })) {
    redis.defineCommand(`aegis${name}`, { lua });
  }

  /** In the order of sending, which is the order of answers. */
  const pending = new Map<number, Pending>();
  const waiters = new Set<() => void>();
  let isUp = false;
  let isClosed = false;
  let isWatched = false;
  let isProbing = false;
  let sequence = 0;
  let heardAt = 0;
  let lastError = 'not connected yet';
  let warned = '';

  const down = (reason: string): void => {
    if (isUp) {
      isUp = false;
      options.onDown(reason);
    }
    const error = new RedisAway(reason);
    const all = [...pending.values()];
    pending.clear();
    for (const { reject } of all) reject(error);
  };

  /** How long Redis may go on being silent; 0 or less: it hangs. */
  const patience = (now: number): number => {
    const oldest = pending.values().next().value;
    if (oldest === undefined) return options.silenceMs;
    const quiet = Math.max(oldest.sentAt, heardAt) + options.silenceMs - now;
    return Math.min(quiet, oldest.sentAt + Math.max(LONGEST_MS, options.silenceMs) - now);
  };

  const watch = (): void => {
    isWatched = true;
    setTimeout(
      () => {
        isWatched = false;
        if (pending.size === 0) return;
        if (patience(performance.now()) > 0) return watch();
        // This process may have been the slow one: what waits in the socket is read before the verdict.
        setImmediate(() => {
          if (pending.size === 0) return;
          if (patience(performance.now()) > 0) return watch();
          down(`no answer for ${options.silenceMs} ms`);
          void probe();
        });
      },
      Math.max(1, patience(performance.now())),
    ).unref(); // While a call is out its socket keeps the process alive.
  };

  const answered = (id: number, send: (redis: RedisScripts) => Promise<unknown>): void => {
    // In a promise, so that what `send` throws fails the call and is not taken for a Redis that hangs.
    new Promise((resolve) => resolve(send(redis))).then(
      (value) => {
        heardAt = performance.now();
        const waiting = pending.get(id);
        pending.delete(id);
        waiting?.resolve(value);
      },
      (error: unknown) => {
        const waiting = pending.get(id);
        if (waiting === undefined) return;
        pending.delete(id);
        if (isBug(error)) return waiting.reject(error);
        // A Redis that refuses to write (no memory, a replica, still loading) cannot count either.
        lastError = messageOf(error);
        waiting.reject(new RedisAway(lastError));
        down(lastError);
        if (/^READONLY|^MASTERDOWN/.test(lastError)) redis.disconnect(true);
        else setTimeout(() => void probe(), RETRY_MS).unref();
      },
    );
  };

  const call = <T>(send: (redis: RedisScripts) => Promise<unknown>): Promise<T> => {
    if (!isUp) return Promise.reject(new RedisAway(lastError));
    return new Promise<T>((resolve, reject) => {
      const id = ++sequence;
      pending.set(id, { sentAt: performance.now(), resolve: resolve as (value: unknown) => void, reject });
      if (!isWatched) watch();
      answered(id, send);
    });
  };

  /** Asks on the same connection: what was sent before is answered before. */
  const probe = async (): Promise<void> => {
    if (isUp || isProbing || isClosed || redis.status !== 'ready') return;
    isProbing = true;
    const stale = setTimeout(() => redis.disconnect(true), STALE_MS);
    try {
      const [info] = await Promise.all([redis.info(), options.greet(redis)]);
      if (isClosed) return;
      warnOf(info);
      heardAt = performance.now();
      isUp = true;
      options.onUp(runOf(info));
      for (const wake of waiters) wake();
      waiters.clear();
    } catch (error) {
      lastError = messageOf(error);
      if (!isClosed) setTimeout(() => void probe(), RETRY_MS).unref();
    } finally {
      clearTimeout(stale);
      isProbing = false;
    }
  };

  /** A key that is evicted is spend that is forgotten. */
  const warnOf = (info: string): void => {
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
    if (policy === warned || policy === 'noeviction') return;
    warned = policy;
    options.onWarning(`Redis' maxmemory-policy is ${policy}: it may forget what was spent. Set it to noeviction.`);
  };

  redis.on('ready', () => void probe());
  redis.on('close', () => down(lastError === 'not connected yet' ? 'the connection was closed' : lastError));
  redis.on('error', (error: unknown) => {
    lastError = messageOf(error);
  });

  return {
    get isUp() {
      return isUp;
    },
    call,
    settled(timeoutMs) {
      if (isUp) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        waiters.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
    close() {
      isClosed = true;
      isUp = false;
      redis.disconnect();
    },
  };
};

const RETRY_MS = 100;

/** By name: an error of another realm is no instance of ours. */
const isBug = (error: unknown): boolean =>
  ['TypeError', 'RangeError', 'ReferenceError'].includes(String((error as { name?: unknown } | null)?.name));

const messageOf = (error: unknown): string => String((error as { message?: unknown } | null)?.message ?? error);

/** The first 48 bits of Redis' run id, as a number that no double rounds. */
const runOf = (info: string): number => Number.parseInt(/^run_id:([0-9a-f]{12})/m.exec(info)?.[1] ?? '0', 16);
