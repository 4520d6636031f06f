import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { firstError } from '../policy/shapes.ts';
import { readSchema, type Validator, validator } from '../schema.ts';
import type { Rollout } from '../types.gen.ts';
import { CliError } from './cli-error.ts';

/** A rollout.yaml as it is written, and what it says. */
export interface RolloutFile {
  /** For people, relative to where they are. */
  readonly name: string;
  readonly text: string;
  readonly document: Document;
  readonly desired: Rollout;
}

const isRollout: Validator<Rollout> = validator<Rollout>(readSchema('rollout'));
const LARGEST_BYTES = 64 * 1024;

/** Reads a rollout.yaml. Throws CliError, with file, line and column, when it is none. */
export const readRolloutFile = async (path: string): Promise<RolloutFile> => {
  const name = relative(process.cwd(), path) || path;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as { code?: string };
    throw new CliError(`${name} cannot be read (${code}); ./aegis build makes it, --bundles names its folder`);
  }
  if (text.length > LARGEST_BYTES) throw new CliError(`${name} is larger than ${LARGEST_BYTES} bytes`);
  return parseRolloutFile(text, name);
};

/** A rollout.yaml from its text. Throws CliError, with file, line and column, when it is none. */
export const parseRolloutFile = (text: string, name: string): RolloutFile => {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const [error] = document.errors;
  if (error) {
    const [{ line, col }] = error.linePos ?? [{ line: 1, col: 1 }];
    throw new CliError(`${name}:${line}:${col}: ${error.message.split('\n')[0]}`);
  }
  const desired: unknown = document.toJS();
  if (isRollout(desired)) return { name, text, document, desired };
  const path = (isRollout.errors?.[0]?.instancePath ?? '').split('/').slice(1);
  const node = document.getIn(path, true) as { range?: readonly number[] | null } | undefined;
  const { line, col } = lineCounter.linePos(node?.range?.[0] ?? 0);
  throw new CliError(
    `${name}:${line || 1}:${col || 1}: ${firstError(isRollout)} (schemas/rollout.json tells each field)`,
  );
};
