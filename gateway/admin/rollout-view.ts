import { type GuardReading, judgeGuards } from '../policy/guards.ts';
import { sumReadings } from '../policy/readings.ts';
import { isFresh } from '../policy/replica-exchange.ts';
import type { PlannedStep, RolloutPlan } from '../policy/rollout-plan.ts';
import type { ArmReadings, ComparedReadings, Readings, ReplicaReport, RolloutState } from '../policy/rollout-state.ts';
import { waitsFor } from '../policy/waits-for.ts';
import type { BundleRef, Rollout } from '../types.gen.ts';

/** What a view is made of. */
export interface RolloutSeen {
  /** Null where it cannot be read. */
  readonly desired: Rollout | null;
  /** Null without a candidate, and where it cannot be read. */
  readonly plan: RolloutPlan | null;
  /** Undefined where no gateway began it. */
  readonly state: RolloutState | undefined;
  /** Of all gateways that are remembered. */
  readonly reports: readonly ReplicaReport[];
  readonly nowMs: number;
}

/** A rollout as it is shown, in the words of the API. Times are RFC 3339. */
export interface RolloutView {
  readonly desired: Rollout | null;
  readonly rollout: RolloutProgress | null;
  readonly guards: readonly GuardView[];
  readonly readings: ReadingsView | null;
  readonly replicas: readonly ReplicaView[];
}

export interface RolloutProgress {
  readonly key: string;
  /** `waiting`: no gateway began it yet. */
  readonly stage: PlannedStep['stage'] | 'rolled_back' | 'waiting';
  readonly percent: number | null;
  readonly by: RolloutPlan['by'];
  /** From 0. */
  readonly step: number;
  readonly steps: readonly {
    readonly stage: PlannedStep['stage'];
    readonly percent: number;
    readonly hold_s: number;
  }[];
  readonly since: string | null;
  readonly held_s: number | null;
  readonly next: NextView | null;
  readonly rolled_back: RollbackView | null;
}

export interface NextView {
  readonly stage: PlannedStep['stage'];
  readonly percent: number;
  readonly not_before: string;
  /** Why it may not come yet, but for the time; null when that is all. */
  readonly waits_for: string | null;
}

export interface RollbackView {
  readonly time: string;
  readonly guard: string;
  readonly reason: string;
  readonly decision_ids: readonly string[];
  readonly replica: string;
}

export type GuardView = Pick<GuardReading, 'guard' | 'verdict' | 'value' | 'max' | 'samples' | 'reason'>;

/** What one bundle's requests came to. */
export interface ArmView {
  readonly requests: number;
  readonly denied: number;
  readonly answers: number;
  readonly errors: number;
  readonly fallbacks: number;
  readonly cost_micro_usd: number;
}

/** What was measured in the window of the guards. */
export interface ReadingsView {
  readonly window_s: number;
  readonly stable: ArmView;
  readonly candidate: ArmView;
  readonly compared: {
    readonly compared: number;
    readonly skipped: number;
    readonly newly_denied: number;
    readonly newly_allowed: number;
    readonly model_moved: number;
    readonly otherwise: number;
    readonly policy_errors: number;
    readonly examples: ComparedReadings['examples'];
  };
}

export interface ReplicaView {
  readonly replica: string;
  readonly updated: string;
  readonly age_s: number;
  /** Whether it has said something lately. */
  readonly is_fresh: boolean;
  readonly stable: BundleRef | null;
  readonly candidate: BundleRef | null;
  readonly stage: ReplicaReport['stage'];
  readonly percent: number | null;
  /** Whether it is in the rollout that is desired; null where that is not known. */
  readonly is_converged: boolean | null;
  readonly problem: string | null;
  readonly readings: Omit<ReadingsView, 'window_s'> | null;
}

/** Shows a rollout: pure, and by the judgement that gateways act on. */
export const viewRollout = ({ desired, plan, state, reports, nowMs }: RolloutSeen): RolloutView => {
  const replicas = reports.map((report) => replicaOf(report, desired, plan, nowMs));
  if (!plan) return { desired, rollout: null, guards: [], readings: null, replicas };
  const step = plan.steps[state?.step ?? 0] ?? plan.steps[0];
  const readings = sumReadings(
    reports.flatMap((report) => (isOf(report, plan, step, nowMs) && report.readings ? [report.readings] : [])),
  );
  const isRunning = state !== undefined && state.rolledBack === null;
  const guards = isRunning ? judgeGuards(readings, plan.guards, { stage: step.stage, baseline: state.baseline }) : [];
  return {
    desired,
    rollout: progressOf(plan, state, step, readings, guards, nowMs),
    guards: guards.map(({ shownBy: _, ...guard }) => guard),
    readings: isRunning ? { window_s: plan.guards.windowMs / 1000, ...readingsOf(readings) } : null,
    replicas,
  };
};

/** Gateways add up what was measured in the same step of the same rollout. */
const isOf = (report: ReplicaReport, { key }: RolloutPlan, { stage, percent }: PlannedStep, nowMs: number): boolean =>
  isFresh(report, nowMs) && report.key === key && report.stage === stage && report.percent === percent;

const progressOf = (
  plan: RolloutPlan,
  state: RolloutState | undefined,
  step: PlannedStep,
  readings: Readings,
  guards: readonly GuardReading[],
  nowMs: number,
): RolloutProgress => {
  const following = state && !state.rolledBack ? plan.steps[state.step + 1] : undefined;
  const back = state?.rolledBack ?? null;
  return {
    key: plan.key,
    stage: back ? 'rolled_back' : state ? step.stage : 'waiting',
    percent: back ? 0 : state ? step.percent : null,
    by: plan.by,
    step: state?.step ?? 0,
    steps: plan.steps.map(({ stage, percent, holdMs }) => ({ stage, percent, hold_s: holdMs / 1000 })),
    since: state ? isoOf(state.sinceMs) : null,
    held_s: state ? Math.max(0, Math.floor((nowMs - state.sinceMs) / 1000)) : null,
    next:
      state && following
        ? {
            stage: following.stage,
            percent: following.percent,
            not_before: isoOf(state.sinceMs + step.holdMs),
            waits_for: waitsFor(plan, step, readings, guards),
          }
        : null,
    rolled_back: back && {
      time: back.time,
      guard: back.guard,
      reason: back.reason,
      decision_ids: back.decisionIds,
      replica: back.replica,
    },
  };
};

const replicaOf = (
  report: ReplicaReport,
  desired: Rollout | null,
  plan: RolloutPlan | null,
  nowMs: number,
): ReplicaView => ({
  replica: report.replica,
  updated: isoOf(report.updatedMs),
  age_s: Math.max(0, Math.round((nowMs - report.updatedMs) / 1000)),
  is_fresh: isFresh(report, nowMs),
  stable: report.stable,
  candidate: report.candidate,
  stage: report.stage,
  percent: report.percent,
  is_converged:
    desired === null || (desired.candidate !== undefined && !plan) ? null : report.key === (plan?.key ?? null),
  problem: report.problem,
  readings: report.readings && readingsOf(report.readings),
});

const readingsOf = ({ stable, candidate, compared }: Readings): Omit<ReadingsView, 'window_s'> => ({
  stable: armOf(stable),
  candidate: armOf(candidate),
  compared: {
    compared: compared.compared,
    skipped: compared.skipped,
    newly_denied: compared.newlyDenied,
    newly_allowed: compared.newlyAllowed,
    model_moved: compared.modelMoved,
    otherwise: compared.otherwise,
    policy_errors: compared.policyErrors,
    examples: compared.examples,
  },
});

const armOf = ({ costMicroUsd, ...counts }: ArmReadings): ArmView => ({ ...counts, cost_micro_usd: costMicroUsd });

const isoOf = (ms: number): string => new Date(ms).toISOString();
