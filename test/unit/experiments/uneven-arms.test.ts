import { expect, test } from '@jest/globals';
import { createRandom } from '../../../gateway/evaluate/statistics/random.ts';
import { judgeExperiment } from '../../../gateway/experiments/judge-experiment.ts';
import type { MetricName, Moments } from '../../../gateway/store/experiment-readings.ts';
import type { Experiment } from '../../../gateway/types.gen.ts';
import { armOf, experimentOf } from '../../support/experiments.ts';

// Arms that do not differ, one of them small: before it has met what is rare, it looks better and surer than it is.

const RUNS = 200;
const UNITS = 1_500;
const LOOK_EVERY = 20;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const add = (moments: Mutable<Moments>, s: number, c: number): void => {
  moments.units++;
  moments.s += s;
  moments.c += c;
  moments.ss += s * s;
  moments.sc += s * c;
  moments.cc += c * c;
};

const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** What one unit brings: `[s, c]`. */
type Draw = (random: () => number) => readonly [number, number];

/** A user comes a few times, and few of the calls cost most of the money. */
const skewedCost: Draw = (random) => {
  const calls = 1 + Math.floor(-Math.log(1 - random()) * 3);
  const habit = Math.exp(normal(random) * 0.7);
  let spent = 0;
  for (let at = 0; at < calls; at++) spent += 100 * habit * Math.exp(normal(random) * 1.5);
  return [spent, calls];
};
const thumbs: Draw = (random) => [random() < 0.95 ? 1 : 0, 1];

/** The verdicts other than "keep running", each of the first look that has one. */
const alarms = (experiment: Experiment, metric: MetricName, draw: Draw): string[] => {
  const said: string[] = [];
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = createRandom(seed);
    const names = Object.keys(experiment.arms);
    const bounds = names.map((_name, last) =>
      names.slice(0, last + 1).reduce((sum, name) => sum + experiment.arms[name]!.share, 0),
    );
    const arms = new Map(names.map((name) => [name, { ...armOf(name, 0, {}) } as Mutable<ReturnType<typeof armOf>>]));
    for (let unit = 1; unit <= UNITS; unit++) {
      const at = random() * 100;
      const name = names.find((_arm, index) => at < bounds[index]!)!;
      const arm = arms.get(name)!;
      arm.units++;
      add(arm.metrics[metric], ...draw(random));
      if (unit % LOOK_EVERY > 0) continue;
      const evidence = { id: 'x', experiment, readings: [...arms.values()], stop: undefined };
      const { verdict } = judgeExperiment({ ...evidence, nowMs: Date.UTC(2026, 10, 20) });
      if (verdict.kind === 'keep_running') continue;
      said.push(verdict.text);
      break;
    }
  }
  return said;
};

const tenth = { control: { share: 90 }, haiku: { share: 10 } };
const three = { control: { share: 80 }, haiku: { share: 10 }, nano: { share: 10 } };

test.each([
  ['thumbs, nearly all up, with an arm of a tenth', tenth, 'score', 'higher', thumbs],
  ['thumbs with two arms of a tenth', three, 'score', 'higher', thumbs],
  ['costs that few calls make, with an arm of a tenth', tenth, 'cost', 'lower', skewedCost],
  ['costs that few calls make, with two arms of a tenth', three, 'cost', 'lower', skewedCost],
] as const)('%s raise a false alarm in fewer than 5 %% of experiments', (_what, arms, name, better, draw) => {
  const said = alarms(experimentOf({ arms, metric: { name, better } }), name, draw);
  expect(said.length / RUNS).toBeLessThan(0.05);
});
