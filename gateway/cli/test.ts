import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { CHECKOUT, requireCompiler } from '../policy/compiler.ts';
import { CliError, forPeople } from './cli-error.ts';
import { junit } from './junit.ts';
import { policiesFolder } from './policies-folder.ts';
import { DEFAULT_COVERAGE } from './rule-suites.ts';
import { runAllTests } from './run-all-tests.ts';
import { testReport } from './test-report.ts';

interface TestFlags {
  junit?: string;
  json?: true;
  coverage: number;
  only?: RegExp;
  update?: true;
}

/** `aegis test`: everything that proves policies by running them. */
export const testCommand = (): Command =>
  new Command('test')
    .description(
      'run the unit tests of the rules, and scenarios, field-drop and differential tests on the built bundle',
    )
    .argument('[policies]', 'folder of the policies', resolve(CHECKOUT, 'policies'))
    .option('--only <regex>', 'unit tests and scenarios whose name matches, and the other tests on those', parsePattern)
    .option('--coverage <percent>', 'share of the lines that unit tests must run', parseShare, DEFAULT_COVERAGE)
    .option('--update', 'rewrite what failing scenarios expect to what happened, for review')
    .option('--junit <file>', 'write the results as JUnit XML')
    .option('--json', 'print JSON')
    .action(forPeople(test));

const test = async (policies: string, flags: TestFlags): Promise<void> => {
  if (flags.update && isCi()) {
    throw new CliError('--update is for people, who review what it writes: CI is set, so nothing was run or written');
  }
  const folder = await policiesFolder(policies);
  const compiler = await requireCompiler((line) => console.error(line));
  const { junit: target, json, ...options } = flags;
  const tests = await runAllTests(folder, compiler, options);
  if (!tests.ok) process.exitCode = 1;
  if (target !== undefined) await writeFile(target, junit(tests.suites, tests.coverage));
  if (json) {
    const { ok, coverage, suites, updates } = tests;
    const counts = suites.map(({ results, ...suite }) => ({
      ...suite,
      tests: results.length,
      failures: results.filter((result) => !result.ok).length,
    }));
    const results = suites.flatMap((suite) => suite.results);
    console.log(JSON.stringify({ ok, coverage: coverage ?? null, suites: counts, updates, results }));
    return;
  }
  console.log(testReport(tests).join('\n'));
};

/** As CI systems set it. */
const isCi = (): boolean => !['', '0', 'false'].includes(process.env.CI ?? '');

const parsePattern = (text: string): RegExp => {
  try {
    return new RegExp(text, 'i');
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
};

const parseShare = (text: string): number => {
  const share = Number(text);
  if (text.trim() === '' || !(share >= 0 && share <= 100))
    throw new InvalidArgumentError('want a number from 0 to 100');
  return share;
};
