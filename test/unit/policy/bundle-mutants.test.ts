import { beforeAll, describe, expect, test } from '@jest/globals';
import { activatableBundle } from '../../../gateway/policy/activate.ts';
import { sha256 } from '../../../gateway/policy/bundle.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import { type Forgery, makeForgery } from '../../support/bundle-forgery.ts';
import { bundleMutants } from '../../support/bundle-mutants.ts';
import { input } from '../../support/policy-fixture.ts';

/** Not what a crash says. */
const SENTENCE = /^(?:bundle|signature|policy\.wasm|wasm|price of "small"):? .{10,}/;

describe('a bundle that must not serve', () => {
  let forgery: Forgery;
  let mutants: ReturnType<typeof bundleMutants>;
  beforeAll(async () => {
    forgery = await makeForgery();
    mutants = bundleMutants(forgery);
  });
  const prepare = async (packed: Uint8Array) => {
    const { digest } = forgery.serving;
    return createPolicy(await activatableBundle(packed, forgery.publicKeys, { sequence: 5, digest }));
  };

  test('is one of at least 40 that differ', async () => {
    const names = new Map<string, string[]>();
    for (const [name, make] of Object.entries(mutants)) {
      const digest = sha256(await make());
      names.set(digest, [...(names.get(digest) ?? []), name]);
    }
    expect(names.size).toBeGreaterThanOrEqual(40);
    expect([...names.values()].filter((same) => same.length > 1)).toEqual([]);
  });

  test('is refused, with a sentence that says why', async () => {
    const odd: string[] = [];
    for (const [name, make] of Object.entries(mutants)) {
      const packed = await make();
      const reason = await prepare(packed).then(
        () => 'it was activated',
        (error: unknown) => String((error as Error).message),
      );
      if (!SENTENCE.test(reason)) odd.push(`${name}: ${reason}`);
    }
    expect(odd).toEqual([]);
  }, 120_000);

  test('stands beside one that may: the next, signed by the key that is trusted', async () => {
    const policy = await prepare(await forgery.sign(forgery.next));
    expect(policy.decide(input()).route.reason).toBe('sequence 6');
  });
});
