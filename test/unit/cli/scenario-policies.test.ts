import { beforeAll, expect, test } from '@jest/globals';
import { createScenarioPolicies, type PolicyFor } from '../../../gateway/cli/scenario-policies.ts';
import type { Bundle } from '../../../gateway/policy/bundle.ts';
import { requireCompiler } from '../../../gateway/policy/compiler.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import type { Policy } from '../../../gateway/policy/policy.ts';
import type { Scenario } from '../../../gateway/types.gen.ts';
import { allowAll, compile, MODELS } from '../../support/policy-fixture.ts';

/** As a patch can say it: null would remove. */
const LARGE = { ...MODELS.small, deprecation_date: '2099-01-01' };

let bundle: Bundle;
let policy: Policy;
let policyFor: PolicyFor;
beforeAll(async () => {
  await requireCompiler();
  bundle = await compile(allowAll());
  policy = await createPolicy(bundle);
  policyFor = createScenarioPolicies(bundle, policy);
}, 600_000);

const scenario = (data?: NonNullable<Scenario['given']['data']>): Scenario => ({
  name: 'a scenario',
  given: { caller: { org: 'x', roles: [] }, ...(data && { data }) },
  request: { endpoint: 'models' },
});

test('a scenario without data of its own runs on the bundle as it is', async () => {
  expect(await policyFor(scenario())).toBe(policy);
});

test('data of a scenario are put over the bundle’s, which stay as they are', async () => {
  const before = structuredClone(bundle.data);
  const other = await policyFor(scenario({ models: { small: { title: 'Tiny' }, large: LARGE } }));
  expect(other.data.models).toEqual({ small: { ...MODELS.small, title: 'Tiny' }, large: LARGE });
  expect(bundle.data).toEqual(before);
});

test('null removes, and scenarios that give the same share one policy', async () => {
  const patch = { default_prices: { input: 1, output: 2 }, models: { small: { usd_per_million_tokens: null } } };
  const other = await policyFor(scenario(patch));
  expect(other.data.models.small).not.toHaveProperty('usd_per_million_tokens');
  expect(await policyFor(scenario(structuredClone(patch)))).toBe(other);
});

test('data that no bundle may have are refused, and say where', async () => {
  const wrong = policyFor(scenario({ models: { small: { class: 'splendid' } } }));
  await expect(wrong).rejects.toMatchObject({
    message: expect.stringContaining('given.data'),
    cause: { message: expect.stringContaining('/models/small/class') },
  });
});
