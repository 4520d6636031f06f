import { join } from 'node:path';
import { readBundlesPlace } from '../config.ts';
import { logHomesIn } from '../log-homes.ts';
import { createBundleStore } from '../policy/bundle-store.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { readPublicKeys } from '../policy/signature.ts';
import type { PolicyData } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { loadBundle, loadServingBundle } from './replay-bundles.ts';
import { keysOf } from './rollout-bundles.ts';
import { configOf, type StoreFlags, storePlaceOf } from './store-place.ts';

export interface BundleFlags extends StoreFlags {
  bundle?: string;
  key?: string[];
}

/**
 * The data of the policy that has the experiments: of `--bundle`, else of the bundle that the gateways of the home served
 * last, else of the checkout's. Throws CliError and ConfigError.
 */
export const readPolicyData = async (flags: BundleFlags): Promise<PolicyData> => {
  const file = configOf(flags);
  const keys =
    flags.key === undefined && file !== undefined
      ? await readPublicKeys(readBundlesPlace(file, process.env).bundles.publicKeys)
      : await keysOf(join(CHECKOUT, 'bundles'), flags.key);
  const { home } = storePlaceOf(flags);
  const { bundle } =
    flags.bundle === undefined
      ? await loadServingBundle(await servedHome(home), keys)
      : await loadBundle(flags.bundle, keys);
  return bundle.data as unknown as PolicyData;
};

/** Of several processes of one home each has a bundle of its own: they follow the same source. */
const servedHome = async (home: string): Promise<string> => {
  for (const logHome of logHomesIn(home)) {
    if (await createBundleStore(logHome).readMark()) return logHome;
  }
  return home;
};

/** The error of an experiment that the policy does not have. */
export const unknownExperiment = (id: string, data: Pick<PolicyData, 'experiments'>): CliError => {
  const ids = Object.keys(data.experiments ?? {}).sort();
  return new CliError(
    ids.length === 0
      ? `the policy has no experiment ${id}, nor any: policies/experiments/data.yaml holds them`
      : `the policy has no experiment ${id}; it has ${ids.join(', ')}`,
  );
};
