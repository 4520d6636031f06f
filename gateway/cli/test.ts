import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import type { SuiteName, TestSuite } from '../policy/test-result.ts';
import { forPeople } from './cli-error.ts';
import { junit } from './junit.ts';
import { runAllTests } from './run-all-tests.ts';

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
  const compiler = await requireCompiler((line) => console.error(line));
  const { ok, suites, coverage } = await runAllTests(resolve(policies), compiler);
  if (!ok) process.exitCode = 1;
  const results = suites.flatMap((suite) => suite.results);
  if (flags.junit !== undefined) await writeFile(flags.junit, junit(results));
  if (flags.json) {
    console.log(JSON.stringify({ ok, coverage: coverage ?? null, results }));
    return;
  }
  for (const { suite, name, detail } of results.filter((result) => !result.ok))
    console.log(`FAILED  ${LABELS[suite]}: ${name}\n${indent(detail)}\n`);
  for (const suite of suites) console.log(summary(suite));
};

const LABELS: Readonly<Record<SuiteName, string>> = {
  rego: 'unit tests',
  wasm: 'on WASM',
  scenarios: 'scenarios',
  'field-drop': 'field-drop',
  differential: 'differential',
};

const summary = ({ name, results, skipped, note }: TestSuite): string => {
  const failed = results.filter(({ ok }) => !ok).length;
  const counts = failed === 0 ? `${results.length} passed` : `${results.length - failed} passed, ${failed} failed`;
  const rest = note === undefined ? '' : `, ${note}`;
  return `${LABELS[name].padEnd(16)}${skipped === undefined ? `${counts}${rest}` : `skipped: ${skipped}`}`;
};

const indent = (text: string): string => text.replace(/^/gm, '    ');
