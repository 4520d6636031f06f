import { join, resolve } from 'node:path';
import { readBundlesPlace } from '../config.ts';
import { verifyBundle } from '../policy/activate.ts';
import { MAX_BUNDLE_BYTES, readBundle } from '../policy/bundle.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { createOrigin } from '../policy/create-origin.ts';
import type { BundleOrigin } from '../policy/origin.ts';
import { planOf, type RolloutPlan } from '../policy/rollout-plan.ts';
import { type PublicKeys, readPublicKeys } from '../policy/signature.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import type { Rollout } from '../types.gen.ts';
import { here, keysOf } from './rollout-bundles.ts';
import { parseRolloutFile } from './rollout-file.ts';
import { configOf, type StoreFlags } from './store-place.ts';

/** A bundle that rollout.yaml names. */
export interface NamedBundle {
  readonly file: string;
  /** Null where it cannot be read. */
  readonly revision: string | null;
  readonly sequence: number | null;
  readonly digest: string | null;
  /** Why a gateway would not activate it; null where it would. */
  readonly problem: string | null;
}

/** What gateways are to converge on, as far as it can be seen from here. */
export interface DesiredRollout {
  /** The file, for people. */
  readonly place: string;
  readonly desired: Rollout | null;
  readonly plan: RolloutPlan | null;
  readonly stable: NamedBundle | null;
  readonly candidate: NamedBundle | null;
  /** Why there is nothing to see; null where there is. */
  readonly problem: string | null;
}

export interface DesiredFlags extends StoreFlags {
  bundles?: string;
  key?: string[];
}

/** Reads the desired state where `--bundles`, else the config, else the checkout has it. Throws ConfigError and CliError. */
export const readDesired = async (flags: DesiredFlags): Promise<DesiredRollout> => {
  const { origin, keys } = await originOf(flags);
  const nothing = { desired: null, plan: null, stable: null, candidate: null };
  if (!origin.hasRollout) {
    return {
      ...nothing,
      place: origin.place,
      problem: 'it is the address of one bundle: nothing is rolled out by degrees',
    };
  }
  const place = /^https?:/.test(origin.place)
    ? `${origin.place}${ROLLOUT_FILE}`
    : here(join(origin.place, ROLLOUT_FILE));
  try {
    const { desired } = parseRolloutFile((await origin.read(ROLLOUT_FILE, MAX_BUNDLE_BYTES)).toString('utf8'), place);
    const stable = await look(origin, desired.stable, keys);
    const candidate = desired.candidate === undefined ? null : await look(origin, desired.candidate, keys);
    const plan = stable.digest && candidate?.digest ? planOf(desired, stable.digest, candidate.digest) : null;
    return { place, desired, plan, stable, candidate, problem: null };
  } catch (error) {
    return { ...nothing, place, problem: sentenceOf(error) };
  }
};

const originOf = async (flags: DesiredFlags): Promise<{ origin: BundleOrigin; keys: PublicKeys }> => {
  const file = configOf(flags);
  if (flags.bundles === undefined && file !== undefined) {
    const { bundles } = readBundlesPlace(file, process.env);
    return { origin: createOrigin(bundles), keys: await readPublicKeys(flags.key ?? bundles.publicKeys) };
  }
  const folder = resolve(flags.bundles ?? join(CHECKOUT, 'bundles'));
  return { origin: createOrigin({ source: folder, token: '', pollMs: 0 }), keys: await keysOf(folder, flags.key) };
};

const look = async (origin: BundleOrigin, file: string, keys: PublicKeys): Promise<NamedBundle> => {
  const unread = { file, revision: null, sequence: null, digest: null };
  let packed: Buffer;
  try {
    packed = await origin.read(file, MAX_BUNDLE_BYTES);
    const { manifest, digest } = await readBundle(packed);
    const read = { file, revision: manifest.revision, sequence: manifest.metadata.aegis.sequence, digest };
    try {
      await verifyBundle(packed, keys);
      return { ...read, problem: null };
    } catch (error) {
      return { ...read, problem: sentenceOf(error) };
    }
  } catch (error) {
    return { ...unread, problem: sentenceOf(error) };
  }
};

const sentenceOf = (error: unknown): string => String((error as { message?: unknown } | null)?.message ?? error);
