import { describe, expect, test } from '@jest/globals';
import { HISTORY_RETRY_MS, HistoryAway, type SharedHistory } from '../../../gateway/limit/account.ts';
import { createAwaitingLimiter } from '../../../gateway/limit/awaiting.ts';
import type { Demand, Limiter } from '../../../gateway/limit/limiter.ts';
import { createMemoryLimiter } from '../../../gateway/limit/memory.ts';

const spend = (amount: number, subject = 'acme'): Demand => {
  return { kind: 'spend', scope: 'org', subject, period: 'day', timezone: 'UTC', capMicroUsd: 100, amount };
};

const limiterOf = (history: SharedHistory): Limiter =>
  createAwaitingLimiter((atOnce) => createMemoryLimiter({ history: atOnce }), history);

describe('a limiter whose history answers later', () => {
  test('asks about a budget that it does not know, counts on from there, and asks no more', async () => {
    const asked: string[] = [];
    const limiter = limiterOf(async (scope, subject) => {
      asked.push(`${scope} ${subject}`);
      await new Promise((resolve) => setImmediate(resolve));
      return 40;
    });
    const now = Date.now();
    const takes = await Promise.all(['a', 'b', 'c'].map((id) => limiter.take(id, 'acme', [spend(30)], now)));
    expect(takes.map(({ granted }) => granted)).toEqual([true, true, false]);
    expect(new Set(asked)).toEqual(new Set(['org acme']));
    const before = asked.length;
    limiter.settle('a', { tokens: 0, microUsd: 5 }, now);
    // What is known is answered at once.
    expect(limiter.take('d', 'acme', [spend(25)], now)).toMatchObject({ granted: true });
    expect(asked.length).toBe(before);
  });

  test('closes a budget that it does not know while the history is away, and no other', async () => {
    let isAway = false;
    const limiter = limiterOf(async () => {
      if (isAway) throw new HistoryAway(new Error('gone'));
      return 0;
    });
    const now = Date.now();
    expect(await limiter.take('a', 'acme', [spend(1)], now)).toMatchObject({ granted: true });
    isAway = true;
    expect(await limiter.take('b', 'acme', [spend(1)], now)).toMatchObject({ granted: true });
    expect(await limiter.take('c', 'other', [spend(1, 'other')], now)).toMatchObject({
      granted: false,
      retryAfterMs: HISTORY_RETRY_MS,
      demand: { subject: 'other' },
    });
    isAway = false;
    expect(await limiter.take('c', 'other', [spend(1, 'other')], now)).toMatchObject({ granted: true });
  });

  test('asks nothing about a period that began after it: it has counted all of it', async () => {
    const limiter = limiterOf(async () => {
      throw new HistoryAway(new Error('gone'));
    });
    const tomorrow = Date.now() + 2 * 86_400_000;
    expect(await limiter.take('a', 'acme', [spend(1)], tomorrow)).toMatchObject({ granted: true });
  });
});
