import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { auditLayout } from '../../gateway/audit/layout.ts';
import { openAuditLog } from '../../gateway/audit/log.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { createKey, revokeKey } from '../../gateway/store/keys.ts';
import { openLedgerFollower } from '../../gateway/store/ledger-follower.ts';
import { type KeyStoreOptions, type OpenKeyStore, openKeyStore } from '../../gateway/store/open-key-store.ts';
import { queryUsage } from '../../gateway/store/usage.ts';
import { selfSigned } from '../support/certificate.ts';
import { until } from '../support/gateway.ts';
import { outcome } from '../support/outcomes.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';

const PEPPER = new Uint8Array(32).fill(7);
const GRANT = { org: 'acme', team: '', user: 'ann', roles: [], groups: [], workflows: [] };
const NOVEMBER = { firstDay: '2026-11-01', lastDay: '2026-11-30' };
const WORKER = new URL('../../gateway/ledger-worker.ts', import.meta.url);

const without = whyNoPostgres();
const describeOrSkip = without === undefined ? describe : describe.skip;

describeOrSkip(`several gateways on one Postgres${without === undefined ? '' : ` (${without})`}`, () => {
  let postgres: TestPostgres;
  let url: string;
  let folder: string;
  const closers: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    postgres = await openPostgres();
  });
  afterAll(async () => {
    await postgres.close();
  });
  beforeEach(async () => {
    url = await postgres.createDatabase();
    folder = await mkdtemp(join(tmpdir(), 'aegis-shared-'));
  });
  afterEach(async () => {
    postgres.thaw();
    await postgres.start();
    for (const close of closers.splice(0).reverse()) await close();
    await rm(folder, { recursive: true });
  });

  const open = async (options = {}): Promise<Database> => {
    const database = await openDatabase(folder, url, options);
    closers.push(() => database.close());
    return database;
  };
  const openKeys = async (database: Database, options: KeyStoreOptions = {}): Promise<OpenKeyStore> => {
    const keys = await openKeyStore(database.db, PEPPER, { refreshMs: 50, ...options });
    closers.push(() => keys.close());
    return keys;
  };

  test('gateways that start together make the tables once', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => open()));
    for (const { db } of all) {
      const names = (await db.selectFrom('migrations').select('name').orderBy('name').execute()).map(
        ({ name }) => name,
      );
      expect(names).toEqual([
        '001-keys',
        '002-usage',
        '003-shared-ledger',
        '004-alerts',
        '005-rollouts',
        '006-decisions',
        '007-experiments',
        '008-mirrors',
      ]);
    }
    expect(await all[0]!.db.selectFrom('ledger').selectAll().execute()).toHaveLength(1);
  });

  test('a database of a newer gateway is refused', async () => {
    const { db } = await open();
    await db.insertInto('migrations').values({ name: '999-future', applied_ms: 1 }).execute();
    await expect(openDatabase(folder, url)).rejects.toThrow('newer gateway: unknown migration 999-future');
    await expect(openDatabase(folder, url, { mayBeAway: true })).rejects.toThrow('newer gateway');
  });

  test('a database that is not there is an error in time, and its password is in no error', async () => {
    const nowhere = 'postgres://aegis:s3cret@127.0.0.1:1/none';
    const refused = await openDatabase(folder, nowhere).catch((error: unknown) => error);
    expect((refused as { code?: string }).code).toBe('ECONNREFUSED');
    expect(JSON.stringify(refused, Object.getOwnPropertyNames(refused))).not.toContain('s3cret');
  });

  test('TLS is asked for by the URL, and a server that cannot prove its name is refused', async () => {
    const { cert, key } = selfSigned(['localhost', '127.0.0.1']);
    const secure = await openPostgres({
      config: ['ssl = on', "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'"],
      prepare: async (data, own) => {
        for (const [name, text] of [
          ['server.crt', cert],
          ['server.key', key],
        ] as const) {
          await writeFile(join(data, name), text, { mode: 0o600 });
          await own(join(data, name));
        }
        await writeFile(
          join(data, 'pg_hba.conf'),
          'hostssl all all 127.0.0.1/32 trust\nhost postgres all 127.0.0.1/32 trust\n',
        );
      },
    });
    try {
      const plain = await secure.createDatabase();
      const ca = join(folder, 'ca.pem');
      await writeFile(ca, cert);
      await expect(openDatabase(folder, plain)).rejects.toMatchObject({ code: '28000' });
      await expect(openDatabase(folder, `${plain}?sslmode=verify-full`)).rejects.toThrow('self-signed');
      const database = await openDatabase(folder, `${plain}?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`);
      const { rows } = await sql<{ ssl: boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(
        database.db,
      );
      expect(rows).toEqual([{ ssl: true }]);
      await database.close();
    } finally {
      await secure.close();
    }
  });

  test('a key that one gateway revokes is dead at the other within five seconds, at the default pace', async () => {
    const [one, other] = [await open(), await open()];
    const { secret, key } = await createKey(one.db, PEPPER, GRANT);
    const keys = await openKeyStore(other.db, PEPPER);
    closers.push(() => keys.close());
    expect(keys.find(secret, 0)?.id).toBe(key.id);
    const revokedAt = performance.now();
    await revokeKey(one.db, key.id);
    await until(() => (keys.find(secret, 0) === undefined ? true : undefined));
    expect(performance.now() - revokedAt).toBeLessThan(5_000);
  });

  test('keys live on while the database is away, flagged, and follow it when it is back', async () => {
    const database = await open();
    const { secret } = await createKey(database.db, PEPPER, GRANT);
    const errors: unknown[] = [];
    const keys = await openKeys(database, { onError: (error) => errors.push(error) });
    expect(keys.degraded).toBe(false);
    await postgres.stop('crash');
    await until(() => (keys.degraded ? true : undefined));
    expect(errors).not.toEqual([]);
    expect(keys.find(secret, 0)).toBeDefined();
    await postgres.start();
    await until(() => (keys.degraded ? undefined : true));
    const other = await createKey(database.db, PEPPER, GRANT);
    await until(() => keys.find(other.secret, 0));
  });

  test('a database that hangs is waited for no longer than a query may take', async () => {
    const database = await open({ queryTimeoutMs: 300 });
    const { secret } = await createKey(database.db, PEPPER, GRANT);
    const keys = await openKeys(database);
    postgres.freeze();
    await until(() => (keys.degraded ? true : undefined));
    expect(keys.find(secret, 0)).toBeDefined();
    await expect(keys.refresh()).rejects.toThrow();
    postgres.thaw();
    await until(() => (keys.degraded ? undefined : true));
  });

  test('keys that are older than they may be are believed no more, until the database is back', async () => {
    const database = await open();
    const { secret } = await createKey(database.db, PEPPER, GRANT);
    const keys = await openKeys(database, { maxStaleMs: 1_000 });
    await postgres.stop('crash');
    const refused = await until(() => {
      try {
        return keys.find(secret, 0) && undefined;
      } catch (error) {
        return error as { code: string; status: number };
      }
    });
    expect(refused).toMatchObject({ code: 'identity_unavailable', status: 503 });
    expect(() => keys.find('aeg_live_nobody', 0)).toThrow();
    await postgres.start();
    await until(() => (keys.degraded ? undefined : true));
    expect(keys.find(secret, 0)).toBeDefined();
  });

  describe('the snapshot of keys', () => {
    let snapshot: string;
    let secret: string;
    beforeEach(async () => {
      snapshot = join(folder, 'keys.snapshot');
      const database = await open();
      ({ secret } = await createKey(database.db, PEPPER, GRANT));
      const { key } = await createKey(database.db, PEPPER, { ...GRANT, user: 'gone' });
      await revokeKey(database.db, key.id);
      await (await openKeyStore(database.db, PEPPER, { snapshot })).close();
      await postgres.stop('crash');
    });

    test('lets a gateway start while the database is away, and follow it when it is back', async () => {
      const database = await open({ mayBeAway: true });
      const keys = await openKeys(database, { snapshot });
      expect(keys.degraded).toBe(true);
      expect(keys.find(secret, 0)).toMatchObject({ org: 'acme', user: 'ann' });
      await postgres.start();
      await until(() => (keys.degraded ? undefined : true));
      const made = await createKey(database.db, PEPPER, GRANT);
      await until(() => keys.find(made.secret, 0));
    });

    test('holds digests of live keys and no secret, readable by the owner alone', async () => {
      const text = await readFile(snapshot, 'utf8');
      expect(text).not.toContain(secret.slice(20));
      expect(text).not.toContain('gone');
      expect((await stat(snapshot)).mode & 0o777).toBe(0o600);
      expect((await readdir(folder)).filter((name) => name.startsWith('keys.'))).toEqual(['keys.snapshot']);
    });

    test('counts as old from when the database was last known to say the same', async () => {
      const database = await open({ mayBeAway: true });
      await new Promise((resolve) => setTimeout(resolve, 20));
      const keys = await openKeys(database, { snapshot, maxStaleMs: 10 });
      expect(() => keys.find(secret, 0)).toThrow('too old');
    });

    test('that was changed, cut, or is of another pepper stops the start', async () => {
      const text = await readFile(snapshot, 'utf8');
      const database = await open({ mayBeAway: true });
      const damage = [
        text.replace('"ann"', '"eve"'),
        text.replace(/"fresh_ms":\d/, '"fresh_ms":9'),
        text.slice(0, -20),
        text.split('\n')[0]!,
        '',
        'null\n[]\n',
      ];
      for (const bad of damage) {
        expect(bad).not.toBe(text);
        await writeFile(snapshot, bad);
        await expect(openKeyStore(database.db, PEPPER, { snapshot })).rejects.toThrow('damaged');
      }
      await writeFile(snapshot, text);
      await expect(openKeyStore(database.db, new Uint8Array(32).fill(8), { snapshot })).rejects.toThrow('pepper');
      await rm(snapshot);
      await expect(openKeyStore(database.db, PEPPER, { snapshot })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });
  });

  describe('followers', () => {
    /** A gateway's audit log and its follower. */
    const openGateway = async (name: string) => {
      const home = join(folder, name);
      const audit = await openAuditLog({ home });
      const errors: string[] = [];
      const ledger = await openLedgerFollower({
        home,
        url,
        segments: auditLayout(home).chain,
        worker: WORKER,
        onError: (message) => errors.push(message),
      });
      closers.push(async () => {
        await ledger.close();
        await audit.close();
      });
      return { audit, ledger, errors };
    };
    const requests = async ({ db }: Database): Promise<number> => (await queryUsage(db, [], NOVEMBER)).total.requests;

    test('load the logs of all gateways into one ledger', async () => {
      const gateways = [await openGateway('a'), await openGateway('b'), await openGateway('c')];
      await Promise.all(
        gateways.flatMap(({ audit }, gateway) =>
          Array.from({ length: 300 }, (_, i) => audit.append(outcome(`g${gateway}-${i}`, { microUsd: 1 }))),
        ),
      );
      await Promise.all(gateways.map(({ ledger }) => ledger.catchUp()));
      const database = await open();
      expect((await queryUsage(database.db, ['user'], NOVEMBER)).total).toMatchObject({
        requests: 900,
        cost_micro_usd: 900,
      });
      expect(await database.db.selectFrom('ledger_logs').select('log').execute()).toHaveLength(3);
    });

    test('lose nothing while the database is away, crashed or hanging, and catch up by themselves', async () => {
      const { audit, ledger, errors } = await openGateway('a');
      const database = await open();
      const append = async (name: string): Promise<void> => {
        await Promise.all(
          Array.from({ length: 200 }, (_, i) => audit.append(outcome(`${name}-${i}`, { microUsd: 1 }))),
        );
      };
      await append('before');
      await until(async () => ((await requests(database)) === 200 ? true : undefined));
      await postgres.stop('crash');
      await append('crashed');
      await until(() => (errors.length > 0 ? true : undefined));
      expect(ledger.healthy).toBe(false);
      await postgres.start();
      await until(async () => ((await requests(database).catch(() => 0)) === 400 ? true : undefined), 20_000);
      postgres.freeze();
      await append('frozen');
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      postgres.thaw();
      await until(async () => ((await requests(database)) === 600 ? true : undefined), 20_000);
      await until(() => (ledger.healthy ? true : undefined));
      expect((await queryUsage(database.db, [], NOVEMBER)).total.cost_micro_usd).toBe(600);
    });

    test('start while the database is away', async () => {
      await postgres.stop();
      const { audit, ledger, errors } = await openGateway('a');
      await audit.append(outcome('x'));
      await expect(ledger.catchUp()).rejects.toThrow();
      expect(errors).not.toEqual([]);
      await postgres.start();
      const database = await open();
      await until(async () => ((await requests(database)) === 1 ? true : undefined), 20_000);
    });

    test('end in time while the database hangs', async () => {
      const { audit, ledger } = await openGateway('a');
      await ledger.catchUp();
      postgres.freeze();
      await audit.append(outcome('x'));
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      const started = performance.now();
      await ledger.close();
      expect(performance.now() - started).toBeLessThan(8_000);
    });
  });
});
