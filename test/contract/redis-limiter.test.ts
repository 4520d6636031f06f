import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Demand, Permit, Refusal } from '../../gateway/limit/limiter.ts';
import { proveLimiter } from '../../gateway/limit/prove.ts';
import { openRedisLimiter, type RedisLimiter, type RedisLimiterOptions } from '../../gateway/limit/redis.ts';
import { until } from '../support/gateway.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';
import { BUDGET, type CallersOptions, type CallersReport } from '../support/redis-callers.ts';

// What only a limiter on Redis can get wrong: several processes, a Redis that dies, hangs or forgets.

const CALLERS = fileURLToPath(new URL('../support/redis-callers.ts', import.meta.url));
const NOTHING = { tokens: 0, microUsd: 0 };

let redis: TestRedis;
const limiters: RedisLimiter[] = [];
const children = new Set<ChildProcess>();
let prefixes = 0;
let prefix = '';

/** Patient enough for a busy machine: for tests in which Redis does not hang. */
const PATIENT = { silenceMs: 5_000 } as const;

const open = async (options: Partial<RedisLimiterOptions> = {}): Promise<RedisLimiter> => {
  const limiter = await openRedisLimiter({ url: redis.url, prefix, ...options });
  limiters.push(limiter);
  return limiter;
};

const spend = (capMicroUsd: number, amount: number): Demand => ({ kind: 'spend', ...BUDGET, capMicroUsd, amount });
const requests = (perMinute: number, subject = 'acme'): Demand => ({
  kind: 'requests',
  scope: 'org',
  subject,
  perMinute,
  amount: 1,
});
const concurrent = (max: number): Demand => ({ kind: 'concurrent', scope: 'org', subject: 'acme', max, amount: 1 });

let ids = 0;
const take = async (limiter: RedisLimiter, ...demands: Demand[]): Promise<Permit | Refusal> =>
  limiter.take(`t${++ids}`, 'acme', demands, Date.now());
const granted = (answer: Permit | Refusal): Permit => {
  if (!answer.granted) throw new Error(`refused by ${answer.demand.kind}`);
  return answer;
};

/** Spent and reserved of the one budget, as Redis has it. */
const budget = async (): Promise<{ spent: number; reserved: number }> => {
  const day = new Date().toISOString().slice(0, 10);
  const value = await redis.client.getBuffer(`${prefix}:{o:acme}:s:${day}:UTC:org:acme`);
  return value === null ? { spent: 0, reserved: 0 } : { spent: value.readDoubleLE(0), reserved: value.readDoubleLE(8) };
};
const leasesOut = async (): Promise<number> =>
  (await redis.client.getBuffer(`${prefix}:{o:acme}:a:org:acme`))?.readDoubleLE(32) ?? 0;

const start = (options: Partial<CallersOptions>): { child: ChildProcess; report: Promise<CallersReport> } => {
  const all: CallersOptions = {
    url: redis.url,
    prefix,
    callers: 200,
    capMicroUsd: 1_000_000,
    boundMicroUsd: 100,
    leaseMs: 60_000,
    workMs: 5,
    untilMs: 0,
    ...options,
  };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CALLERS, JSON.stringify(all)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let out = '';
  let err = '';
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    err += chunk;
  });
  const report = new Promise<CallersReport>((resolve, reject) => {
    child.once('exit', (code, signal) => {
      children.delete(child);
      if (code === 0) resolve(JSON.parse(out) as CallersReport);
      else reject(new Error(`callers ended with ${code ?? signal}: ${err}`));
    });
  });
  report.catch(() => {});
  return { child, report };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

(HAS_REDIS ? describe : describe.skip)('the limiter on Redis', () => {
  beforeAll(async () => {
    redis = await openTestRedis();
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const limiter of limiters.splice(0)) await limiter.close();
    prefix = `p${++prefixes}`;
  });
  afterAll(() => redis.close());
  prefix = `p${prefixes}`;

  describe('of several processes', () => {
    test('never spends more than a budget and leaves less than 3 % of it unused, with 4 × 200 callers', async () => {
      const capMicroUsd = 1_000_000;
      const running = [1, 2, 3, 4].map(() => start({ capMicroUsd }));
      let worst = 0;
      let isOver = false;
      const watching = (async () => {
        while (!isOver) {
          const { spent, reserved } = await budget();
          worst = Math.max(worst, spent + reserved);
          await pause(5);
        }
      })();
      const reports = await Promise.all(running.map(({ report }) => report));
      isOver = true;
      await watching;
      const spent = reports.reduce((sum, report) => sum + report.spent, 0);
      expect(reports.flatMap(({ errors }) => errors)).toEqual([]);
      expect(worst).toBeLessThanOrEqual(capMicroUsd);
      expect(spent).toBeLessThanOrEqual(capMicroUsd);
      expect(spent / capMicroUsd).toBeGreaterThanOrEqual(0.97);
      expect(await budget()).toEqual({ spent, reserved: 0 });
      expect(await leasesOut()).toBe(0);
    }, 120_000);

    test('books what a killed process had reserved, and frees its leases', async () => {
      const leaseMs = 1_500;
      const victim = start({ capMicroUsd: 100_000_000, leaseMs, untilMs: Date.now() + 60_000, workMs: 400 });
      await until(async () => ((await leasesOut()) > 100 ? true : undefined), 20_000);
      victim.child.kill('SIGKILL');
      await expect(victim.report).rejects.toThrow('SIGKILL');
      const left = await budget();
      const reservations = await redis.client.keys(`${prefix}:{o:acme}:r:*`);
      const held = reservations.filter((key) => !key.includes(':slice:'));
      expect(held.length).toBeGreaterThan(100);
      // Whoever comes after the leases' end finds and ends them, a few at a time.
      const limiter = await open({ leaseMs, ahead: 0 });
      await until(async () => {
        granted(await take(limiter, requests(1e9)));
        return (await leasesOut()) === 0 ? true : undefined;
      }, 20_000);
      // What is still reserved is the slice that the dead one held ahead: its lease is longer.
      const booked = held.length * 100;
      expect(await budget()).toEqual({ spent: left.spent + booked, reserved: left.reserved - booked });
      const slices = left.reserved - booked;
      expect(slices === 0 || slices === 2_000_000).toBe(true);
    }, 60_000);
  });

  describe('while Redis hangs', () => {
    /** Stops Redis and waits until the limiters have noticed. */
    const hang = async (...hung: RedisLimiter[]): Promise<void> => {
      redis.pause();
      await until(() => (hung.every(isLocal) ? true : undefined));
    };
    const isLocal = (limiter: RedisLimiter): boolean => limiter.state().mode === 'local';
    const back = async (...all: RedisLimiter[]): Promise<number> => {
      redis.resume();
      const before = performance.now();
      await until(() =>
        all.every((limiter) => !isLocal(limiter) && limiter.state().waiting === 0) ? true : undefined,
      );
      return performance.now() - before;
    };
    afterEach(() => redis.resume());

    test('takes wait for it once; then they are answered at once, say so, and it is back within a second', async () => {
      const limiter = await open();
      granted(await take(limiter, requests(1_000)));
      redis.pause();
      const first = await Promise.all(Array.from({ length: 50 }, () => take(limiter, requests(1_000))));
      expect(first.map((answer) => granted(answer).degraded)).toEqual(first.map(() => 'limits_local'));
      expect(limiter.state()).toMatchObject({ mode: 'local', reason: 'no answer for 30 ms' });
      const at = Date.now();
      const answer = limiter.take('sync', 'acme', [requests(1_000)], at);
      expect(answer).not.toBeInstanceOf(Promise);
      expect(answer).toMatchObject({ granted: true, degraded: 'limits_local' });
      await pause(500);
      expect(await back(limiter)).toBeLessThan(1_000);
      await until(async () =>
        granted(await take(limiter, requests(1_000))).degraded === undefined ? true : undefined,
      );
    });

    test('a take whose answer was lost is given back', async () => {
      const limiter = await open({ ahead: 0 });
      granted(await take(limiter, spend(1_000, 10)));
      redis.pause();
      const lost = await Promise.all([1, 2, 3].map(() => take(limiter, spend(1_000, 100), concurrent(9))));
      expect(lost.map(({ granted: isGranted }) => isGranted)).toEqual([false, false, false]);
      await back(limiter);
      expect(await budget()).toEqual({ spent: 0, reserved: 10 });
      expect(await leasesOut()).toBe(0);
    });

    test('settlements reach it once it is back, each once', async () => {
      const limiter = await open({ ahead: 0 });
      const held = await Promise.all(
        Array.from({ length: 20 }, () => take(limiter, spend(10_000, 100), concurrent(99))),
      );
      await hang(limiter);
      for (const answer of held) limiter.settle(granted(answer).id, { tokens: 0, microUsd: 30 }, Date.now());
      for (const answer of held) limiter.settle(granted(answer).id, { tokens: 0, microUsd: 99 }, Date.now());
      expect(limiter.state().waiting).toBeGreaterThanOrEqual(20);
      await back(limiter);
      expect(await budget()).toEqual({ spent: 600, reserved: 0 });
      expect(await leasesOut()).toBe(0);
    });

    test('spend is granted out of what is held ahead and not beyond, and is booked when it is back', async () => {
      const cap = 100_000;
      const [one, two] = [await open({ silenceMs: 1_000 }), await open({ silenceMs: 1_000 })];
      await until(() => (one.state().replicas === 2 ? true : undefined));
      for (const limiter of [one, two]) granted(await take(limiter, spend(cap, 100)));
      await until(async () => ((await budget()).reserved === 200 + 2_000 ? true : undefined));
      redis.pause();
      let got = 0;
      const settled: [RedisLimiter, string][] = [];
      for (const limiter of [one, two]) {
        for (let i = 0; i < 15; i++) {
          // Until it has noticed, each take waits: a patient limiter is told by the next look.
          const answer = await take(limiter, spend(cap, 100));
          if (answer.granted) {
            got++;
            settled.push([limiter, answer.id]);
          } else {
            expect(answer).toMatchObject({ retryAfterMs: 1_000, demand: { kind: 'spend' } });
          }
        }
      }
      expect(got).toBe(20);
      for (const [limiter, id] of settled.slice(0, 15)) limiter.settle(id, { tokens: 0, microUsd: 60 }, Date.now());
      await back(one, two);
      await until(async () => ((await budget()).spent === 900 ? true : undefined));
      for (const [limiter, id] of settled.slice(15)) limiter.settle(id, { tokens: 0, microUsd: 50 }, Date.now());
      for (const limiter of limiters.splice(0)) await limiter.close();
      // Closing told the rest; the two first takes are still out.
      expect(await budget()).toEqual({ spent: 900 + 250, reserved: 200 });
    }, 60_000);

    test('each of N replicas grants a share of the rates, from where the bucket stood', async () => {
      const [one, two] = [await open(), await open()];
      await until(() => (one.state().replicas === 2 && two.state().replicas === 2 ? true : undefined));
      for (let i = 0; i < 40; i++) granted(await take(i % 2 === 0 ? one : two, requests(60)));
      await hang(one, two);
      let got = 0;
      for (const limiter of [one, two]) {
        for (let i = 0; i < 60; i++) if ((await take(limiter, requests(60))).granted) got++;
      }
      // 20 were left; a second or two have added one each.
      expect(got).toBeGreaterThanOrEqual(18);
      expect(got).toBeLessThanOrEqual(26);
      await back(one, two);
      // What was used meanwhile counts.
      const { states } = await take(one, requests(60));
      expect(states[0]!.remaining).toBeLessThanOrEqual(8);
    });

    test('leases are shared out too, and those taken meanwhile are told', async () => {
      const limiter = await open();
      const early = granted(await take(limiter, concurrent(4)));
      await hang(limiter);
      const local = [
        await take(limiter, concurrent(4)),
        await take(limiter, concurrent(4)),
        await take(limiter, concurrent(4)),
      ];
      expect((await take(limiter, concurrent(4))).granted).toBe(false);
      await back(limiter);
      await until(async () => ((await leasesOut()) === 4 ? true : undefined));
      for (const answer of [early, ...local]) limiter.settle(granted(answer).id, NOTHING, Date.now());
      await until(async () => ((await leasesOut()) === 0 ? true : undefined));
    });
  });

  describe('when Redis forgets', () => {
    /** What everybody has spent, as the ledger has it: a little late. */
    const createLedger = (lagMs: number) => {
      const rows: { at: number; microUsd: number }[] = [];
      return {
        add: (microUsd: number) => rows.push({ at: performance.now(), microUsd }),
        total: () => rows.reduce((sum, row) => sum + row.microUsd, 0),
        history: () => rows.reduce((sum, row) => sum + (performance.now() - row.at >= lagMs ? row.microUsd : 0), 0),
      };
    };

    test('a budget is never overrun, nothing throws, and shared limits are back within a second', async () => {
      const capMicroUsd = 600_000;
      const bound = 500;
      const ledger = createLedger(800);
      const all = [await open({ history: ledger.history }), await open({ history: ledger.history })];
      await until(() => (all.every((limiter) => limiter.state().replicas === 2) ? true : undefined));
      let reserved = 0;
      let worst = 0;
      let local = 0;
      let isOver = false;
      const errors: unknown[] = [];
      const caller = async (limiter: RedisLimiter): Promise<void> => {
        while (!isOver) {
          try {
            const answer = await take(limiter, spend(capMicroUsd, bound), requests(1e9), concurrent(10_000));
            if (answer.granted) {
              reserved += bound;
              worst = Math.max(worst, ledger.total() + reserved);
              if (answer.degraded !== undefined) local++;
              await pause(20 + Math.random() * 200);
              const microUsd = Math.ceil(bound * Math.random());
              reserved -= bound;
              ledger.add(microUsd);
              limiter.settle(answer.id, { tokens: 0, microUsd }, Date.now());
            }
          } catch (error) {
            errors.push(error);
          }
          await pause(5 + Math.random() * 20);
        }
      };
      const callers = all.flatMap((limiter) => Array.from({ length: 40 }, () => caller(limiter)));
      const backMs: number[] = [];
      for (let turn = 0; turn < 2; turn++) {
        await pause(1_500);
        await redis.kill();
        await pause(1_500);
        await redis.start();
        const before = performance.now();
        await until(() => (all.every((limiter) => limiter.state().mode === 'shared') ? true : undefined));
        backMs.push(performance.now() - before);
      }
      await pause(1_500);
      isOver = true;
      await Promise.all(callers);
      expect(errors).toEqual([]);
      expect(worst).toBeLessThanOrEqual(capMicroUsd);
      expect(worst).toBeGreaterThan(capMicroUsd / 3);
      expect(local).toBeGreaterThan(0);
      for (const ms of backMs) expect(ms).toBeLessThan(1_000);
      for (const limiter of limiters.splice(0)) await limiter.close();
      // What Redis thinks was spent is never less than what was.
      expect((await budget()).spent).toBeGreaterThanOrEqual(ledger.total());
      expect((await budget()).reserved).toBe(0);
    }, 60_000);

    test('a flushed Redis is told again what is under way, and goes on from history', async () => {
      const ledger = createLedger(0);
      const limiter = await open({ ...PATIENT, ahead: 0, history: ledger.history });
      const held = granted(await take(limiter, spend(1_000, 300), concurrent(5)));
      const done = granted(await take(limiter, spend(1_000, 300)));
      ledger.add(200);
      await redis.client.flushall();
      limiter.settle(done.id, { tokens: 0, microUsd: 200 }, Date.now());
      const next = await take(limiter, spend(1_000, 100));
      expect(next.granted).toBe(true);
      const after = await budget();
      // What was settled of late may be counted twice, never not at all.
      expect(after.spent).toBeGreaterThanOrEqual(200);
      expect(after.spent).toBeLessThanOrEqual(400);
      expect(after.reserved).toBe(400);
      expect(await leasesOut()).toBe(1);
      limiter.settle(held.id, { tokens: 0, microUsd: 300 }, Date.now());
      await until(async () => ((await leasesOut()) === 0 ? true : undefined));
    });

    test('history is asked when Redis has not kept count since the period began, and not otherwise', async () => {
      const asked: unknown[] = [];
      const history: NonNullable<RedisLimiterOptions['history']> = (...question) => {
        asked.push(question);
        return 40;
      };
      const noon = Date.UTC(2026, 10, 24, 12);
      const options = { ...PATIENT, ahead: 0, history, clock: 'caller' } as const;
      const [one, two] = [await open(options), await open(options)];
      const at = async (limiter: RedisLimiter, id: string, now: number) =>
        limiter.take(id, 'acme', [spend(100, 10)], now);
      for (let i = 0; i < 3; i++) granted(await at(i % 2 === 0 ? one : two, `a${i}`, noon));
      const day = Date.UTC(2026, 10, 24);
      expect(asked).toEqual([['org', 'acme', day, day + 86_400_000]]);
      // The next day begins at nothing: Redis has seen all of it.
      const { states } = granted(await at(two, 'b', noon + 86_400_000));
      expect([asked.length, states[0]!.remaining]).toEqual([1, 90]);
    });

    test('a Redis that restarts with an older memory goes on from the larger of it and history', async () => {
      const ledger = createLedger(0);
      const limiter = await open({ ...PATIENT, ahead: 0, history: ledger.history });
      const first = granted(await take(limiter, spend(1_000, 100)));
      limiter.settle(first.id, { tokens: 0, microUsd: 100 }, Date.now());
      ledger.add(100);
      await until(async () => ((await budget()).spent === 100 ? true : undefined));
      await redis.client.save();
      await pause(5_100); // Until nothing counts as settled of late.
      const second = granted(await take(limiter, spend(1_000, 500)));
      limiter.settle(second.id, { tokens: 0, microUsd: 500 }, Date.now());
      ledger.add(500);
      await until(async () => ((await budget()).spent === 600 ? true : undefined));
      await pause(6_100);
      await redis.kill();
      await redis.start();
      expect((await budget()).spent).toBe(100);
      await until(() => (limiter.state().mode === 'shared' ? true : undefined));
      granted(await take(limiter, spend(1_000, 400)));
      expect(await budget()).toEqual({ spent: 600, reserved: 400 });
      expect((await take(limiter, spend(1_000, 1))).granted).toBe(false);
      await redis.client.flushall();
      await redis.client.save();
    }, 60_000);
  });

  describe('in what it leaves in Redis', () => {
    test('every key has its organisation’s tag, and all but the marker expire', async () => {
      const limiter = await open(PATIENT);
      const model: Demand = { kind: 'tokens', scope: 'model', subject: 'acme/openai/gpt', perMinute: 100, amount: 10 };
      granted(await take(limiter, requests(10), model, concurrent(2), spend(1_000_000, 10)));
      await until(async () => ((await budget()).reserved > 10 ? true : undefined));
      const keys = (await redis.client.keys(`${prefix}:*`)).filter((key) => key !== `${prefix}:replicas`);
      expect(keys.length).toBeGreaterThanOrEqual(6);
      for (const key of keys) {
        expect(key.startsWith(`${prefix}:{o:acme}:`)).toBe(true);
        const isKept = key.endsWith(':m') || key.endsWith(':x');
        expect([key, (await redis.client.pttl(key)) > 0]).toEqual([key, !isKept]);
      }
    });

    test('closing gives back what was held ahead', async () => {
      const limiter = await open(PATIENT);
      const { id } = granted(await take(limiter, spend(1_000_000, 10)));
      await until(async () => ((await budget()).reserved === 20_010 ? true : undefined));
      limiter.settle(id, { tokens: 0, microUsd: 7 }, Date.now());
      await limiter.close();
      expect(await budget()).toEqual({ spent: 7, reserved: 0 });
      expect(await redis.client.zcard(`${prefix}:{o:acme}:x`)).toBe(0);
    });

    test('a slice whose owner was not heard of is booked in full, and its owner takes another', async () => {
      const limiter = await open(PATIENT);
      granted(await take(limiter, spend(1_000_000, 10)));
      await until(async () => ((await budget()).reserved === 20_010 ? true : undefined));
      const index = `${prefix}:{o:acme}:x`;
      const slice = (await redis.client.zrange(index, '0', '-1')).find((id) => id.startsWith('slice:'));
      await redis.client.zadd(index, '1', slice as string);
      granted(await take(limiter, requests(10)));
      expect(await budget()).toEqual({ spent: 20_000, reserved: 10 });
      await pause(1_000);
      await limiter.close();
      expect(await budget()).toEqual({ spent: 20_000, reserved: 10 });
    });
  });

  describe('and its connection', () => {
    test('serves without a Redis from the start, and shares as soon as there is one', async () => {
      await redis.kill();
      const limiter = await open();
      await proveLimiter(limiter, Date.now());
      expect(limiter.state()).toMatchObject({ mode: 'local', replicas: 1 });
      expect(granted(await take(limiter, requests(10))).degraded).toBe('limits_local');
      expect((await take(limiter, spend(1_000_000, 1))).granted).toBe(false);
      await redis.start();
      await until(() => (limiter.state().mode === 'shared' ? true : undefined));
      granted(await take(limiter, spend(1_000_000, 1)));
    });

    test('a Redis that takes no writes counts as away until it does', async () => {
      const changes: string[] = [];
      const limiter = await open({ ...PATIENT, onChange: ({ mode }) => changes.push(mode) });
      granted(await take(limiter, requests(100)));
      await redis.client.config('SET', 'maxmemory', '1');
      try {
        expect(granted(await take(limiter, requests(100))).degraded).toBe('limits_local');
        expect(limiter.state().reason).toMatch(/OOM/);
      } finally {
        await redis.client.config('SET', 'maxmemory', '0');
      }
      await until(() => (limiter.state().mode === 'shared' ? true : undefined));
      expect(changes).toEqual(['shared', 'local', 'shared']);
    });

    test('an eviction policy that forgets spend is a warning', async () => {
      const warnings: string[] = [];
      await redis.client.config('SET', 'maxmemory-policy', 'volatile-lru');
      try {
        await open({ ...PATIENT, onWarning: (message) => warnings.push(message) });
      } finally {
        await redis.client.config('SET', 'maxmemory-policy', 'noeviction');
      }
      expect(warnings).toEqual([expect.stringContaining('noeviction')]);
    });

    test('the snapshot ages until the next answer', async () => {
      const limiter = await open({ ...PATIENT, ahead: 0 });
      const now = Date.now();
      granted(await limiter.take('a', 'acme', [spend(1_000, 10)], now));
      const age = (at: number): number => limiter.spend([BUDGET], at)[0]!.age_ms;
      expect([age(now), age(now + 700)]).toEqual([0, 700]);
      granted(await limiter.take('b', 'acme', [spend(1_000, 10)], now + 900));
      expect(age(now + 900)).toBe(0);
    });

    test('a settlement that comes before the answer is kept for it', async () => {
      const limiter = await open({ ...PATIENT, ahead: 0 });
      const answer = limiter.take('early', 'acme', [spend(1_000, 100)], Date.now());
      limiter.settle('early', NOTHING, Date.now());
      granted(await answer);
      await until(async () => (limiter.state().waiting === 0 ? true : undefined));
      expect(await budget()).toEqual({ spent: 0, reserved: 0 });
    });
  });
});
