import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Demand } from '../../gateway/limit/limiter.ts';
import { LIMITERS } from '../support/limiters.ts';

// Arbitrary interleavings of take, settle and time against a plain model of what was granted.

const NOW = Date.UTC(2026, 10, 30, 23, 50);
const LEASE_MS = 120_000;
const REQUESTS = 6;
const TOKENS = 100;
const CONCURRENT = 3;
const CAP = 200;

type Step =
  | { readonly do: 'take'; readonly subject: number; readonly tokens: number; readonly cost: number }
  | { readonly do: 'settle'; readonly pick: number; readonly share: number }
  | { readonly do: 'wait'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      subject: fc.nat(1),
      tokens: fc.nat(TOKENS + 10),
      cost: fc.nat(CAP + 10),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const), pick: fc.nat(30), share: fc.nat(100) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.oneof(fc.nat(2_000), fc.nat(LEASE_MS)) }),
  },
);

interface Held {
  readonly id: string;
  readonly subject: number;
  readonly at: number;
  readonly tokens: number;
  readonly cost: number;
  readonly day: string;
}

const demandsOf = (subject: number, tokens: number, cost: number): Demand[] => {
  const whose = { scope: 'user' as const, subject: `acme/u${subject}` };
  return [
    { kind: 'requests', ...whose, perMinute: REQUESTS, amount: 1 },
    { kind: 'tokens', ...whose, perMinute: TOKENS, amount: tokens },
    { kind: 'concurrent', ...whose, max: CONCURRENT, amount: 1 },
    { kind: 'spend', ...whose, period: 'day', timezone: 'UTC', capMicroUsd: CAP, amount: cost },
  ];
};

/** What the limiter should hold, kept the slow way. */
const createModel = () => {
  let held: Held[] = [];
  const spent = new Map<string, number>();
  /** Net use by time: a take adds, a settle corrects. */
  const uses: { at: number; subject: number; requests: number; tokens: number }[] = [];
  const book = (entry: Held, cost: number): void => {
    const key = `${entry.subject} ${entry.day}`;
    spent.set(key, (spent.get(key) ?? 0) + cost);
  };
  const expire = (now: number): void => {
    for (const entry of held.filter(({ at }) => at + LEASE_MS <= now)) book(entry, entry.cost);
    held = held.filter(({ at }) => at + LEASE_MS > now);
  };
  const mine = (subject: number): Held[] => held.filter((entry) => entry.subject === subject);
  return {
    expire,
    mine,
    uses,
    held: () => held,
    take(entry: Held): void {
      held.push(entry);
      uses.push({ at: entry.at, subject: entry.subject, requests: 1, tokens: entry.tokens });
    },
    settle(entry: Held, now: number, tokens: number, cost: number): void {
      held = held.filter(({ id }) => id !== entry.id);
      book(entry, cost);
      uses.push({ at: now, subject: entry.subject, requests: 0, tokens: tokens - entry.tokens });
    },
    spent: (subject: number, day: string): number => spent.get(`${subject} ${day}`) ?? 0,
    reserved: (subject: number, day: string): number =>
      mine(subject).reduce((sum, entry) => sum + (entry.day === day ? entry.cost : 0), 0),
  };
};

/** By how much the worst window uses more than a burst and what the rate adds in its time; at most 0 when all is well. */
const excess = (
  uses: ReturnType<typeof createModel>['uses'],
  subject: number,
  kind: 'requests' | 'tokens',
  perMinute: number,
): number => {
  const own = uses.filter((use) => use.subject === subject);
  let worst = 0;
  for (let from = 0; from < own.length; from++) {
    let sum = 0;
    for (let to = from; to < own.length; to++) {
      sum += own[to]![kind];
      const bound = perMinute + ((own[to]!.at - own[from]!.at) * perMinute) / 60_000;
      worst = Math.max(worst, sum - bound);
    }
  }
  return worst;
};

for (const { name, isThere, use } of LIMITERS) {
  const { open, close } = use();
  /** Each run of the others is a conversation over a socket. */
  const runs = (count: number): number => (name === 'memory' ? count : Math.ceil(count / 8));

  (isThere ? describe : describe.skip)(`the ${name} limiter under arbitrary interleavings`, () => {
    test('rates, leases and caps are never passed, and a cap refuses nothing that fits', async () => {
      await fc.assert(
        fc
          .asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), async (steps) => {
            const limiter = await open({ leaseMs: LEASE_MS });
            const model = createModel();
            let now = NOW;
            let count = 0;
            for (const action of steps) {
              model.expire(now);
              const day = new Date(now).toISOString().slice(0, 10);
              if (action.do === 'wait') {
                now += action.ms;
              } else if (action.do === 'settle') {
                const entry = model.held()[action.pick % Math.max(1, model.held().length)];
                if (entry === undefined) continue;
                const tokens = Math.floor((entry.tokens * action.share) / 100);
                const microUsd = Math.floor((entry.cost * action.share) / 100);
                limiter.settle(entry.id, { tokens, microUsd }, now);
                model.settle(entry, now, tokens, microUsd);
              } else {
                const { subject, tokens, cost } = action;
                const id = `r${count++}`;
                const answer = await limiter.take(id, 'acme', demandsOf(subject, tokens, cost), now);
                const used = model.spent(subject, day) + model.reserved(subject, day);
                const leases = model.mine(subject).length;
                if (answer.granted) {
                  expect(used + cost).toBeLessThanOrEqual(CAP);
                  expect(leases + 1).toBeLessThanOrEqual(CONCURRENT);
                  model.take({ id, subject, at: now, tokens, cost, day });
                } else {
                  if (answer.demand.kind === 'spend') expect(used + cost).toBeGreaterThan(CAP);
                  if (answer.demand.kind === 'concurrent') expect(leases).toBe(CONCURRENT);
                }
                expect(limiter.spend([{ scope: 'user', subject: `acme/u${subject}` }], now)[0]).toMatchObject({
                  period: day,
                  micro_usd: model.spent(subject, day),
                  reserved_micro_usd: model.reserved(subject, day),
                });
              }
            }
            for (const subject of [0, 1]) {
              expect(excess(model.uses, subject, 'requests', REQUESTS)).toBeLessThan(1e-6);
              expect(excess(model.uses, subject, 'tokens', TOKENS)).toBeLessThan(1e-6);
            }
          })
          .afterEach(close),
        { numRuns: runs(400) },
      );
    });

    test('a refusal changes no state, and its retry-after is the first millisecond at which the rate lets it pass', async () => {
      const amounts = fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 100 }), gap: fc.nat(3_000) }), {
        minLength: 3,
        maxLength: 40,
      });
      await fc.assert(
        fc
          .asyncProperty(amounts, fc.integer({ min: 100, max: 997 }), async (takes, perMinute) => {
            const limiter = await open();
            const demand = (amount: number): Demand[] => [
              { kind: 'tokens', scope: 'org', subject: 'acme', perMinute, amount },
              { kind: 'requests', scope: 'org', subject: 'acme', perMinute: 1_000, amount: 1 },
            ];
            let now = NOW;
            for (const [i, { tokens, gap }] of takes.entries()) {
              now += gap;
              const answer = await limiter.take(`a${i}`, 'acme', demand(tokens), now);
              if (answer.granted) continue;
              const wait = answer.retryAfterMs!;
              expect(await limiter.take(`b${i}`, 'acme', demand(tokens), now)).toEqual(answer);
              if (wait > 1)
                expect(await limiter.take(`c${i}`, 'acme', demand(tokens), now + wait - 1)).toMatchObject({
                  granted: false,
                });
              expect(await limiter.take(`d${i}`, 'acme', demand(tokens), now + wait)).toMatchObject({ granted: true });
              now += wait;
            }
          })
          .afterEach(close),
        { numRuns: runs(200) },
      );
    });

    test('in the long run a greedy caller gets the rate, exactly', async () => {
      await fc.assert(
        fc
          .asyncProperty(
            fc.integer({ min: 1, max: 500 }),
            fc.integer({ min: 40, max: 2_000 }),
            async (perMinute, stepMs) => {
              const limiter = await open();
              const minutes = 4;
              let got = 0;
              let i = 0;
              for (let now = NOW; now <= NOW + minutes * 60_000; now += stepMs) {
                for (;;) {
                  const answer = await limiter.take(
                    `r${i++}`,
                    'acme',
                    [{ kind: 'requests', scope: 'org', subject: 'acme', perMinute, amount: 1 }],
                    now,
                  );
                  if (!answer.granted) break;
                  got++;
                }
              }
              expect(got).toBeLessThanOrEqual(perMinute * (minutes + 1));
              expect(got).toBeGreaterThanOrEqual(
                perMinute * (minutes + 1) - Math.ceil((perMinute * stepMs) / 60_000) - 1,
              );
            },
          )
          .afterEach(close),
        { numRuns: runs(60) },
      );
    });

    test('after every reservation is settled nothing is held', async () => {
      await fc.assert(
        fc
          .asyncProperty(
            fc.array(fc.record({ tokens: fc.nat(50), cost: fc.nat(100) }), { maxLength: 30 }),
            async (takes) => {
              const limiter = await open();
              let total = 0;
              for (const [i, { tokens, cost }] of takes.entries()) {
                const answer = await limiter.take(`r${i}`, 'acme', demandsOf(0, tokens, cost), NOW);
                if (!answer.granted) continue;
                limiter.settle(`r${i}`, { tokens: 0, microUsd: 1 }, NOW);
                total++;
              }
              const [entry] = limiter.spend([{ scope: 'user', subject: 'acme/u0' }], NOW);
              expect(entry?.reserved_micro_usd ?? 0).toBe(0);
              expect(entry?.micro_usd ?? 0).toBe(total);
            },
          )
          .afterEach(close),
      );
    });
  });
}
