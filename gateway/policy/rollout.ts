import type { BundleRef, Input } from '../types.gen.ts';
import { type Draw, drawOf, isDrawn } from './draw.ts';
import { type GuardReading, judgeGuards } from './guards.ts';
import { byStable, type ComparedKind, createMeasurements, type Measurements } from './measurements.ts';
import type { EndedRequest, Policy } from './policy.ts';
import { sumReadings } from './readings.ts';
import { createReplicaExchange } from './replica-exchange.ts';
import type { RolloutMemory } from './rollout-memory.ts';
import type { PlannedStep, RolloutPlan } from './rollout-plan.ts';
import type { ArmReadings, Readings, ReplicaReport, Rollback, RolloutState, RolloutStore } from './rollout-state.ts';
import { waitsFor } from './waits-for.ts';

/** How often guards are judged, and gateways look at each other. */
const BEAT_MS = 1000;
/** Without a rollout a gateway tells of itself on every so many beats. */
const IDLE_BEATS = 5;
/** The window in which stable is measured without a rollout. */
const IDLE_WINDOW_MS = 300_000;
/** Decisions that a rollback names. */
const MAX_NAMED = 5;

/** A candidate beside stable. */
export interface Candidate {
  readonly ref: BundleRef;
  /** Null once it was rolled back: nothing needs it any more. */
  readonly policy: Policy | null;
  readonly plan: RolloutPlan;
  readonly state: RolloutState;
}

/** A stage began, or a candidate was taken back. */
export interface RolloutEvent {
  readonly event: 'rollout_stage' | 'rollout_rolled_back';
  readonly detail: Record<string, string | number | boolean>;
}

export interface RolloutOptions {
  /** Names this gateway among those of its store. */
  readonly replica: string;
  /** Undefined: this gateway is alone. */
  readonly store: RolloutStore | undefined;
  readonly memory: RolloutMemory;
  readonly onEvent: (event: RolloutEvent) => void;
  /** Why this gateway does not run what it should; null when it does. */
  readonly problem: () => string | null;
  /** Milliseconds since the epoch. Default: Date.now. */
  readonly clock?: () => number;
}

/** What can be read of a rollout at any time. */
export interface RolloutStatus {
  readonly stage: ReplicaReport['stage'];
  /** Share of the requests that the candidate decides, percent. */
  readonly percent: number;
  /** As judged last, on all gateways together. */
  readonly guards: readonly GuardReading[];
  /** Since the process began, by kind; `skipped` were not compared. */
  readonly compared: Readonly<Record<ComparedKind | 'skipped', number>>;
}

/** The serving bundles, and the rollout they are in. */
export interface Rollout {
  readonly current: Policy | undefined;
  readonly stable: Policy | undefined;
  readonly candidate: Candidate | null;
  policyFor(bucket: Input['bucket']): Policy | undefined;
  observe(ended: EndedRequest): void;
  /** What stable's requests came to of late, on all gateways; null where there were no answers. */
  baseline(stableDigest: string): ArmReadings | null;
  /** From now on these serve. */
  serve(stable: Policy, candidate: Candidate | null): void;
  status(): RolloutStatus;
  /** Looks at the other gateways and judges the guards, as it does every second by itself. Never rejects. */
  beat(): Promise<void>;
  /** Ends it; resolves when what became of the rollout is kept. */
  close(): Promise<void>;
}

/** What decides: nothing is looked up but this for a request. */
interface Serving {
  readonly current: Policy | undefined;
  readonly drawn: { readonly draw: Draw; readonly policy: Policy } | null;
}

/** Begins without any bundle. */
export const createRollout = (options: RolloutOptions): Rollout => {
  const { replica, store, memory, onEvent, problem, clock = Date.now } = options;
  const compared: Record<ComparedKind | 'skipped', number> = {
    same: 0,
    newly_denied: 0,
    newly_allowed: 0,
    model_moved: 0,
    otherwise: 0,
    policy_error: 0,
    skipped: 0,
  };
  const onCompared = (kind: ComparedKind | 'skipped'): void => {
    compared[kind]++;
  };
  let stable: Policy | undefined;
  let candidate: Candidate | null = null;
  let serving: Serving = { current: undefined, drawn: null };
  let measurements: Measurements | undefined;
  let judged: readonly GuardReading[] = [];
  let advancing = false;

  const exchange = createReplicaExchange({
    store,
    memory,
    clock,
    report: () => reportOf(),
    state: () => candidate?.state,
    adopt: (state) => adopt(state),
  });

  const measure = (): void => {
    measurements?.close();
    judged = [];
    if (!stable) return;
    const running = runningOf(candidate);
    measurements = createMeasurements({
      stable,
      candidate: running && {
        policy: running.policy,
        stage: running.step.stage,
        guards: running.plan.guards,
        compareCpuShare: running.plan.compareCpuShare,
      },
      windowMs: candidate?.plan.guards.windowMs ?? IDLE_WINDOW_MS,
      clock,
      onCompared,
    });
  };

  /** Everything that follows from which bundles serve and where their rollout stands. */
  const settle = (): void => {
    const running = runningOf(candidate);
    serving = servingOf(stable, running);
    measure();
  };

  const tellStage = (of: Candidate): void => {
    const { step, rolledBack } = of.state;
    const { stage, percent } = stepOf(of);
    const detail = {
      ...namesOf(of, stable),
      step,
      stage: rolledBack ? 'rolled_back' : stage,
      percent: rolledBack ? 0 : percent,
    };
    onEvent({ event: 'rollout_stage', detail });
  };

  const serve = (nextStable: Policy, next: Candidate | null): void => {
    if (stable?.ref.digest === nextStable.ref.digest && candidate?.plan.key === next?.plan.key) {
      // The same rollout: what was recalled of it meanwhile may be older than what this gateway knows.
      if (next && candidate && (next.state.rolledBack || next.state.step > candidate.state.step)) adopt(next.state);
      return;
    }
    stable = nextStable;
    candidate = next;
    settle();
    if (!next) return;
    tellStage(next);
    keep(next.state);
  };

  /** Takes over how a rollout stands, whoever said so. What was rolled back stays so, and no step comes again. */
  const adopt = (state: RolloutState): void => {
    if (!candidate || candidate.plan.key !== state.key || candidate.state.rolledBack) return;
    const { rolledBack } = state;
    const isNewStep = state.step !== candidate.state.step;
    // An answer that was on its way while the store went on.
    if (!rolledBack && state.step < candidate.state.step) return;
    candidate = { ...candidate, state, policy: rolledBack ? null : candidate.policy };
    if (!rolledBack && !isNewStep) return;
    settle();
    keep(state);
    if (rolledBack) tellRollback(candidate, rolledBack);
    else tellStage(candidate);
  };

  const tellRollback = (of: Candidate, { guard, reason, decisionIds, replica: finder, time }: Rollback): void => {
    const detail = {
      ...namesOf(of, stable),
      guard,
      reason,
      decision_ids: decisionIds.join(' '),
      found_by: finder,
      found_at: time,
    };
    onEvent({ event: 'rollout_rolled_back', detail });
  };

  /** A copy that cannot be written is missed only by a restart while the store is away. */
  const keep = (state: RolloutState): void => void memory.keep(state).catch(() => {});

  const judge = (): void => {
    const running = runningOf(candidate);
    if (!running || !measurements) return;
    const { step, plan, state } = running;
    const readings = sumReadings([measurements.readings(), ...exchange.others(plan.key, step)], MAX_NAMED);
    judged = judgeGuards(readings, plan.guards, { stage: step.stage, baseline: state.baseline });
    const breached = judged.find(({ verdict }) => verdict === 'breached');
    if (breached) takeBack(state, breached, readings);
    else if (isHeld(running, clock()) && waitsFor(plan, step, readings, judged) === null)
      void advance(running, readings);
  };

  const takeBack = (state: RolloutState, { guard, reason, shownBy }: GuardReading, readings: Readings): void => {
    const time = new Date(clock()).toISOString();
    const { examples } = readings.compared;
    const decisionIds = examples[shownBy] ?? examples[byStable(shownBy)] ?? [];
    adopt({ ...state, rolledBack: { time, guard, reason, decisionIds, replica } });
    void exchange.now();
  };

  const advance = async ({ plan, state }: Running, readings: Readings): Promise<void> => {
    if (advancing) return;
    advancing = true;
    try {
      const next = plan.steps[state.step + 1] as PlannedStep;
      const baseline = next.stage === 'full' ? (known(readings.stable) ?? state.baseline) : state.baseline;
      const sinceMs = clock();
      adopt(
        store ? await store.advance(state, sinceMs, baseline) : { ...state, step: state.step + 1, sinceMs, baseline },
      );
    } catch {
      // The store is away: nobody goes on alone.
    } finally {
      advancing = false;
    }
  };

  const reportOf = (): ReplicaReport => {
    const step = candidate && stepOf(candidate);
    const isBack = candidate?.state.rolledBack != null;
    return {
      replica,
      updatedMs: clock(),
      stable: stable?.ref ?? null,
      candidate: candidate?.ref ?? null,
      stage: isBack ? 'rolled_back' : (step?.stage ?? null),
      percent: isBack ? 0 : (step?.percent ?? null),
      key: candidate?.plan.key ?? null,
      readings: measurements?.readings() ?? null,
      problem: problem(),
    };
  };

  let beats = 0;
  const beat = async (): Promise<void> => {
    if (candidate || beats % IDLE_BEATS === 0) await exchange.beat();
    beats++;
    judge();
  };
  const timer = setInterval(() => void beat(), BEAT_MS).unref();

  return {
    get current() {
      return serving.current;
    },
    get stable() {
      return stable;
    },
    get candidate() {
      return candidate;
    },
    policyFor(bucket) {
      const { drawn, current } = serving;
      return drawn !== null && isDrawn(drawn.draw, bucket) ? drawn.policy : current;
    },
    observe(ended) {
      try {
        measurements?.observe(ended);
      } catch {
        // Never at the cost of a request that has ended well.
      }
    },
    baseline(stableDigest) {
      const own = stable?.ref.digest === stableDigest && measurements ? [measurements.readings()] : [];
      return known(sumReadings([...own, ...exchange.othersUnder(stableDigest)]).stable);
    },
    serve,
    status: () => {
      const { stage, percent } = reportOf();
      return { stage, percent: percent ?? 0, guards: judged, compared };
    },
    beat,
    async close() {
      clearInterval(timer);
      measurements?.close();
      await Promise.all([memory.settled(), exchange.close()]);
    },
  };
};

/** A rollout that goes on. */
interface Running extends Candidate {
  readonly policy: Policy;
  readonly step: PlannedStep;
}

const runningOf = (candidate: Candidate | null): Running | null =>
  candidate?.policy && !candidate.state.rolledBack
    ? { ...candidate, policy: candidate.policy, step: stepOf(candidate) }
    : null;

/** A state of more steps than the plan has is of a plan that nobody has. */
const stepOf = ({ plan, state }: Candidate): PlannedStep => plan.steps[state.step] ?? plan.steps[0];

const servingOf = (stable: Policy | undefined, running: Running | null): Serving => {
  if (!running) return { current: stable, drawn: null };
  const { policy, step, plan, ref } = running;
  if (step.stage === 'full') return { current: policy, drawn: null };
  if (step.stage === 'shadow') return { current: stable, drawn: null };
  return { current: stable, drawn: { draw: drawOf(ref.digest, plan.by, step.percent), policy } };
};

const isHeld = ({ plan, state, step }: Running, nowMs: number): boolean =>
  state.step + 1 < plan.steps.length && nowMs - state.sinceMs >= step.holdMs;

const known = (arm: ArmReadings): ArmReadings | null => (arm.answers > 0 ? arm : null);

const namesOf = ({ plan, ref }: Candidate, stable: Policy | undefined): Record<string, string> => ({
  key: plan.key,
  stable: stable?.ref.digest ?? '',
  candidate: ref.digest,
});
