import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createBootstrap, isRedeemable, redeemBootstrap } from '../../gateway/store/bootstrap.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { createKeyRegistry, type KeyRegistry } from '../../gateway/store/key-registry.ts';
import { createKey, type KeyGrant } from '../../gateway/store/keys.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';

const PEPPER = new Uint8Array(32).fill(7);
const grant = (org: string, user = ''): KeyGrant => ({
  org,
  team: '',
  user,
  roles: ['student'],
  groups: [],
  workflows: [],
});

const STORES = [
  { name: 'SQLite', without: undefined },
  { name: 'Postgres', without: whyNoPostgres() },
] as const;

for (const { name, without } of STORES) {
  const describeOrSkip = without === undefined ? describe : describe.skip;
  describeOrSkip(`the key registry on ${name}${without === undefined ? '' : ` (${without})`}`, () => {
    let postgres: TestPostgres | undefined;
    let url: string | undefined;
    let home: string;
    let store: Database;
    let registry: KeyRegistry;
    let refreshed = 0;
    beforeAll(async () => {
      if (name === 'Postgres') postgres = await openPostgres();
    });
    afterAll(async () => {
      await postgres?.close();
    });
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-registry-'));
      url = await postgres?.createDatabase();
      store = await openDatabase(home, url);
      registry = createKeyRegistry(store.db, PEPPER, async () => {
        refreshed += 1;
      });
    });
    afterEach(async () => {
      await store.close();
      await rm(home, { recursive: true });
    });

    test('pages the keys of one organisation in order, each once, those of one millisecond too', async () => {
      const made: string[] = [];
      for (let n = 0; n < 9; n++) {
        const now = 1_790_000_000_000 + Math.floor(n / 4);
        made.push((await createKey(store.db, PEPPER, grant('acme', `u${n}`), { now })).key.id);
        await createKey(store.db, PEPPER, grant('other'), { now });
      }
      const found: string[] = [];
      let after: { createdMs: number; id: string } | undefined;
      for (;;) {
        const page = await registry.page({ org: 'acme', limit: 2, after });
        if (page.length === 0) break;
        found.push(...page.map(({ id }) => id));
        after = page.at(-1);
      }
      expect(found).toHaveLength(9);
      expect([...found].sort()).toEqual([...made].sort());
      expect(await registry.page({ org: null, limit: 100 })).toHaveLength(18);
    });

    test('leaves out what is revoked or has expired where the active ones are asked for', async () => {
      const now = Date.now();
      const { key: lasting } = await registry.create(grant('acme'), null);
      const { key: ending } = await registry.create(grant('acme'), now + 60_000);
      const { key: revoked } = await registry.create(grant('acme'), null);
      await registry.revoke(revoked.id);
      const active = async (at: number): Promise<string[]> =>
        (await registry.page({ org: 'acme', limit: 10, activeAt: at })).map(({ id }) => id).sort();
      expect(await active(now)).toEqual([lasting.id, ending.id].sort());
      expect(await active(now + 60_000)).toEqual([lasting.id]);
      expect(await registry.page({ org: 'acme', limit: 10 })).toHaveLength(3);
    });

    test('reads a key of its organisation, and no other’s', async () => {
      const { key } = await registry.create(grant('acme'), null);
      expect(await registry.read(key.id, 'acme')).toEqual(key);
      expect(await registry.read(key.id, null)).toEqual(key);
      expect(await registry.read(key.id, 'other')).toBeUndefined();
      expect(await registry.read('key_none', null)).toBeUndefined();
    });

    test('has the table in memory follow each change, and none that failed', async () => {
      const before = refreshed;
      const { key } = await registry.create(grant('acme'), null);
      await registry.rotate(key.id, 1_000);
      await registry.revoke(key.id);
      expect(refreshed - before).toBe(3);
      await expect(registry.revoke('key_none')).rejects.toMatchObject({ code: 'unknown_key' });
      expect(refreshed - before).toBe(3);
    });

    test('gives one key for a one-time token, whichever of several processes asks first', async () => {
      const { token } = await createBootstrap(store.db, PEPPER, grant('acme', 'root'));
      expect(await isRedeemable(store.db, PEPPER, token)).toBe(true);
      // Two connections of one thread to SQLite would wait for each other.
      const opened = url === undefined ? [] : await Promise.all([openDatabase(home, url), openDatabase(home, url)]);
      const others = [store, store, ...opened];
      try {
        const results = await Promise.allSettled(others.map(({ db }) => redeemBootstrap(db, PEPPER, token)));
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'unknown_key' });
        }
      } finally {
        await Promise.all(opened.map((other) => other.close()));
      }
      expect(await isRedeemable(store.db, PEPPER, token)).toBe(false);
      expect(await registry.page({ org: 'acme', limit: 10 })).toHaveLength(1);
    });

    test('keeps no token, only its HMAC, and takes none that was replaced or is a day old', async () => {
      const now = Date.now();
      const first = await createBootstrap(store.db, PEPPER, grant('acme'), now);
      const second = await createBootstrap(store.db, PEPPER, grant('acme'), now);
      expect(await isRedeemable(store.db, PEPPER, first.token)).toBe(false);
      expect(await isRedeemable(store.db, new Uint8Array(32), second.token)).toBe(false);
      expect(await isRedeemable(store.db, PEPPER, second.token, second.expiresMs - 1)).toBe(true);
      expect(await isRedeemable(store.db, PEPPER, second.token, second.expiresMs)).toBe(false);
      await expect(redeemBootstrap(store.db, PEPPER, second.token, second.expiresMs)).rejects.toThrow('expired');
      const facts = JSON.stringify(await store.db.selectFrom('facts').selectAll().execute());
      for (const { token } of [first, second]) expect(facts).not.toContain(token);
    });
  });
}
