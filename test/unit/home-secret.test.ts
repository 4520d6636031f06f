import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openHomeSecret } from '../../gateway/home-secret.ts';

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'aegis-secret-'));
});
afterEach(() => rm(home, { recursive: true }));

test('a secret is made once, for its owner alone, and each name has its own', async () => {
  const secret = openHomeSecret(home, 'a.secret');
  expect(openHomeSecret(home, 'a.secret')).toEqual(secret);
  expect(openHomeSecret(home, 'b.secret')).not.toEqual(secret);
  expect((await stat(join(home, 'a.secret'))).mode & 0o777).toBe(0o600);
  expect((await readdir(home)).sort()).toEqual(['a.secret', 'b.secret']);
});

test('a secret that others can read, or that is cut or empty, is refused', async () => {
  openHomeSecret(home, 'a.secret');
  await chmod(join(home, 'a.secret'), 0o644);
  expect(() => openHomeSecret(home, 'a.secret')).toThrow('chmod 600');
  await chmod(join(home, 'a.secret'), 0o600);
  for (const left of ['', 'short']) {
    await writeFile(join(home, 'a.secret'), left);
    expect(() => openHomeSecret(home, 'a.secret')).toThrow('damaged');
  }
});
