import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { checkCommand } from '../../../gateway/cli/check.ts';
import { requireCompiler } from '../../../gateway/policy/compiler.ts';
import { FRAME } from '../../support/lint-fixture.ts';
import { MODELS, withFolder, writeFiles } from '../../support/policy-fixture.ts';
import { runCommand } from '../../support/run-command.ts';

beforeAll(async () => {
  await requireCompiler();
}, 600_000);

let exitCode: typeof process.exitCode;
beforeEach(() => {
  exitCode = process.exitCode;
  process.exitCode = 0;
});
afterEach(() => {
  process.exitCode = exitCode;
});

const WARNING = { 'rules/x/x.rego': 'package rules.x\n\ndefault granted := false\n\nhelper if input.request.stream\n' };
const ERROR = { 'rules/y/y.rego': 'package rules.y\n\nm := 9007199254740993\n' };

/** Runs in a folder that is a git checkout, with policies below `teams/a`. */
const check = (
  files: Record<string, string>,
  use: (policies: string, folder: string) => Promise<void>,
): Promise<void> =>
  withFolder(async (folder) => {
    const policies = join(folder, 'teams', 'a', 'policies');
    await mkdir(join(folder, '.git'));
    await writeFiles(policies, { 'aegis/decision.rego': FRAME, 'models/data.json': JSON.stringify(MODELS), ...files });
    await use(policies, folder);
  });

const run = async (...args: string[]): Promise<{ out: string; code: typeof process.exitCode }> => {
  process.exitCode = 0;
  const out = await runCommand(checkCommand(), ...args);
  return { out, code: process.exitCode };
};

describe('aegis check', () => {
  test('a rule that does not parse is a finding as any other, and the SARIF file is written', async () => {
    await check({ 'rules/y/y.rego': 'package rules.y\n\nx := {{"a": 1}\n' }, async (policies, folder) => {
      const file = join(folder, 'findings.sarif');
      expect(await run(policies, '--sarif', file)).toEqual({
        code: 1,
        out: expect.stringMatching(/policies\/rules\/y\/y\.rego:\d+:\d+ .*\[rego_parse_error\]/),
      });
      expect(await readFile(file, 'utf8')).toContain('rego_parse_error');
    });
  });

  test('a folder that is not there is named', async () => {
    await expect(run('/nowhere/policies')).rejects.toThrow('/nowhere/policies is no folder');
  });

  test('exits 0 with warnings alone, unless they are to count', async () => {
    await check(WARNING, async (policies) => {
      expect(await run(policies)).toEqual({ code: 0, out: expect.stringMatching(/warning: .*\[unused\]/) });
      expect(await run(policies, '--fail-on', 'warning')).toMatchObject({ code: 1 });
      expect(JSON.parse((await run(policies, '--json')).out)).toMatchObject({ ok: true });
      expect(JSON.parse((await run(policies, '--json', '--fail-on', 'warning')).out)).toMatchObject({ ok: false });
    });
    await check({}, async (policies) => {
      expect(await run(policies, '--fail-on', 'warning')).toMatchObject({ code: 0 });
    });
  }, 60_000);

  test('exits 1 with errors', async () => {
    await check(ERROR, async (policies) => {
      expect(await run(policies)).toMatchObject({ code: 1, out: expect.stringContaining('[large-number]') });
    });
  }, 60_000);

  test('writes SARIF with paths from the checkout’s root, beside the text', async () => {
    await check(WARNING, async (policies, folder) => {
      const file = join(folder, 'check.sarif');
      expect((await run(policies, '--sarif', file)).out).toContain('[unused]');
      const { runs } = JSON.parse(await readFile(file, 'utf8'));
      const uris = runs[0].results.map(
        (result: { locations: [{ physicalLocation: { artifactLocation: { uri: string } } }] }) =>
          result.locations[0].physicalLocation.artifactLocation.uri,
      );
      expect(new Set(uris)).toEqual(new Set(['teams/a/policies/rules/x/x.rego']));
      expect(runs[0].tool.driver.semanticVersion).toMatch(/^\d/);
    });
  }, 60_000);

  test('prints Markdown instead of the text, or writes it beside', async () => {
    await check(WARNING, async (policies, folder) => {
      const { out } = await run(policies, '--markdown', '-');
      expect(out).toMatch(/^<!-- aegis-check -->\n### Policy check: \d+ warnings?\n/);
      const file = join(folder, 'check.md');
      expect((await run(policies, '--markdown', file)).out).toMatch(/\[unused\]/);
      expect(await readFile(file, 'utf8')).toBe(out);
      await expect(run(policies, '--markdown', '-', '--json')).rejects.toThrow(/cannot be used with/);
      await expect(run(policies, '--fail-on', 'nothing')).rejects.toThrow(/Allowed choices/);
    });
  }, 60_000);

  test('leaves out what a comment accepts with a reason', async () => {
    const rule = WARNING['rules/x/x.rego'].replace(
      'helper',
      '# aegis: accept unused because the next change reads it\nhelper',
    );
    await check({ 'rules/x/x.rego': rule }, async (policies) => {
      expect((await run(policies)).out).not.toContain('rules/x/x.rego:6');
    });
  }, 60_000);
});
