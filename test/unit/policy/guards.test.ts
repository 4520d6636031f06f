import { describe, expect, test } from '@jest/globals';
import { type GuardContext, type GuardName, judgeGuards } from '../../../gateway/policy/guards.ts';
import { addEvaluation, newTally, type Tally } from '../../../gateway/policy/readings.ts';
import { guardsOf } from '../../../gateway/policy/rollout-plan.ts';
import type { RolloutGuards } from '../../../gateway/types.gen.ts';

const CANARY: GuardContext = { stage: 'canary', baseline: null };

const read = (
  name: GuardName,
  fill: (tally: Tally) => void,
  context: GuardContext = CANARY,
  guards: RolloutGuards = {},
) => {
  const tally = newTally();
  fill(tally);
  return judgeGuards(tally, guardsOf(guards), context).find(({ guard }) => guard === name)!;
};
const arms = (candidate: object, stable: object) => (tally: Tally) => {
  Object.assign(tally.candidate, candidate);
  Object.assign(tally.stable, stable);
};
const compared = (of: object) => (tally: Tally) => void Object.assign(tally.compared, of);

describe('the guard of denials', () => {
  test('is breached by requests that only the candidate refuses', () => {
    const reading = read('max_deny_rate_increase', compared({ compared: 200, newlyDenied: 30, newlyAllowed: 1 }));
    expect(reading).toMatchObject({ verdict: 'breached', value: 0.145, samples: 200, shownBy: 'newly_denied' });
    expect(reading.reason).toBe(
      'Of 200 requests that both bundles decided, the candidate refuses 30 that stable allows, and allows 1 that stable refuses: 14.50 % more denials.',
    );
  });
  test('waits for its samples', () => {
    expect(read('max_deny_rate_increase', compared({ compared: 99, newlyDenied: 99 })).verdict).toBe('waiting');
  });
  test('says above, not breached, where it may be chance', () => {
    expect(read('max_deny_rate_increase', compared({ compared: 100, newlyDenied: 3 })).verdict).toBe('above');
  });
  test('is within where as many are newly allowed, or few are denied', () => {
    const swapped = compared({ compared: 200, newlyDenied: 50, newlyAllowed: 50 });
    expect(read('max_deny_rate_increase', swapped).verdict).toBe('within');
    expect(read('max_deny_rate_increase', compared({ compared: 9_000, newlyDenied: 80 })).verdict).toBe('within');
  });
  test('can be switched off', () => {
    const off = read('max_deny_rate_increase', compared({ compared: 200, newlyDenied: 200 }), CANARY, {
      max_deny_rate_increase: null,
    });
    expect(off).toMatchObject({ verdict: 'off', value: null });
  });
});

describe.each([
  ['max_error_rate_increase', 'errors'],
  ['max_fallback_rate_increase', 'fallbacks'],
] as const)('the guard %s', (guard, field) => {
  const many = { requests: 200, answers: 200, [field]: 60 };
  const few = { requests: 2_000, answers: 2_000, [field]: 20 };
  test('is breached by the candidate, not by what befalls both', () => {
    expect(read(guard, arms(many, few)).verdict).toBe('breached');
    expect(read(guard, arms(many, { requests: 2_000, answers: 2_000, [field]: 600 })).verdict).toBe('within');
  });
  test('waits for requests that the candidate decided', () => {
    expect(read(guard, arms({ requests: 50, answers: 50, [field]: 50 }, few)).verdict).toBe('waiting');
  });
  test('does not judge in shadow, nor without answers of stable', () => {
    expect(read(guard, arms(many, few), { stage: 'shadow', baseline: null }).verdict).toBe('not_judged');
    expect(read(guard, arms(many, {})).verdict).toBe('not_judged');
  });
  test('compares with what was before the stage full, and says so where nobody knows', () => {
    const baseline = { ...newTally().stable, ...few };
    expect(read(guard, arms(many, {}), { stage: 'full', baseline }).verdict).toBe('breached');
    expect(read(guard, arms(many, few), { stage: 'full', baseline: null })).toMatchObject({
      verdict: 'not_judged',
      reason: 'No answers under stable are known from before the stage full.',
    });
  });
});

describe('the guard of time', () => {
  const times = (slow: number, of: number) => (tally: Tally) => {
    for (let n = 0; n < of; n++) addEvaluation(tally, n < slow ? 40 : 0.1);
  };
  test('is breached when more than one in a hundred takes too long', () => {
    expect(read('max_evaluation_p99_ms', times(20, 200))).toMatchObject({ verdict: 'breached', samples: 200 });
  });
  test('takes a few of them for chance, as in a pause of the process', () => {
    expect(read('max_evaluation_p99_ms', times(4, 200)).verdict).toBe('above');
    expect(read('max_evaluation_p99_ms', times(1, 200)).verdict).toBe('within');
  });
});

describe('the guard of cost', () => {
  const costs = (factor: number, n = 200) =>
    compared({
      costed: n,
      stableCostMicroUsd: 100 * n,
      candidateCostMicroUsd: 100 * factor * n,
      stableCostSquares: 10_000 * n,
      candidateCostSquares: 10_000 * factor * factor * n,
      costProducts: 10_000 * factor * n,
    });
  test('is breached when the same tokens cost more than the maximum', () => {
    expect(read('max_cost_increase', costs(1.3))).toMatchObject({ verdict: 'breached', value: expect.closeTo(0.3) });
    expect(read('max_cost_increase', costs(1.2)).verdict).toBe('within');
    expect(read('max_cost_increase', costs(0.2)).verdict).toBe('within');
    expect(read('max_cost_increase', costs(9, 20)).verdict).toBe('waiting');
  });
  test('is breached when what was free is not any more', () => {
    const priced = compared({ costed: 200, candidateCostMicroUsd: 20_000, candidateCostSquares: 200 * 10_000 });
    expect(read('max_cost_increase', priced).verdict).toBe('breached');
  });
});

describe('the guard of policy errors', () => {
  const errors = (count: number, callers: number) =>
    compared({ policyErrors: count, policyErrorCallers: Array.from({ length: callers }, (_, n) => `${n}`) });
  test('is breached at once by three callers, never by fewer', () => {
    expect(read('max_policy_errors', errors(3, 3)).verdict).toBe('breached');
    expect(read('max_policy_errors', errors(1_000, 2)).verdict).toBe('above');
    expect(read('max_policy_errors', errors(2, 2)).verdict).toBe('within');
  });
});
