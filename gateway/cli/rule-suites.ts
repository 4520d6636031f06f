import type { Compiler } from '../policy/compiler.ts';
import type { TestResult, TestSuite } from '../policy/test-result.ts';
import { type Coverage, measureCoverage, runUnitTests } from '../policy/unit-tests.ts';

/** Share of the rules' lines that unit tests must run, per cent. */
export const DEFAULT_COVERAGE = 80;

/** The unit tests of the rules on both engines. */
export interface RuleSuites {
  suites: TestSuite[];
  coverage: number | undefined;
}

/**
 * Runs the `_test.rego` files of a folder, interpreted and on WASM. With `only`, the tests whose name matches, and coverage
 * is not asked for.
 */
export const ruleSuites = async (
  folder: string,
  compiler: Compiler,
  { coverage: wanted = DEFAULT_COVERAGE, only }: { coverage?: number; only?: RegExp },
): Promise<RuleSuites> => {
  if (only !== undefined) {
    // The interpreter runs all tests in less time than the other engine takes for ten.
    const { results } = await runUnitTests(folder, compiler, 'rego');
    const matching = results.filter(({ name }) => only.test(name));
    const names = matching.map(({ name }) => name);
    return {
      suites: [{ name: 'rego', results: matching }, await onWasm(folder, compiler, names)],
      coverage: undefined,
    };
  }
  const [{ results }, coverage, wasm] = await Promise.all([
    runUnitTests(folder, compiler, 'rego'),
    measureCoverage(folder, compiler),
    onWasm(folder, compiler),
  ]);
  const { share } = coverage;
  const note = share === undefined ? {} : { note: `${share.toFixed(0)} % of the lines` };
  const rego: TestSuite = { name: 'rego', results: [...results, ...enough(results, coverage, wanted)], ...note };
  return { suites: [rego, wasm], coverage: share };
};

const onWasm = async (folder: string, compiler: Compiler, names?: readonly string[]): Promise<TestSuite> =>
  compiler.evaluatesWasm
    ? { name: 'wasm', ...(await runUnitTests(folder, compiler, 'wasm', names)) }
    : { name: 'wasm', results: [], skipped: 'this compiler cannot evaluate WASM, the one in .tools/ can' };

/** Tests that do not exist, or do not reach the rules, fail as a test of their own. */
const enough = (tests: readonly TestResult[], { share, uncovered }: Coverage, wanted: number): TestResult[] => {
  const rule = (name: string, ok: boolean, detail: string): TestResult => ({ suite: 'rego', name, ok, detail, ms: 0 });
  if (tests.length === 0) return [rule('there are unit tests', false, 'no rule has a _test.rego file beside it')];
  if (share === undefined) return [];
  const ok = share >= wanted;
  const missing = uncovered.map(({ file, lines }) => `${file}: lines ${ranges(lines)} are not run by any test`);
  return [rule(`at least ${wanted} % of the lines are tested`, ok, ok ? '' : missing.join('\n'))];
};

/** `1-3, 7` for 1, 2, 3, 7. */
const ranges = (lines: readonly number[]): string => {
  const parts: [number, number][] = [];
  for (const line of lines) {
    const last = parts.at(-1);
    if (last !== undefined && line === last[1] + 1) last[1] = line;
    else parts.push([line, line]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
};
