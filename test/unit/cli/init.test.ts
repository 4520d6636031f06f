import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { initialConfig } from '../../../gateway/cli/init-config.ts';
import { parseConfig } from '../../../gateway/config.ts';
import { CHECKOUT } from '../../../gateway/policy/compiler.ts';
import { redeemBootstrap } from '../../../gateway/store/bootstrap.ts';
import { openDatabase } from '../../../gateway/store/database.ts';
import { listKeys } from '../../../gateway/store/keys.ts';
import { openPepper } from '../../../gateway/store/pepper.ts';
import { withFolder, writeFiles } from '../../support/policy-fixture.ts';

interface Run {
  code: number;
  out: string;
  err: string;
}

const KEYS = { OPENAI_API_KEY: '', ANTHROPIC_API_KEY: '', MISTRAL_API_KEY: '', AEGIS_HOME: '' };

const init = (cwd: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Run> =>
  new Promise((resolve) => {
    const main = join(CHECKOUT, 'gateway', 'main.ts');
    const options = { cwd, env: { ...process.env, ...KEYS, ...env } };
    execFile(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', main, 'init', ...args],
      options,
      (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
      },
    );
  });

describe('the first config', () => {
  test('is valid as it stands, with the sandbox where the environment has no key', () => {
    const { upstreams, bundles, listen } = parseConfig(initialConfig('/srv/gate', {}), '/srv/gate/aegis.yaml', {});
    expect(upstreams.map(({ name, kind }) => [name, kind])).toEqual([
      ['openai', 'sandbox'],
      ['anthropic', 'sandbox'],
      ['mistral', 'sandbox'],
      ['local', 'sandbox'],
    ]);
    expect(bundles.source).toBe(join(CHECKOUT, 'bundles'));
    expect(listen).toEqual({ host: '127.0.0.1', port: 8080 });
  });

  test('names the real provider where there is a key, and never writes the key', () => {
    const env = { ANTHROPIC_API_KEY: 'sk-secret-of-mine' };
    const text = initialConfig('/srv/gate', env);
    expect(text).not.toContain('sk-secret-of-mine');
    const { upstreams } = parseConfig(text, '/srv/gate/aegis.yaml', env);
    expect(upstreams.find(({ name }) => name === 'anthropic')).toMatchObject({
      kind: 'anthropic',
      api_key: 'sk-secret-of-mine',
    });
  });

  test('has lines in its comments that are valid too', () => {
    const env = { OPENAI_API_KEY: 'a', ANTHROPIC_API_KEY: 'b', MISTRAL_API_KEY: 'c' };
    // Each sandbox line gives way to the line below it.
    const text = initialConfig('/srv/gate', {}).replaceAll(/ {2}- \{ name: \w+, kind: sandbox \}.*\n {2}# /g, '  ');
    const { upstreams } = parseConfig(text.replace('# limits:', 'limits:'), '/srv/gate/aegis.yaml', env);
    expect(upstreams.map(({ name, kind }) => [name, kind])).toEqual([
      ['openai', 'openai'],
      ['anthropic', 'anthropic'],
      ['mistral', 'mistral'],
      ['local', 'openai_compatible'],
    ]);
  });

  test('finds the bundles from a folder with an odd name', () => {
    const folder = '/srv/it\'s: a #gate "x"';
    const { bundles } = parseConfig(initialConfig(folder, {}), `${folder}/aegis.yaml`, {});
    expect(bundles.publicKeys).toEqual([join(CHECKOUT, 'bundles', 'keys', 'demo.pub.pem')]);
  });
});

describe('aegis init', () => {
  test('writes the config and makes a token that is worth an administrator’s key, shown once', async () => {
    await withFolder(async (folder) => {
      const { code, out, err } = await init(folder);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const token = /^token +(\S+)$/m.exec(out)?.[1] as string;
      expect(out).toContain(`http://127.0.0.1:8081/admin/v1/bootstrap -H 'authorization: Bearer ${token}'`);
      const home = join(folder, '.aegis');
      const database = await openDatabase(home);
      try {
        expect(await listKeys(database.db)).toEqual([]);
        const made = await redeemBootstrap(database.db, openPepper(home), token);
        expect(made.key).toMatchObject({ org: 'demo-university', team: '', user: 'admin', roles: ['platform-admin'] });
        await expect(redeemBootstrap(database.db, openPepper(home), token)).rejects.toMatchObject({ name: 'KeyError' });
      } finally {
        await database.close();
      }
      const text = await readFile(join(folder, 'aegis.yaml'), 'utf8');
      expect(text).not.toContain(token);
      expect(parseConfig(text, join(folder, 'aegis.yaml'), {}).home).toBe(home);
      expect((await stat(home)).mode & 0o077).toBe(0);
    });
  });

  test('leaves a config alone that is there, unless forced, and makes no token where there are keys', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { 'aegis.yaml': 'mine' });
      const refused = await init(folder);
      expect(refused.code).toBe(1);
      expect(refused.err).toContain('--force');
      expect(await readFile(join(folder, 'aegis.yaml'), 'utf8')).toBe('mine');
      expect(await stat(join(folder, '.aegis')).catch(() => undefined)).toBeUndefined();

      const forced = await init(folder, ['--force', '--json']);
      expect(JSON.parse(forced.out)).toMatchObject({ token: expect.stringMatching(/^aeg_once_/), warnings: [] });
      expect(await readFile(join(folder, 'aegis.yaml'), 'utf8')).toContain('upstreams:');

      const database = await openDatabase(join(folder, '.aegis'));
      await redeemBootstrap(database.db, openPepper(join(folder, '.aegis')), JSON.parse(forced.out).token);
      await database.close();
      const second = await init(folder, ['--config', 'other.yaml', '--json']);
      expect(JSON.parse(second.out)).toMatchObject({ token: null, expires: null });
    });
  });

  test('warns of names that the default policies do not know, and keeps the home that the environment names', async () => {
    await withFolder(async (folder) => {
      const args = ['--org', 'acme', '--role', 'emperor'];
      const { code, out, err } = await init(folder, args, { AEGIS_HOME: join(folder, 'elsewhere') });
      expect(code).toBe(0);
      expect(out).toContain(join(folder, 'elsewhere'));
      expect(err).toContain('no organisation "acme"');
      expect(err).toContain('no role "emperor"');
    });
  });

  test('refuses a name that no key can have, in a sentence', async () => {
    await withFolder(async (folder) => {
      const { code, err } = await init(folder, ['--org', 'a/b']);
      expect(code).toBe(1);
      expect(err.trim()).toBe('aegis: org: no slash');
    });
  });
});
