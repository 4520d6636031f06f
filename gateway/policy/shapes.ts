import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import type { Decision, Input, Manifest, PolicyData, Rollout } from '../types.gen.ts';

const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: false, validateFormats: true });
// The plugin's types know only CommonJS; at run time the function is the module itself.
(formats as unknown as (instance: Ajv) => void)(ajv);

const schema = (name: string): object =>
  JSON.parse(readFileSync(new URL(`../../schemas/${name}.json`, import.meta.url), 'utf8')) as object;

const compiled = <T>(name: string): ValidateFunction<T> => ajv.compile<T>(schema(name));

/** Compiled once, at load: decisions are checked on the hot path. */
export const isDecision: ValidateFunction<Decision> = compiled<Decision>('decision');
export const isInput: ValidateFunction<Input> = compiled<Input>('input');
const isManifest = compiled<Manifest>('manifest');
const isPolicyData = compiled<PolicyData>('policy-data');
const isRollout = compiled<Rollout>('rollout');

/** The first thing that is wrong, such as `/route/mirror must be null`. */
export const firstError = (validate: ValidateFunction): string => {
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
