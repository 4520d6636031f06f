import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { newRuleCommand } from '../../../gateway/cli/new-rule.ts';
import { runScenario } from '../../../gateway/cli/scenario.ts';
import { buildBundle } from '../../../gateway/policy/build.ts';
import { checkPolicies } from '../../../gateway/policy/check.ts';
import { CHECKOUT, type Compiler, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import { measureCoverage, runUnitTests } from '../../../gateway/policy/unit-tests.ts';
import type { Scenario } from '../../../gateway/types.gen.ts';
import { withFolder, writeFiles } from '../../support/policy-fixture.ts';
import { runCommand } from '../../support/run-command.ts';

let compiler: Compiler;
beforeAll(async () => {
  compiler = await requireCompiler();
}, 600_000);

const CLOCK = { nowMs: Date.parse('2026-06-01T00:00:00Z') };

/** A copy of the default policies; the folder goes afterwards. */
const withPolicies = (use: (policies: string) => Promise<void>): Promise<void> =>
  withFolder(async (folder) => {
    const policies = join(folder, 'policies');
    await cp(join(CHECKOUT, 'policies'), policies, { recursive: true });
    await use(policies);
  });

const newRule = (name: string, policies: string): Promise<string> => runCommand(newRuleCommand(), name, policies);

const filesOf = async (policies: string): Promise<string[]> => (await readdir(policies, { recursive: true })).sort();

const scenariosOf = async (policies: string, name: string): Promise<Scenario[]> =>
  parseAllDocuments(await readFile(join(policies, 'scenarios', `${name}.yaml`), 'utf8')).map(
    (document) => (document as { toJS(): unknown }).toJS() as Scenario,
  );

describe('aegis new rule', () => {
  test('makes a rule that is checked, tested and refuses its example, and nothing else', async () => {
    await withPolicies(async (policies) => {
      const before = await filesOf(policies);
      const out = await newRule('late_work', policies);
      for (const line of [
        'late_work.rego',
        'late_work_test.rego',
        'scenarios/late_work.yaml',
        './aegis check',
        './aegis test',
        './aegis build',
      ]) {
        expect(out).toContain(line);
      }
      const made = (await filesOf(policies)).filter((file) => !before.includes(file));
      expect(made).toEqual([
        'rules/late_work',
        'rules/late_work/late_work.rego',
        'rules/late_work/late_work_test.rego',
        'scenarios/late_work.yaml',
      ]);

      expect(await checkPolicies(policies, compiler, CLOCK)).toEqual([]);
      const { results } = await runUnitTests(policies, compiler, 'rego');
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(results.filter(({ name }) => name.startsWith('rules.late_work_test'))).toHaveLength(2);
      const { uncovered } = await measureCoverage(policies, compiler);
      expect(uncovered.filter(({ file }) => file.includes('late_work'))).toEqual([]);

      const build = async (folder: string) =>
        createPolicy((await buildBundle({ policies: folder, sequence: 1, compiler })).bundle);
      const [refused, allowed, ...others] = await scenariosOf(policies, 'late_work');
      expect(others).toEqual([]);
      const [policy, without] = [await build(policies), await build(join(CHECKOUT, 'policies'))];
      for (const scenario of [refused!, allowed!]) expect(runScenario(scenario, policy).differences).toEqual([]);
      expect(runScenario(refused!, without).differences).not.toEqual([]);
    });
  }, 120_000);

  test('takes somebody whom these policies allow into its scenario, and says where the schema is', async () => {
    await withPolicies(async (policies) => {
      await rm(join(policies, 'scenarios'), { recursive: true });
      await newRule('alone', policies);
      expect(await scenariosOf(policies, 'alone')).toHaveLength(1);
      await writeFiles(policies, {
        'scenarios/a.yaml': `name: x
given: { caller: { org: "o, p", team: t, roles: [r] }, purpose: { workflow: w } }
request: { endpoint: chat.completions, body: { model: "m: n", messages: [] } }
expect: { allow: true }
`,
      });
      await newRule('second', policies);
      const [, allowed] = await scenariosOf(policies, 'second');
      expect(allowed?.given).toEqual({
        caller: { org: 'o, p', team: 't', roles: ['r'], groups: ['second'] },
        purpose: { workflow: 'w' },
      });
      expect(allowed?.request.body).toMatchObject({ model: 'm: n' });
      const [header] = (await readFile(join(policies, 'scenarios', 'second.yaml'), 'utf8')).split('\n');
      const [, schema] = /^# yaml-language-server: \$schema=(.*)$/.exec(header ?? '') ?? [];
      const path = join(policies, 'scenarios', schema ?? '');
      expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ title: 'Scenario' });
    });
  }, 60_000);

  test.each([
    ['Upper', 'a package in Rego'],
    ['a-b', 'a package in Rego'],
    ['a.b', 'a package in Rego'],
    ['../up', 'a package in Rego'],
    ['9lives', 'a package in Rego'],
    ['x'.repeat(41), 'a package in Rego'],
    ['with', 'reserved'],
    ['default', 'reserved'],
    ['some_test', 'try "some"'],
    ['access', 'is there already'],
    ['routing', 'is there already'],
  ])('refuses the name %s, and writes nothing', async (name, why) => {
    await withPolicies(async (policies) => {
      const before = await filesOf(policies);
      await expect(newRule(name, policies)).rejects.toThrow(why);
      expect(await filesOf(policies)).toEqual(before);
    });
  });

  test('writes over no scenario, and into no folder that has no policies', async () => {
    await withPolicies(async (policies) => {
      await writeFile(join(policies, 'scenarios', 'mine.yaml'), 'mine\n');
      await expect(newRule('mine', policies)).rejects.toThrow('scenarios/mine.yaml is there already');
      expect(await readFile(join(policies, 'scenarios', 'mine.yaml'), 'utf8')).toBe('mine\n');
      expect(await filesOf(join(policies, 'rules'))).not.toContain('mine');
      await rm(join(policies, 'aegis'), { recursive: true });
      await expect(newRule('other', policies)).rejects.toThrow('testing_test.rego');
    });
    await withFolder(async (folder) => {
      await expect(newRule('other', folder)).rejects.toThrow('no folder rules/');
    });
  });
});
