import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Document } from 'yaml';
import type { Bundle } from '../policy/bundle.ts';
import { writeDurably } from '../policy/bundle-store.ts';
import { planOf } from '../policy/rollout-plan.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import type { Rollout } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { lineDiff } from './line-diff.ts';
import { checkFollows, here, keysOf, readGoodBundle } from './rollout-bundles.ts';
import { parseRolloutFile, type RolloutFile, readRolloutFile } from './rollout-file.ts';
import { findRollbacks } from './rollout-history.ts';
import { type StoreFlags, storePlaceOf } from './store-place.ts';
import { wrap } from './wrap.ts';

/** The options of each command that edits a rollout.yaml. */
export interface EditFlags extends StoreFlags {
  bundles: string;
  key?: string[];
  dryRun?: true;
  json?: true;
}

/** A change of a rollout.yaml, for who tells of it. */
export interface RolloutChange {
  /** For people. */
  readonly file: string;
  readonly folder: string;
  readonly before: Rollout;
  readonly after: Rollout;
  readonly isChanged: boolean;
}

const COLUMNS = 100;

/**
 * Edits a rollout.yaml, comments kept: the bundles it names afterwards are verified first, and it is written durably. Prints
 * the change and what `tell` says comes next. Throws CliError when the change cannot be made; then nothing is written.
 */
export const changeRollout = async (
  flags: EditFlags,
  edit: (file: RolloutFile) => void,
  tell: (change: RolloutChange) => string[],
): Promise<void> => {
  const folder = resolve(flags.bundles);
  const path = join(folder, ROLLOUT_FILE);
  const before = await readRolloutFile(path);
  edit(before);
  const { bundle, notes } = await verify(before, flags);
  const text = before.document.toString({ lineWidth: 0 });
  const { desired: after } = parseRolloutFile(text, before.name);
  const isChanged = !isDeepStrictEqual(after, before.desired);
  if (isChanged && !flags.dryRun) await writeDurably(path, Buffer.from(text));
  const change = { file: before.name, folder, before: before.desired, after, isChanged };
  const next = [...(flags.dryRun && isChanged ? ['Nothing was written (--dry-run).'] : []), ...notes, ...tell(change)];
  if (flags.json) console.log(JSON.stringify(jsonOf(change, bundle, next)));
  else printChange(change, lineDiff(before.text, text), bundle, next);
};

/** The name of a bundle in the folder of the rollout.yaml. Throws CliError for one that is elsewhere. */
export const nameIn = (folder: string, file: string): string => {
  const asGiven = resolve(file);
  const isName = basename(file) === file && (existsSync(join(folder, file)) || !existsSync(asGiven));
  if (isName || dirname(asGiven) === folder) return basename(file);
  throw new CliError(`gateways find ${file} in ${here(folder)}/ only: cp ${file} ${here(folder)}/, then name it again`);
};

interface Verified {
  /** The candidate, or the stable bundle where there is none. */
  readonly bundle: Bundle | null;
  readonly notes: readonly string[];
}

/** Verifies what the file names after the edit. Only a way back is not refused for a bundle that is not good. */
const verify = async ({ document, desired: before }: RolloutFile, flags: EditFlags): Promise<Verified> => {
  const folder = resolve(flags.bundles);
  const { stable, candidate } = document.toJS() as Rollout;
  if (candidate === undefined && stable === before.stable) return await verifyWayBack(folder, stable, flags);
  const keys = await keysOf(folder, flags.key);
  const name = candidate ?? stable;
  const bundle = await readGoodBundle(folder, name, keys);
  const old = await readGoodBundle(folder, before.stable, keys);
  checkFollows(bundle, old, here(join(folder, name)));
  return { bundle, notes: candidate === undefined ? [] : await raiseAttempt(document, old, bundle, flags) };
};

const verifyWayBack = async (folder: string, stable: string, flags: EditFlags): Promise<Verified> => {
  try {
    return { bundle: await readGoodBundle(folder, stable, await keysOf(folder, flags.key)), notes: [] };
  } catch (error) {
    if (!isCliError(error)) throw error;
    return { bundle: null, notes: [`${error.message}. Gateways serve their last known good bundle until it is.`] };
  }
};

/** What gateways took back stays back until the file changes: the first attempt that they do not know is written. */
const raiseAttempt = async (
  document: Document,
  stable: Bundle,
  candidate: Bundle,
  { home, config }: EditFlags,
): Promise<string[]> => {
  const desired = document.toJS() as Rollout;
  const from = desired.attempt ?? 1;
  const keyOf = (attempt: number): string =>
    planOf(attempt === from ? desired : { ...desired, attempt }, stable.digest, candidate.digest).key;
  const place = storePlaceOf({ ...(home !== undefined && { home }), ...(config !== undefined && { config }) });
  const found = await findRollbacks(place, keyOf, from).catch((error: unknown) => {
    if (isCliError(error)) return error.message;
    throw error;
  });
  if (typeof found === 'string') return [`Whether the same was rolled back before is not known: ${found}.`];
  if (!found?.last) return [];
  document.set('attempt', found.attempt);
  return [`The same was rolled back at ${found.last.time} (${found.last.guard}), so this is attempt ${found.attempt}.`];
};

const isCliError = (error: unknown): error is CliError => (error as { name?: unknown } | null)?.name === 'CliError';

const printChange = (
  { file, isChanged }: RolloutChange,
  diff: string,
  bundle: Bundle | null,
  next: readonly string[],
): void => {
  console.log(isChanged ? `${file}\n${diff}` : `${file} says so already: nothing changes.`);
  if (bundle) console.log(`\n${sentenceOf(bundle)}`);
  for (const sentence of next)
    console.log(
      `\n${sentence
        .split('\n')
        .flatMap((line) => broken(line))
        .join('\n')}`,
    );
};

/** Commands stand as they are; sentences are broken. */
const broken = (line: string): string[] => (line.startsWith('  ') ? [line] : wrap(line, COLUMNS));

const sentenceOf = ({ manifest, digest }: Bundle): string =>
  `The bundle is good: revision ${manifest.revision}, sequence ${manifest.metadata.aegis.sequence}, digest ${digest.slice(0, 12)}…`;

const jsonOf = (
  { file, before, after, isChanged }: RolloutChange,
  bundle: Bundle | null,
  next: readonly string[],
): object => ({
  file,
  changed: isChanged,
  before,
  after,
  bundle: bundle && {
    revision: bundle.manifest.revision,
    sequence: bundle.manifest.metadata.aegis.sequence,
    digest: bundle.digest,
  },
  next,
});
