import { describe, expect, test } from '@jest/globals';
import {
  addEvaluation,
  addExample,
  addPolicyErrorCaller,
  evaluationQuantileMs,
  evaluationsAbove,
  newTally,
  sumReadings,
} from '../../../gateway/policy/readings.ts';
import { createReadingsWindow } from '../../../gateway/policy/readings-window.ts';

describe('readings', () => {
  test('of several gateways add up', () => {
    const [one, other] = [newTally(), newTally()];
    one.stable.requests = 3;
    other.stable.requests = 4;
    one.compared.newlyDenied = 1;
    addEvaluation(one, 1);
    addEvaluation(other, 1);
    addPolicyErrorCaller(one, 'a');
    addPolicyErrorCaller(other, 'a');
    addPolicyErrorCaller(other, 'b');
    for (const id of ['1', '2', '3', '4']) addExample(one, 'failed', id);
    for (const id of ['5', '6', '7']) addExample(other, 'failed', id);
    const sum = sumReadings([one, other], 5);
    expect(sum).toMatchObject({
      stable: { requests: 7 },
      compared: { newlyDenied: 1, policyErrorCallers: ['a', 'b'] },
    });
    expect(sum.compared.examples.failed).toEqual(['1', '2', '3', '5', '6']);
    expect(sum.evaluations.reduce((total, count) => total + count)).toBe(2);
  });

  test('tell a quantile by at most a fifth too much, and only what is surely above a bound', () => {
    const tally = newTally();
    for (let n = 0; n < 99; n++) addEvaluation(tally, 0.5);
    addEvaluation(tally, 20);
    const median = evaluationQuantileMs(tally.evaluations, 0.5)!;
    expect(median).toBeGreaterThanOrEqual(0.5);
    expect(median).toBeLessThan(0.6);
    expect(evaluationQuantileMs(tally.evaluations, 0.999)).toBeGreaterThanOrEqual(20);
    expect(evaluationsAbove(tally.evaluations, 10)).toBe(1);
    expect(evaluationsAbove(tally.evaluations, 20)).toBe(0);
    expect(evaluationQuantileMs(newTally().evaluations, 0.99)).toBeNull();
  });

  test('take the shortest and the longest evaluation', () => {
    const tally = newTally();
    for (const ms of [0, 0.001, 1e9]) addEvaluation(tally, ms);
    expect(tally.evaluations[0]).toBe(2);
    expect(tally.evaluations.at(-1)).toBe(1);
  });
});

describe('a window of readings', () => {
  test('forgets what is older than it, and has the newest examples', () => {
    let now = 1_000_000;
    const window = createReadingsWindow(60_000, () => now);
    for (let second = 0; second < 90; second++) {
      window.now().candidate.requests++;
      addExample(window.now(), 'failed', `${second}`);
      now += 1000;
    }
    now -= 1000;
    expect(window.sum().candidate.requests).toBe(60);
    expect(window.sum().compared.examples.failed).toEqual(['89', '88', '87']);
    now += 30_000;
    expect(window.sum().candidate.requests).toBe(30);
    now += 3_600_000;
    expect(window.sum().candidate.requests).toBe(0);
  });
});
