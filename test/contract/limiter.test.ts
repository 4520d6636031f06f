import { describe, expect, test } from '@jest/globals';
import type { Demand, Permit, Refusal } from '../../gateway/limit/limiter.ts';
import { proveLimiter } from '../../gateway/limit/prove.ts';
import { LIMITERS } from '../support/limiters.ts';

const NOW = Date.UTC(2026, 10, 24, 12);
const requests = (perMinute: number, subject = 'acme/ann'): Demand => ({
  kind: 'requests',
  scope: 'user',
  subject,
  perMinute,
  amount: 1,
});
const tokens = (perMinute: number, amount: number): Demand => ({
  kind: 'tokens',
  scope: 'user',
  subject: 'acme/ann',
  perMinute,
  amount,
});
const concurrent = (max: number): Demand => ({ kind: 'concurrent', scope: 'key', subject: 'key_1', max, amount: 1 });
const spend = (capMicroUsd: number, amount: number, period: 'day' | 'month' = 'month', timezone = 'UTC'): Demand => ({
  kind: 'spend',
  scope: 'team',
  subject: 'acme/math',
  period,
  timezone,
  capMicroUsd,
  amount,
});
const TEAM = [{ scope: 'team', subject: 'acme/math' }] as const;
const NOTHING = { tokens: 0, microUsd: 0 };

const granted = (answer: Permit | Refusal): Permit => {
  if (!answer.granted) throw new Error(`refused by ${answer.demand.kind}`);
  return answer;
};
const refused = (answer: Permit | Refusal): Refusal => {
  if (answer.granted) throw new Error('granted');
  return answer;
};

for (const { name, isThere, use } of LIMITERS) {
  const { open } = use();
  (isThere ? describe : describe.skip)(`the ${name} limiter`, () => {
    test('requests burst up to a minute’s amount and then follow the rate', async () => {
      const limiter = await open();
      for (let i = 0; i < 3; i++) granted(await limiter.take(`a${i}`, 'acme', [requests(3)], NOW));
      expect(refused(await limiter.take('b', 'acme', [requests(3)], NOW)).retryAfterMs).toBe(20_000);
      refused(await limiter.take('c', 'acme', [requests(3)], NOW + 19_999));
      granted(await limiter.take('d', 'acme', [requests(3)], NOW + 20_000));
      refused(await limiter.take('e', 'acme', [requests(3)], NOW + 20_000));
    });

    test('the states say what is left and when it is full again', async () => {
      const limiter = await open();
      const { states } = granted(await limiter.take('a', 'acme', [requests(60), tokens(6_000, 1_500)], NOW));
      expect(states).toEqual([
        { kind: 'requests', scope: 'user', subject: 'acme/ann', limit: 60, remaining: 59, resetMs: 1_000 },
        { kind: 'tokens', scope: 'user', subject: 'acme/ann', limit: 6_000, remaining: 4_500, resetMs: 15_000 },
      ]);
    });

    test('a demand for more than the whole limit is refused with no time to wait', async () => {
      const answer = refused(await (await open()).take('a', 'acme', [tokens(1_000, 1_001)], NOW));
      expect(answer.retryAfterMs).toBeNull();
      expect(answer.demand.kind).toBe('tokens');
    });

    test('a limit of zero refuses everything', async () => {
      const limiter = await open();
      for (const demand of [requests(0), concurrent(0), spend(0, 1)]) {
        refused(await limiter.take('a', 'acme', [demand], NOW));
      }
    });

    test('a refused union takes nothing from any of its limits', async () => {
      const limiter = await open();
      refused(await limiter.take('a', 'acme', [requests(2), tokens(100, 60), concurrent(1), spend(500, 501)], NOW));
      const { states } = granted(
        await limiter.take('b', 'acme', [requests(2), tokens(100, 60), concurrent(1), spend(500, 500)], NOW),
      );
      expect(states.map((state) => state.remaining)).toEqual([1, 40, 0, 0]);
    });

    test('the refusal names the limit that takes longest to pass', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [requests(1), tokens(100, 20)], NOW));
      const answer = refused(await limiter.take('b', 'acme', [tokens(100, 90), requests(1)], NOW));
      expect([answer.demand.kind, answer.retryAfterMs]).toEqual(['requests', 60_000]);
      const capped = refused(await limiter.take('c', 'acme', [requests(1), spend(10, 11)], NOW));
      expect([capped.demand.kind, capped.retryAfterMs]).toEqual(['spend', null]);
    });

    test('settling gives back tokens reserved too much', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [tokens(1_000, 1_000)], NOW));
      limiter.settle('a', { tokens: 100, microUsd: 0 }, NOW);
      granted(await limiter.take('b', 'acme', [tokens(1_000, 900)], NOW));
      refused(await limiter.take('c', 'acme', [tokens(1_000, 1)], NOW));
    });

    test('settling above the reservation leaves a debt that time pays', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [tokens(600, 600)], NOW));
      limiter.settle('a', { tokens: 1_200, microUsd: 0 }, NOW);
      expect(refused(await limiter.take('b', 'acme', [tokens(600, 1)], NOW)).retryAfterMs).toBe(60_100);
      refused(await limiter.take('c', 'acme', [tokens(600, 1)], NOW + 60_000));
      granted(await limiter.take('d', 'acme', [tokens(600, 1)], NOW + 60_100));
    });

    test('concurrency is held from take to settle', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [concurrent(2)], NOW));
      granted(await limiter.take('b', 'acme', [concurrent(2)], NOW));
      refused(await limiter.take('c', 'acme', [concurrent(2)], NOW));
      limiter.settle('a', NOTHING, NOW);
      granted(await limiter.take('c', 'acme', [concurrent(2)], NOW));
    });

    test('a lease that is never settled ends by itself, and its spend is booked in full', async () => {
      const limiter = await open({ leaseMs: 1_000 });
      granted(await limiter.take('a', 'acme', [concurrent(1), spend(100, 60)], NOW));
      refused(await limiter.take('b', 'acme', [concurrent(1)], NOW + 999));
      granted(await limiter.take('b', 'acme', [concurrent(1)], NOW + 1_000));
      refused(await limiter.take('c', 'acme', [spend(100, 41)], NOW + 1_000));
      limiter.settle('a', NOTHING, NOW + 1_001);
      expect(limiter.spend(TEAM, NOW + 1_001)[0]).toMatchObject({ micro_usd: 60, reserved_micro_usd: 0 });
    });

    test('spent and reserved together never pass the cap', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [spend(100, 60)], NOW));
      expect(refused(await limiter.take('b', 'acme', [spend(100, 41)], NOW)).retryAfterMs).toBeNull();
      limiter.settle('a', { tokens: 0, microUsd: 10 }, NOW);
      granted(await limiter.take('c', 'acme', [spend(100, 90)], NOW));
      refused(await limiter.take('d', 'acme', [spend(100, 1)], NOW));
    });

    test('the snapshot shows period, spent, reserved and cap', async () => {
      const limiter = await open();
      expect(limiter.spend(TEAM, NOW)).toEqual([]);
      granted(await limiter.take('a', 'acme', [spend(100, 30)], NOW));
      limiter.settle('a', { tokens: 0, microUsd: 20 }, NOW);
      granted(await limiter.take('b', 'acme', [spend(100, 30)], NOW));
      expect(limiter.spend(TEAM, NOW)).toEqual([
        {
          scope: 'team',
          subject: 'acme/math',
          period: '2026-11',
          micro_usd: 20,
          reserved_micro_usd: 30,
          cap_micro_usd: 100,
          age_ms: 0,
        },
      ]);
    });

    test('a new period starts at zero, and a late settle is booked where it was reserved', async () => {
      const limiter = await open();
      const lastMs = Date.UTC(2026, 11, 1) - 1;
      granted(await limiter.take('a', 'acme', [spend(100, 100)], lastMs));
      refused(await limiter.take('b', 'acme', [spend(100, 1)], lastMs));
      granted(await limiter.take('c', 'acme', [spend(100, 100)], lastMs + 1));
      limiter.settle('a', { tokens: 0, microUsd: 70 }, lastMs + 2);
      expect(limiter.spend(TEAM, lastMs + 2)[0]).toMatchObject({
        period: '2026-12',
        micro_usd: 0,
        reserved_micro_usd: 100,
      });
    });

    test('no limit at all is no reason to refuse', async () => {
      const limiter = await open();
      expect(granted(await limiter.take('a', 'acme', [], NOW))).toEqual({ granted: true, id: 'a', states: [] });
      limiter.settle('a', NOTHING, NOW);
    });

    test('a debt beyond a whole minute is paid before anything more is granted', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [tokens(60, 60)], NOW));
      limiter.settle('a', { tokens: 1_000, microUsd: 0 }, NOW);
      refused(await limiter.take('b', 'acme', [tokens(60, 0)], NOW + 939_999));
      granted(await limiter.take('c', 'acme', [tokens(60, 0)], NOW + 940_000));
    });

    test('a subject may be called anything', async () => {
      const limiter = await open();
      for (const subject of ['acme/{x}', 'acme/}', 'acme/a b\n"c\\', 'acme/ü€😀', `acme/${'x'.repeat(300)}`]) {
        const demands = [requests(1, subject), { ...spend(10, 10), subject }];
        granted(await limiter.take(`a ${subject}`, 'acme', demands, NOW));
        refused(await limiter.take(`b ${subject}`, 'acme', demands, NOW));
      }
      for (const org of ['', '}', '{x}', 'a b', '\ud800']) {
        granted(await limiter.take(`c ${org}`, org, [requests(9, `${org}/x`), concurrent(99)], NOW));
      }
    });

    test('what a limiter must refuse to be allowed to serve it refuses', async () => {
      await proveLimiter(await open(), NOW);
      await proveLimiter(await open({ history: () => 7 }), NOW);
    });

    test('a history that fails or answers nonsense fails the take and takes nothing', async () => {
      let answer = (): number => {
        throw new Error('store is gone');
      };
      const limiter = await open({ history: () => answer() });
      const take = async (id: string) => await limiter.take(id, 'acme', [requests(2), spend(100, 60)], NOW);
      await expect(take('a')).rejects.toThrow('store is gone');
      for (const nonsense of [Number.NaN, -1, 1.5]) {
        answer = () => nonsense;
        await expect(take('a')).rejects.toThrow(RangeError);
      }
      answer = () => 40;
      expect(granted(await take('a')).states.map((state) => state.remaining)).toEqual([1, 0]);
    });

    test('an unknown time zone is an error that leaves other budgets alone', async () => {
      const limiter = await open();
      const take = async (timezone: string) => await limiter.take('a', 'acme', [spend(100, 60, 'day', timezone)], NOW);
      await expect(take('Mars/Olympus')).rejects.toThrow(RangeError);
      granted(await take('UTC'));
    });

    test('a clock that is set back neither blocks callers until it catches up nor grants more', async () => {
      const limiter = await open();
      const at = async (id: string, now: number) => (await limiter.take(id, 'acme', [requests(2)], now)).granted;
      expect([await at('a', NOW), await at('b', NOW)]).toEqual([true, true]);
      const back = NOW - 3_600_000;
      expect([await at('c', back), await at('d', back + 29_999), await at('e', back + 30_000)]).toEqual([
        false,
        false,
        true,
      ]);
    });

    test('a day and a month of the same subject are two budgets', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [spend(100, 80), spend(90, 80, 'day')], NOW));
      limiter.settle('a', { tokens: 0, microUsd: 80 }, NOW);
      const answer = refused(await limiter.take('b', 'acme', [spend(100, 15), spend(90, 15, 'day')], NOW));
      expect(answer.demand).toMatchObject({ period: 'day' });
      const nextDay = NOW + 86_400_000;
      granted(await limiter.take('c', 'acme', [spend(100, 15), spend(90, 15, 'day')], nextDay));
    });

    test('a budget seen for the first time goes on from its history', async () => {
      const limiter = await open({ history: () => 95 });
      refused(await limiter.take('a', 'acme', [spend(100, 6)], NOW));
      granted(await limiter.take('b', 'acme', [spend(100, 5)], NOW));
    });

    test('two demands on one limit count once, and both maxima hold', async () => {
      const limiter = await open();
      const { states } = granted(
        await limiter.take('a', 'acme', [requests(10), requests(5), spend(9, 4), spend(7, 4)], NOW),
      );
      expect(states.map((state) => state.remaining)).toEqual([9, 4, 5, 3]);
      refused(await limiter.take('b', 'acme', [spend(9, 4), spend(7, 4)], NOW));
      limiter.settle('a', { tokens: 0, microUsd: 4 }, NOW);
      expect(limiter.spend(TEAM, NOW)[0]).toMatchObject({ micro_usd: 4, reserved_micro_usd: 0 });
    });

    test('a repeated take returns the same permit and takes no more', async () => {
      const limiter = await open();
      const first = granted(await limiter.take('a', 'acme', [requests(2), spend(100, 60)], NOW));
      expect(await limiter.take('a', 'acme', [requests(2), spend(100, 60)], NOW)).toEqual(first);
      granted(await limiter.take('b', 'acme', [requests(2), spend(100, 40)], NOW));
    });

    test('a second settle and a settle of an unknown id change nothing', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [tokens(100, 50), concurrent(1), spend(100, 60)], NOW));
      limiter.settle('a', { tokens: 50, microUsd: 60 }, NOW);
      limiter.settle('a', NOTHING, NOW);
      limiter.settle('never', { tokens: 99, microUsd: 99 }, NOW);
      const { states } = granted(
        await limiter.take('b', 'acme', [tokens(100, 50), concurrent(1), spend(100, 40)], NOW),
      );
      expect(states.map((state) => state.remaining)).toEqual([0, 0, 0]);
    });

    test('scopes and subjects do not share limits', async () => {
      const limiter = await open();
      granted(await limiter.take('a', 'acme', [requests(1, 'acme/ann')], NOW));
      granted(await limiter.take('b', 'acme', [requests(1, 'acme/bob')], NOW));
      granted(await limiter.take('c', 'acme', [{ ...requests(1, 'acme/ann'), scope: 'team' }], NOW));
      refused(await limiter.take('d', 'acme', [requests(1, 'acme/ann')], NOW));
    });

    test('amounts and limits that are no safe non-negative integers are errors, and nothing is taken', async () => {
      const limiter = await open();
      for (const bad of [Number.NaN, -1, 0.5, Number.POSITIVE_INFINITY, 2 ** 53]) {
        const take = async (demand: Demand) => await limiter.take('x', 'acme', [requests(1), demand], NOW);
        await expect(take(spend(100, bad))).rejects.toThrow(RangeError);
        await expect(take(tokens(100, bad))).rejects.toThrow(RangeError);
        await expect(take(spend(bad, 1))).rejects.toThrow(RangeError);
      }
      granted(await limiter.take('y', 'acme', [requests(1), spend(100, 100)], NOW));
      for (const bad of [Number.NaN, -1, 0.5]) {
        expect(() => limiter.settle('y', { tokens: 0, microUsd: bad }, NOW)).toThrow(RangeError);
      }
      expect(limiter.spend(TEAM, NOW)[0]).toMatchObject({ micro_usd: 0, reserved_micro_usd: 100 });
    });
  });
}
