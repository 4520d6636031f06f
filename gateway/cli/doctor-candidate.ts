import { checkOrder, verifyBundle } from '../policy/activate.ts';
import { MAX_BUNDLE_BYTES } from '../policy/bundle.ts';
import type { HighWaterMark } from '../policy/bundle-store.ts';
import { createPolicy } from '../policy/engine.ts';
import type { BundleOrigin } from '../policy/origin.ts';
import type { PublicKeys } from '../policy/signature.ts';
import { type Check, ok, problem, sentenceOf } from './doctor-check.ts';

/** Looks at the candidate that rollout.yaml names, as a gateway does before it takes it into a rollout. */
export const checkCandidate = async (
  origin: BundleOrigin,
  { name, file }: { readonly name: string; readonly file: string },
  keys: PublicKeys,
  mark: HighWaterMark | undefined,
  now: number,
): Promise<Check> => {
  try {
    const bundle = await verifyBundle(await origin.read(name, MAX_BUNDLE_BYTES), keys, new Date(now));
    checkOrder(bundle, mark);
    await createPolicy(bundle);
    const { revision, metadata } = bundle.manifest;
    return ok('candidate', `${file} is good: revision ${revision}, sequence ${metadata.aegis.sequence}`);
  } catch (error) {
    const sentence = sentenceOf(error);
    const found = sentence.startsWith(file) ? sentence : `${file}: ${sentence}`;
    const fix = './aegis rollout rollback takes it out; or build and sign it again, and ./aegis rollout shadow';
    return problem('candidate', `${found}; gateways go on without it`, fix);
  }
};
