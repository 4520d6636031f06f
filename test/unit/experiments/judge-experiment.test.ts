import { describe, expect, test } from '@jest/globals';
import { createRandom } from '../../../gateway/evaluate/statistics/random.ts';
import { judgeExperiment } from '../../../gateway/experiments/judge-experiment.ts';
import type { ArmReading } from '../../../gateway/store/experiment-readings.ts';
import type { ExperimentStop } from '../../../gateway/store/experiment-stops.ts';
import type { Experiment } from '../../../gateway/types.gen.ts';
import { armOf, experimentOf } from '../../support/experiments.ts';

const NOW = Date.UTC(2026, 10, 21);

const judge = (
  readings: readonly ArmReading[],
  more: Partial<Experiment> = {},
  { nowMs = NOW, stop }: { nowMs?: number; stop?: ExperimentStop } = {},
) => judgeExperiment({ id: 'nano', experiment: experimentOf(more), readings, stop, nowMs });

const random = createRandom(11);
/** So many units of one answer each, uniform within `spread` of the mean. */
const around = (mean: number, count: number, spread = mean / 2): (readonly [number, number])[] =>
  Array.from({ length: count }, () => [mean + (random() * 2 - 1) * spread, 1] as const);
/** So many units of one request each, of which `failed` failed. */
const share = (failed: number, count: number): (readonly [number, number])[] =>
  Array.from({ length: count }, (_, at) => [at < failed ? 1 : 0, 1] as const);

describe('the verdict', () => {
  test('is to wait before the start', () => {
    const { state, verdict } = judge([], {}, { nowMs: Date.UTC(2026, 9, 1) });
    expect(state).toBe('scheduled');
    expect(verdict.kind).toBe('wait');
  });

  test('is to keep running while an arm has too few units, and says how many it has', () => {
    const { verdict } = judge([
      armOf('control', 60, { cost: around(10, 60) }),
      armOf('haiku', 41, { cost: around(30, 41) }),
    ]);
    expect(verdict).toMatchObject({ kind: 'keep_running', arm: null });
    expect(verdict.text).toContain('41 units');
  });

  test('is to ship what is better, with the interval', () => {
    const readings = [armOf('control', 900, { cost: around(10, 900) }), armOf('haiku', 880, { cost: around(5, 880) })];
    const { verdict, metrics } = judge(readings);
    expect(verdict).toMatchObject({ kind: 'ship', arm: 'haiku' });
    expect(verdict.text).toContain('[-$');
    const cost = metrics.find(({ metric }) => metric === 'cost')!.arms.find(({ arm }) => arm === 'haiku')!;
    expect(cost.against_control!.high).toBeLessThan(0);
  });

  test('is to stop what is worse, where lower is better and where higher is', () => {
    const cost = [armOf('control', 900, { cost: around(5, 900) }), armOf('haiku', 880, { cost: around(10, 880) })];
    expect(judge(cost).verdict).toMatchObject({ kind: 'stop_worse', arm: 'haiku' });
    const score = [
      armOf('control', 900, { score: around(0.8, 900) }),
      armOf('haiku', 880, { score: around(0.5, 880) }),
    ];
    const byScore = judge(score, { metric: { name: 'score', better: 'higher' } }).verdict;
    expect(byScore).toMatchObject({ kind: 'stop_worse', arm: 'haiku' });
  });

  test('tells about how many more units it takes, if what it shows now holds', () => {
    const readings = [
      armOf('control', 400, { cost: around(10, 400) }),
      armOf('haiku', 400, { cost: around(9.6, 400) }),
    ];
    const { verdict } = judge(readings);
    expect(verdict.kind).toBe('keep_running');
    expect(verdict.text).toMatch(/About [\d,]+ more units would do, \d+ (?:days|hours) at this pace/);
  });

  test('is to stop when it has ended without a difference', () => {
    const readings = [armOf('control', 400, { cost: around(10, 400) }), armOf('haiku', 400, { cost: around(10, 400) })];
    const { state, verdict } = judge(readings, {}, { nowMs: Date.UTC(2026, 11, 2) });
    expect(state).toBe('ended');
    expect(verdict.kind).toBe('stop_no_difference');
  });

  test('trusts no metric when the arms did not get their shares', () => {
    const readings = [armOf('control', 900, { cost: around(10, 900) }), armOf('haiku', 700, { cost: around(5, 700) })];
    const { sample_ratio, verdict } = judge(readings);
    expect(sample_ratio.is_mismatch).toBe(true);
    expect(verdict.kind).toBe('do_not_trust');
  });

  test('says which guard stopped it', () => {
    const stop = {
      experiment: 'nano',
      definition: 'd',
      timeMs: NOW,
      arm: 'haiku',
      guard: 'max_cost_increase',
      reason: 'Why.',
    };
    const { state, stopped, verdict } = judge([], {}, { stop });
    expect(state).toBe('stopped');
    expect(stopped).toMatchObject({ arm: 'haiku', time: '2026-11-21T00:00:00.000Z' });
    expect(verdict).toMatchObject({ kind: 'stopped_by_guard', arm: 'haiku' });
  });

  test('with three arms asks more of each than with two', () => {
    const arms = { control: { share: 34 }, a: { share: 33 }, b: { share: 33 } };
    const cost = around(10, 300);
    const readings = ['control', 'a', 'b'].map((arm) => armOf(arm, 300, { cost }));
    const three = judge(readings, { arms }).metrics[0]!.arms[1]!.against_control!;
    const two = judge(readings.slice(0, 2), { arms: { control: { share: 50 }, a: { share: 50 } } });
    expect(three.alpha).toBe(0.025);
    expect(three.high - three.low).toBeGreaterThan(two.metrics[0]!.arms[1]!.against_control!.high * 2);
  });
});

describe('guards', () => {
  const guardOf = (readings: readonly ArmReading[], guards: NonNullable<Experiment['guards']>) =>
    judge(readings, { guards }).guards[0]!;

  test('a model that always fails is beyond any limit of failures', () => {
    const readings = [armOf('control', 60, { errors: share(0, 60) }), armOf('haiku', 60, { errors: share(60, 60) })];
    const guard = guardOf(readings, { max_error_rate_increase: 0.02 });
    expect(guard).toMatchObject({ guard: 'max_error_rate_increase', arm: 'haiku', is_breached: true, worse_by: 1 });
    expect(judge(readings, { guards: { max_error_rate_increase: 0.02 } }).verdict.kind).toBe('stop_worse');
  });

  test('a failure more than control has is not enough', () => {
    const readings = [armOf('control', 60, { errors: share(0, 60) }), armOf('haiku', 60, { errors: share(2, 60) })];
    expect(guardOf(readings, { max_error_rate_increase: 0.02 }).is_breached).toBe(false);
  });

  test('cost and latency are held against a share of control’s', () => {
    const readings = (mean: number) => [
      armOf('control', 900, { latency: around(100, 900) }),
      armOf('haiku', 900, { latency: around(mean, 900) }),
    ];
    const limit = { max_latency_increase: 0.5 };
    const slow = guardOf(readings(200), limit);
    expect(slow.is_breached).toBe(true);
    expect(slow.worse_by).toBeCloseTo(1, 1);
    expect(slow.low!).toBeGreaterThan(0.5);
    expect(guardOf(readings(140), limit).is_breached).toBe(false);
    expect(guardOf(readings(20), limit)).toMatchObject({ is_breached: false });
  });

  test('a score may fall so far and no further', () => {
    const readings = (mean: number) => [
      armOf('control', 900, { score: around(0.8, 900, 0.2) }),
      armOf('haiku', 900, { score: around(mean, 900, 0.2) }),
    ];
    const limit = { max_score_decrease: 0.1 };
    const fallen = guardOf(readings(0.6), limit);
    expect(fallen.is_breached).toBe(true);
    expect(fallen.worse_by).toBeCloseTo(0.2, 1);
    expect(guardOf(readings(0.75), limit).is_breached).toBe(false);
    expect(guardOf(readings(0.99), limit).is_breached).toBe(false);
  });

  test('read nothing while an arm has too few units', () => {
    const readings = [armOf('control', 60, { errors: share(0, 60) }), armOf('haiku', 20, { errors: share(20, 20) })];
    expect(guardOf(readings, { max_error_rate_increase: 0.02 })).toMatchObject({ worse_by: null, is_breached: false });
  });
});
