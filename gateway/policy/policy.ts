import type { AdminDecision, BundleRef, Decision, Input, Manifest, PolicyData } from '../types.gen.ts';

/**
 * A policy ready to decide: an activated bundle. `decide` is synchronous and bounded in time and memory. It throws
 * GatewayError `policy_unavailable` when the result is undefined, not exactly one, over a bound or against
 * schemas/decision.json, or names a model or upstream that does not exist.
 */
export interface Policy {
  readonly ref: BundleRef;
  readonly manifest: Manifest;
  readonly data: PolicyData;
  decide(input: Input): Decision;
  /** Names of the models the caller of `input` may use, sorted. Bounded and checked as `decide`. */
  models(input: Input): string[];
  /** Whether the caller of `input` may do an operation of the control plane. Bounded and checked as `decide`. */
  admin(input: Input): AdminDecision;
}

/** Where the serving policy is found. `current` changes between two requests, never within one. */
export interface PolicySource {
  /** The serving policy; undefined before the first activation. */
  readonly current: Policy | undefined;
  close(): Promise<void>;
}
