import {
  type Compared,
  compareEngines,
  type Disagreement,
  type Interpret,
  type Verdict,
} from '../policy/differential.ts';
import type { Evaluator } from '../policy/evaluator.ts';
import type { NamedInput } from '../policy/field-drop.ts';
import type { TestResult, TestSuite } from '../policy/test-result.ts';
import { type Pair, sideBySide } from './side-by-side.ts';

/** Asks the module that serves and the interpreter the same: a test an input, which fails when they disagree. */
export const differentialSuite = async (
  inputs: readonly NamedInput[],
  evaluator: Pick<Evaluator, 'entrypoints' | 'evaluate'>,
  interpret: Interpret,
): Promise<TestSuite> => {
  const start = performance.now();
  const compared = await compareEngines(inputs, evaluator, interpret);
  const ms = (performance.now() - start) / Math.max(1, inputs.length);
  return { name: 'differential', results: compared.map((entry) => resultOf(entry, ms)) };
};

const resultOf = ({ base, disagreements }: Compared, ms: number): TestResult => {
  const { name, file, line } = base;
  const ok = disagreements.length === 0;
  const place = { ...(file === undefined ? {} : { file }), ...(line === undefined ? {} : { line }) };
  const lines = [...(file === undefined ? [] : [`${file}:${line}`]), ...disagreements.flatMap(report)];
  return { suite: 'differential', name, ok, detail: ok ? '' : lines.join('\n'), ms, ...place };
};

const report = ({ entrypoint, wasm, interpreted }: Disagreement): string[] => {
  const pairs = differing('', wasmValue(wasm), wasmValue(interpreted));
  return [
    `${entrypoint}: the bundle does not say what the rules say`,
    ...sideBySide(pairs, ['interpreter', 'WASM']).map((line) => `  ${line}`),
    ...(pairs.some(isOrderAlone)
      ? ['  fix: the same entries in another order are a set, which has none: make the list with sort(…)']
      : ['  fix: say it without what differs; docs/policy-guide.md, Testing, has known causes']),
  ];
};

const wasmValue = (verdict: Verdict): unknown => ('error' in verdict ? `no value: ${verdict.error}` : verdict.value);

/** The deepest places in which two documents differ. */
const differing = (path: string, wasm: unknown, interpreted: unknown): Pair[] => {
  if (isTable(wasm) && isTable(interpreted)) {
    const names = [...new Set([...Object.keys(interpreted), ...Object.keys(wasm)])];
    return names.flatMap((name) => differing(path === '' ? name : `${path}.${name}`, wasm[name], interpreted[name]));
  }
  if (JSON.stringify(wasm) === JSON.stringify(interpreted)) return [];
  return [{ name: path === '' ? 'value' : path, expected: interpreted, actual: wasm }];
};

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isOrderAlone = ({ expected, actual }: Pair): boolean => {
  if (!Array.isArray(expected) || !Array.isArray(actual)) return false;
  const sorted = (list: readonly unknown[]): string => JSON.stringify(list.map((item) => JSON.stringify(item)).sort());
  return sorted(expected) === sorted(actual);
};
