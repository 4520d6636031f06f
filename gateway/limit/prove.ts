import type { Demand, Limiter, Scope } from './limiter.ts';

/** No caller's: an organisation has letters. */
const SUBJECT = { org: '-', inside: '-/-', tag: '-/-=-' } as const;

/**
 * Asks a limiter for what it must refuse, once of each kind: a limiter that lets it through must not serve. It also
 * makes what the first request would have to wait for: statements, and the calendar. Nothing is taken. Throws an Error.
 */
export const proveLimiter = async (limiter: Limiter, now: number): Promise<void> => {
  for (const demand of DEMANDS) {
    const taken = await limiter.take('self-test', SUBJECT.org, [demand], now);
    if (!taken.granted) continue;
    limiter.settle('self-test', { tokens: 0, microUsd: 0 }, now);
    throw new Error(`the limiter does not refuse a ${demand.kind} limit of nothing`);
  }
};

const spend = (scope: Scope, subject: string, period: 'day' | 'month'): Demand => {
  return { kind: 'spend', scope, subject, period, timezone: 'UTC', capMicroUsd: 0, amount: 1 };
};

const DEMANDS: readonly Demand[] = [
  { kind: 'requests', scope: 'key', subject: SUBJECT.org, perMinute: 0, amount: 1 },
  { kind: 'tokens', scope: 'key', subject: SUBJECT.org, perMinute: 0, amount: 1 },
  { kind: 'concurrent', scope: 'key', subject: SUBJECT.org, max: 0, amount: 1 },
  ...(['day', 'month'] as const).flatMap((period) => [
    spend('key', SUBJECT.org, period),
    spend('org', SUBJECT.org, period),
    ...(['team', 'user', 'group', 'workflow', 'use_case'] as const).map((scope) =>
      spend(scope, SUBJECT.inside, period),
    ),
    spend('tag', SUBJECT.tag, period),
  ]),
];
