import type { Demand } from '../gateway/limit/limiter.ts';
import { openRedisLimiter } from '../gateway/limit/redis.ts';
import { openTestRedis, type TestRedis } from '../test/support/redis.ts';

// What one take with 1, 4, 8 and 16 limits and its settlement cost: µs of Redis (its own count of the time in scripts,
// INFO commandstats), CPU µs of this process, and the wait of a lone caller. 2,000 users of 20 organisations, 100
// callers at a time. Starts a Redis of its own. Prints one JSON line a case: of Redis' time, which runs on while Redis
// waits for a busy core, the least of 140 parts; of the rest the medians of 7 rounds.

const USERS = 2_000;
const CALLERS = 100;
const TAKES = 10_000;
const CHUNK = 500;
const ROUNDS = 7;

/** Of each kind as many as a request may have; as bench/limiter.ts. */
const demandsOf = (count: number, user: number): Demand[] => {
  const org = `org-${user % 20}`;
  const subjects = [
    ['user', `${org}/user-${user}`],
    ['team', `${org}/team-${user % 7}`],
    ['key', `key_${user}`],
    ['org', org],
  ] as const;
  return subjects
    .flatMap(([scope, subject]): Demand[] => [
      { kind: 'requests', scope, subject, perMinute: 1e6, amount: 1 },
      { kind: 'tokens', scope, subject, perMinute: 1e9, amount: 800 },
      { kind: 'concurrent', scope, subject, max: 1e6, amount: 1 },
      { kind: 'spend', scope, subject, period: 'month', timezone: 'Europe/Berlin', capMicroUsd: 1e12, amount: 900 },
    ])
    .slice(0, count);
};

interface Round {
  readonly takeRedisUs: number;
  readonly settleRedisUs: number;
  readonly takeCpuUs: number;
  readonly takeAndSettleCpuUs: number;
  readonly loneTakeUs: number;
}

/** µs in scripts so far. */
const scriptUs = async ({ client }: TestRedis): Promise<number> => {
  const info = await client.info('commandstats');
  let usec = 0;
  for (const [, us] of info.matchAll(/^cmdstat_eval(?:sha)?:calls=\d+,usec=(\d+)/gm)) usec += Number(us);
  return usec;
};

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

const round = async (redis: TestRedis, count: number): Promise<Round> => {
  await redis.client.flushall();
  const limiter = await openRedisLimiter({ url: redis.url, silenceMs: 10_000 });
  const demands = Array.from({ length: USERS }, (_, user) => demandsOf(count, user));
  /** Works off a part of the takes, `CALLERS` at a time. */
  const inCrowd = async (from: number, work: (i: number) => unknown): Promise<void> => {
    let next = from;
    const caller = async (): Promise<void> => {
      for (let i = next++; i < from + CHUNK; i = next++) await work(i);
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
  };
  /** Of all parts the least of Redis' time, µs a call. */
  const leastUs = async (work: (from: number) => Promise<void>): Promise<number> => {
    let least = Number.POSITIVE_INFINITY;
    for (let from = 0; from < TAKES; from += CHUNK) {
      const before = await scriptUs(redis);
      await work(from);
      least = Math.min(least, ((await scriptUs(redis)) - before) / CHUNK);
    }
    return least;
  };
  const take = async (i: number): Promise<void> => {
    const user = i % USERS;
    const answer = await limiter.take(`req-${i}`, `org-${user % 20}`, demands[user]!, Date.now());
    if (!answer.granted) throw new Error(`refused: ${answer.demand.kind} of ${answer.demand.scope}`);
    if (answer.degraded !== undefined) throw new Error(`Redis was away: ${limiter.state().reason}`);
  };
  // Everybody once: keys, slices and code are warm.
  for (let i = 0; i < USERS; i++) {
    await take(TAKES + 1_000 + i);
    limiter.settle(`req-${TAKES + 1_000 + i}`, { tokens: 500, microUsd: 300 }, Date.now());
  }
  const start = cpuUs();
  const takeRedisUs = await leastUs((from) => inCrowd(from, take));
  const taken = cpuUs();
  const settleRedisUs = await leastUs(async (from) => {
    for (let i = from; i < from + CHUNK; i++) limiter.settle(`req-${i}`, { tokens: 500, microUsd: 300 }, Date.now());
    while (limiter.state().waiting > 0) await new Promise(setImmediate);
  });
  const settled = cpuUs();
  const before = performance.now();
  for (let i = 0; i < 500; i++) await take(TAKES + i);
  const loneTakeUs = ((performance.now() - before) * 1_000) / 500;
  for (let i = 0; i < 500; i++) limiter.settle(`req-${TAKES + i}`, { tokens: 0, microUsd: 0 }, Date.now());
  await limiter.close();
  return {
    takeRedisUs,
    settleRedisUs,
    takeCpuUs: (taken - start) / TAKES,
    takeAndSettleCpuUs: (settled - start) / TAKES,
    loneTakeUs,
  };
};

const median = (...values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

const redis = await openTestRedis();
try {
  for (const limits of [1, 4, 8, 16]) {
    const rounds: Round[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await round(redis, limits));
    const figures = Object.fromEntries(
      (Object.keys(rounds[0]!) as (keyof Round)[]).map((name) => [
        name,
        Number((name.endsWith('RedisUs') ? Math.min : median)(...rounds.map((figure) => figure[name])).toFixed(1)),
      ]),
    );
    console.log(JSON.stringify({ limits, ...figures }));
  }
} finally {
  await redis.close();
}
