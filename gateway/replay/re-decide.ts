import { isGatewayError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import { firstError, isInput } from '../policy/shapes.ts';
import type { AuditIntent, AuditOutcome, AuditRecord, BundleRef, Decision } from '../types.gen.ts';
import { completeInput, type RecordedInput } from './complete-input.ts';
import { isSameJson } from './same-json.ts';

/** What a record says of one decision: of an intent, or of the outcome of a request that never went upstream. */
export interface DecidedRecord {
  readonly id: string;
  readonly input: RecordedInput;
  readonly decision: Decision;
  readonly bundle: BundleRef;
}

/** The decision that a record holds; undefined where it holds none (events, failures before a decision, ends of intents). */
export const decidedRecordOf = (record: AuditRecord): DecidedRecord | undefined => {
  if (record.kind !== 'intent' && record.kind !== 'outcome') return undefined;
  const { id, input, decision, bundle }: AuditIntent | AuditOutcome = record;
  if (id === null || input === null || decision === null || bundle === null) return undefined;
  return { id, input, decision: decision as unknown as Decision, bundle };
};

/** A policy's decision on one input, or in a sentence why it has none. */
export type Verdict = { readonly decision: Decision } | { readonly failure: string };

/** Asks a policy as the gateway would. Never throws for what a policy or an input does. */
export const verdictOf = (policy: Pick<Policy, 'decide'>, input: Parameters<Policy['decide']>[0]): Verdict => {
  try {
    return { decision: policy.decide(input) };
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    const reason = (error.cause as { message?: unknown } | undefined)?.message ?? error.message;
    return { failure: String(reason) };
  }
};

/**
 * One recorded decision, made again: `equal` when it is the same document to the last byte of its canonical JSON;
 * `different` with what comes out now; `failed` when the policy has no decision; `unfit` when the recorded input is none,
 * even with the fields added that older versions did not write.
 */
export type ReDecided =
  | { readonly result: 'equal' }
  | { readonly result: 'different'; readonly decided: Decision }
  | { readonly result: 'failed' | 'unfit'; readonly reason: string };

/** Decides a recorded input again. `policy` must be of the very bundle that decided (`record.bundle.digest`). */
export const reDecide = (policy: Pick<Policy, 'decide'>, record: DecidedRecord): ReDecided => {
  const { input } = completeInput(record.input);
  if (!isInput(input)) return { result: 'unfit', reason: firstError(isInput) };
  const verdict = verdictOf(policy, input);
  if ('failure' in verdict) return { result: 'failed', reason: verdict.failure };
  if (isSameJson(verdict.decision, record.decision)) return { result: 'equal' };
  return { result: 'different', decided: verdict.decision };
};
