import { readSchema, type Validator, validator } from '../schema.ts';
import type { AdminDecision, Decision, Input, Manifest, PolicyData, PolicyExplanation, Rollout } from '../types.gen.ts';

/** Compiled once, at load: decisions are checked on the hot path. */
export const isDecision: Validator<Decision> = validator<Decision>(readSchema('decision'));
/** Whether a value is what aegis/admin may say. */
export const isAdminDecision: Validator<AdminDecision> = validator<AdminDecision>(readSchema('admin-decision'));
/** Whether a value is what aegis/explain may say. */
export const isPolicyExplanation: Validator<PolicyExplanation> = validator<PolicyExplanation>(
  readSchema('explanation'),
);
/** Whether a value is an input that describe could have made. */
export const isInput: Validator<Input> = validator<Input>(readSchema('input'));
const isManifest: Validator<Manifest> = validator<Manifest>(readSchema('manifest'));
const isPolicyData: Validator<PolicyData> = validator<PolicyData>(readSchema('policy-data'));
const isRollout: Validator<Rollout> = validator<Rollout>(readSchema('rollout'));

/** The first thing that is wrong, such as `/route/mirror must be null`. */
export const firstError = (validate: Validator<unknown>): string => {
  const error = validate.errors?.[0];
  if (error === undefined) return 'unknown';
  const extra = 'additionalProperty' in error.params ? ` (${JSON.stringify(error.params.additionalProperty)})` : '';
  return `${error.instancePath || '/'} ${error.message ?? error.keyword}${extra}`;
};

/** Throws unless `value` is a manifest of schemas/manifest.json. */
export function checkManifest(value: unknown): asserts value is Manifest {
  if (!isManifest(value)) throw new Error(`bundle: .manifest: ${firstError(isManifest)}`);
}

/** Throws unless the part of the data that the gateway reads is as schemas/policy-data.json says. */
export function checkPolicyData(value: unknown): asserts value is PolicyData {
  if (!isPolicyData(value)) throw new Error(`bundle: data.json: ${firstError(isPolicyData)}`);
}

/** Throws unless `value` is a rollout of schemas/rollout.json. */
export function checkRollout(value: unknown): asserts value is Rollout {
  if (!isRollout(value)) throw new Error(`rollout.yaml: ${firstError(isRollout)}`);
}
