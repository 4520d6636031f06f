import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { EXPIRES_SOON_MS, expiryWarning, parseExpiry } from '../../../gateway/cli/expiry.ts';
import { testsDigest } from '../../../gateway/cli/provenance.ts';
import { refuseUnderRollout, setStable } from '../../../gateway/cli/stable-file.ts';
import { readBundle, SIGNATURES_FILE, sha256 } from '../../../gateway/policy/bundle.ts';
import { CHECKOUT, requireCompiler } from '../../../gateway/policy/compiler.ts';
import { packFiles } from '../../../gateway/policy/pack.ts';
import type { TestResult } from '../../../gateway/policy/test-result.ts';
import { allowAll, testKey, withFolder, writeFiles } from '../../support/policy-fixture.ts';

const run = promisify(execFile);

beforeAll(async () => {
  await requireCompiler();
}, 600_000);

const UNIT = `package aegis_test

import data.aegis

test_allows if aegis.decision.allow

test_lists_models if aegis.models == ["small"]
`;

const SCENARIO = `name: a question is answered by the small model
given:
  caller: { org: any, roles: [] }
request:
  endpoint: chat.completions
  body: { model: auto, messages: [{ role: user, content: Hello }] }
expect: { allow: true, model: small }
`;

interface Run {
  code: number;
  out: string;
  err: string;
}

interface Repository {
  folder: string;
  aegis(...args: string[]): Promise<Run>;
  git(...args: string[]): Promise<string>;
}

/** A repository with policies that pass, in one commit, and keys beside it. */
const withRepository = (use: (repository: Repository) => Promise<void>): Promise<void> =>
  withFolder(async (root) => {
    const folder = join(root, 'repository');
    const sources = { ...allowAll(), 'aegis/decision_test.rego': UNIT, 'scenarios/small.yaml': SCENARIO };
    for (const [name, text] of Object.entries(sources)) {
      await writeFiles(folder, { [`policies/${name}`]: `${text.trimEnd()}\n` });
    }
    const git = async (...args: string[]): Promise<string> => {
      const { stdout } = await run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
        cwd: folder,
      });
      return stdout.trim();
    };
    const aegis = (...args: string[]): Promise<Run> =>
      new Promise((resolve) => {
        const argv = ['--disable-warning=ExperimentalWarning', join(CHECKOUT, 'gateway', 'main.ts'), ...args];
        execFile(process.execPath, argv, { cwd: folder }, (error, out, err) => {
          resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
        });
      });
    await git('init', '-q', '-b', 'main');
    await git('add', '.');
    await git('commit', '-q', '-m', 'policies');
    await use({ folder, aegis, git });
  });

/** Writes an EC key as NAME.pem and NAME.pub.pem beside the repository. */
const ecKey = async (folder: string, name: string): Promise<void> => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(join(folder, '..', `${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(join(folder, '..', `${name}.pub.pem`), publicKey.export({ type: 'spki', format: 'pem' }));
};

const RELEASE = ['build', 'policies', '-o', 'out.tar.gz', '--key', '../build.pem', '--release'];
const VERIFY = ['verify', 'out.tar.gz', '--key', '../build.pub.pem'];

describe('a release', () => {
  test('says which commit it is, what built it and which tests passed, and is otherwise the same bytes', async () => {
    await withRepository(async ({ folder, aegis, git }) => {
      await ecKey(folder, 'build');
      const first = await aegis(...RELEASE, '--expires', '90d', '--sequence', '4');
      expect(first).toMatchObject({ code: 0, err: '' });
      const commit = await git('rev-parse', 'HEAD');
      expect(first.out).toContain(`commit     ${commit}\n`);

      const told = JSON.parse((await aegis(...VERIFY, '--json')).out);
      const { results } = JSON.parse((await aegis('test', 'policies', '--json')).out) as { results: TestResult[] };
      expect(told).toMatchObject({
        ok: true,
        sequence: 4,
        signer: { keyid: 'build', algorithm: 'ES256', iss: 'aegis build' },
        provenance: {
          commit,
          builder: expect.stringMatching(/^aegis \d+\.\d+\.\d+, opa \d+\.\d+\.\d+, node \d+\.\d+\.\d+$/),
          tests: { passed: results.length, sha256: testsDigest(results) },
          iat: expect.any(Number),
        },
        warnings: [],
      });
      expect(results.length).toBeGreaterThan(3);
      expect(told.provenance).not.toHaveProperty('dirty');
      expect(Date.parse(told.expires) - Date.now()).toBeGreaterThan(89 * 86_400_000);
      expect(JSON.stringify(told)).not.toMatch(/remote|origin/);

      const lines = (await aegis(...VERIFY)).out;
      expect(lines).toMatch(/^good +out\.tar\.gz\n/);
      expect(lines).toMatch(/\nsigned by +key build, ES256 \(aegis build\)\ncommit +[0-9a-f]{40}\nbuilder +aegis /);
      expect(lines).toMatch(/\ntests +\d+ passed, sha256 [0-9a-f]{64}\nbuilt +20.*\nexpires +20/);

      // Its own file does not make the working tree dirty, and what is the same keeps its number.
      expect(await aegis(...RELEASE)).toMatchObject({ code: 0, err: '' });
      const again = JSON.parse((await aegis(...VERIFY, '--json')).out);
      expect([again.digest, again.sequence, again.expires]).toEqual([told.digest, 4, null]);
      expect(again.provenance.tests).toEqual(told.provenance.tests);
    });
  }, 180_000);

  test('is refused with changes that are in no commit, or says that it has them', async () => {
    await withRepository(async ({ folder, aegis, git }) => {
      await ecKey(folder, 'build');
      await writeFiles(folder, {
        '.gitignore': 'mine.rego\n',
        'policies/rules/x/mine.rego': 'package rules.x\n\na := 1\n',
        'notes.txt': 'x',
      });
      await appendFile(join(folder, 'policies/scenarios/small.yaml'), '# more\n');
      const refused = await aegis(...RELEASE);
      expect(refused).toMatchObject({ code: 1, out: '' });
      const commit = await git('rev-parse', '--short=12', 'HEAD');
      expect(refused.err).toMatch(
        new RegExp(
          `^aegis: the working tree is not commit ${commit}: .gitignore, notes.txt, policies/rules/x/mine.rego, policies/scenarios/small.yaml\\n`,
        ),
      );
      await rm(join(folder, 'policies/rules'), { recursive: true });
      expect(await aegis(...RELEASE, '--allow-dirty')).toMatchObject({ code: 0, err: '' });
      const told = await aegis(...VERIFY);
      expect(told.out).toMatch(/\ncommit +[0-9a-f]{40} and changes that are in no commit\n/);
      expect(told.out).toMatch(/\nwarning +it was built with changes that are in no commit\n/);
    });
  }, 180_000);

  test('is refused outside of git, and where check or tests fail', async () => {
    await withRepository(async ({ folder, aegis, git }) => {
      await ecKey(folder, 'build');
      const scenario = join(folder, 'policies/scenarios/small.yaml');
      await writeFile(scenario, SCENARIO.replace('model: small', 'model: large'));
      await git('commit', '-q', '-a', '-m', 'a scenario that fails');
      expect(await aegis(...RELEASE)).toMatchObject({
        code: 1,
        err: expect.stringMatching(
          /^aegis: no release: 1 of \d+ tests fail \(\.\/aegis test\)\nscenarios: a question is answered/,
        ),
      });
      await writeFile(scenario, SCENARIO);
      await appendFile(join(folder, 'policies/aegis/decision.rego'), '\n\n\n');
      await git('commit', '-q', '-a', '-m', 'not formatted');
      expect(await aegis(...RELEASE)).toMatchObject({
        code: 1,
        err: expect.stringMatching(
          /^aegis: no release: \.\/aegis check finds 1 error\npolicies\/aegis\/decision\.rego/,
        ),
      });
      await rm(join(folder, '.git'), { recursive: true });
      expect(await aegis(...RELEASE)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/which commit it is made from, and git cannot: fatal: not a git repository/),
      });
      expect(await aegis(...RELEASE.filter((arg) => arg !== '--release'), '--expires', '90d')).toMatchObject({
        code: 1,
        err: expect.stringContaining('add --release'),
      });
    });
  }, 180_000);
});

describe('a release that another key signs', () => {
  test('keeps what it says of itself where the first signature is known, and is refused where it is not', async () => {
    await withRepository(async ({ folder, aegis }) => {
      await ecKey(folder, 'build');
      await ecKey(folder, 'release');
      const { privatePem, publicPem } = testKey();
      await writeFiles(join(folder, '..'), { 'rsa.pem': privatePem, 'rsa.pub.pem': publicPem });
      expect(await aegis(...RELEASE, '--expires', '30d')).toMatchObject({ code: 0, err: '' });
      const built = JSON.parse((await aegis(...VERIFY, '--json')).out);
      const bytes = await readFile(join(folder, 'out.tar.gz'));
      const sign = (...args: string[]) => aegis('sign', 'out.tar.gz', ...args);

      const stranger = await sign('--key', '../release.pem');
      expect(stranger.code).toBe(1);
      expect(stranger.err).toMatch(/who says so is not known \(signature: key "build" is not trusted\)\n.*--from/);
      expect(await readFile(join(folder, 'out.tar.gz'))).toEqual(bytes);

      for (const [name, algorithm] of [
        ['release', 'ES256'],
        ['rsa', 'RS256'],
      ]) {
        const from = ['--from', '../build.pub.pem', '../release.pub.pem'];
        expect(await sign('--key', `../${name}.pem`, ...from)).toMatchObject({ code: 0, err: '' });
        const told = JSON.parse((await aegis('verify', 'out.tar.gz', '--key', `../${name}.pub.pem`, '--json')).out);
        expect(told.signer).toMatchObject({ keyid: name, algorithm });
        expect([told.provenance, told.expires, told.digest]).toEqual([built.provenance, built.expires, built.digest]);
      }

      // Its own signature is known to a key.
      expect(await sign('--key', '../rsa.pem', '--expires', '10d')).toMatchObject({ code: 0 });
      const soon = await aegis('verify', 'out.tar.gz', '--key', '../rsa.pub.pem');
      expect(soon.out).toMatch(/\nwarning +it expires in 9 days: /);
      const twice = await sign('--key', '../rsa.pem', '--claims', '{"commit":"0000"}');
      expect(twice).toMatchObject({ code: 1, err: expect.stringContaining('--claims commit: the bundle says that') });

      const altered = new Map((await readBundle(bytes)).files);
      altered.set('policies/more.rego', Buffer.from('package more\n'));
      await writeFile(join(folder, 'out.tar.gz'), await packFiles(altered));
      expect(await sign('--key', '../release.pem', '--from', '../build.pub.pem')).toMatchObject({
        code: 1,
        err: expect.stringContaining('is in the bundle and not signed'),
      });

      await writeFile(join(folder, 'out.tar.gz'), bytes);
      expect(await sign('--key', '../release.pem', '--drop-provenance')).toMatchObject({ code: 0 });
      const bare = JSON.parse((await aegis('verify', 'out.tar.gz', '--key', '../release.pub.pem', '--json')).out);
      expect([bare.provenance, bare.expires]).toEqual([{}, null]);
    });
  }, 180_000);

  test('and has expired needs a new time', async () => {
    await withRepository(async ({ folder, aegis }) => {
      await ecKey(folder, 'build');
      const build = RELEASE.filter((arg) => arg !== '--release');
      expect(await aegis(...build)).toMatchObject({ code: 0, err: '' });
      const sign = (...args: string[]) => aegis('sign', 'out.tar.gz', '--key', '../build.pem', ...args);
      expect(await sign('--expires', '2020-01-01')).toMatchObject({ code: 0 });
      expect(await aegis(...VERIFY)).toMatchObject({ code: 1, out: expect.stringContaining('expired at 2020-01-01') });
      expect(await sign()).toMatchObject({ code: 1, err: expect.stringContaining('say until when') });
      expect(await sign('--expires', '20d')).toMatchObject({ code: 0 });
      expect(await aegis(...VERIFY)).toMatchObject({ code: 0, out: expect.not.stringContaining('warning') });
    });
  }, 120_000);
});

describe('a plain build', () => {
  test('says nothing of where it comes from and does not expire', async () => {
    await withRepository(async ({ folder, aegis }) => {
      await writeFiles(folder, { 'policies/notes.txt': 'dirty' });
      expect(await aegis('build', 'policies', '-o', 'out.tar.gz')).toMatchObject({ code: 0, err: '' });
      const { files } = await readBundle(await readFile(join(folder, 'out.tar.gz')));
      const [token] = JSON.parse(String(files.get(SIGNATURES_FILE))).signatures as string[];
      const claims = JSON.parse(Buffer.from(token!.split('.')[1]!, 'base64url').toString());
      expect(Object.keys(claims).sort()).toEqual(['files', 'iss', 'keyid', 'scope']);
      const told = await aegis('verify', 'out.tar.gz');
      expect(told.out).toContain('commit     not said: made without --release\n');
    });
  }, 60_000);

  test('does not change the stable bundle under a rollout', async () => {
    await withRepository(async ({ folder, aegis }) => {
      const rollout = '# ours\nstable: out.tar.gz\ncandidate: next.tar.gz\nstage: shadow\n';
      await writeFiles(folder, { 'rollout.yaml': rollout });
      const refused = await aegis('build', 'policies', '-o', 'out.tar.gz');
      expect(refused).toMatchObject({ code: 1, out: '' });
      expect(refused.err).toBe(
        'aegis: rollout.yaml rolls out next.tar.gz: this build would change the stable bundle under it\n' +
          'either end the rollout first (./aegis rollout promote, or ./aegis rollout rollback),\n' +
          'or build another candidate beside it: ./aegis build -o NAME.tar.gz\n',
      );
      expect(await aegis('build', 'policies', '-o', 'next.tar.gz')).toMatchObject({ code: 0, err: '' });
      // Nothing changes: nothing is refused.
      await writeFiles(folder, { 'rollout.yaml': 'stable: out.tar.gz\n' });
      expect(await aegis('build', 'policies', '-o', 'out.tar.gz')).toMatchObject({ code: 0 });
      await writeFiles(folder, { 'rollout.yaml': rollout });
      expect((await aegis('build', 'policies', '-o', 'out.tar.gz')).out).toMatch(/^unchanged/);
      expect(await readFile(join(folder, 'rollout.yaml'), 'utf8')).toBe(rollout);

      // What would become stable is refused under whatever name.
      await expect(refuseUnderRollout(join(folder, 'next.tar.gz'), true)).rejects.toThrow(/rolls out next\.tar\.gz/);
      await expect(refuseUnderRollout(join(folder, 'next.tar.gz'), false)).resolves.toBeUndefined();
      await writeFiles(folder, { 'rollout.yaml': '# ours\nstable: old.tar.gz # so far\n' });
      await expect(refuseUnderRollout(join(folder, 'next.tar.gz'), true)).resolves.toBeUndefined();
      await setStable(folder, 'next.tar.gz');
      expect(await readFile(join(folder, 'rollout.yaml'), 'utf8')).toBe('# ours\nstable: next.tar.gz # so far\n');
    });
  }, 120_000);
});

describe('the digest of tests', () => {
  const results = [
    { suite: 'wasm', name: 'b', ok: true },
    { suite: 'rego', name: 'é', ok: true },
    { suite: 'rego', name: 'a\nb', ok: true },
  ] as const;

  test('is what sort and sha256sum make of it', async () => {
    const text = 'b\ttrue\nrego\ta\nrego\té\ttrue\nwasm\tb\ttrue\n';
    expect(testsDigest(results)).toBe(sha256(text));
    expect(testsDigest(results.toReversed())).toBe(sha256(text));
  });

  test('changes with a test that fails, is renamed or is missing', () => {
    const [first, ...rest] = results;
    const others = [rest, [{ ...first, ok: false }, ...rest], [{ ...first, name: 'c' }, ...rest]];
    expect(new Set([results, ...others].map((list) => testsDigest(list))).size).toBe(4);
  });
});

describe('an expiry', () => {
  test('is a duration from now or a time, and is warned of two weeks before', () => {
    expect(Math.abs(parseExpiry('90d').getTime() - Date.now() - 90 * 86_400_000)).toBeLessThan(60_000);
    expect(parseExpiry('2027-01-31T00:00:00Z').toISOString()).toBe('2027-01-31T00:00:00.000Z');
    for (const text of ['', 'soon', '90', '2027', '2027-99-99']) expect(() => parseExpiry(text)).toThrow(/want a/);
    const now = 1_800_000_000_000;
    const at = (ms: number) => expiryWarning((now + ms) / 1000, now);
    expect([expiryWarning(undefined, now), at(EXPIRES_SOON_MS)]).toEqual([undefined, undefined]);
    expect(at(EXPIRES_SOON_MS - 1_000)).toMatch(/^it expires in 13 days: /);
    expect(at(86_400_000)).toMatch(/^it expires in 1 day: /);
  });
});
