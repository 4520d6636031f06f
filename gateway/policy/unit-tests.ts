import { basename, dirname } from 'node:path';
import type { Compiler } from './compiler.ts';
import { runOpa } from './opa.ts';

/** One test of a rule or scenario. */
export interface TestResult {
  suite: string;
  name: string;
  ok: boolean;
  /** What people need to mend it; empty when it passed. */
  detail: string;
  ms: number;
}

/** What `opa test` gave. */
export interface UnitTests {
  results: TestResult[];
  /** Share of the rules' lines that the tests ran, per cent; undefined on WASM, where it is not measured. */
  coverage?: number;
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

/** Runs the `_test.rego` files, interpreted or on WASM. Throws an Error with the compiler's words when they do not compile. */
export const runUnitTests = async (
  policies: string,
  compiler: Compiler,
  target: 'rego' | 'wasm',
): Promise<UnitTests> => {
  const args = ['test', '-b', basename(policies), '--format', 'json', '-t', target];
  const { code, stdout, stderr } = await runOpa(compiler, args, dirname(policies));
  const tests = parseTests(stdout, stderr, code);
  const suite = target === 'wasm' ? 'unit (wasm)' : 'unit';
  const results = tests.map(({ package: path, name, fail, error, duration, location }) => ({
    suite,
    name: `${path.replace(/^data\./, '')}.${name}`,
    ok: !fail && error === undefined,
    detail:
      fail || error !== undefined
        ? `${fileOf(location.file, policies)}:${location.row}${error?.message ? ` ${error.message}` : ''}`
        : '',
    ms: duration / 1e6,
  }));
  return target === 'wasm' ? { results, uncovered: [] } : { results, ...(await measureCoverage(policies, compiler)) };
};

/** `opa test` prints null when it finds no test. */
const parseTests = (stdout: string, stderr: string, code: number): OpaTest[] => {
  try {
    return (JSON.parse(stdout) as OpaTest[] | null) ?? [];
  } catch {
    throw new Error((stderr || stdout).trim() || `opa test failed with ${code}`);
  }
};

interface Coverage {
  coverage?: number;
  files?: Record<string, { not_covered?: { start: { row: number }; end: { row: number } }[] }>;
}

const measureCoverage = async (policies: string, compiler: Compiler): Promise<Omit<UnitTests, 'results'>> => {
  const args = ['test', '-b', basename(policies), '--coverage', '--format', 'json'];
  const { stdout } = await runOpa(compiler, args, dirname(policies));
  let report: Coverage;
  try {
    report = JSON.parse(stdout) as Coverage;
  } catch {
    return { uncovered: [] }; // tests failed: said already
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
  return { ...(report.coverage === undefined ? {} : { coverage: report.coverage }), uncovered };
};

/** The compiler names files of a bundle folder with the folder twice. */
const fileOf = (file: string, policies: string): string => {
  const base = `${basename(policies)}/`;
  return file.startsWith(base + base) ? file.slice(base.length) : file;
};

const distinct = (lines: readonly number[]): number[] => [...new Set(lines)].sort((a, b) => a - b);
