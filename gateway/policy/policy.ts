import type {
  AdminDecision,
  AuditOutcome,
  BundleRef,
  Decision,
  Input,
  Manifest,
  PolicyData,
  PolicyExplanation,
  Usage,
} from '../types.gen.ts';

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
  /** Why an input is decided as it is. Bounded and checked as `decide`. Absent when the bundle has no aegis/explain. */
  explain?(input: Input): PolicyExplanation;
}

/** Where the serving policies are found: one, or while a candidate is rolled out two. They change between two requests, never within one. */
export interface PolicySource {
  /** The policy that decides what is not drawn by a canary; undefined before the first activation. */
  readonly current: Policy | undefined;
  /** The policy that decides this request. Asked once for each, so that one request sees one revision. */
  policyFor(bucket: Input['bucket']): Policy | undefined;
  /** Tells how a decided request ended, for the guards of a rollout. Returns at once and never throws. */
  observe(ended: EndedRequest): void;
  close(): Promise<void>;
}

/** A request that a policy decided, or failed to decide, after its end. */
export interface EndedRequest {
  readonly decisionId: string;
  /** The policy that was asked. */
  readonly policy: Policy;
  readonly input: Input;
  /** Undefined when the policy could not decide. */
  readonly decision: Decision | undefined;
  readonly outcome: AuditOutcome['outcome'];
  readonly usage: Usage | null;
  readonly costMicroUsd: number;
  /** Whether the answer came from another candidate than the first. */
  readonly isFallback: boolean;
  /** What the evaluation took, milliseconds. */
  readonly evaluationMs: number;
}
