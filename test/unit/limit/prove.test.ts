import { describe, expect, test } from '@jest/globals';
import type { Limiter } from '../../../gateway/limit/limiter.ts';
import { createMemoryLimiter } from '../../../gateway/limit/memory.ts';
import { proveLimiter } from '../../../gateway/limit/prove.ts';

const NOW = 1_790_000_000_000;

describe('proveLimiter', () => {
  test('a limiter that refuses passes, has asked its history for every scope and keeps nothing', async () => {
    const asked = new Set<string>();
    const limiter = createMemoryLimiter({
      history: (scope) => {
        asked.add(scope);
        return 0;
      },
    });
    await proveLimiter(limiter, NOW);
    expect([...asked].sort()).toEqual(['group', 'key', 'org', 'tag', 'team', 'use_case', 'user', 'workflow']);
    const limit = { kind: 'concurrent', scope: 'key', subject: '-', max: 1, amount: 1 } as const;
    expect((await limiter.take('next', '-', [limit], NOW)).granted).toBe(true);
  });

  test.each(['requests', 'tokens', 'concurrent', 'spend'])('a limiter that lets %s through does not', async (kind) => {
    const real = createMemoryLimiter();
    const broken: Limiter = {
      ...real,
      take: (id, org, demands, now) =>
        real.take(
          id,
          org,
          demands.filter((demand) => demand.kind !== kind),
          now,
        ),
    };
    await expect(proveLimiter(broken, NOW)).rejects.toThrow(`does not refuse a ${kind} limit`);
  });

  test('a limiter whose history does not answer does not', async () => {
    const limiter = createMemoryLimiter({
      history: () => {
        throw new Error('the store is closed');
      },
    });
    await expect(proveLimiter(limiter, NOW)).rejects.toThrow('the store is closed');
  });
});
