import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readBundle } from '../policy/bundle.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { checkRollout } from '../policy/shapes.ts';
import { createPriceTable, type PriceTable } from '../prices.ts';
import type { PolicyData } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { here } from './rollout-bundles.ts';

/** What an evaluation takes from the serving policy. */
export interface ServingPolicy {
  readonly data: PolicyData;
  readonly prices: PriceTable;
}

/**
 * The data of the serving policy: of `--bundle`, else of the bundle that bundles/rollout.yaml names as stable. The gateway
 * verifies what it serves; here the data bound what is spent and say who agreed, to somebody who could edit them anyway.
 * Throws CliError.
 */
export const readServingPolicy = async (given: string | undefined): Promise<ServingPolicy> => {
  const file = given ?? (await stableBundle());
  let packed: Buffer;
  try {
    packed = await readFile(file);
  } catch (error) {
    throw new CliError(`${here(file)} cannot be read: ${String((error as { code?: unknown }).code)} (--bundle FILE)`);
  }
  try {
    const { data, manifest } = await readBundle(packed);
    const policy = data as unknown as PolicyData;
    return { data: policy, prices: createPriceTable(policy, manifest.revision) };
  } catch (error) {
    throw new CliError(`${here(file)}: ${String((error as { message?: unknown }).message)}`, { cause: error });
  }
};

const stableBundle = async (): Promise<string> => {
  const folder = join(CHECKOUT, 'bundles');
  const file = join(folder, 'rollout.yaml');
  try {
    const rollout: unknown = parse(await readFile(file, 'utf8'));
    checkRollout(rollout);
    return join(folder, rollout.stable);
  } catch (error) {
    throw new CliError(
      `${here(file)} names no bundle (${String((error as { message?: unknown }).message)}): --bundle FILE`,
    );
  }
};
