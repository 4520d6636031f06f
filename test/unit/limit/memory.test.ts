import { describe, expect, test } from '@jest/globals';
import { createAccounts } from '../../../gateway/limit/accounts.ts';
import type { Demand } from '../../../gateway/limit/limiter.ts';
import { createMemoryLimiter } from '../../../gateway/limit/memory.ts';

const NOW = Date.UTC(2026, 10, 24, 12);
const HOUR = 3_600_000;
const requests: Demand = { kind: 'requests', scope: 'user', subject: 'acme/ann', perMinute: 2, amount: 1 };
const spend: Demand = {
  kind: 'spend',
  scope: 'team',
  subject: 'acme/math',
  period: 'month',
  timezone: 'UTC',
  capMicroUsd: 100,
  amount: 60,
};
const isGranted = (answer: ReturnType<ReturnType<typeof createMemoryLimiter>['take']>): boolean =>
  (answer as { granted: boolean }).granted;

describe('the memory limiter', () => {
  test('history is asked once a period, with the period’s bounds in its zone', () => {
    const asked: unknown[] = [];
    const limiter = createMemoryLimiter({
      history: (...question) => {
        asked.push(question);
        return 0;
      },
    });
    for (let i = 0; i < 5; i++) {
      limiter.take(`a${i}`, 'acme', [{ ...spend, amount: 1, timezone: 'Asia/Kolkata' }], NOW + i);
    }
    expect(asked).toEqual([
      ['team', 'acme/math', Date.parse('2026-10-31T18:30:00Z'), Date.parse('2026-11-30T18:30:00Z')],
    ]);
  });

  test('a history that fails or answers nonsense fails the take and takes nothing', () => {
    let answer = (): number => {
      throw new Error('store is gone');
    };
    const limiter = createMemoryLimiter({ history: () => answer() });
    expect(() => limiter.take('a', 'acme', [requests, spend], NOW)).toThrow('store is gone');
    for (const nonsense of [Number.NaN, -1, 1.5]) {
      answer = () => nonsense;
      expect(() => limiter.take('a', 'acme', [requests, spend], NOW)).toThrow(RangeError);
    }
    expect(limiter.spend([spend], NOW)).toEqual([]);
    answer = () => 40;
    expect(limiter.take('a', 'acme', [requests, spend], NOW)).toMatchObject({
      granted: true,
      states: [{ remaining: 1 }, { remaining: 0 }],
    });
  });

  test('an unknown time zone is an error that leaves other budgets alone', () => {
    const limiter = createMemoryLimiter();
    expect(() => limiter.take('a', 'acme', [{ ...spend, timezone: 'Mars/Olympus' } as Demand], NOW)).toThrow(
      RangeError,
    );
    expect(isGranted(limiter.take('b', 'acme', [spend], NOW))).toBe(true);
    expect(limiter.spend([spend], NOW)).toHaveLength(1);
  });

  test('a clock that is set back neither blocks callers until it catches up nor grants more', () => {
    const limiter = createMemoryLimiter();
    expect(isGranted(limiter.take('a', 'acme', [requests], NOW))).toBe(true);
    expect(isGranted(limiter.take('b', 'acme', [requests], NOW))).toBe(true);
    const back = NOW - HOUR;
    expect(isGranted(limiter.take('c', 'acme', [requests], back))).toBe(false);
    expect(isGranted(limiter.take('d', 'acme', [requests], back + 29_999))).toBe(false);
    expect(isGranted(limiter.take('e', 'acme', [requests], back + 30_000))).toBe(true);
  });

  test('times that waver by less than ten seconds drain a bucket once', () => {
    const limiter = createMemoryLimiter();
    limiter.take('a', 'acme', [requests], NOW);
    limiter.take('b', 'acme', [requests], NOW);
    let got = 0;
    for (let i = 0; i < 50; i++) {
      const now = NOW + (i % 2 === 0 ? 9_000 : 0);
      if (isGranted(limiter.take(`c${i}`, 'acme', [requests], now))) got++;
    }
    expect(got).toBe(0);
  });

  test('the snapshot never has more entries than the input document takes', () => {
    const limiter = createMemoryLimiter();
    const subjects = Array.from({ length: 40 }, (_, i) => ({ scope: 'user' as const, subject: `acme/u${i}` }));
    for (const { scope, subject } of subjects) limiter.take(subject, 'acme', [{ ...spend, scope, subject }], NOW);
    expect(limiter.spend(subjects, NOW)).toHaveLength(32);
  });
});

describe('the accounts of a limiter', () => {
  const fill = (accounts: ReturnType<typeof createAccounts>, count: number, at: number, spent = 0): void => {
    for (let i = 0; i < count; i++) {
      accounts.sweep(at, NOW + at);
      const account = accounts.of('user', `u${at}-${i}`, at);
      account.requests = { level60k: 60_000, drainedAtMs: at, perMinute: 60 };
      if (spent === 0) continue;
      const period = { key: '2026-11', startMs: NOW - HOUR, endMs: NOW + 700 * HOUR };
      const current = { period, spent, reserved: 0 };
      account.budgets.push({
        scope: 'user',
        period: 'month',
        timezone: 'UTC',
        capMicroUsd: 9,
        current,
        previous: undefined,
      });
    }
  };

  test('idle accounts are swept as new ones come, so memory follows the active ones', () => {
    const accounts = createAccounts(undefined);
    for (let minute = 0; minute < 60; minute++) fill(accounts, 1_000, minute * 60_000);
    expect(accounts.size).toBeLessThan(3_000);
  });

  test('spend of the current period is never forgotten without a history', () => {
    const accounts = createAccounts(undefined);
    for (let minute = 0; minute < 30; minute++) fill(accounts, 1_000, minute * 60_000, 5);
    expect(accounts.size).toBe(30_000);
  });

  test('spend that history knows is dropped when idle; spend that it does not know in full is kept', () => {
    for (const [known, isKept] of [
      [5, false],
      [4, true],
    ] as const) {
      const accounts = createAccounts(() => known);
      for (let minute = 0; minute < 60; minute++) fill(accounts, 1_000, minute * 60_000, 5);
      expect(accounts.size === 60_000).toBe(isKept);
      if (!isKept) expect(accounts.size).toBeLessThan(25_000);
    }
  });

  test('an account with an open reservation is kept', () => {
    const accounts = createAccounts(undefined);
    const account = accounts.of('user', 'ann', 0);
    account.open = 1;
    for (let i = 1; i < 100; i++) accounts.sweep(i * HOUR, NOW + i * HOUR);
    expect(accounts.find('user', 'ann')).toBe(account);
    account.open = 0;
    for (let i = 100; i < 200; i++) accounts.sweep(i * HOUR, NOW + i * HOUR);
    expect(accounts.find('user', 'ann')).toBeUndefined();
  });
});
