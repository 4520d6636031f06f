import type { BundleRef, Rollout } from '../types.gen.ts';

export type RolloutStage = NonNullable<Rollout['stage']>;

/**
 * What has become of a rollout, the same for all gateways. `key` is the digest of the desired state and the digests of both
 * bundles: a changed file is another rollout, which starts anew.
 */
export interface RolloutState {
  readonly key: string;
  /** 0: the stage of the file; n: the n-th of its `next`. */
  readonly step: number;
  /** When the step began, milliseconds since the epoch. */
  readonly sinceMs: number;
  /**
   * What the stable bundle's requests came to, on all gateways, before the stage `full` began: it has none since, and guards
   * compare with these. Null before `full`, and where nobody knows.
   */
  readonly baseline: ArmReadings | null;
  /** Null while it goes on. It never becomes null again. */
  readonly rolledBack: Rollback | null;
}

/** Why a candidate was taken back. */
export interface Rollback {
  /** RFC 3339. */
  readonly time: string;
  /** The guard's name in schemas/rollout.json. */
  readonly guard: string;
  /** A sentence with the figures. */
  readonly reason: string;
  /** Decisions that show it; at most five. */
  readonly decisionIds: readonly string[];
  /** Which gateway found it. */
  readonly replica: string;
}

/** What one bundle's requests came to within the window. */
export interface ArmReadings {
  readonly requests: number;
  readonly denied: number;
  /** Let through and ended: ok, or failed and incomplete. */
  readonly answers: number;
  readonly errors: number;
  readonly fallbacks: number;
  readonly costMicroUsd: number;
}

/** What both bundles said of the same requests within the window. */
export interface ComparedReadings {
  readonly compared: number;
  /** Not compared because deciding twice would have taken too much of the processor. */
  readonly skipped: number;
  readonly newlyDenied: number;
  readonly newlyAllowed: number;
  readonly modelMoved: number;
  /** Another redaction, tier, limit, budget or parameter, at the same verdict and model. */
  readonly otherwise: number;
  /** The candidate could not decide and stable could. */
  readonly policyErrors: number;
  /** Callers of those, as short digests; at most eight. */
  readonly policyErrorCallers: readonly string[];
  /** Of those compared: answered, and allowed by both. What they cost at the tokens they used, by each bundle's first model and prices. */
  readonly costed: number;
  readonly stableCostMicroUsd: number;
  readonly candidateCostMicroUsd: number;
  /** Sums of the squares and of the products of both costs: how sure the sums are. */
  readonly stableCostSquares: number;
  readonly candidateCostSquares: number;
  readonly costProducts: number;
  /**
   * Decision ids by what they show, at most three each: kinds of difference (newly_denied, newly_allowed, model_moved,
   * otherwise, policy_error), and of the candidate's own requests failed, fallback, slow and dearer.
   */
  readonly examples: Readonly<Record<string, readonly string[]>>;
}

/** What one gateway measured within the window of the guards. */
export interface Readings {
  readonly stable: ArmReadings;
  readonly candidate: ArmReadings;
  readonly compared: ComparedReadings;
  /** Evaluations of the candidate by duration: counts of a histogram whose n-th bound is 2^(n/4) × 10 µs. */
  readonly evaluations: readonly number[];
}

/** What a gateway says of itself. */
export interface ReplicaReport {
  /** Unique among the gateways of one store. */
  readonly replica: string;
  readonly updatedMs: number;
  readonly stable: BundleRef | null;
  readonly candidate: BundleRef | null;
  /** What it does now: the stage, `rolled_back`, or null without a candidate. */
  readonly stage: RolloutStage | 'rolled_back' | null;
  readonly percent: number | null;
  /** The rollout it is in; null without one. */
  readonly key: string | null;
  readonly readings: Readings | null;
  /** Why it does not run what it should; null when it does. */
  readonly problem: string | null;
}

/** Where gateways keep what they share of a rollout: the embedded store, or Postgres. Rejects while the store is away. */
export interface RolloutStore {
  /** Undefined for a rollout that nobody began. */
  read(key: string): Promise<RolloutState | undefined>;
  /** Begins it, or gives what another gateway began. */
  begin(state: RolloutState): Promise<RolloutState>;
  /**
   * Goes one step on, from exactly `from`, and keeps `sinceMs` and `baseline` of the new one; gives what holds afterwards,
   * whoever was first. Never after a rollback.
   */
  advance(from: RolloutState, sinceMs: number, baseline: ArmReadings | null): Promise<RolloutState>;
  /** Takes it back for good; the first reason stays. Gives what holds afterwards. */
  rollBack(key: string, reason: Rollback): Promise<RolloutState>;
  /** Keeps this gateway's report and gives those of all that reported within `withinMs`, its own included. */
  report(report: ReplicaReport, withinMs: number): Promise<readonly ReplicaReport[]>;
  /** All that reported within `withinMs`. */
  replicas(nowMs: number, withinMs: number): Promise<readonly ReplicaReport[]>;
}
