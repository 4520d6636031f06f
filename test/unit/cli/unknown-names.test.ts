import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { unknownNames } from '../../../gateway/cli/unknown-names.ts';
import { readBundle } from '../../../gateway/policy/bundle.ts';
import { createBundleStore } from '../../../gateway/policy/bundle-store.ts';

const BUNDLES = new URL('../../../bundles/', import.meta.url);
const grant = {
  org: 'demo-university',
  team: 'cs101',
  user: 'ann',
  roles: ['student'],
  groups: [],
  workflows: ['quiz'],
};

describe('names of a new key', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-names-'));
  });
  afterEach(async () => {
    await rm(home, { recursive: true });
  });

  test('names that the last activated policies do not know are told, known ones are not', async () => {
    const file = (await readdir(BUNDLES)).find((name) => name.endsWith('.tar.gz'))!;
    const packed = await readFile(new URL(file, BUNDLES));
    await createBundleStore(home).keep(packed, { sequence: 1, digest: (await readBundle(packed)).digest });
    expect(await unknownNames(home, grant)).toEqual([]);
    expect(
      await unknownNames(home, { ...grant, team: 'nowhere', roles: ['student', 'king'], workflows: ['__proto__'] }),
    ).toEqual([
      'the policies know no team of demo-university "nowhere"',
      'the policies know no role "king"',
      'the policies know no workflow "__proto__"',
    ]);
    expect(await unknownNames(home, { ...grant, org: 'nobody' })).toEqual([
      'the policies know no organisation "nobody"',
    ]);
  });

  test('without policies there is nothing to say', async () => {
    expect(await unknownNames(home, { ...grant, org: 'nobody' })).toEqual([]);
  });
});
