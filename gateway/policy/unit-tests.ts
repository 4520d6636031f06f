import { basename, dirname } from 'node:path';
import type { Compiler } from './compiler.ts';
import { runOpa } from './opa.ts';
import type { TestResult } from './test-result.ts';

/** What the unit tests reach of the rules. */
export interface Coverage {
  /** Share of the rules' lines that the tests ran, per cent; undefined when a test failed. */
  share: number | undefined;
  /** Files with lines that no test ran. */
  uncovered: { file: string; lines: number[] }[];
}

interface OpaTest {
  package: string;
  name: string;
  fail?: boolean;
  error?: { message?: string };
  duration: number;
  location: { file: string; row: number };
}

// For each test. The compiler's own 5 s are short for one that is compiled to WASM on a busy machine.
const TEST_TIMEOUT = '60s';

/**
 * Runs the `_test.rego` files, interpreted or on WASM; with `names` only those tests. Throws an Error with the compiler's
 * words when they do not compile.
 */
export const runUnitTests = async (
  policies: string,
  compiler: Compiler,
  target: 'rego' | 'wasm',
  names?: readonly string[],
): Promise<{ results: TestResult[] }> => {
  if (names?.length === 0) return { results: [] };
  const chosen = names === undefined ? [] : ['--run', `^(${names.map(toPattern).join('|')})$`];
  const args = [
    'test',
    '-b',
    basename(policies),
    '--format',
    'json',
    '-t',
    target,
    '--timeout',
    TEST_TIMEOUT,
    ...chosen,
  ];
  const { code, stdout, stderr } = await runOpa(compiler, args, dirname(policies));
  return { results: parseTests(stdout, stderr, code).map((test) => resultOf(test, target, policies)) };
};

/** The compiler knows a test by its full path. */
const toPattern = (name: string): string => `data\\.${name.replaceAll('.', '\\.')}`;

const resultOf = (test: OpaTest, suite: 'rego' | 'wasm', policies: string): TestResult => {
  const { fail, error, location } = test;
  const name = `${test.package.replace(/^data\./, '')}.${test.name}`;
  const file = fileOf(location.file, policies);
  const ok = !fail && error === undefined;
  const detail = ok ? '' : `${file}:${location.row}${error?.message ? ` ${error.message}` : ''}`;
  return { suite, name, ok, detail, ms: test.duration / 1e6, file, line: location.row };
};

/** `opa test` prints null when it finds no test. */
const parseTests = (stdout: string, stderr: string, code: number): OpaTest[] => {
  try {
    return (JSON.parse(stdout) as OpaTest[] | null) ?? [];
  } catch {
    throw new Error((stderr || stdout).trim() || `opa test failed with ${code}`);
  }
};

interface CoverageReport {
  coverage?: number;
  files?: Record<string, { not_covered?: { start: { row: number }; end: { row: number } }[] }>;
}

/** Runs the `_test.rego` files on the interpreter and tells which lines of the rules they reach. */
export const measureCoverage = async (policies: string, compiler: Compiler): Promise<Coverage> => {
  const args = ['test', '-b', basename(policies), '--coverage', '--format', 'json', '--timeout', TEST_TIMEOUT];
  const { stdout } = await runOpa(compiler, args, dirname(policies));
  let report: CoverageReport;
  try {
    report = JSON.parse(stdout) as CoverageReport;
  } catch {
    return { share: undefined, uncovered: [] }; // tests failed: said already
  }
  const uncovered = Object.entries(report.files ?? {})
    .filter(([file, { not_covered = [] }]) => !file.endsWith('_test.rego') && not_covered.length > 0)
    .map(([file, { not_covered = [] }]) => ({
      file: fileOf(file, policies),
      lines: distinct(
        not_covered.flatMap(({ start, end }) =>
          Array.from({ length: end.row - start.row + 1 }, (_, n) => start.row + n),
        ),
      ),
    }));
  return { share: report.coverage, uncovered };
};

/** The compiler names files of a bundle folder with the folder twice. */
const fileOf = (file: string, policies: string): string => {
  const base = `${basename(policies)}/`;
  return file.startsWith(base + base) ? file.slice(base.length) : file;
};

const distinct = (lines: readonly number[]): number[] => [...new Set(lines)].sort((a, b) => a - b);
