import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { verifyBundle } from '../policy/activate.ts';
import type { Bundle } from '../policy/bundle.ts';
import { createPolicy } from '../policy/engine.ts';
import { type PublicKeys, readPublicKeys } from '../policy/signature.ts';
import { CliError } from './cli-error.ts';

/** The keys that may sign the bundles of a folder: those of `--key`, else the folder's keys/*.pub.pem. Throws CliError. */
export const keysOf = async (folder: string, given: readonly string[] | undefined): Promise<PublicKeys> => {
  if (given !== undefined) return await readPublicKeys(given);
  const keys = join(folder, 'keys');
  const names = (await readdir(keys).catch(() => [])).filter((name) => name.endsWith('.pub.pem'));
  if (names.length === 0)
    throw new CliError(`there is no public key in ${here(keys)}: name one with --key FILE.pub.pem`);
  return await readPublicKeys(names.map((name) => join(keys, name)));
};

/** A bundle of the folder that a gateway would activate, but for its order. Throws CliError that says why not. */
export const readGoodBundle = async (folder: string, name: string, keys: PublicKeys): Promise<Bundle> => {
  const file = join(folder, name);
  try {
    const bundle = await verifyBundle(await readFile(file), keys);
    await createPolicy(bundle);
    return bundle;
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
    if (code === 'ENOENT') throw new CliError(`${here(file)} is not there: ./aegis build -o ${here(file)}`);
    throw new CliError(`${here(file)}: ${message ?? error}`, { cause: error });
  }
};

/** Throws CliError unless a bundle may follow the stable one. */
export const checkFollows = (bundle: Bundle, stable: Bundle, file: string): void => {
  if (bundle.digest === stable.digest) {
    throw new CliError(`${file} has the same content as the stable bundle: there is nothing to roll out`);
  }
  const [sequence, least] = [bundle, stable].map(({ manifest }) => manifest.metadata.aegis.sequence) as [
    number,
    number,
  ];
  if (sequence > least) return;
  throw new CliError(
    `${file}: its sequence, ${sequence}, is not above that of stable, ${least}, so no gateway would go over to it: build it again (./aegis build -o ${file})`,
  );
};

/** A path as a person at the prompt would write it. */
export const here = (path: string): string => relative(process.cwd(), path) || '.';
