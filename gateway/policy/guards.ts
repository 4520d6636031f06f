import type { RolloutGuards } from '../types.gen.ts';
import { evaluationQuantileMs, evaluationsAbove, evaluationsIn } from './readings.ts';
import type { Guards } from './rollout-plan.ts';
import type { ArmReadings, Readings, RolloutStage } from './rollout-state.ts';
import { isPairedIncreaseAbove, isRatioAbove, rateIncreaseLower, wilson } from './significance.ts';

/** A guard by its name in schemas/rollout.json. */
export type GuardName = Exclude<keyof RolloutGuards, 'window_s' | 'min_requests'>;

/**
 * What a guard says: off; waiting for samples; not_judged where it has nothing to compare with; within its maximum; above it
 * where that may still be chance; breached.
 */
export type GuardVerdict = 'off' | 'waiting' | 'not_judged' | 'within' | 'above' | 'breached';

/** A guard's reading on all gateways together. */
export interface GuardReading {
  readonly guard: GuardName;
  readonly verdict: GuardVerdict;
  /** In the unit of the guard: a share, milliseconds, or a count; null where nothing was measured. */
  readonly value: number | null;
  readonly max: number | null;
  /** How many requests it is measured on. */
  readonly samples: number;
  /** A sentence with the figures. */
  readonly reason: string;
  /** The kind of examples in the readings that show it. */
  readonly shownBy: string;
}

/** Where the rollout stands. */
export interface GuardContext {
  readonly stage: RolloutStage;
  /** What stable came to before `full`. */
  readonly baseline: ArmReadings | null;
}

/** Callers whom the candidate must fail before it counts: none can cause a rollback alone. */
const POLICY_ERROR_CALLERS = 3;
const P99 = 0.99;

/** Judges all guards on what all gateways measured. Pure: the same for who rolls back and for who shows it. */
export const judgeGuards = (readings: Readings, guards: Guards, context: GuardContext): GuardReading[] => [
  judgeDenials(readings, guards),
  judgeRate('max_error_rate_increase', 'errors', readings, guards, context),
  judgeRate('max_fallback_rate_increase', 'fallbacks', readings, guards, context),
  judgeEvaluations(readings, guards),
  judgeCost(readings, guards),
  judgePolicyErrors(readings, guards),
];

/** What a guard has measured; `isSure` when that it is above the maximum is more than chance. */
interface Measured {
  readonly value: number;
  readonly samples: number;
  readonly isSure: boolean;
  readonly reason: string;
}

const judged = (
  { guard, shownBy }: Pick<GuardReading, 'guard' | 'shownBy'>,
  max: number | null,
  measured: Measured | string,
  minRequests: number,
): GuardReading => {
  if (max === null) {
    return { guard, shownBy, max, verdict: 'off', value: null, samples: 0, reason: 'Switched off.' };
  }
  if (typeof measured === 'string') {
    return { guard, shownBy, max, verdict: 'not_judged', value: null, samples: 0, reason: measured };
  }
  const { value, samples, isSure, reason } = measured;
  const verdict = samples < minRequests ? 'waiting' : value <= max ? 'within' : isSure ? 'breached' : 'above';
  return { guard, shownBy, max, verdict, value, samples, reason };
};

const judgeDenials = ({ compared }: Readings, guards: Guards): GuardReading => {
  const { compared: samples, newlyDenied, newlyAllowed } = compared;
  const value = samples > 0 ? (newlyDenied - newlyAllowed) / samples : 0;
  const measured: Measured = {
    value,
    samples,
    isSure: isPairedIncreaseAbove(newlyDenied, newlyAllowed, samples, guards.maxDenyRateIncrease ?? 0),
    reason: `Of ${samples} requests that both bundles decided, the candidate refuses ${newlyDenied} that stable allows, and allows ${newlyAllowed} that stable refuses: ${percent(value)} more denials.`,
  };
  const who = { guard: 'max_deny_rate_increase', shownBy: 'newly_denied' } as const;
  return judged(who, guards.maxDenyRateIncrease, measured, guards.minRequests);
};

const judgeRate = (
  guard: 'max_error_rate_increase' | 'max_fallback_rate_increase',
  counted: 'errors' | 'fallbacks',
  { stable, candidate }: Readings,
  guards: Guards,
  { stage, baseline }: GuardContext,
): GuardReading => {
  const isErrors = counted === 'errors';
  const max = isErrors ? guards.maxErrorRateIncrease : guards.maxFallbackRateIncrease;
  const who = { guard, shownBy: isErrors ? 'failed' : 'fallback' } as const;
  if (stage === 'shadow') return judged(who, max, 'In shadow the candidate gives no answers.', 0);
  const other = stage === 'full' ? baseline : stable;
  if (other === null || other.answers === 0) {
    const reason =
      stage === 'full'
        ? 'No answers under stable are known from before the stage full.'
        : 'Stable gave no answers to compare with.';
    return judged(who, max, reason, 0);
  }
  const ours = { count: candidate[counted], of: candidate.answers };
  const theirs = { count: other[counted], of: other.answers };
  const value = shareOf(ours) - shareOf(theirs);
  const what = isErrors ? 'failed or broke off' : 'came from another model than the first';
  const when = stage === 'full' ? ' before the stage full' : '';
  const measured: Measured = {
    value,
    samples: candidate.requests,
    isSure: rateIncreaseLower(ours, theirs) > (max ?? 0),
    reason: `Of ${ours.of} answers under the candidate ${ours.count} ${what}, of ${theirs.of} under stable${when} ${theirs.count}: ${percent(value)} more.`,
  };
  return judged(who, max, measured, guards.minRequests);
};

const judgeEvaluations = ({ evaluations }: Readings, guards: Guards): GuardReading => {
  const max = guards.maxEvaluationP99Ms;
  const samples = evaluationsIn(evaluations);
  const value = evaluationQuantileMs(evaluations, P99) ?? 0;
  const above = max === null ? 0 : evaluationsAbove(evaluations, max);
  const measured: Measured = {
    value,
    samples,
    // More than one in a hundred is above the maximum, and not by chance.
    isSure: wilson({ count: above, of: samples }).lower > 1 - P99,
    reason: `Of ${samples} evaluations of the candidate ${above} took longer than ${max} ms; 99 in 100 took at most ${value.toFixed(2)} ms.`,
  };
  return judged({ guard: 'max_evaluation_p99_ms', shownBy: 'slow' }, max, measured, guards.minRequests);
};

const judgeCost = ({ compared }: Readings, guards: Guards): GuardReading => {
  const { costed: n, stableCostMicroUsd: x, candidateCostMicroUsd: y } = compared;
  const sums = {
    n,
    x,
    y,
    xx: compared.stableCostSquares,
    yy: compared.candidateCostSquares,
    xy: compared.costProducts,
  };
  const max = guards.maxCostIncrease;
  // What was free has no increase in percent: that it costs at all is told as if it had cost a millionth of a dollar.
  const value = n > 0 ? (y - x) / Math.max(1, x) : 0;
  const measured: Measured = {
    value,
    samples: n,
    isSure: isRatioAbove(sums, 1 + (max ?? 0)),
    reason: `${n} answers cost ${usd(x)} by stable's first models and prices and ${usd(y)} by the candidate's: ${percent(value)} more.`,
  };
  return judged({ guard: 'max_cost_increase', shownBy: 'dearer' }, max, measured, guards.minRequests);
};

const judgePolicyErrors = ({ compared }: Readings, guards: Guards): GuardReading => {
  const { policyErrors, policyErrorCallers, compared: samples } = compared;
  const measured: Measured = {
    value: policyErrors,
    samples,
    isSure: policyErrorCallers.length >= POLICY_ERROR_CALLERS,
    reason: `The candidate could not decide ${policyErrors} requests of ${policyErrorCallers.length} callers that stable could decide.`,
  };
  return judged({ guard: 'max_policy_errors', shownBy: 'policy_error' }, guards.maxPolicyErrors, measured, 0);
};

const shareOf = ({ count, of }: { count: number; of: number }): number => (of > 0 ? count / of : 0);

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

const usd = (microUsd: number): string => `${(microUsd / 1_000_000).toFixed(4)} USD`;
