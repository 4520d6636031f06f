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

describe('aegis check', () => {
  test('prints findings with their place and exits 1, as text and as JSON', async () => {
    await withFolder(async (folder) => {
      await cp(join(CHECKOUT, 'policies'), join(folder, 'policies'), { recursive: true });
      // Warnings come with the time: a model of the default policies retires some day.
      expect(await aegis(['check', 'policies'], folder)).toMatchObject({ code: 0, err: '' });
      await writeFiles(folder, {
        'policies/rules/x/granted.rego': 'package rules.x\n\ndefault granted := false\n',
        'policies/rules/x/x.rego': 'package rules.x\n\nallow if count(deny) == 0\n\ndeny := set()\n',
      });
      const text = await aegis(['check', 'policies'], folder);
      expect(text.code).toBe(1);
      expect(text.out).toMatch(
        /^policies\/rules\/x\/x\.rego:3:1 {2}allow holds because nothing denied.*\[absence-grants\]\n {4}fix: /m,
      );
      const json = JSON.parse((await aegis(['check', 'policies', '--json'], folder)).out);
      const place = { file: 'policies/rules/x/x.rego', line: 3, column: 1 };
      expect(json.ok).toBe(false);
      expect(json.findings).toContainEqual(
        expect.objectContaining({ level: 'error', check: 'absence-grants', ...place }),
      );
      expect(json.findings).toContainEqual(expect.objectContaining({ level: 'warning', check: 'unused', ...place }));
    });
  }, 60_000);
});
