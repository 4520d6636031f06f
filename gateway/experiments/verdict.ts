import { compareSequentially, LEAST_UNITS, type RatioEstimate } from '../evaluate/statistics/sequential.ts';
import type { ArmReading } from '../store/experiment-readings.ts';
import type { Experiment } from '../types.gen.ts';
import { ALPHA, armsOf, CONTROL, estimateOf } from './compare-arms.ts';
import type { ExperimentReport, Verdict } from './experiment-report.ts';
import { formatDifference, formatLength } from './format-values.ts';

/** What a verdict rests on. */
export type Judged = Omit<ExperimentReport, 'verdict'>;

/**
 * What to do about an experiment, in a plain sentence. The order is that of trust: counts that do not match come before any
 * metric, a guard before the primary metric, a winner before losers.
 */
export const verdictOf = (
  experiment: Experiment,
  readings: ReadonlyMap<string, ArmReading>,
  judged: Judged,
  nowMs: number,
): Verdict => {
  if (judged.sample_ratio.is_mismatch) return mismatch(judged);
  if (judged.stopped) {
    const { arm, guard, reason } = judged.stopped;
    return said('stopped_by_guard', arm, `Stopped by the guard ${guard}; everybody is in control. ${reason}`);
  }
  const breached = judged.guards.find(({ is_breached }) => is_breached);
  if (breached) {
    return said('stop_worse', breached.arm, `Stop: ${breached.arm} is beyond the guard ${breached.guard}.`);
  }
  if (judged.state === 'scheduled') return said('wait', null, `It begins ${judged.start}.`);
  return byPrimary(experiment, readings, judged, nowMs);
};

const said = (kind: Verdict['kind'], arm: string | null, text: string): Verdict => ({ kind, arm, text });

const mismatch = ({ exposure, sample_ratio: { p_value } }: Judged): Verdict =>
  said(
    'do_not_trust',
    null,
    `Do not trust it: sample ratio mismatch. The arms have ${exposure.map(({ arm, units }) => `${arm} ${units}`).join(', ')} units, which shares of ${exposure.map(({ share }) => `${share} %`).join(', ')} give by chance at most once in ${Math.round(1 / Math.max(p_value, 1e-12)).toLocaleString('en-US')} times. Something loses requests of one arm, or its callers leave; find it before you read a metric.`,
  );

const byPrimary = (
  experiment: Experiment,
  readings: ReadonlyMap<string, ArmReading>,
  judged: Judged,
  nowMs: number,
): Verdict => {
  const { metric, better } = judged.primary;
  const sign = better === 'higher' ? 1 : -1;
  const arms = judged.metrics.find((row) => row.metric === metric)?.arms ?? [];
  const compared = arms.flatMap(({ arm, against_control: by }) => (by ? [{ arm, by }] : []));
  const winner = compared
    .filter(({ by }) => Math.min(by.low * sign, by.high * sign) > 0)
    .sort((a, b) => (b.by.difference - a.by.difference) * sign)[0];
  if (winner) {
    return said(
      'ship',
      winner.arm,
      `Ship ${winner.arm}: its ${metric} is better, ${formatDifference(metric, winner.by)}.`,
    );
  }
  const treatments = armsOf(experiment).length - 1;
  const worse = compared.filter(({ by }) => Math.max(by.low * sign, by.high * sign) < 0);
  if (worse.length === treatments && worse[0]) {
    const each = worse.map(({ arm, by }) => `${arm} is worse, ${metric} ${formatDifference(metric, by)}`);
    return said('stop_worse', worse[0].arm, `Stop: ${each.join('; ')}.`);
  }
  if (judged.state === 'ended') {
    const each = compared.map(({ arm, by }) => `${arm} ${formatDifference(metric, by)}`);
    const what = each.length > 0 ? `Of ${metric}: ${each.join('; ')}.` : 'There was too little to compare.';
    return said('stop_no_difference', null, `Stop: it has ended without a difference that is certain. ${what}`);
  }
  return said('keep_running', null, `Keep running: ${whyOn(experiment, readings, judged, nowMs)}`);
};

/** Why it goes on, and for about how long if what it shows now holds. */
const whyOn = (
  experiment: Experiment,
  readings: ReadonlyMap<string, ArmReading>,
  { exposure, primary: { metric }, end }: Judged,
  nowMs: number,
): string => {
  const control = estimateOf(readings.get(CONTROL), metric);
  const alpha = ALPHA / (armsOf(experiment).length - 1);
  const treatments = armsOf(experiment)
    .slice(1)
    .map((arm) => estimateOf(readings.get(arm), metric));
  const fewest = Math.min(...[control, ...treatments].map((ratio) => ratio?.units ?? 0));
  if (fewest < LEAST_UNITS) {
    const scores = metric === 'score' ? ' with a score' : '';
    return `an arm has ${fewest} units${scores}; below ${LEAST_UNITS} nothing is compared.`;
  }
  const factors = treatments.flatMap((treatment) => factorNeeded(control, treatment, alpha) ?? []);
  const why = `no difference of ${metric} is certain yet.`;
  if (factors.length === 0) return `${why} How long it takes cannot be said: what it shows now is close to nothing.`;
  const units = exposure.reduce((sum, arm) => sum + arm.units, 0);
  const more = Math.ceil(units * (Math.min(...factors) - 1));
  const sinceMs = Math.min(...[...readings.values()].map(({ firstMs }) => firstMs));
  const leftMs = (more / units) * Math.max(0, nowMs - sinceMs);
  const about = `About ${more.toLocaleString('en-US')} more units would do, ${formatLength(leftMs)} at this pace, if the difference is what it is now`;
  return `${why} ${about}${nowMs + leftMs > Date.parse(end) ? `; it ends before that (${end})` : ''}.`;
};

/** How often as many units would make the difference certain; undefined where more than a hundred times would be needed. */
const factorNeeded = (
  control: RatioEstimate | undefined,
  treatment: RatioEstimate | undefined,
  alpha: number,
): number | undefined => {
  for (let factor = 1.1; factor <= MOST_TIMES; factor *= 1.1) {
    const compared = compareSequentially(grown(control, factor), grown(treatment, factor), alpha);
    if (compared && compared.low * compared.high > 0) return factor;
  }
  return undefined;
};

const MOST_TIMES = 100;

const grown = (ratio: RatioEstimate | undefined, factor: number): RatioEstimate | undefined =>
  ratio && { ...ratio, units: ratio.units * factor, variance: ratio.variance / factor };
