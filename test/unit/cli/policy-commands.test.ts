import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readBundle } from '../../../gateway/policy/bundle.ts';
import { CHECKOUT, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { allowAll, testKey, withFolder, writeFiles } from '../../support/policy-fixture.ts';

beforeAll(async () => {
  await requireCompiler();
}, 600_000);

interface Run {
  code: number;
  out: string;
  err: string;
}

const aegis = (args: readonly string[], cwd: string): Promise<Run> =>
  new Promise((resolve) => {
    const main = join(CHECKOUT, 'gateway', 'main.ts');
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], { cwd }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
    });
  });

const SCENARIO = (expected: string): string => `# yaml-language-server: $schema=../../schemas/scenario.json
name: a question is answered by the small model
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: auto, messages: [{ role: user, content: Hello }] }
expect: { allow: true, model: ${expected} }
---
name: a body that the gateway refuses is no allow
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: 7 }
expect: { allow: false }
`;

const UNIT = `package aegis_test

import data.aegis

test_allows if aegis.decision.allow

test_lists_models if aegis.models == ["small"]
`;

const policies = (expected = 'small'): Record<string, string> => {
  const files = { ...allowAll(), 'aegis/decision_test.rego': UNIT, 'scenarios/small.yaml': SCENARIO(expected) };
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [`policies/${name}`, text]));
};

describe('aegis build, verify and sign', () => {
  test('make a bundle that verifies, leave it alone while nothing changes, and number the next one higher', async () => {
    await withFolder(async (folder) => {
      const { publicPem, privatePem } = testKey();
      await writeFiles(folder, { ...policies(), 'ours.key.pem': privatePem, 'ours.pub.pem': publicPem });
      const build = ['build', 'policies', '-o', 'out.tar.gz', '--key', 'ours.key.pem'];
      const first = await aegis([...build, '--sequence', '7'], folder);
      expect(first).toMatchObject({ code: 0, err: '' });
      expect(first.out).toMatch(/^built +out\.tar\.gz\nrevision +[0-9a-f]{16}\nsequence +7\n/);
      const bytes = await readFile(join(folder, 'out.tar.gz'));
      expect((await aegis(build, folder)).out).toMatch(/^unchanged/);
      expect(await readFile(join(folder, 'out.tar.gz'))).toEqual(bytes);
      expect(await aegis([...build, '--check'], folder)).toMatchObject({ code: 0 });

      expect(await aegis(['verify', 'out.tar.gz', '--key', 'ours.pub.pem'], folder)).toMatchObject({ code: 0 });
      const stranger = await aegis(['verify', 'out.tar.gz', '--json'], folder);
      expect(stranger.code).toBe(1);
      expect(JSON.parse(stranger.out)).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/"ours" is not trusted/),
      });

      const rule = join(folder, 'policies', 'aegis', 'decision.rego');
      await writeFile(rule, (await readFile(rule, 'utf8')).replace('"fixture"', '"changed"'));
      const stale = await aegis([...build, '--check'], folder);
      expect(stale).toMatchObject({ code: 1 });
      expect(stale.out).toMatch(/not what the policies compile to: .*policy\.wasm/);
      expect(await readFile(join(folder, 'out.tar.gz'))).toEqual(bytes);

      const expired = [
        'sign',
        'out.tar.gz',
        '--key',
        'ours.key.pem',
        '--expires',
        '2020-01-01',
        '--claims',
        '{"commit":"abc"}',
      ];
      expect(await aegis(expired, folder)).toMatchObject({ code: 0 });
      const verified = await aegis(['verify', 'out.tar.gz', '--key', 'ours.pub.pem'], folder);
      expect(verified).toMatchObject({ code: 1, out: expect.stringMatching(/expired at 2020-01-01/) });
      expect((await readBundle(await readFile(join(folder, 'out.tar.gz')))).digest).toBe(
        (await readBundle(bytes)).digest,
      );
    });
  }, 120_000);

  test('say in a sentence what is wrong', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, {
        ...policies(),
        'bad.pem': 'no key',
        'policies/rules/x.rego': 'package rules.x\n\na := b\n',
      });
      const noKey = await aegis(['build', 'policies', '-o', 'o.tar.gz', '--key', 'bad.pem'], folder);
      expect(noKey).toMatchObject({ code: 1, err: 'aegis: not a private key in PEM form\n' });
      const unsafe = await aegis(['build', 'policies', '-o', 'o.tar.gz'], folder);
      expect(unsafe.code).toBe(1);
      expect(unsafe.err).toMatch(/policies\/rules\/x\.rego:3: rego_unsafe_var_error: var b is unsafe/);
      expect(unsafe.err).not.toMatch(/\n {4}at /);
      expect((await aegis(['sign', 'o.tar.gz'], folder)).code).toBe(2);
      expect((await aegis(['build', '--sequence', '0'], folder)).code).toBe(2);
    });
  }, 120_000);
});

describe('aegis test', () => {
  test('runs unit tests on both engines and scenarios through the stages, and writes JUnit', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies());
      const run = await aegis(['test', 'policies', '--junit', 'junit.xml'], folder);
      expect(run).toMatchObject({ code: 0, err: '' });
      expect(run.out).toMatch(/unit tests +2 passed, \d+ % of the lines\n/);
      expect(run.out).toMatch(/on WASM +(2 passed|skipped)/);
      expect(run.out).toMatch(/scenarios +2 passed\n/);
      const xml = await readFile(join(folder, 'junit.xml'), 'utf8');
      expect(xml).toMatch(/<testsuites name="aegis test" tests="\d+" failures="0"/);
      expect(xml).toContain('name="a question is answered by the small model"');
    });
  }, 60_000);

  test('shows a failing scenario side by side, with the place, and fails', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, policies('large'));
      const run = await aegis(['test', 'policies', '--junit', 'junit.xml'], folder);
      expect(run.code).toBe(1);
      expect(run.out).toMatch(/FAILED {2}scenarios: a question is answered by the small model\n/);
      expect(run.out).toMatch(/policies\/scenarios\/small\.yaml/);
      expect(run.out).toMatch(/model +large +small\n/);
      expect(await readFile(join(folder, 'junit.xml'), 'utf8')).toContain('<failure');
    });
  }, 60_000);

  test.each<[string, Record<string, string | undefined>, RegExp]>([
    ['there is no unit test', { 'policies/aegis/decision_test.rego': undefined }, /there are unit tests/],
    ['there is no scenario', { 'policies/scenarios/small.yaml': undefined }, /there are scenarios/],
    [
      'a unit test fails',
      { 'policies/aegis/decision_test.rego': `${UNIT}\ntest_wrong if aegis.models == []\n` },
      /aegis_test\.test_wrong[\s\S]*decision_test\.rego:\d+/,
    ],
    ['a scenario is misspelt', { 'policies/scenarios/small.yaml': 'nmae: x\n' }, /not a scenario/],
    [
      'tests reach too few lines',
      {
        'policies/rules/x/x.rego': `package rules.x\n\n${Array.from({ length: 40 }, (_, n) => `r${n} if input.request.id == "${n}"`).join('\n\n')}\n`,
      },
      /at least 80 % of the lines are tested/,
    ],
  ])(
    'fails when %s',
    async (_, change, message) => {
      await withFolder(async (folder) => {
        const files = Object.entries({ ...policies(), ...change }).filter(
          (entry): entry is [string, string] => entry[1] !== undefined,
        );
        await writeFiles(folder, Object.fromEntries(files));
        const run = await aegis(['test', 'policies'], folder);
        expect(run.code).toBe(1);
        expect(run.out).toMatch(message);
      });
    },
    60_000,
  );
});

describe('aegis check', () => {
  test('prints findings with their place and exits 1, as text and as JSON', async () => {
    await withFolder(async (folder) => {
      await cp(join(CHECKOUT, 'policies'), join(folder, 'policies'), { recursive: true });
      expect(await aegis(['check', 'policies'], folder)).toMatchObject({ code: 0, out: 'no findings\n' });
      await writeFiles(folder, {
        'policies/rules/x/granted.rego': 'package rules.x\n\ndefault granted := false\n',
        'policies/rules/x/x.rego': 'package rules.x\n\nallow if count(deny) == 0\n\ndeny := set()\n',
      });
      const text = await aegis(['check', 'policies'], folder);
      expect(text.code).toBe(1);
      expect(text.out).toMatch(
        /^policies\/rules\/x\/x\.rego:3:1 {2}allow holds because nothing denied.*\[absence-grants\]\n {4}fix: /,
      );
      const json = JSON.parse((await aegis(['check', 'policies', '--json'], folder)).out);
      expect(json).toMatchObject({ ok: false, findings: [{ check: 'absence-grants', line: 3, column: 1 }] });
    });
  }, 60_000);
});
