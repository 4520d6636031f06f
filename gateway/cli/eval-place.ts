import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { readSuite } from '../evaluate/suite.ts';
import { readSchema, validator } from '../schema.ts';
import type { EvalResults, Suite } from '../types.gen.ts';
import { CliError } from './cli-error.ts';
import { here } from './rollout-bundles.ts';

/** Files of a folder of results. */
export const RESULT_FILES = {
  journal: 'journal.jsonl',
  tasks: 'tasks.jsonl',
  results: 'results.json',
  markdown: 'report.md',
  html: 'report.html',
} as const;

/** The folder of a suite's results: `--results`, else results/<name> beside the suite. */
export const resultsFolder = (suiteFile: string, { name }: Suite, given: string | undefined): string =>
  given === undefined ? join(dirname(resolve(suiteFile)), 'results', name) : resolve(given);

/** The results of a suite's file or of a folder of results, and the folder. Throws CliError when there are none. */
export const findResults = async (place: string, given?: string): Promise<{ folder: string; results: EvalResults }> => {
  const isFolder = await stat(place).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const folder = isFolder ? resolve(place) : resultsFolder(place, await forPerson(readSuite(place)), given);
  return { folder, results: await readResults(folder) };
};

const isResults = validator<EvalResults>(readSchema('eval-results'));

const readResults = async (folder: string): Promise<EvalResults> => {
  const file = join(folder, RESULT_FILES.results);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') {
      throw new CliError(`there are no results in ${here(folder)}: ./aegis eval run SUITE.yaml`);
    }
    throw new CliError(`${here(file)}: ${String((error as { message?: unknown }).message)}`, { cause: error });
  }
  if (isResults(value)) return value;
  const [error] = isResults.errors ?? [];
  throw new CliError(
    `${here(file)} is not of this version (${error?.instancePath} ${error?.message}): ./aegis eval run writes it anew without asking again`,
  );
};

/** What people can mend is said in a sentence. */
const SAID = new Set(['SuiteError', 'GraderError', 'MissingFieldError', 'PublishError', 'AskError', 'Error']);

/** Waits for something whose failures people can mend. Throws CliError in place of those. */
export const forPerson = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: string; message?: string };
    if (name !== undefined && SAID.has(name)) throw new CliError(String(message), { cause: error });
    throw error;
  }
};
