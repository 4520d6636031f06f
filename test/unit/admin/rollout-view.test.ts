import { describe, expect, test } from '@jest/globals';
import { viewRollout } from '../../../gateway/admin/rollout-view.ts';
import { newTally } from '../../../gateway/policy/readings.ts';
import { planOf } from '../../../gateway/policy/rollout-plan.ts';
import type { Readings, ReplicaReport, RolloutState } from '../../../gateway/policy/rollout-state.ts';
import type { Rollout } from '../../../gateway/types.gen.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const STABLE = { revision: 'r1', digest: 'a'.repeat(64) };
const CANDIDATE = { revision: 'r2', digest: 'b'.repeat(64) };
const DESIRED: Rollout = {
  stable: 'stable.tar.gz',
  candidate: 'next.tar.gz',
  stage: 'canary',
  percent: 10,
  hold_s: 60,
  next: [{ stage: 'canary', percent: 50 }, { stage: 'full' }],
};
const PLAN = planOf(DESIRED, STABLE.digest, CANDIDATE.digest);
const STATE: RolloutState = { key: PLAN.key, step: 0, sinceMs: NOW - 90_000, baseline: null, rolledBack: null };

/** Of one gateway: so many requests, compared, of which the candidate newly denied some. */
const readings = (requests: number, newlyDenied = 0): Readings => {
  const tally = newTally();
  Object.assign(tally.candidate, { requests, answers: requests - newlyDenied, denied: newlyDenied });
  Object.assign(tally.stable, { requests: requests * 9, answers: requests * 9 });
  Object.assign(tally.compared, { compared: requests, newlyDenied });
  tally.compared.examples.newly_denied = newlyDenied > 0 ? [`dec_${requests}`] : [];
  return tally;
};

const report = (fields: Partial<ReplicaReport> = {}): ReplicaReport => ({
  replica: 'one',
  updatedMs: NOW - 1_000,
  stable: STABLE,
  candidate: CANDIDATE,
  stage: 'canary',
  percent: 10,
  key: PLAN.key,
  readings: readings(80),
  problem: null,
  ...fields,
});

const view = (reports: readonly ReplicaReport[], state: RolloutState | undefined = STATE) =>
  viewRollout({ desired: DESIRED, plan: PLAN, state, reports, nowMs: NOW });
const guard = (seen: ReturnType<typeof view>, name: string) => seen.guards.find(({ guard: of }) => of === name);

describe('a rollout as it is shown', () => {
  test('adds up what fresh gateways measured at the same step, and no others', () => {
    const seen = view([
      report(),
      report({ replica: 'two' }),
      report({ replica: 'silent', updatedMs: NOW - 60_000 }),
      report({ replica: 'behind', stage: 'shadow', percent: 0 }),
      report({ replica: 'elsewhere', key: 'another' }),
    ]);
    expect(seen.readings).toMatchObject({
      window_s: 300,
      stable: { requests: 1_440 },
      candidate: { requests: 160, cost_micro_usd: 0 },
      compared: { compared: 160 },
    });
    expect(seen.replicas.map(({ replica, is_fresh, is_converged }) => [replica, is_fresh, is_converged])).toEqual([
      ['one', true, true],
      ['two', true, true],
      ['silent', false, true],
      ['behind', true, true],
      ['elsewhere', true, false],
    ]);
  });

  test('tells the step, how long it has lasted, and when the next may come', () => {
    expect(view([report(), report({ replica: 'two' })]).rollout).toEqual({
      key: PLAN.key,
      stage: 'canary',
      percent: 10,
      by: 'user',
      step: 0,
      steps: [
        { stage: 'canary', percent: 10, hold_s: 60 },
        { stage: 'canary', percent: 50, hold_s: 60 },
        { stage: 'full', percent: 100, hold_s: 60 },
      ],
      since: '2026-11-24T11:58:30.000Z',
      held_s: 90,
      next: { stage: 'canary', percent: 50, not_before: '2026-11-24T11:59:30.000Z', waits_for: null },
      rolled_back: null,
    });
  });

  test('tells what the next step waits for: requests, or a guard', () => {
    expect(view([report()]).rollout?.next?.waits_for).toBe('80 of 100 requests');
    const denying = view([report({ readings: readings(400, 6) })]);
    expect(guard(denying, 'max_deny_rate_increase')).toMatchObject({ value: 0.015, max: 0.01, samples: 400 });
    expect(denying.rollout?.next?.waits_for).toBe('max_deny_rate_increase');
    expect(denying.readings?.compared.examples.newly_denied).toEqual(['dec_400']);
  });

  test('has a verdict for each guard, as gateways judge it', () => {
    const seen = view([report({ readings: readings(1_000, 100) })]);
    expect(seen.guards.map(({ guard: name, verdict }) => [name, verdict])).toEqual([
      ['max_deny_rate_increase', 'breached'],
      ['max_error_rate_increase', 'within'],
      ['max_fallback_rate_increase', 'within'],
      ['max_evaluation_p99_ms', 'waiting'],
      ['max_cost_increase', 'waiting'],
      ['max_policy_errors', 'within'],
    ]);
  });

  test('has no next step after the last', () => {
    const last = { ...STATE, step: 2 };
    expect(view([report({ stage: 'full', percent: 100 })], last).rollout).toMatchObject({ stage: 'full', next: null });
  });

  test('waits where no gateway has begun', () => {
    const seen = viewRollout({ desired: DESIRED, plan: PLAN, state: undefined, reports: [], nowMs: NOW });
    expect(seen).toMatchObject({ rollout: { stage: 'waiting', since: null, next: null }, guards: [], readings: null });
  });

  test('tells why it was rolled back, and judges nothing any more', () => {
    const rolledBack = {
      time: '2026-11-24T11:59:00.000Z',
      guard: 'max_cost_increase',
      reason: 'dearer',
      decisionIds: ['dec_1'],
      replica: 'two',
    };
    const seen = view([report({ stage: 'rolled_back', percent: 0 })], { ...STATE, rolledBack });
    const { decisionIds, ...rest } = rolledBack;
    expect(seen).toMatchObject({
      rollout: { stage: 'rolled_back', percent: 0, next: null, rolled_back: { ...rest, decision_ids: decisionIds } },
      guards: [],
      readings: null,
    });
  });

  test('without a candidate gateways have converged when they are in no rollout', () => {
    const desired: Rollout = { stable: 'stable.tar.gz' };
    const reports = [report({ key: null, stage: null, percent: null, candidate: null }), report({ replica: 'two' })];
    const seen = viewRollout({ desired, plan: null, state: undefined, reports, nowMs: NOW });
    expect(seen.rollout).toBeNull();
    expect(seen.replicas.map(({ is_converged }) => is_converged)).toEqual([true, false]);
    const unread = viewRollout({ desired: null, plan: null, state: undefined, reports, nowMs: NOW });
    expect(unread.replicas.map(({ is_converged }) => is_converged)).toEqual([null, null]);
  });
});
