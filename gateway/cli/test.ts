import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { buildBundle } from '../policy/build.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../policy/compiler.ts';
import { createPolicy } from '../policy/engine.ts';
import type { Policy } from '../policy/policy.ts';
import { checkScenario } from '../policy/shapes.ts';
import { runUnitTests, type TestResult, type UnitTests } from '../policy/unit-tests.ts';
import { forPeople } from './cli-error.ts';
import { junit } from './junit.ts';
import { type Difference, runScenario } from './scenario.ts';

/** Share of the rules' lines that unit tests must run, per cent. */
const COVERAGE = 80;

interface TestFlags {
  junit?: string;
  json?: true;
}

/** `aegis test`: the rules' unit tests, interpreted and on WASM, and every scenario on the built bundle. */
export const testCommand = (): Command =>
  new Command('test')
    .description('run the unit tests of the rules, and the scenarios on the built bundle')
    .argument('[policies]', 'folder of the policies', resolve(CHECKOUT, 'policies'))
    .option('--junit <file>', 'write the results as JUnit XML')
    .option('--json', 'print JSON')
    .action(forPeople(test));

const test = async (policies: string, flags: TestFlags): Promise<void> => {
  const folder = resolve(policies);
  const compiler = await requireCompiler((line) => console.error(line));
  const unit = await runUnitTests(folder, compiler, 'rego');
  const wasm = compiler.evaluatesWasm ? await runUnitTests(folder, compiler, 'wasm') : undefined;
  const scenarios = await runScenarios(folder, compiler);
  const results = [...unit.results, ...enough(unit), ...(wasm?.results ?? []), ...scenarios];
  const failed = results.filter(({ ok }) => !ok);
  if (failed.length > 0) process.exitCode = 1;
  if (flags.junit !== undefined) await writeFile(flags.junit, junit(results));
  if (flags.json) {
    console.log(JSON.stringify({ ok: failed.length === 0, coverage: unit.coverage ?? null, results }));
    return;
  }
  for (const { suite, name, detail } of failed) console.log(`FAILED  ${suite}: ${name}\n${indent(detail)}\n`);
  console.log(
    summary(
      'unit tests',
      unit.results,
      unit.coverage === undefined ? '' : `${unit.coverage.toFixed(0)} % of the lines`,
    ),
  );
  console.log(
    wasm === undefined
      ? 'on WASM         skipped: this compiler cannot evaluate WASM, the one in .tools/ can'
      : summary('on WASM', wasm.results, ''),
  );
  console.log(summary('scenarios', scenarios, ''));
};

/** Tests that do not exist, or do not reach the rules, fail as a test of their own. */
const enough = ({ results, coverage, uncovered }: UnitTests): TestResult[] => {
  const rule = (name: string, ok: boolean, detail: string): TestResult => ({ suite: 'unit', name, ok, detail, ms: 0 });
  if (results.length === 0) return [rule('there are unit tests', false, 'no rule has a _test.rego file beside it')];
  if (coverage === undefined) return [];
  const missing = uncovered
    .map(({ file, lines }) => `${file}: lines ${ranges(lines)} are not run by any test`)
    .join('\n');
  return [rule(`at least ${COVERAGE} % of the lines are tested`, coverage >= COVERAGE, missing)];
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

const runScenarios = async (policies: string, compiler: Compiler): Promise<TestResult[]> => {
  const { bundle } = await buildBundle({ policies, sequence: 1, compiler });
  const policy = await createPolicy(bundle);
  const folder = join(policies, 'scenarios');
  const names = (await listFiles(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const results: TestResult[] = [];
  for (const name of names) {
    for (const document of parseAllDocuments(await readFile(join(folder, name), 'utf8'))) {
      const place = `${basename(policies)}/scenarios/${name}`;
      results.push(runDocument(document as { errors: { message: string }[]; toJS(): unknown }, place, policy));
    }
  }
  if (results.length === 0) {
    results.push({ suite: 'scenarios', name: 'there are scenarios', ok: false, detail: `none in ${folder}`, ms: 0 });
  }
  return results;
};

const runDocument = (
  document: { errors: { message: string }[]; toJS(): unknown },
  place: string,
  policy: Policy,
): TestResult => {
  const start = performance.now();
  const result = (name: string, detail: string): TestResult => {
    return { suite: 'scenarios', name, ok: detail === '', detail, ms: performance.now() - start };
  };
  let name = place;
  try {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(error.message);
    const scenario = document.toJS();
    checkScenario(scenario);
    name = scenario.name;
    const { differences, rules } = runScenario(scenario, policy);
    if (differences.length === 0) return result(name, '');
    const fired = rules.map((rule) => `  ${rule.padEnd(36)} ${locate(rule, policy)}`);
    return result(
      name,
      [place, ...sideBySide(differences), 'rules that fired:', ...(fired.length > 0 ? fired : ['  none'])].join('\n'),
    );
  } catch (error) {
    const { message, cause } = error as { message?: string; cause?: { message?: string } };
    return result(name, `${place}\n${message ?? String(error)}${cause?.message ? `: ${cause.message}` : ''}`);
  }
};

const locate = (rule: string, policy: Policy): string => {
  const known = policy.manifest.metadata.aegis.rules[rule];
  return known === undefined ? '' : `${known.file}:${known.line}  ${known.title}`;
};

const sideBySide = (differences: readonly Difference[]): string[] => {
  const rows = differences.map(({ field, expected, actual }) => [field, show(expected), show(actual)] as const);
  const width = Math.min(48, Math.max(8, ...rows.map(([, expected]) => expected.length)));
  const line = ([field, expected, actual]: readonly [string, string, string]): string =>
    `${field.padEnd(18)}${expected.padEnd(width + 2)}${actual}`;
  return [line(['', 'expected', 'actual']), ...rows.map(line)];
};

const show = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
};

const summary = (name: string, results: readonly TestResult[], extra: string): string => {
  const failed = results.filter(({ ok }) => !ok).length;
  const counts = failed === 0 ? `${results.length} passed` : `${results.length - failed} passed, ${failed} failed`;
  return `${name.padEnd(16)}${counts}${extra === '' ? '' : `, ${extra}`}`;
};

const indent = (text: string): string => text.replace(/^/gm, '    ');

const listFiles = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
};
