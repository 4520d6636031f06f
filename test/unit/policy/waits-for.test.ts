import { describe, expect, test } from '@jest/globals';
import { judgeGuards } from '../../../gateway/policy/guards.ts';
import { newTally } from '../../../gateway/policy/readings.ts';
import { guardsOf } from '../../../gateway/policy/rollout-plan.ts';
import type { RolloutStage } from '../../../gateway/policy/rollout-state.ts';
import { waitsFor } from '../../../gateway/policy/waits-for.ts';
import type { RolloutGuards } from '../../../gateway/types.gen.ts';

const waiting = (
  stage: RolloutStage,
  { requests = 0, compared = 0, newlyDenied = 0 }: { requests?: number; compared?: number; newlyDenied?: number },
  { share = 0.1, guards: named = {} }: { share?: number; guards?: RolloutGuards } = {},
): string | null => {
  const tally = newTally();
  Object.assign(tally.candidate, { requests, answers: requests });
  Object.assign(tally.stable, { requests, answers: requests });
  Object.assign(tally.compared, { compared, newlyDenied });
  const guards = guardsOf(named);
  return waitsFor(
    { guards, compareCpuShare: share },
    { stage },
    tally,
    judgeGuards(tally, guards, { stage, baseline: null }),
  );
};

describe('the next step', () => {
  test('waits for compared requests in shadow, and for those of the candidate in a canary', () => {
    expect(waiting('shadow', { compared: 99 })).toBe('99 of 100 requests');
    expect(waiting('shadow', { compared: 100 })).toBeNull();
    expect(waiting('canary', { requests: 99, compared: 500 })).toBe('99 of 100 requests');
    expect(waiting('canary', { requests: 100, compared: 500 })).toBeNull();
  });
  test('waits for what is above its maximum, if not surely', () => {
    expect(waiting('canary', { requests: 100, compared: 100, newlyDenied: 2 })).toBe('max_deny_rate_increase');
  });
  test('does not come in a canary unless denials were judged, however many requests were not compared', () => {
    expect(waiting('canary', { requests: 1_000, compared: 40 })).toBe('40 of 100 requests that both bundles decided');
  });
  test('does not wait for denials that nobody is to judge', () => {
    expect(waiting('canary', { requests: 1_000 }, { share: 0 })).toBeNull();
    expect(waiting('canary', { requests: 1_000 }, { guards: { max_deny_rate_increase: null } })).toBeNull();
  });
});
