import { readFile, writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Expect, FieldName } from './scenario-fields.ts';
import { fieldOf } from './scenario-fields.ts';
import { parseScenarios, type ScenarioFile } from './scenario-file.ts';
import { type Outcome, outcomeOf } from './scenario-outcome.ts';
import type { ScenarioRun } from './scenario-suite.ts';
import { addValue, applyEdits, setValue, type TextEdit } from './yaml-edit.ts';

/** A scenario whose file now expects what happened. */
export interface ScenarioUpdate {
  name: string;
  file: string;
  line: number;
  /** What was written, in the order of the file; `from` is undefined where nothing was expected. */
  fields: { field: FieldName; from: unknown; to: unknown }[];
}

/**
 * Rewrites what failing scenarios expect to what happened: only fields that are there, and those of a scenario that expects
 * nothing yet. Comments, order and the rest of the text stay. Left alone is what only a person can mend: a scenario without a
 * decision, `leaves` and `stays`, and what the YAML says by an anchor. Returns what was written.
 */
export const updateScenarios = async (
  files: readonly ScenarioFile[],
  runs: readonly ScenarioRun[],
): Promise<ScenarioUpdate[]> => {
  const updates: ScenarioUpdate[] = [];
  for (const file of files) {
    const rewrites = file.entries.flatMap((entry, index) => {
      const run = runs.find((candidate) => candidate.entry === entry);
      const rewritten = run === undefined ? NOTHING : rewrite(file, run);
      return rewritten.fields.length === 0 ? [] : [{ ...rewritten, index, name: entry.name }];
    });
    if (rewrites.length === 0) continue;
    const text = applyEdits(
      file.text,
      rewrites.flatMap(({ edits }) => edits),
    );
    const entries = parseScenarios(text, file.file);
    for (const { index, name, fields } of rewrites) {
      const entry = entries[index];
      const written = fields.every(({ field, to }) => isDeepStrictEqual(entry?.scenario?.expect?.[field], to));
      if (entry === undefined || !written || entries.length !== file.entries.length) throw unwritable(file, name);
      updates.push({ name, file: file.file, line: entry.line, fields });
    }
    await writeUnchanged(file, text);
  }
  return updates;
};

interface Rewritten {
  edits: TextEdit[];
  fields: ScenarioUpdate['fields'];
}

const NOTHING: Rewritten = { edits: [], fields: [] };

const rewrite = ({ text }: ScenarioFile, { entry, differences, policy }: ScenarioRun): Rewritten => {
  const { document, scenario } = entry;
  if (scenario === undefined || policy === undefined) return NOTHING;
  if (scenario.expect === undefined) {
    const outcome = attempt(() => outcomeOf(scenario, policy));
    if (outcome === undefined) return NOTHING;
    const expect = expectOf(outcome);
    const edits = addValue(text, document, 'expect', expect);
    if (edits === undefined) return NOTHING;
    const fields = Object.entries(expect).map(([field, to]) => ({ field: field as FieldName, from: undefined, to }));
    return { edits, fields };
  }
  const rewritten: Rewritten = { edits: [], fields: [] };
  for (const { field, expected, golden } of differences) {
    if (golden === undefined) continue;
    const edits = setValue(text, document, ['expect', field], golden);
    if (edits === undefined) continue;
    rewritten.edits.push(...edits);
    rewritten.fields.push({ field, from: expected, to: golden });
  }
  return rewritten;
};

/** What a first golden says: what becomes of the request, which text leaves, and which rules had a say. */
const expectOf = (outcome: Outcome): Expect => {
  const { allow, models, decision } = outcome;
  const names: readonly Exclude<FieldName, 'leaves' | 'stays'>[] = !allow
    ? ['code', 'hint', 'rules']
    : models !== undefined
      ? ['models', 'rules']
      : ['model', 'upstream', 'fallbacks', 'sends', 'max_output_tokens', 'tools_removed', 'tier', 'rules'];
  const found = names.map((name) => [name, fieldOf(name, outcome, { allow })] as const);
  // A list with nothing in it, and a cap that there is none, would only be noise.
  const telling = found.filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0));
  return {
    allow,
    ...Object.fromEntries(decision === undefined ? telling.filter(([name]) => name !== 'rules') : telling),
  };
};

const attempt = <T>(run: () => T): T | undefined => {
  try {
    return run();
  } catch {
    return undefined; // said as this scenario's failure
  }
};

const unwritable = ({ file }: ScenarioFile, name: string): Error =>
  new Error(`${file}: ${name}: its YAML could not be rewritten, and was left as it is: change it by hand`);

const writeUnchanged = async ({ path, file, text }: ScenarioFile, next: string): Promise<void> => {
  if ((await readFile(path, 'utf8')) !== text) throw new Error(`${file} changed while its scenarios ran: run it again`);
  await writeFile(path, next);
};
