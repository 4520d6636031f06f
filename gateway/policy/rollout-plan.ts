import type { Rollout } from '../types.gen.ts';
import { sha256 } from './bundle.ts';
import type { RolloutStage } from './rollout-state.ts';

/** What requests are drawn by: the names of the input's buckets. */
export type DrawnBy = NonNullable<Rollout['by']>;

/** One stage of a rollout. */
export interface PlannedStep {
  readonly stage: RolloutStage;
  /** Share of the requests that the candidate decides, percent: 0 in shadow, 100 in full. */
  readonly percent: number;
  /** How long it must have lasted before the next one begins. */
  readonly holdMs: number;
}

/** The guards of schemas/rollout.json with their defaults; null is off. */
export interface Guards {
  readonly windowMs: number;
  readonly minRequests: number;
  readonly maxDenyRateIncrease: number | null;
  readonly maxErrorRateIncrease: number | null;
  readonly maxFallbackRateIncrease: number | null;
  readonly maxEvaluationP99Ms: number | null;
  readonly maxCostIncrease: number | null;
  readonly maxPolicyErrors: number | null;
}

/** A rollout as a gateway carries it out. */
export interface RolloutPlan {
  /** The same for the same desired state and the same two bundles, whatever the file's comments. */
  readonly key: string;
  /** The stage of the file, then those that follow by themselves. */
  readonly steps: readonly [PlannedStep, ...PlannedStep[]];
  readonly by: DrawnBy;
  readonly guards: Guards;
  /** Share of one processor that deciding twice may take. */
  readonly compareCpuShare: number;
}

const PERCENT = 5;
const HOLD_S = 900;

/** The plan of a checked rollout whose file names a candidate and a stage. Throws an Error when it does not. */
export const planOf = (desired: Rollout, stableDigest: string, candidateDigest: string): RolloutPlan => {
  const { stage, candidate, percent = PERCENT, hold_s: holdS = HOLD_S, next = [] } = desired;
  if (stage === undefined || candidate === undefined) throw new Error('rollout.yaml: a candidate needs a stage');
  const step = (of: { stage: RolloutStage; percent?: number; hold_s?: number }): PlannedStep => ({
    stage: of.stage,
    percent: of.stage === 'shadow' ? 0 : of.stage === 'full' ? 100 : (of.percent ?? percent),
    holdMs: (of.hold_s ?? holdS) * 1000,
  });
  return {
    key: keyOf(desired, stableDigest, candidateDigest),
    steps: [step({ stage }), ...next.map(step)],
    by: desired.by ?? 'user',
    guards: guardsOf(desired.guards ?? {}),
    compareCpuShare: desired.compare_cpu_share ?? 0.1,
  };
};

/** The guards of a rollout file, its defaults filled in. */
export const guardsOf = (guards: NonNullable<Rollout['guards']>): Guards => {
  const or = (value: number | null | undefined, preset: number): number | null =>
    value === undefined ? preset : value;
  return {
    windowMs: (guards.window_s ?? 300) * 1000,
    minRequests: guards.min_requests ?? 100,
    maxDenyRateIncrease: or(guards.max_deny_rate_increase, 0.01),
    maxErrorRateIncrease: or(guards.max_error_rate_increase, 0.02),
    maxFallbackRateIncrease: or(guards.max_fallback_rate_increase, 0.05),
    maxEvaluationP99Ms: or(guards.max_evaluation_p99_ms, 10),
    maxCostIncrease: or(guards.max_cost_increase, 0.25),
    maxPolicyErrors: or(guards.max_policy_errors, 2),
  };
};

const keyOf = ({ $schema: _, ...desired }: Rollout, stableDigest: string, candidateDigest: string): string =>
  sha256(JSON.stringify([sorted(desired), stableDigest, candidateDigest]));

/** The same value with the names of its objects in order. */
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner)]),
  );
};
