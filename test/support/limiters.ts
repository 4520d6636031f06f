import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { createAwaitingLimiter } from '../../gateway/limit/awaiting.ts';
import type { Limiter } from '../../gateway/limit/limiter.ts';
import { createMemoryLimiter } from '../../gateway/limit/memory.ts';
import { openRedisLimiter, type RedisLimiter } from '../../gateway/limit/redis.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from './redis.ts';

/** What a test may ask of a limiter. */
export interface LimiterOptions {
  readonly leaseMs?: number;
  readonly history?: () => number;
}

interface Opener {
  /** A limiter that holds nothing yet; it ends with the test. */
  readonly open: (options?: LimiterOptions) => Promise<Limiter>;
  /** Ends those of this test so far. */
  readonly close: () => Promise<void>;
}

/** Every implementation of the seam. `use` must be called outside of tests: it makes and ends what the limiters need. */
export const LIMITERS: readonly { readonly name: string; readonly isThere: boolean; use(): Opener }[] = [
  {
    name: 'memory',
    isThere: true,
    use: () => ({ open: async (options = {}) => createMemoryLimiter(options), close: async () => {} }),
  },
  {
    name: 'memory with a shared store',
    isThere: true,
    use: () => ({
      open: async ({ history, ...options } = {}) =>
        createAwaitingLimiter(
          (atOnce) => createMemoryLimiter({ ...options, history: atOnce }),
          async () => history?.() ?? 0,
        ),
      close: async () => {},
    }),
  },
  { name: 'Redis', isThere: HAS_REDIS, use: () => useRedis() },
  // Of a cluster that is only one server: it still refuses a script whose keys are not of one slot.
  { name: 'Redis cluster', isThere: HAS_REDIS, use: () => useRedis(['--cluster-enabled', 'yes']) },
];

const useRedis = (args: readonly string[] = []): Opener => {
  let redis: TestRedis | undefined;
  const opened: RedisLimiter[] = [];
  beforeAll(async () => {
    if (!HAS_REDIS) return;
    redis = await openTestRedis(args);
    if (args.length > 0) {
      await redis.client.cluster('ADDSLOTSRANGE', 0, 16383);
      while (!(await redis.client.cluster('INFO')).includes('cluster_state:ok')) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  });
  const close = async (): Promise<void> => {
    for (const limiter of opened.splice(0)) await limiter.close();
  };
  afterEach(close);
  afterAll(() => redis?.close());
  return {
    close,
    async open(options = {}) {
      // Tests make time pass, and count every micro-dollar: nothing is held ahead.
      const limiter = await openRedisLimiter({
        url: redis!.url,
        prefix: randomUUID(),
        clock: 'caller',
        ahead: 0,
        silenceMs: 5_000,
        ...options,
      });
      opened.push(limiter);
      return limiter;
    },
  };
};
