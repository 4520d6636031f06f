import { afterEach, describe, expect, test } from '@jest/globals';
import { definitionOf } from '../../../gateway/experiment.ts';
import { type ExperimentWatch, openExperimentWatch } from '../../../gateway/experiments/watch-experiments.ts';
import type { ArmReading } from '../../../gateway/store/experiment-readings.ts';
import type { ExperimentStop, ExperimentStops } from '../../../gateway/store/experiment-stops.ts';
import type { Experiment, PolicyData } from '../../../gateway/types.gen.ts';
import { armOf, experimentOf } from '../../support/experiments.ts';

const NOW = Date.UTC(2026, 10, 20);
const GUARDS = { max_error_rate_increase: 0.05 };

const failing = (failed: number): ArmReading[] => [
  armOf('control', 100, { errors: Array.from({ length: 100 }, () => [0, 1] as const) }),
  armOf('haiku', 100, { errors: Array.from({ length: 100 }, (_, at) => [at < failed ? 1 : 0, 1] as const) }),
];

/** The stops of a store that several watches share. */
const sharedStops = (): ExperimentStops & { readonly kept: ExperimentStop[]; isAway: boolean } => {
  const stops = {
    kept: [] as ExperimentStop[],
    isAway: false,
    async all() {
      if (stops.isAway) throw new Error('away');
      return [...stops.kept];
    },
    async add(stop: ExperimentStop) {
      if (stops.isAway) throw new Error('away');
      if (stops.kept.some((kept) => kept.definition === stop.definition)) return false;
      stops.kept.push(stop);
      return true;
    },
  };
  return stops;
};

const watches: ExperimentWatch[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) await watch.close();
});

/** A watch that looks when it is told to, over what a test says. */
const watchOf = (
  stops: ExperimentStops,
  experiments: Record<string, Experiment>,
  readings: () => ArmReading[] = () => [],
) => {
  const told: ExperimentStop[] = [];
  const errors: unknown[] = [];
  let reads = 0;
  const state = { data: { experiments } as unknown as PolicyData, nowMs: NOW };
  const watch = openExperimentWatch({
    policies: () => [state.data],
    reader: {
      arms: async () => {
        reads++;
        return readings();
      },
    },
    stops,
    onStop: (stop) => told.push(stop),
    onError: (error) => errors.push(error),
    intervalMs: 600_000,
    now: () => state.nowMs,
  });
  watches.push(watch);
  return { watch, told, errors, state, reads: () => reads };
};

describe('the watch of experiments', () => {
  test('stops an experiment whose guard is breached, tells of it once, and policies at once', async () => {
    const { watch, told } = watchOf(sharedStops(), { nano: experimentOf({ guards: GUARDS }) }, () => failing(60));
    await watch.look();
    await watch.look();
    expect(told).toMatchObject([{ experiment: 'nano', arm: 'haiku', guard: 'max_error_rate_increase', timeMs: NOW }]);
    expect(told[0]!.reason).toMatch(/haiku is worse by 60\.0 % \[.*\]; 5\.0 % is allowed\./);
    expect(watch.experiments()).toEqual({ nano: { stopped: true } });
  });

  test('lets one go on that keeps within its guards', async () => {
    const { watch, told } = watchOf(sharedStops(), { nano: experimentOf({ guards: GUARDS }) }, () => failing(3));
    await watch.look();
    expect(told).toEqual([]);
    expect(watch.experiments()).toEqual({});
  });

  test('gives the same object until something changes: it is asked for each request', async () => {
    const { watch } = watchOf(sharedStops(), { nano: experimentOf({ guards: GUARDS }) }, () => failing(60));
    await watch.look();
    expect(watch.experiments()).toBe(watch.experiments());
    expect(Object.isFrozen(watch.experiments())).toBe(true);
  });

  test('hears of a stop by another gateway, and tells nobody again', async () => {
    const stops = sharedStops();
    const experiments = { nano: experimentOf({ guards: GUARDS }) };
    const first = watchOf(stops, experiments, () => failing(60));
    await first.watch.look();
    const second = watchOf(stops, experiments, () => failing(60));
    await second.watch.look();
    expect(second.told).toEqual([]);
    expect(second.watch.experiments()).toEqual({ nano: { stopped: true } });
  });

  test('a stop outlives a store that goes away, and is not lost by a new title or end', async () => {
    const stops = sharedStops();
    const { watch, errors, state } = watchOf(stops, { nano: experimentOf({ guards: GUARDS }) }, () => failing(60));
    await watch.look();
    stops.isAway = true;
    await watch.look();
    expect(errors).toHaveLength(1);
    const longer = experimentOf({ guards: GUARDS, title: 'Again', end: '2026-12-24T00:00:00.000Z' });
    state.data = { experiments: { nano: longer } } as unknown as PolicyData;
    expect(watch.experiments()).toEqual({ nano: { stopped: true } });
  });

  test('a policy that brings back a stopped experiment finds it stopped at once', async () => {
    const stops = sharedStops();
    const experiments = { nano: experimentOf({ guards: GUARDS }) };
    await watchOf(stops, experiments, () => failing(60)).watch.look();
    const { watch, state } = watchOf(stops, {});
    await watch.look();
    state.data = { experiments } as unknown as PolicyData;
    expect(watch.experiments()).toEqual({ nano: { stopped: true } });
  });

  test('pauses the longer the longer a look takes, so that it leaves the store to others', async () => {
    let reads = 0;
    const watch = openExperimentWatch({
      policies: () => [{ experiments: { nano: experimentOf({ guards: GUARDS }) } } as unknown as PolicyData],
      reader: {
        arms: async () => {
          reads++;
          await new Promise((resolve) => setTimeout(resolve, 50));
          return [];
        },
      },
      stops: sharedStops(),
      onStop: () => {},
      onError: () => {},
      intervalMs: 1,
      now: () => NOW,
    });
    watches.push(watch);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(reads).toBe(1);
  });

  test('an arm that costs something where control is free is beyond any share of it', async () => {
    const costs = (arm: string, cost: number) =>
      armOf(arm, 100, { cost: Array.from({ length: 100 }, () => [cost, 1] as const) });
    const experiments = { nano: experimentOf({ guards: { max_cost_increase: 0.1 } }) };
    const free = watchOf(sharedStops(), experiments, () => [costs('control', 0), costs('haiku', 0)]);
    await free.watch.look();
    expect(free.told).toEqual([]);
    const { watch, told } = watchOf(sharedStops(), experiments, () => [costs('control', 0), costs('haiku', 500)]);
    await watch.look();
    expect(told).toMatchObject([
      { guard: 'max_cost_increase', reason: expect.stringMatching(/control has none; 10\.0 % of control /) },
    ]);
  });

  test('one that was changed starts anew', async () => {
    const { watch, state } = watchOf(sharedStops(), { nano: experimentOf({ guards: GUARDS }) }, () => failing(60));
    await watch.look();
    state.data = { experiments: { nano: experimentOf({ guards: GUARDS, salt: 8 }) } } as unknown as PolicyData;
    expect(watch.experiments()).toEqual({});
  });

  test('reads nothing of one that has no guards, has not begun or has ended', async () => {
    const { watch, state, reads } = watchOf(sharedStops(), { nano: experimentOf() });
    await watch.look();
    state.data = { experiments: { nano: experimentOf({ guards: GUARDS }) } } as unknown as PolicyData;
    state.nowMs = Date.UTC(2026, 9, 31);
    await watch.look();
    state.nowMs = Date.UTC(2026, 11, 1);
    await watch.look();
    expect(reads()).toBe(0);
  });
});

describe('definitionOf', () => {
  test('is the same in whichever order the data has it', () => {
    const { title, unit, salt, ...rest } = experimentOf();
    const turned = { salt, unit, ...rest, arms: { haiku: rest.arms.haiku!, control: rest.arms.control }, title };
    expect(definitionOf(turned)).toBe(definitionOf(experimentOf()));
  });

  test.each([
    ['the salt', { salt: 8 }],
    ['the unit', { unit: 'session' }],
    ['the start', { start: '2026-11-02T00:00:00.000Z' }],
    ['a share', { arms: { control: { share: 40 }, haiku: { share: 50, model: 'claude-haiku-5-5' } } }],
    ['who takes part', { organizations: { acme: true } }],
  ] as const)('is another after a change of %s', (_what, more) => {
    expect(definitionOf(experimentOf(more as Partial<Experiment>))).not.toBe(definitionOf(experimentOf()));
  });
});
