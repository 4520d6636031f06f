import type { Bundle } from '../policy/bundle.ts';
import { createPolicy } from '../policy/engine.ts';
import type { Policy } from '../policy/policy.ts';
import type { Scenario } from '../types.gen.ts';

/** The policy that a scenario runs on. Rejects with an Error when its `given.data` makes data that no bundle may have. */
export type PolicyFor = (scenario: Scenario) => Promise<Policy>;

/**
 * The policies of scenarios: `policy`, which is `bundle` ready to decide, or the same rules on the bundle's data with the
 * scenario's `given.data` put over it. One for all scenarios that give the same.
 */
export const createScenarioPolicies = (bundle: Bundle, policy: Policy): PolicyFor => {
  const patched = new Map<string, Promise<Policy>>();
  return ({ given: { data } }) => {
    if (data === undefined) return Promise.resolve(policy);
    const key = JSON.stringify(data);
    const made = patched.get(key) ?? withData(bundle, data);
    patched.set(key, made);
    return made;
  };
};

const withData = async (bundle: Bundle, patch: object): Promise<Policy> => {
  try {
    return await createPolicy({ ...bundle, data: mergePatch(bundle.data, patch) as Bundle['data'] });
  } catch (error) {
    throw new Error('given.data makes data that the policies cannot run on', { cause: error });
  }
};

/** RFC 7396: objects are merged, null removes, anything else replaces. */
const mergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
