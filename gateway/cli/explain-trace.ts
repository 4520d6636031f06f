import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Explanation, storedBundle } from '../explain/explanation.ts';
import { sourceFiles, sourcesRevision } from '../policy/build.ts';
import type { Bundle } from '../policy/bundle.ts';
import { CHECKOUT, type Compiler, findCompiler, OPA_VERSION } from '../policy/compiler.ts';
import { requireOpa } from '../policy/opa.ts';
import { PAGE_COLUMNS } from './page.ts';

/** How much of a trace is shown: expressions that did not hold, what rules note (`trace`), or every step. */
export const TRACE_LEVELS = ['fails', 'notes', 'full'] as const;
export type TraceLevel = (typeof TRACE_LEVELS)[number];

/** What the interpreter says of a recorded input. */
export interface Trace {
  /** The steps, one a line; empty when there is no trace. */
  readonly lines: readonly string[];
  /** What a reader must know of it, in sentences. */
  readonly notes: readonly string[];
  /** Whether the interpreter decides as was recorded; null when that could not be compared. */
  readonly isSame: boolean | null;
}

/** Says it once for all who have no compiler. */
const NO_COMPILER =
  `a trace needs the policy compiler, opa ${OPA_VERSION}: put it on PATH or at .tools/opa; ` +
  'in the checkout, with Go installed, ./aegis check builds it';

/**
 * Runs the input of a decision through the compiler's interpreter, over the Rego and the data of the very bundle that
 * decided: from the checkout's policies when they are of that revision, so that lines are those of the files, else as the
 * bundle carries them. Throws an Error when the compiler fails.
 */
export const traceDecision = async (
  { input, decision, bundle: ref }: Explanation,
  homes: readonly string[],
  level: TraceLevel,
  find: () => Promise<Compiler | undefined> = findCompiler,
): Promise<Trace> => {
  const none = (note: string): Trace => ({ lines: [], notes: [note], isSame: null });
  if (!input || !ref) return none('there is no trace: the record has no input, or names no bundle');
  const { bundle } = await storedBundle(homes, ref.digest);
  if (!bundle) return none('there is no trace: this home does not have the bundle that decided');
  const compiler = await find();
  if (!compiler) return none(NO_COMPILER);
  const folder = await mkdtemp(join(tmpdir(), 'aegis-trace-'));
  try {
    const isSource = await unpack(bundle, folder);
    await writeFile(join(folder, 'input.json'), JSON.stringify(input));
    const entry = await entryOf(compiler, folder);
    const notes = isSource ? [] : ['lines are those of the Rego in the bundle, which has no comments'];
    if (entry !== WHOLE) {
      notes.push('this bundle carries no Rego of the whole decision, so the trace is of allow and deny alone');
    }
    const isSame = entry === WHOLE ? isDeepStrictEqual(await evaluated(compiler, folder, entry), decision) : null;
    if (isSame === false) {
      notes.push(
        'the interpreter decides otherwise than was recorded: the record or the compiled module is not to be trusted',
      );
    }
    const text = await requireOpa(compiler, evalArgs(entry, '--explain', level, '--format', 'pretty'), folder);
    const lines = level === 'fails' ? await failures(text, folder) : steps(text);
    return { lines, notes, isSame };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** The rule that holds the decision: entrypoints themselves are not among the Rego of a compiled bundle. */
const WHOLE = 'data.aegis.document';
const PARTS = '{"allow": data.aegis.allow, "deny": data.aegis.deny}';

const evalArgs = (query: string, ...more: readonly string[]): string[] => [
  'eval',
  ...['--data', 'policies', '--data', 'data.json', '--input', 'input.json', ...more],
  query,
];

const entryOf = async (compiler: Compiler, folder: string): Promise<string> =>
  (await evaluated(compiler, folder, WHOLE)) === undefined ? PARTS : WHOLE;

const evaluated = async (compiler: Compiler, folder: string, query: string): Promise<unknown> => {
  const output = await requireOpa(compiler, evalArgs(query, '--format', 'json'), folder);
  const { result } = JSON.parse(output) as { result?: { expressions: { value: unknown }[] }[] };
  return result?.[0]?.expressions[0]?.value;
};

/** Puts Rego and data into the folder; whether the Rego is the checkout's, line for line. */
const unpack = async (bundle: Bundle, folder: string): Promise<boolean> => {
  const policies = join(CHECKOUT, 'policies');
  const isSource = (await sourcesRevision(policies).catch(() => '')) === bundle.manifest.revision;
  const put = async (name: string, bytes: Uint8Array): Promise<void> => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  };
  await put('data.json', bundle.files.get('data.json') as Buffer);
  if (isSource) {
    for (const name of await sourceFiles(policies)) {
      if (name.endsWith('.rego')) await put(`policies/${name}`, await readFile(join(policies, name)));
    }
    return true;
  }
  for (const [name, bytes] of bundle.files) if (name.endsWith('.rego')) await put(name, bytes);
  return false;
};

const STEP = /^(\S+):(\d+)\s+((?:\| )*)(Enter|Redo|Fail|Eval|Exit|Note|Index|Save|Unify) (.*)$/;

/** The steps as the compiler prints them, without the result behind them. */
const steps = (text: string): string[] =>
  text
    .split('\n')
    .slice(
      0,
      Math.max(
        0,
        text.split('\n').findLastIndex((line) => STEP.test(line)),
      ) + 1,
    )
    .filter((line) => STEP.test(line));

const TEXT_COLUMNS = 62;
/** The page shows each line below its title. */
const INDENT = 2;

/**
 * The rules that were asked, and below each the line that did not hold, as it stands in the file. The compiler's own lines
 * show the rules as it has rewritten them.
 */
const failures = async (text: string, folder: string): Promise<string[]> => {
  const sources = new Map<string, string[]>();
  const sourceLine = async (file: string, line: number): Promise<string | undefined> => {
    let lines = sources.get(file);
    if (!lines) {
      lines = (await readFile(join(folder, file), 'utf8').catch(() => '')).split('\n');
      sources.set(file, lines);
    }
    return lines[line - 1]?.trim();
  };
  const shown: string[] = [];
  for (const step of steps(text)) {
    const [, file = '', line = '', bars = '', operation, what = ''] = STEP.exec(step) ?? [];
    if (!file.endsWith('.rego')) continue;
    const isRule = operation === 'Enter' && what.startsWith('data.');
    if (!isRule && operation !== 'Fail') continue;
    const code = isRule ? what.slice('data.'.length) : `✗ ${(await sourceLine(file, Number(line))) ?? what}`;
    const indented = `${'  '.repeat(Math.min(Math.max(bars.length / 2 - 1, 0), 12))}${code}`;
    const place = `${file.replace(/^policies\//, '')}:${line}`;
    const columns = Math.min(TEXT_COLUMNS, PAGE_COLUMNS - INDENT - 1 - place.length);
    const cut = indented.length > columns ? `${indented.slice(0, columns - 1)}…` : indented;
    const row = `${cut.padEnd(columns)} ${place}`;
    if (shown.at(-1) !== row) shown.push(row);
  }
  return shown;
};
