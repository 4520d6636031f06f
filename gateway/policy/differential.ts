import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Compiler } from './compiler.ts';
import type { Evaluator } from './evaluator.ts';
import type { NamedInput } from './field-drop.ts';
import { requireOpa } from './opa.ts';

/** What an engine says of an input: a value, or why there is none. */
export type Verdict = { readonly value: unknown } | { readonly error: string };

/** Evaluates one entrypoint for many inputs. */
export type Interpret = (inputs: readonly object[], entrypoint: string) => Promise<Verdict[]>;

/** An entrypoint of which two engines say different things. */
export interface Disagreement {
  readonly entrypoint: string;
  /** What serves. */
  readonly wasm: Verdict;
  readonly interpreted: Verdict;
}

/** The engines' disagreements about one input. */
export interface Compared {
  readonly base: NamedInput;
  readonly disagreements: readonly Disagreement[];
}

/**
 * Asks the module that serves and the interpreter the same, at every entrypoint. Having no value is the same for both,
 * whatever they say of it. Lists are compared in their order: a set that got into a decision has another in each engine.
 */
export const compareEngines = async (
  inputs: readonly NamedInput[],
  evaluator: Pick<Evaluator, 'entrypoints' | 'evaluate'>,
  interpret: Interpret,
): Promise<Compared[]> => {
  const disagreements = inputs.map((): Disagreement[] => []);
  if (inputs.length === 0) return [];
  const asked = inputs.map(({ input }) => input);
  const answers = await Promise.all(
    evaluator.entrypoints.map(async (entrypoint) => ({ entrypoint, verdicts: await interpret(asked, entrypoint) })),
  );
  for (const { entrypoint, verdicts } of answers) {
    for (const [index, { input }] of inputs.entries()) {
      const interpreted = verdicts[index] as Verdict;
      const wasm = verdictOf(() => evaluator.evaluate(input, entrypoint));
      if (!isSame(wasm, interpreted)) disagreements[index]?.push({ entrypoint, wasm, interpreted });
    }
  }
  return inputs.map((base, index) => ({ base, disagreements: disagreements[index] ?? [] }));
};

const verdictOf = (evaluate: () => unknown): Verdict => {
  try {
    return { value: evaluate() };
  } catch (error) {
    return { error: (error as Error).message };
  }
};

const isSame = (wasm: Verdict, interpreted: Verdict): boolean => {
  if ('error' in wasm || 'error' in interpreted) return 'error' in wasm && 'error' in interpreted;
  return isDeepStrictEqual(plain(wasm.value), plain(interpreted.value));
};

/** As JSON has it: what the engines give may be of other prototypes. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null)) as unknown;

interface Executed {
  result: { path: string; result?: unknown; error?: { message?: string } }[];
}

/** The compiler's interpreter over the sources of a folder: a process for each entrypoint. Rejects when it does not run. */
export const createInterpreter =
  (policies: string, compiler: Compiler): Interpret =>
  async (inputs, entrypoint) => {
    const folder = await mkdtemp(join(tmpdir(), 'aegis-interpret-'));
    try {
      await mkdir(join(folder, 'inputs'));
      await Promise.all(
        inputs.map((input, index) => writeFile(join(folder, 'inputs', `${index}.json`), JSON.stringify(input))),
      );
      const args = ['exec', '--decision', entrypoint, '-b', policies, 'inputs/'];
      const { result } = JSON.parse(await requireOpa(compiler, args, folder)) as Executed;
      const verdicts = new Map(result.map((entry) => [indexOf(entry.path), toVerdict(entry)]));
      return inputs.map((_, index) => verdicts.get(index) ?? { error: 'the interpreter said nothing' });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

const indexOf = (path: string): number => Number(/(\d+)\.json$/.exec(path)?.[1]);

const toVerdict = ({ result, error }: Executed['result'][number]): Verdict =>
  error === undefined ? { value: result } : { error: error.message ?? 'no reason was given' };
