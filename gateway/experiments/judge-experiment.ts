import { testSampleRatio } from '../evaluate/statistics/sample-ratio.ts';
import { definitionOf } from '../experiment.ts';
import { type ArmReading, METRIC_NAMES } from '../store/experiment-readings.ts';
import type { ExperimentStop } from '../store/experiment-stops.ts';
import type { Experiment } from '../types.gen.ts';
import { armsOf, guardsOf, metricOf } from './compare-arms.ts';
import type { ExperimentReport } from './experiment-report.ts';
import { type Judged, verdictOf } from './verdict.ts';

/** What an experiment is judged by. */
export interface Evidence {
  readonly id: string;
  readonly experiment: Experiment;
  readonly readings: readonly ArmReading[];
  readonly stop: ExperimentStop | undefined;
  readonly nowMs: number;
}

/** An experiment as it stands: exposure, sample ratio, each metric, guards and a verdict. Pure. */
export const judgeExperiment = ({ id, experiment, readings, stop, nowMs }: Evidence): ExperimentReport => {
  const byArm = new Map(readings.map((reading) => [reading.arm, reading]));
  const exposure = armsOf(experiment).map((arm) => ({
    arm,
    share: experiment.arms[arm]?.share ?? 0,
    units: byArm.get(arm)?.units ?? 0,
    requests: byArm.get(arm)?.requests ?? 0,
  }));
  const { pValue, isMismatch } = testSampleRatio(
    exposure.map(({ units }) => units),
    exposure.map(({ share }) => share),
  );
  const judged: Judged = {
    id,
    title: experiment.title,
    definition: definitionOf(experiment),
    unit: experiment.unit,
    start: experiment.start,
    end: experiment.end,
    state: stateOf(experiment, stop, nowMs),
    stopped: stop
      ? { time: new Date(stop.timeMs).toISOString(), arm: stop.arm, guard: stop.guard, reason: stop.reason }
      : null,
    exposure,
    sample_ratio: { p_value: pValue, is_mismatch: isMismatch },
    primary: { metric: experiment.metric.name, better: experiment.metric.better },
    metrics: METRIC_NAMES.map((metric) => ({ metric, arms: metricOf(experiment, byArm, metric) })),
    guards: guardsOf(experiment, byArm),
  };
  return { ...judged, verdict: verdictOf(experiment, byArm, judged, nowMs) };
};

/** Whether an experiment takes anybody at this time, by its data alone. */
export const isRunning = ({ start, end }: Experiment, nowMs: number): boolean =>
  Date.parse(start) <= nowMs && nowMs < Date.parse(end);

const stateOf = (
  experiment: Experiment,
  stop: ExperimentStop | undefined,
  nowMs: number,
): ExperimentReport['state'] => {
  if (stop) return 'stopped';
  if (isRunning(experiment, nowMs)) return 'running';
  return nowMs < Date.parse(experiment.start) ? 'scheduled' : 'ended';
};
