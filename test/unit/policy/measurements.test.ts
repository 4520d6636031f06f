import { describe, expect, test } from '@jest/globals';
import { createMeasurements } from '../../../gateway/policy/measurements.ts';
import type { Policy } from '../../../gateway/policy/policy.ts';
import { guardsOf } from '../../../gateway/policy/rollout-plan.ts';
import type { RolloutStage } from '../../../gateway/policy/rollout-state.ts';
import { allowing, ended, fakePolicy, refusing } from '../../support/fake-policy.ts';

const turns = async (): Promise<void> => {
  for (let n = 0; n < 40; n++) await new Promise((resolve) => setImmediate(resolve));
};
const failing = (): never => {
  throw new Error('out of fuel');
};

const measuring = (stable: Policy, policy: Policy, stage: RolloutStage = 'canary', compareCpuShare = 1) => {
  const kinds: string[] = [];
  const measurements = createMeasurements({
    stable,
    candidate: { policy, stage, guards: guardsOf({}), compareCpuShare },
    windowMs: 60_000,
    clock: Date.now,
    onCompared: (kind) => kinds.push(kind),
  });
  return { ...measurements, kinds };
};

const stable = fakePolicy('stable');

describe('measuring a candidate', () => {
  test('lets the other bundle decide the same input, after the request', async () => {
    const asked: string[] = [];
    const one = fakePolicy('one', (input) => {
      asked.push(`one ${input.caller.id}`);
      return allowing();
    });
    const two = fakePolicy('two', (input) => {
      asked.push(`two ${input.caller.id}`);
      return refusing();
    });
    const { observe, readings, kinds } = measuring(one, two);
    observe(ended(one, { caller: 'a' }));
    observe(ended(two, { caller: 'b' }));
    expect(asked).toEqual(['one a', 'two b']);
    await turns();
    expect(asked).toEqual(['one a', 'two b', 'two a', 'one b']);
    expect(kinds).toEqual(['newly_denied', 'newly_denied']);
    const { compared, stable: under, candidate } = readings();
    expect(compared).toMatchObject({ compared: 2, newlyDenied: 2, newlyAllowed: 0, costed: 0 });
    // The one that the candidate decided shows what it did; the other was let through.
    expect(compared.examples).toMatchObject({
      newly_denied: [expect.any(String)],
      newly_denied_by_stable: [expect.any(String)],
    });
    expect(under).toMatchObject({ requests: 1, denied: 0, answers: 1 });
    expect(candidate).toMatchObject({ requests: 1, denied: 1, answers: 0 });
  });

  test('counts what a model answered, and what broke', () => {
    const two = fakePolicy('two');
    const { observe, readings } = measuring(stable, two);
    observe(ended(two));
    observe(ended(two, { outcome: 'failed' }));
    observe(ended(two, { outcome: 'incomplete', isFallback: true }));
    // Neither the callers that left, nor limits, nor what a provider refused say anything of the candidate.
    for (const outcome of ['aborted', 'limited', 'rejected'] as const) observe(ended(two, { outcome }));
    const { candidate, compared } = readings();
    expect(candidate).toMatchObject({ requests: 6, answers: 3, errors: 2, fallbacks: 1 });
    expect(compared.examples).toMatchObject({
      failed: [expect.any(String), expect.any(String)],
      fallback: [expect.any(String)],
    });
  });

  test('leaves out requests of a bundle that is neither', async () => {
    const { observe, readings, kinds } = measuring(stable, fakePolicy('two'));
    observe(ended(fakePolicy('of before')));
    await turns();
    expect(readings().stable.requests + readings().candidate.requests).toBe(0);
    expect(kinds).toEqual([]);
  });

  test('prices the tokens by the first model of each', async () => {
    const dear = fakePolicy('dear', () =>
      allowing({ route: { ...allowing().route, candidates: [{ model: 'dear', upstream: 'openai' }] } }),
    );
    const { observe, readings, kinds } = measuring(stable, dear);
    observe(ended(stable));
    observe(ended(dear));
    observe(ended(stable, { usage: null }));
    await turns();
    expect(kinds).toEqual(['model_moved', 'model_moved', 'model_moved']);
    // 100 tokens in and 50 out at 1 and 2 USD a million, and at twice that.
    expect(readings().compared).toMatchObject({
      costed: 2,
      stableCostMicroUsd: 400,
      candidateCostMicroUsd: 800,
      stableCostSquares: 80_000,
      candidateCostSquares: 320_000,
      costProducts: 160_000,
    });
  });

  test('counts a policy error only where stable decides', async () => {
    const broken = fakePolicy('broken', failing);
    const live = measuring(stable, broken, 'canary', 0);
    // The candidate failed on live requests: stable is asked whatever the share of the processor.
    for (const caller of ['a', 'a', 'b']) live.observe(ended(broken, { caller, decision: undefined }));
    await turns();
    expect(live.readings().compared).toMatchObject({ compared: 0, policyErrors: 3 });
    expect(live.readings().compared.policyErrorCallers).toHaveLength(2);
    expect(live.readings().compared.examples.policy_error).toHaveLength(2);

    const shadow = measuring(stable, broken, 'shadow');
    shadow.observe(ended(stable));
    await turns();
    expect(shadow.kinds).toEqual(['policy_error']);

    const both = measuring(fakePolicy('stable', failing), broken);
    both.observe(ended(broken, { decision: undefined }));
    both.observe(ended(fakePolicy('stable', failing), { decision: undefined }));
    await turns();
    expect(both.kinds).toEqual([]);
  });

  test('takes the time of the candidate from live requests, in shadow from the comparison', async () => {
    const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
    const two = fakePolicy('two');
    const canary = measuring(stable, two);
    canary.observe(ended(stable, { evaluationMs: 50 }));
    canary.observe(ended(two, { evaluationMs: 50 }));
    await turns();
    expect(total(canary.readings().evaluations)).toBe(1);
    expect(canary.readings().compared.examples.slow).toHaveLength(1);
    const shadow = measuring(stable, two, 'shadow');
    shadow.observe(ended(stable, { evaluationMs: 50 }));
    await turns();
    expect(total(shadow.readings().evaluations)).toBe(1);
    expect(shadow.readings().compared.examples.slow).toBeUndefined();
  });

  test('says how many it skipped', async () => {
    const { observe, readings, kinds } = measuring(stable, fakePolicy('two'), 'shadow', 0);
    for (let n = 0; n < 5; n++) observe(ended(stable));
    await turns();
    expect(readings().compared).toMatchObject({ compared: 0, skipped: 5 });
    expect(kinds).toEqual(Array(5).fill('skipped'));
  });
});
