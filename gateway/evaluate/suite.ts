import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LineCounter, parseDocument } from 'yaml';
import { readSchema, validator } from '../schema.ts';
import type { Suite } from '../types.gen.ts';
import type { Task } from './task.ts';

/** A suite or its data that cannot be used; the message says where and what to do. */
export class SuiteError extends Error {
  override readonly name = 'SuiteError';
}

const isSuite = validator<Suite>(readSchema('suite'));

/** Reads a suite. Throws SuiteError with file, line and column. */
export const readSuite = async (file: string): Promise<Suite> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new SuiteError(`${file} cannot be read: ${String((error as { code?: unknown }).code)}`, { cause: error });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) throw new SuiteError(`${place(file, lines, broken.pos[0])}: ${broken.message}`);
  const suite: unknown = document.toJS();
  if (!isSuite(suite)) {
    const [error] = isSuite.errors ?? [];
    const path = (error?.instancePath ?? '').split('/').slice(1);
    const extra = error && 'additionalProperty' in error.params ? String(error.params.additionalProperty) : undefined;
    const offset = offsetOf(document, extra === undefined ? path : [...path, extra]);
    const what = extra === undefined ? (error?.message ?? 'is not a suite') : `there is no "${extra}" here`;
    throw new SuiteError(
      `${place(file, lines, offset)}: ${path.join('.') || 'the suite'}: ${what} (schemas/suite.json)`,
    );
  }
  const sources = ['items', 'file', 'audit'].filter((name) => name in suite.dataset);
  if (sources.length !== 1) throw new SuiteError(`${file}: dataset: exactly one of items, file and audit is wanted`);
  return suite;
};

const place = (file: string, lines: LineCounter, offset: number): string => {
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}`;
};

const offsetOf = (document: ReturnType<typeof parseDocument>, path: readonly string[]): number => {
  for (let depth = path.length; depth > 0; depth--) {
    const keys = path.slice(0, depth).map((key) => (/^\d+$/.test(key) ? Number(key) : key));
    const node = document.getIn(keys, true) as { range?: [number, number, number] } | undefined;
    if (node?.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
};

/** Digest of what makes results comparable: the suite but for how it is run, and its tasks. */
export const suiteDigest = (suite: Suite, tasks: readonly Task[]): string => {
  const { concurrency: _, budget_usd: __, models: ___, $schema: ____, title: _____, ...rest } = suite;
  return digestOf([rest, unlabelled(suite, tasks)]);
};

/**
 * Digest of what the answers depend on: the tasks and how they are put. Graders may change, models and repeats may be added
 * without asking anew what was asked.
 */
export const answersDigest = (suite: Suite, tasks: readonly Task[]): string => {
  const { name, prompt, parameters } = suite;
  return digestOf([name, prompt ?? null, parameters ?? null, unlabelled(suite, tasks)]);
};

/** Tasks without what people marked: labels come after the answers. */
const unlabelled = ({ graders }: Suite, tasks: readonly Task[]): object[] => {
  const labels = new Set(graders.flatMap(({ human }) => (human === undefined ? [] : [human])));
  if (labels.size === 0) return [...tasks];
  return tasks.map(({ id, fields }) => ({
    id,
    fields: Object.fromEntries(Object.entries(fields).filter(([name]) => !labels.has(name))),
  }));
};

const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
