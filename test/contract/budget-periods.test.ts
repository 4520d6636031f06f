import { describe, expect, test } from '@jest/globals';
import type { Demand, Limiter, Scope } from '../../gateway/limit/limiter.ts';
import { LIMITERS } from '../support/limiters.ts';

const SUBJECTS: readonly [Scope, string][] = [
  ['key', 'key_1'],
  ['user', 'acme/ann'],
  ['group', 'acme/lab'],
  ['team', 'acme/math'],
  ['org', 'acme'],
  ['use_case', 'acme/hints'],
  ['workflow', 'acme/tutoring'],
  ['tag', 'acme/course=CS101'],
];

/**
 * Midnights of zones, by hand: far ahead of UTC and behind it, by half an hour, at both changes of the clock, and where
 * the change takes midnight itself away.
 */
const MIDNIGHTS: readonly { zone: string; atMs: number; day: [string, string]; month: [string, string] }[] = [
  {
    zone: 'Pacific/Kiritimati', // UTC+14
    atMs: Date.UTC(2026, 10, 30, 10),
    day: ['2026-11-30', '2026-12-01'],
    month: ['2026-11', '2026-12'],
  },
  {
    zone: 'America/Los_Angeles', // UTC-8
    atMs: Date.UTC(2027, 0, 1, 8),
    day: ['2026-12-31', '2027-01-01'],
    month: ['2026-12', '2027-01'],
  },
  {
    zone: 'Asia/Kolkata', // UTC+5:30
    atMs: Date.UTC(2026, 10, 30, 18, 30),
    day: ['2026-11-30', '2026-12-01'],
    month: ['2026-11', '2026-12'],
  },
  {
    zone: 'Europe/Brussels', // the day of 23 hours is over: UTC+2 since that morning
    atMs: Date.UTC(2026, 2, 29, 22),
    day: ['2026-03-29', '2026-03-30'],
    month: ['2026-03', '2026-03'],
  },
  {
    zone: 'America/New_York', // the day of 25 hours is over: UTC-5 since that morning
    atMs: Date.UTC(2026, 10, 2, 5),
    day: ['2026-11-01', '2026-11-02'],
    month: ['2026-11', '2026-11'],
  },
  {
    zone: 'Asia/Beirut', // the clock jumps from 0:00 to 1:00: the day begins there
    atMs: Date.UTC(2026, 2, 28, 22),
    day: ['2026-03-28', '2026-03-29'],
    month: ['2026-03', '2026-03'],
  },
];

const CAP = 100;
const demand = (scope: Scope, subject: string, period: 'day' | 'month', timezone: string, amount: number): Demand => ({
  kind: 'spend',
  scope,
  subject,
  period,
  timezone,
  capMicroUsd: CAP,
  amount,
});

for (const { name, isThere, use } of LIMITERS) {
  (isThere ? describe : describe.skip)(`budgets of the ${name} limiter`, () => {
    const { open } = use();

    let lastId = 0;
    const spend = async (limiter: Limiter, what: Demand, now: number): Promise<boolean> => {
      const id = `r${++lastId}`;
      const taken = await limiter.take(id, 'acme', [what], now);
      if (taken.granted) limiter.settle(id, { tokens: 0, microUsd: what.amount }, now);
      return taken.granted;
    };

    describe.each(MIDNIGHTS)('at midnight in $zone', ({ zone, atMs, day, month }) => {
      test.each(SUBJECTS)('begin anew for a %s, not a millisecond before', async (scope, subject) => {
        const limiter = await open();
        const known = (period: string, now: number) =>
          limiter.spend([{ scope, subject }], now).find((entry) => entry.period === period);
        const ask = (period: 'day' | 'month', amount: number, now: number): Promise<boolean> =>
          spend(limiter, demand(scope, subject, period, zone, amount), now);

        expect(await ask('day', 60, atMs - 2)).toBe(true);
        expect(await ask('month', 60, atMs - 2)).toBe(true);
        expect(await ask('day', 41, atMs - 1)).toBe(false);
        expect(await ask('month', 41, atMs - 1)).toBe(false);
        expect(known(day[0], atMs - 1)).toMatchObject({ micro_usd: 60, cap_micro_usd: CAP });
        expect(known(month[0], atMs - 1)).toMatchObject({ micro_usd: 60, cap_micro_usd: CAP });

        expect(await ask('day', 41, atMs)).toBe(true);
        expect(known(day[1], atMs)).toMatchObject({ scope, subject, micro_usd: 41, reserved_micro_usd: 0 });
        const isNewMonth = month[0] !== month[1];
        expect(await ask('month', 41, atMs)).toBe(isNewMonth);
        expect(known(month[1], atMs)?.micro_usd).toBe(isNewMonth ? 41 : 60);
      });
    });

    test('what was reserved before midnight is booked on the day before, by whatever it cost', async () => {
      const limiter = await open();
      const { zone, atMs, day } = MIDNIGHTS[0]!;
      const what = demand('team', 'acme/math', 'day', zone, 80);
      expect((await limiter.take('late', 'acme', [what], atMs - 1)).granted).toBe(true);
      expect(await spend(limiter, { ...what, amount: 90 } as Demand, atMs)).toBe(true);
      limiter.settle('late', { tokens: 0, microUsd: 30 }, atMs + 1);
      expect(await spend(limiter, { ...what, amount: 11 } as Demand, atMs + 2)).toBe(false);
      expect(await spend(limiter, { ...what, amount: 10 } as Demand, atMs + 3)).toBe(true);
      const today = limiter.spend([{ scope: 'team', subject: 'acme/math' }], atMs + 4);
      expect(today.find(({ period }) => period === day[1])).toMatchObject({ micro_usd: 100, reserved_micro_usd: 0 });
    });

    test('a provider that bills more than was reserved is booked in full, and nothing more is granted', async () => {
      const limiter = await open();
      const what = demand('team', 'acme/math', 'month', 'UTC', 40);
      const now = Date.UTC(2026, 10, 24, 12);
      expect((await limiter.take('dear', 'acme', [what], now)).granted).toBe(true);
      limiter.settle('dear', { tokens: 0, microUsd: 250 }, now);
      expect(await spend(limiter, { ...what, amount: 1 } as Demand, now + 1)).toBe(false);
      expect(limiter.spend([{ scope: 'team', subject: 'acme/math' }], now + 1)[0]).toMatchObject({
        micro_usd: 250,
        reserved_micro_usd: 0,
      });
    });

    test('scopes that share a name are budgets of their own', async () => {
      const limiter = await open();
      const now = Date.UTC(2026, 10, 24, 12);
      for (const [scope] of SUBJECTS) {
        expect(await spend(limiter, demand(scope, 'acme/one', 'day', 'Asia/Tokyo', CAP), now)).toBe(true);
        expect(await spend(limiter, demand(scope, 'acme/one', 'day', 'Asia/Tokyo', 1), now)).toBe(false);
      }
    });
  });
}
