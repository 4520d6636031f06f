import { readFile } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { parseCsv } from '../parse-csv.ts';
import type { Suite, SuiteAudit } from '../types.gen.ts';
import { createRandom, drawPositions } from './statistics/random.ts';
import { SuiteError } from './suite.ts';
import type { Task } from './task.ts';

/** Draws recorded requests as tasks; see SuiteAudit. */
export type DrawRecorded = (from: SuiteAudit) => Promise<Record<string, unknown>[]>;

/**
 * The tasks of a suite, in the order of the dataset: those that `where` asks for, at most `limit` of them. Paths are
 * relative to `suiteFile`. Throws SuiteError, naming file and line, for rows that are none, doubles of an id, and no task.
 */
export const readDataset = async (
  { dataset }: Pick<Suite, 'dataset'>,
  suiteFile: string,
  drawRecorded: DrawRecorded,
): Promise<Task[]> => {
  const rows = dataset.items ?? (dataset.file ? await readRows(resolve(dirname(suiteFile), dataset.file)) : undefined);
  const all = (rows ?? (await drawRecorded(dataset.audit ?? {}))) as Record<string, unknown>[];
  const wanted = Object.entries(dataset.where ?? {});
  const tasks = all
    .map((fields, at): Task => ({ id: idOf(fields, at), fields }))
    .filter(({ fields }) => wanted.every(([name, value]) => isEqual(fields[name], value)));
  const seen = new Set<string>();
  for (const { id } of tasks) {
    if (seen.has(id)) throw new SuiteError(`the dataset has two tasks with the id ${JSON.stringify(id)}`);
    seen.add(id);
  }
  if (tasks.length === 0) {
    throw new SuiteError(
      all.length === 0 ? 'the dataset is empty' : `none of ${all.length} tasks is as \`where\` says`,
    );
  }
  if (dataset.limit === undefined || dataset.limit >= tasks.length) return tasks;
  const random = createRandom(dataset.seed ?? 1);
  return drawPositions(tasks.length, dataset.limit, random).map((at) => tasks[at] as Task);
};

const idOf = (fields: Record<string, unknown>, at: number): string =>
  typeof fields.id === 'string' || typeof fields.id === 'number' ? String(fields.id) : String(at + 1);

/** Cells of a CSV file are texts, whatever `where` is. */
const isEqual = (value: unknown, wanted: unknown): boolean =>
  value === wanted || (typeof value === 'string' && value === String(wanted));

const readRows = async (file: string): Promise<Record<string, unknown>[]> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new SuiteError(`${file} cannot be read: ${String((error as { code?: unknown }).code)}`, { cause: error });
  }
  const kind = extname(file).toLowerCase();
  if (kind === '.jsonl') return jsonLines(text, file);
  if (kind === '.csv') return csvRows(text, file);
  throw new SuiteError(`${file}: a dataset is JSON Lines (.jsonl) or CSV (.csv)`);
};

const jsonLines = (text: string, file: string): Record<string, unknown>[] =>
  text.split('\n').flatMap((line, at) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new SuiteError(`${file}:${at + 1}: ${String((error as { message?: unknown }).message)}`, { cause: error });
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new SuiteError(`${file}:${at + 1}: each line is a JSON object`);
    }
    return [value as Record<string, unknown>];
  });

const csvRows = (text: string, file: string): Record<string, unknown>[] => {
  try {
    const [header, ...rows] = parseCsv(text);
    if (!header) return [];
    return rows.map(({ line, cells }) => {
      if (cells.length !== header.cells.length) {
        throw new RangeError(`line ${line}: ${cells.length} cells under a header of ${header.cells.length}`);
      }
      return Object.fromEntries(header.cells.map((name, at) => [name.trim(), cells[at]]));
    });
  } catch (error) {
    throw new SuiteError(`${file}: ${String((error as { message?: unknown }).message)}`, { cause: error });
  }
};
