import { readFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { parseDocument } from 'yaml';
import { writeDurably } from '../policy/bundle-store.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';

/** Sets `stable` in a bundle folder's rollout.yaml and keeps the rest of the file with its comments. */
export const setStable = async (bundles: string, name: string): Promise<void> => {
  const file = join(bundles, ROLLOUT_FILE);
  const text =
    (await readText(file)) ??
    '# yaml-language-server: $schema=../schemas/rollout.json\n# What gateways converge on.\nstable: ""\n';
  const document = parseDocument(text);
  if (document.get('stable') === name) return;
  document.set('stable', name);
  await writeDurably(file, Buffer.from(document.toString()));
};

/**
 * Throws an Error when writing `target` would change what serves while a candidate is measured against it. `becomesStable`:
 * whether rollout.yaml would be made to name it.
 */
export const refuseUnderRollout = async (target: string, becomesStable: boolean): Promise<void> => {
  const file = join(dirname(target), ROLLOUT_FILE);
  const text = await readText(file);
  if (text === undefined) return;
  const document = parseDocument(text);
  const candidate: unknown = document.get('candidate');
  if (candidate === undefined || candidate === null) return;
  if (!becomesStable && document.get('stable') !== basename(target)) return;
  const name = relative(process.cwd(), file) || file;
  throw new Error(
    `${name} rolls out ${String(candidate)}: this build would change the stable bundle under it\n` +
      `either end the rollout first (./aegis rollout promote, or ./aegis rollout rollback),\n` +
      `or build another candidate beside it: ./aegis build -o ${relative(process.cwd(), join(dirname(target), 'NAME.tar.gz'))}`,
  );
};

const readText = async (file: string): Promise<string | undefined> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
};
