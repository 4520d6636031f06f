import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createRetryBudget, RETRY_FLOOR, RETRY_SHARE } from '../../../gateway/upstream/retry-budget.ts';

const taken = (budget: ReturnType<typeof createRetryBudget>, now: number, most = 1000): number => {
  let count = 0;
  while (count < most && budget.take(now)) count++;
  return count;
};

describe('a retry budget', () => {
  test('has a few retries for an upstream that is asked seldom', () => {
    expect(taken(createRetryBudget(), 0)).toBe(RETRY_FLOOR);
  });

  test('has a fifth of the first attempts of the last ten seconds', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 100; i++) budget.first(1000 + i * 50);
    expect(budget.read(6000)).toEqual({ first_attempts: 100, retries: 0, left: 23 });
    expect(taken(budget, 6000)).toBe(23);
    expect(budget.read(6000)).toEqual({ first_attempts: 100, retries: 23, left: 0 });
  });

  test('forgets what is older than ten seconds, attempts and retries', () => {
    const budget = createRetryBudget();
    for (let i = 0; i < 100; i++) budget.first(500);
    expect(taken(budget, 500)).toBe(23);
    expect(taken(budget, 9_999)).toBe(0);
    expect(taken(budget, 10_500)).toBe(RETRY_FLOOR);
    expect(budget.read(1_000_000)).toEqual({ first_attempts: 0, retries: 0, left: RETRY_FLOOR });
  });

  test('never gives more than its share, whatever the order of attempts and retries', () => {
    const step = fc.record({ ms: fc.nat(700), retry: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const budget = createRetryBudget();
        const firsts: number[] = [];
        const retries: number[] = [];
        let now = 5_000;
        for (const { ms, retry } of steps) {
          now += ms;
          if (!retry) {
            budget.first(now);
            firsts.push(now);
            continue;
          }
          if (!budget.take(now)) continue;
          retries.push(now);
          // Whole seconds are counted: the window is the last nine and the begun one.
          const from = (Math.floor(now / 1000) - 9) * 1000;
          const within = (times: number[]): number => times.filter((time) => time >= from).length;
          expect(within(retries)).toBeLessThanOrEqual(RETRY_SHARE * within(firsts) + RETRY_FLOOR);
        }
      }),
    );
  });
});
