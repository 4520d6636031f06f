import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { verifyBundle } from '../policy/activate.ts';
import { checkEntrypoints, readBundle } from '../policy/bundle.ts';
import { createBundleStore } from '../policy/bundle-store.ts';
import { CHECKOUT } from '../policy/compiler.ts';
import { checkRollout } from '../policy/shapes.ts';
import type { PublicKeys } from '../policy/signature.ts';
import type { LoadedBundle } from '../replay/replay.ts';
import { CliError } from './cli-error.ts';

/** Where the serving bundle is looked for when none is named. */
const ROLLOUT = join(CHECKOUT, 'bundles', 'rollout.yaml');

/** A bundle file, verified by these keys; without keys only its form is. Throws CliError. */
export const loadBundle = async (file: string, keys: PublicKeys | undefined): Promise<LoadedBundle> => {
  let packed: Buffer;
  try {
    packed = await readFile(file);
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${String((error as { code?: unknown }).code)}`);
  }
  return load(file, packed, keys);
};

/**
 * The serving bundle: the home's last known good, which its gateways decided by, else the stable one of bundles/. Throws
 * CliError when there is neither.
 */
export const loadServingBundle = async (home: string, keys: PublicKeys): Promise<LoadedBundle> => {
  const store = createBundleStore(home);
  const mark = await store.readMark();
  const packed = mark && (await store.readPacked(mark.digest));
  if (packed) return load(`the last known good bundle of ${home}`, packed, keys);
  return loadBundle(await stableFile(), keys);
};

const stableFile = async (): Promise<string> => {
  let text: string;
  try {
    text = await readFile(ROLLOUT, 'utf8');
  } catch {
    throw new CliError('no serving bundle: neither in the home nor in bundles/; name it with --against');
  }
  const rollout: unknown = parse(text);
  checkRollout(rollout);
  return join(dirname(ROLLOUT), rollout.stable);
};

const load = async (name: string, packed: Buffer, keys: PublicKeys | undefined): Promise<LoadedBundle> => {
  try {
    if (keys) return { packed, bundle: await verifyBundle(packed, keys) };
    const bundle = await readBundle(packed);
    checkEntrypoints(bundle);
    return { packed, bundle };
  } catch (error) {
    const reason = String((error as { message?: unknown } | null)?.message ?? error);
    const hint = keys && reason.startsWith('signature: ') ? ' (--unsigned takes a candidate without a signature)' : '';
    throw new CliError(`${name}: ${reason}${hint}`);
  }
};
