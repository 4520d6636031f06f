import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Document, isMap, LineCounter, parseAllDocuments } from 'yaml';
import type { Scenario } from '../types.gen.ts';
import { type ScenarioProblem, scenarioProblems } from './scenario-problems.ts';

/** A file of scenarios, read. */
export interface ScenarioFile {
  readonly path: string;
  /** From the parent of the policies' folder, such as `policies/scenarios/access.yaml`. */
  readonly file: string;
  readonly text: string;
  readonly entries: readonly ScenarioEntry[];
}

/** One document of a file. */
export interface ScenarioEntry {
  readonly file: string;
  /** Where it begins, from 1. */
  readonly line: number;
  /** Its name, or the file's where it has none. */
  readonly name: string;
  readonly document: Document;
  /** Undefined when it has problems. Without `expect` it is one that waits for --update. */
  readonly scenario: Scenario | undefined;
  readonly problems: readonly ScenarioProblem[];
}

/** Reads the scenarios of a folder of policies, sorted by file; none when there is no folder `scenarios`. */
export const readScenarios = async (policies: string): Promise<ScenarioFile[]> => {
  const folder = join(policies, 'scenarios');
  const names = (await listFiles(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  return Promise.all(
    names.map((name) => readScenarioFile(join(folder, name), `${basename(policies)}/scenarios/${name}`)),
  );
};

const readScenarioFile = async (path: string, file: string): Promise<ScenarioFile> => {
  const text = await readFile(path, 'utf8');
  return { path, file, text, entries: parseScenarios(text, file) };
};

/** The scenarios of a text, one a YAML document; `file` is how people are told of it. */
export const parseScenarios = (text: string, file: string): ScenarioEntry[] => {
  const lines = new LineCounter();
  // Without a document in it the parser gives an empty list with the stream's errors on it.
  const documents = [...parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })] as Document[];
  return documents.map((document) => entryOf(document, file, lines));
};

const entryOf = (document: Document, file: string, lines: LineCounter): ScenarioEntry => {
  const { line } = lines.linePos(document.contents?.range?.[0] ?? document.range?.[0] ?? 0);
  const given = isMap(document.contents) ? document.contents.get('name') : undefined;
  const name = typeof given === 'string' ? given : file;
  // An `expect` with nothing in it is one that is still to be written.
  const judged = isPlaceholder(document) ? withoutExpect(document) : document;
  const problems = scenarioProblems(judged, lines);
  const scenario = problems.length === 0 ? (judged.toJS({ maxAliasCount: 100 }) as Scenario) : undefined;
  return { file, line, name, document, scenario, problems };
};

const isPlaceholder = (document: Document): boolean => {
  if (!isMap(document.contents) || !document.contents.has('expect')) return false;
  const expect = document.contents.get('expect');
  return expect === undefined || expect === null || (isMap(expect) && expect.items.length === 0);
};

const withoutExpect = (document: Document): Document => {
  const copy = document.clone() as Document;
  copy.delete('expect');
  return copy;
};

const listFiles = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
};
