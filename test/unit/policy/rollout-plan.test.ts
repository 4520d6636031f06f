import { describe, expect, test } from '@jest/globals';
import { planOf } from '../../../gateway/policy/rollout-plan.ts';
import type { Rollout } from '../../../gateway/types.gen.ts';

const desired: Rollout = { stable: 'a.tar.gz', candidate: 'b.tar.gz', stage: 'shadow' };
const plan = (change: Partial<Rollout> = {}, digests: [string, string] = ['a', 'b']) =>
  planOf({ ...desired, ...change }, ...digests);

describe('the plan of a rollout', () => {
  test('has the defaults of the schema', () => {
    expect(plan()).toMatchObject({
      steps: [{ stage: 'shadow', percent: 0, holdMs: 900_000 }],
      by: 'user',
      compareCpuShare: 0.1,
      guards: { windowMs: 300_000, minRequests: 100, maxDenyRateIncrease: 0.01, maxPolicyErrors: 2 },
    });
  });

  test('has a step for the file and one for each that follows, with what they leave out taken from the file', () => {
    const { steps } = plan({
      percent: 2,
      hold_s: 60,
      next: [{ stage: 'canary' }, { stage: 'canary', percent: 50, hold_s: 5 }, { stage: 'full' }],
    });
    expect(steps).toEqual([
      { stage: 'shadow', percent: 0, holdMs: 60_000 },
      { stage: 'canary', percent: 2, holdMs: 60_000 },
      { stage: 'canary', percent: 50, holdMs: 5_000 },
      { stage: 'full', percent: 100, holdMs: 60_000 },
    ]);
  });

  test('keeps a guard off that is null', () => {
    expect(plan({ guards: { max_cost_increase: null } }).guards.maxCostIncrease).toBeNull();
  });

  test('is another one when a field, an attempt or a bundle differs, and the same in another order of fields', () => {
    const { key } = plan({ guards: { window_s: 10, min_requests: 5 } });
    expect(plan({ guards: { min_requests: 5, window_s: 10 }, $schema: 'x' }).key).toBe(key);
    const others = [
      plan().key,
      plan({ attempt: 2 }).key,
      plan({ stage: 'full' }).key,
      plan({}, ['a', 'c']).key,
      plan({}, ['c', 'b']).key,
      key,
    ];
    expect(new Set(others).size).toBe(others.length);
  });
});
