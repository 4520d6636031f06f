import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { newRuleCommand } from '../../gateway/cli/new-rule.ts';
import { runScenario } from '../../gateway/cli/scenario.ts';
import { buildBundle } from '../../gateway/policy/build.ts';
import { checkPolicies } from '../../gateway/policy/check.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../../gateway/policy/compiler.ts';
import { createPolicy } from '../../gateway/policy/engine.ts';
import { runUnitTests } from '../../gateway/policy/unit-tests.ts';
import type { Scenario } from '../../gateway/types.gen.ts';
import { runCommand } from '../support/run-command.ts';

let compiler: Compiler;
let folder: string;
let files: Map<string, string>;
/** What `aegis new rule exams`, with which the guide begins, said. */
let made: string;

/** The guide's worked example: each file's path stands in the line above its block. */
const exampleOf = (guide: string): Map<string, string> =>
  new Map([...guide.matchAll(/`(policies\/\S+)`\n```\w+\n([\s\S]*?)```/g)].map(([, path, text]) => [path!, text!]));

beforeAll(async () => {
  compiler = await requireCompiler();
  files = exampleOf(await readFile(join(CHECKOUT, 'docs', 'policy-guide.md'), 'utf8'));
  folder = await mkdtemp(join(tmpdir(), 'aegis-guide-'));
  await cp(join(CHECKOUT, 'policies'), join(folder, 'policies'), { recursive: true });
  made = await runCommand(newRuleCommand(), 'exams', join(folder, 'policies'));
  for (const [path, text] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the worked example of the policy guide, typed as it stands', () => {
  test('is data, a rule, its test and a scenario', () => {
    expect([...files.keys()]).toEqual([
      'policies/exams/data.yaml',
      'policies/rules/exams/exams.rego',
      'policies/rules/exams/exams_test.rego',
      'policies/scenarios/exams.yaml',
    ]);
  });

  test('stands in the place of what aegis new rule made', async () => {
    expect(await readFile(join(CHECKOUT, 'docs', 'policy-guide.md'), 'utf8')).toContain('./aegis new rule exams\n');
    const paths = [...made.matchAll(/^made +\S*?(policies\/\S+)$/gm)].map(([, path]) => path);
    expect(paths).toEqual([...files.keys()].filter((path) => path !== 'policies/exams/data.yaml'));
  });

  test('passes aegis check', async () => {
    // Before a model of the default policies retires.
    const nowMs = Date.parse('2026-06-01T00:00:00Z');
    expect(await checkPolicies(join(folder, 'policies'), compiler, { nowMs })).toEqual([]);
  }, 60_000);

  test('passes its unit tests', async () => {
    const { results } = await runUnitTests(join(folder, 'policies'), compiler, 'rego');
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    expect(results.filter(({ suite, name }) => `${suite} ${name}`.includes('exam')).length).toBeGreaterThanOrEqual(3);
  }, 60_000);

  test('passes its scenario on the built bundle, which fails without the rule', async () => {
    const scenario = parse(files.get('policies/scenarios/exams.yaml') as string) as Scenario;
    const build = async (policies: string) =>
      createPolicy((await buildBundle({ policies, sequence: 1, compiler })).bundle);
    expect(runScenario(scenario, await build(join(folder, 'policies'))).differences).toEqual([]);
    expect(runScenario(scenario, await build(join(CHECKOUT, 'policies'))).differences).not.toEqual([]);
  }, 60_000);
});
