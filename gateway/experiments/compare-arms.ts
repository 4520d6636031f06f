import { compareSequentially, type RatioEstimate } from '../evaluate/statistics/sequential.ts';
import type { ArmReading, MetricName } from '../store/experiment-readings.ts';
import type { Experiment, ExperimentGuards } from '../types.gen.ts';
import type { ArmMetric, Difference, GuardReport } from './experiment-report.ts';
import { ratioOfMoments } from './ratio-of-moments.ts';

/** The chance that an experiment without a difference ever shows one, and that its guards ever stop it. */
export const ALPHA = 0.05;

export const CONTROL = 'control';

const SHARES: ReadonlySet<MetricName> = new Set(['errors', 'refusals', 'feedback']);

/** A metric of an arm; undefined where there is too little of it. */
export const estimateOf = (reading: ArmReading | undefined, metric: MetricName): RatioEstimate | undefined =>
  reading && ratioOfMoments(reading.metrics[metric], { isShare: SHARES.has(metric) });

/** The arms of an experiment in the order of their names, control first. */
export const armsOf = (experiment: Experiment): string[] => [
  CONTROL,
  ...Object.keys(experiment.arms)
    .filter((name) => name !== CONTROL)
    .sort(),
];

/** A metric of each arm, compared with control. The error is shared by the treatments, after Bonferroni. */
export const metricOf = (
  experiment: Experiment,
  readings: ReadonlyMap<string, ArmReading>,
  metric: MetricName,
): ArmMetric[] => {
  const arms = armsOf(experiment);
  const alpha = ALPHA / (arms.length - 1);
  const control = estimateOf(readings.get(CONTROL), metric);
  return arms.map((arm) => {
    const moments = readings.get(arm)?.metrics[metric];
    return {
      arm,
      value: moments && moments.c > 0 ? moments.s / moments.c : null,
      units: moments?.units ?? 0,
      count: moments?.c ?? 0,
      against_control: arm === CONTROL ? null : differenceOf(control, estimateOf(readings.get(arm), metric), alpha),
    };
  });
};

const differenceOf = (
  control: RatioEstimate | undefined,
  treatment: RatioEstimate | undefined,
  alpha: number,
): Difference | null => {
  const compared = compareSequentially(control, treatment, alpha);
  if (!compared) return null;
  const { difference, low, high, pValue } = compared;
  return { difference, low, high, p_value: pValue, alpha };
};

/** What each guard watches: `isRelative` to control's value, `worse` the sign of a change for the worse. */
const GUARDS: Readonly<
  Record<keyof ExperimentGuards, { readonly metric: MetricName; readonly isRelative: boolean; readonly worse: 1 | -1 }>
> = {
  max_error_rate_increase: { metric: 'errors', isRelative: false, worse: 1 },
  max_refusal_rate_increase: { metric: 'refusals', isRelative: false, worse: 1 },
  max_cost_increase: { metric: 'cost', isRelative: true, worse: 1 },
  max_latency_increase: { metric: 'latency', isRelative: true, worse: 1 },
  max_score_decrease: { metric: 'score', isRelative: false, worse: -1 },
};

/**
 * What the guards read of each treatment. One is breached when the whole interval lies beyond what is allowed; all of an
 * experiment's comparisons share the error, so that a good treatment is stopped in one of twenty experiments at most.
 */
export const guardsOf = (experiment: Experiment, readings: ReadonlyMap<string, ArmReading>): GuardReport[] => {
  const limits = Object.entries(experiment.guards ?? {}) as [keyof ExperimentGuards, number][];
  const treatments = armsOf(experiment).slice(1);
  const alpha = ALPHA / Math.max(1, limits.length * treatments.length);
  return treatments.flatMap((arm) =>
    limits.map(([guard, limit]) => ({ guard, arm, limit, ...guardReading(readings, arm, guard, limit, alpha) })),
  );
};

type GuardReading = Omit<GuardReport, 'guard' | 'arm' | 'limit'>;

const guardReading = (
  readings: ReadonlyMap<string, ArmReading>,
  arm: string,
  guard: keyof ExperimentGuards,
  limit: number,
  alpha: number,
): GuardReading => {
  const { metric, isRelative, worse } = GUARDS[guard];
  const control = estimateOf(readings.get(CONTROL), metric);
  const treatment = estimateOf(readings.get(arm), metric);
  // A relative limit is compared with control at its limit, so that what is not known of control counts.
  const factor = isRelative ? 1 + limit : 1;
  const compared = compareSequentially(control && scaled(control, factor), treatment, alpha);
  if (!control || !compared) return UNREAD;
  // Of nothing there is no share: where control is free, whatever an arm costs is beyond every limit.
  if (isRelative && control.estimate === 0) return { ...UNREAD, is_breached: compared.low > 0 };
  const unit = isRelative ? control.estimate : 1;
  const offset = isRelative ? limit : 0;
  const [from, to] = [compared.low * worse, compared.high * worse].sort((a, b) => a - b) as [number, number];
  const low = offset + from / unit;
  return {
    worse_by: offset + (compared.difference * worse) / unit,
    low,
    high: offset + to / unit,
    is_breached: isRelative ? from > 0 : low > limit,
  };
};

const UNREAD: GuardReading = { worse_by: null, low: null, high: null, is_breached: false };

const scaled = (ratio: RatioEstimate, factor: number): RatioEstimate => ({
  ...ratio,
  estimate: ratio.estimate * factor,
  variance: ratio.variance * factor ** 2,
});
