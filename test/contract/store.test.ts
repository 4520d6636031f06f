import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../gateway/store/database.ts';
import { parseDimensions } from '../../gateway/store/dimensions.ts';
import { foldLedger, rebuildRollups } from '../../gateway/store/fold.ts';
import { createKey, type KeyGrant, listKeys, revokeKey, rotateKey } from '../../gateway/store/keys.ts';
import { catchUpLedger, forgetLedger } from '../../gateway/store/ledger.ts';
import { openKeyStore } from '../../gateway/store/open-key-store.ts';
import { querySpent, spentSince } from '../../gateway/store/spend-history.ts';
import { queryUsage } from '../../gateway/store/usage.ts';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import { outcome, readerOf } from '../support/outcomes.ts';
import { STORES, type TestStore } from '../support/stores.ts';

const NOW = Date.UTC(2026, 10, 24, 12);
const PEPPER = new Uint8Array(32).fill(7);
const NOVEMBER = { firstDay: '2026-11-01', lastDay: '2026-11-30' };
const EVERYTHING = 'org,team,user,key,use_case,workflow,model,upstream,endpoint,day,tag:course';
/** The id of the audit log that most tests load. */
const LOG = 'log-1';
type SpentArgs = Parameters<typeof querySpent> extends [unknown, ...infer Rest] ? Rest : never;
const grant = (fields: Partial<KeyGrant> = {}): KeyGrant => ({
  org: 'acme',
  team: 'math',
  user: 'ann',
  roles: ['student'],
  groups: ['cs'],
  workflows: ['tutor'],
  ...fields,
});

for (const { name, without, prepare } of STORES) {
  const describeOrSkip = without === undefined ? describe : describe.skip;
  describeOrSkip(`the ${name} store${without === undefined ? '' : ` (${without})`}`, () => {
    let implementation: TestStore;
    let home: string;
    let store: Database;
    beforeAll(async () => {
      implementation = await prepare();
    });
    afterAll(async () => {
      await implementation.close();
    });
    const open = (at: string): Promise<Database> => implementation.open(at);
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-store-'));
      store = await open(home);
    });
    afterEach(async () => {
      await store.close();
      await rm(home, { recursive: true });
    });

    const load = (records: readonly AuditRecord[], batchRows?: number): Promise<number> =>
      catchUpLedger(store.db, home, readerOf(records), { log: LOG, ...(batchRows !== undefined && { batchRows }) });
    /** What a subject spent; where a store can answer at once, it must say the same. */
    const spentBy = async (...args: SpentArgs): Promise<number> => {
      const spent = await querySpent(store, ...args);
      if (store.dialect === 'sqlite') expect(spentSince(store, ...args)).toBe(spent);
      else expect(() => spentSince(store, ...args)).toThrow(TypeError);
      return spent;
    };
    const report = async (by: string, range = NOVEMBER) => await queryUsage(store.db, parseDimensions(by), range);

    describe('keys', () => {
      test('a key is found by its secret and stands for its caller', async () => {
        const { secret, key } = await createKey(store.db, PEPPER, grant());
        const keys = await openKeyStore(store.db, PEPPER);
        expect(keys.find(secret, NOW)).toEqual({
          kind: 'key',
          id: key.id,
          ...grant(),
          scopes: [],
          claims: {},
        });
        expect(keys.find(`${secret}x`, NOW)).toBeUndefined();
        expect(keys.find('', NOW)).toBeUndefined();
        await keys.close();
      });

      test('no secret and no plain hash of one is in the database', async () => {
        const { secret } = await createKey(store.db, PEPPER, grant());
        const stored = JSON.stringify(await store.db.selectFrom('keys').selectAll().execute());
        expect(stored).not.toContain(secret);
        expect(stored).not.toContain(secret.slice(20));
      });

      test('a key works until the moment it expires', async () => {
        const { secret } = await createKey(store.db, PEPPER, grant(), { now: NOW, expiresMs: NOW + 1_000 });
        const keys = await openKeyStore(store.db, PEPPER);
        expect(keys.find(secret, NOW + 999)).toBeDefined();
        expect(keys.find(secret, NOW + 1_000)).toBeUndefined();
        await keys.close();
      });

      test('a key revoked over another connection is dead after a refresh', async () => {
        const { secret, key } = await createKey(store.db, PEPPER, grant());
        const keys = await openKeyStore(store.db, PEPPER, { refreshMs: 20 });
        expect(keys.find(secret, NOW)).toBeDefined();
        const other = await open(home);
        await revokeKey(other.db, key.id);
        await other.close();
        while (keys.find(secret, NOW) !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
        await keys.close();
      });

      test('a new key is found after a refresh', async () => {
        const keys = await openKeyStore(store.db, PEPPER, { refreshMs: 3_600_000 });
        const { secret } = await createKey(store.db, PEPPER, grant());
        expect(keys.find(secret, NOW)).toBeUndefined();
        await keys.refresh();
        expect(keys.find(secret, NOW)).toBeDefined();
        await keys.close();
      });

      test('a rotated key and its successor overlap for as long as was asked', async () => {
        const old = await createKey(store.db, PEPPER, grant(), { now: NOW });
        const made = await rotateKey(store.db, PEPPER, old.key.id, { now: NOW, overlapMs: 5_000 });
        expect(made.key).toMatchObject({ ...grant(), rotatedFrom: old.key.id, expiresMs: null });
        const keys = await openKeyStore(store.db, PEPPER);
        expect(keys.find(old.secret, NOW + 4_999)?.id).toBe(old.key.id);
        expect(keys.find(old.secret, NOW + 5_000)).toBeUndefined();
        expect(keys.find(made.secret, NOW + 5_000)?.id).toBe(made.key.id);
        await keys.close();
      });

      test('rotation never gives a key a longer life, and a dead key cannot be rotated', async () => {
        const { key } = await createKey(store.db, PEPPER, grant(), { now: NOW, expiresMs: NOW + 1_000 });
        const made = await rotateKey(store.db, PEPPER, key.id, { now: NOW, overlapMs: 9_000 });
        expect(made.key.expiresMs).toBe(NOW + 1_000);
        expect((await listKeys(store.db)).map(({ expiresMs }) => expiresMs)).toEqual([NOW + 1_000, NOW + 1_000]);
        await expect(rotateKey(store.db, PEPPER, key.id, { now: NOW + 1_000 })).rejects.toMatchObject({
          code: 'expired_key',
        });
        await revokeKey(store.db, made.key.id, NOW);
        await expect(rotateKey(store.db, PEPPER, made.key.id, { now: NOW })).rejects.toMatchObject({
          code: 'revoked_key',
        });
        await expect(rotateKey(store.db, PEPPER, 'key_none')).rejects.toMatchObject({ code: 'unknown_key' });
      });

      test('revoking twice keeps the first time', async () => {
        const { key } = await createKey(store.db, PEPPER, grant(), { now: NOW });
        await revokeKey(store.db, key.id, NOW + 1);
        expect((await revokeKey(store.db, key.id, NOW + 2)).revokedMs).toBe(NOW + 1);
      });

      test('keys that no request could use are not made', async () => {
        const bad: Partial<KeyGrant>[] = [
          { org: '' },
          { org: 'a/b' },
          { team: 'x'.repeat(129) },
          { user: 'a\u0000b' },
          { user: '\ud800' },
          { roles: Array.from({ length: 33 }, (_, i) => `r${i}`) },
          { workflows: ['w'.repeat(65)] },
        ];
        for (const fields of bad) {
          await expect(createKey(store.db, PEPPER, grant(fields))).rejects.toMatchObject({ code: 'invalid_key' });
        }
        await expect(createKey(store.db, PEPPER, grant(), { now: NOW, expiresMs: NOW })).rejects.toMatchObject({
          code: 'invalid_key',
        });
        expect(await listKeys(store.db)).toEqual([]);
      });

      test('another pepper is refused instead of finding no key', async () => {
        await createKey(store.db, PEPPER, grant());
        await expect(openKeyStore(store.db, new Uint8Array(32).fill(8))).rejects.toThrow('pepper');
      });

      test('a caller cannot be changed by one of its requests', async () => {
        const { secret } = await createKey(store.db, PEPPER, grant());
        const keys = await openKeyStore(store.db, PEPPER);
        expect(() => keys.find(secret, NOW)?.roles.push('admin')).toThrow(TypeError);
        await keys.close();
      });
    });

    describe('ledger', () => {
      const records: AuditRecord[] = [
        outcome('a', {
          microUsd: 100,
          usage: { input: 10, cache_read: 20, cache_write: 3, cache_write_1h: 4, output: 5, reasoning: 6 },
        }),
        outcome('b', { microUsd: 50, caller: { user: 'bob' }, usage: { input: 1, source: 'estimated' } }),
        outcome('c', {
          outcome: 'denied',
          status: 403,
          error: 'policy_denied',
          model: null,
          upstream: null,
          attempts: [],
        }),
        outcome('d', {
          outcome: 'limited',
          status: 429,
          error: 'rate_limited',
          model: null,
          upstream: null,
          attempts: [],
        }),
        outcome('e', { outcome: 'failed', status: 502, error: 'upstream_error', model: null, upstream: null }),
        outcome('f', {
          outcome: 'rejected',
          status: 401,
          error: 'invalid_credential',
          caller: null,
          model: null,
          upstream: null,
        }),
        outcome('g', { outcome: 'aborted', status: 499, microUsd: 7 }),
        { kind: 'event', time: '2026-11-24T12:00:00.000Z', event: 'start', detail: {} },
      ];

      test('sums are those of the outcomes, tokens in disjoint classes', async () => {
        expect(await load(records)).toBe(7);
        const { total, groups } = await report('org');
        expect(total).toMatchObject({
          requests: 7,
          ok: 2,
          denied: 1,
          limited: 1,
          rejected: 1,
          aborted: 1,
          errors: 1,
          estimated: 1,
          input_tokens: 11,
          cache_read_tokens: 20,
          cache_write_tokens: 3,
          cache_write_1h_tokens: 4,
          output_tokens: 5,
          reasoning_tokens: 6,
          cost_micro_usd: 157,
        });
        expect(groups.map(({ keys, requests }) => [keys, requests])).toEqual([
          [['acme'], 6],
          [[''], 1],
        ]);
      });

      test('loading twice, or a log that repeats a request, counts it once', async () => {
        await load(records);
        const before = await report('org,team,user,model,day');
        expect(await load(records)).toBe(0);
        const again = [...records, records[0]!, { ...outcome('a'), cost: { micro_usd: 9_999, price_version: null } }];
        expect(await load(again)).toBe(0);
        expect(await report('org,team,user,model,day')).toEqual(before);
      });

      test('a loader that another one overtakes goes on behind it and counts nothing twice', async () => {
        const many = Array.from({ length: 300 }, (_, i) => outcome(`r${i}`, { microUsd: 1 }));
        const whole = readerOf(many);
        const other = await open(home);
        let overtaken = 0;
        const loaded = await catchUpLedger(
          store.db,
          home,
          async function* (folder, options) {
            let seen = 0;
            for await (const entry of whole(folder, options)) {
              if (++seen === 15)
                overtaken += await catchUpLedger(other.db, home, readerOf(many.slice(0, 42)), {
                  log: LOG,
                  batchRows: 11,
                });
              yield entry;
            }
          },
          { log: LOG, batchRows: 7 },
        );
        await other.close();
        expect(overtaken).toBe(42 - 14);
        expect(loaded + overtaken).toBe(300);
        expect((await report('user')).total).toMatchObject({ requests: 300, cost_micro_usd: 300 });
      });

      test('a reader that fails in between leaves whole batches, and the next load goes on behind them', async () => {
        const many = Array.from({ length: 25 }, (_, i) => outcome(`r${i}`, { microUsd: i }));
        const whole = readerOf(many);
        let seen = 0;
        await expect(
          catchUpLedger(
            store.db,
            home,
            async function* (folder, options) {
              for await (const entry of whole(folder, options)) {
                if (seen++ === 17) throw new Error('the disk is gone');
                yield entry;
              }
            },
            { log: LOG, batchRows: 10 },
          ),
        ).rejects.toThrow('the disk is gone');
        expect((await report('org')).total.requests).toBe(17);
        expect(await load(many, 10)).toBe(8);
        expect((await report('org')).total).toMatchObject({ requests: 25, cost_micro_usd: 300 });
      });

      test('a batch that cannot be written leaves neither rows nor sums nor a moved place', async () => {
        const poisoned = [outcome('a', { microUsd: 5 }), outcome('b', { time: null as unknown as string })];
        await expect(load(poisoned, 1)).rejects.toThrow(RangeError);
        expect((await report('org')).total.cost_micro_usd).toBe(5);
        for (const microUsd of [-1, 0.5, 2 ** 53]) {
          await expect(load([outcome('a'), outcome('b', { microUsd })])).rejects.toThrow(RangeError);
        }
        expect(await load([outcome('a'), outcome('b', { microUsd: 3 })])).toBe(1);
      });

      test('a ledger that was lost is rebuilt the same from the log; a shared one is not forgotten', async () => {
        await load(records, 3);
        const before = await report(EVERYTHING);
        if (store.dialect === 'postgres') {
          await expect(forgetLedger(store.db)).rejects.toThrow(TypeError);
          return;
        }
        await forgetLedger(store.db);
        expect((await report(EVERYTHING)).total.requests).toBe(0);
        expect(await load(records, 2)).toBe(7);
        expect(await report(EVERYTHING)).toEqual(before);
      });

      test('rows that are in the roll-ups, or not yet, or fold while a report is made, make one report', async () => {
        const many = Array.from({ length: 60 }, (_, i) =>
          outcome(`r${i}`, {
            time: `2026-${i % 2 ? '10' : '11'}-${String((i % 28) + 1).padStart(2, '0')}T10:00:00.000Z`,
            microUsd: i * 7,
            duration_ms: i * 11,
            caller: { user: `u${i % 3}`, team: `t${i % 2}` },
            purpose: { tags: { course: `c${i % 4}` } },
            endpoint: i % 5 ? 'chat.completions' : 'embeddings',
            outcome: i % 9 ? 'ok' : 'denied',
          }),
        );
        await load(many);
        const range = { firstDay: '2026-10-09', lastDay: '2026-11-25' };
        const kinds = [
          EVERYTHING,
          '',
          'org',
          'team',
          'user',
          'tag:course',
          'day,model',
          'endpoint',
          'user,model',
          'user,day',
        ];
        const reports = () => Promise.all(kinds.map((by) => report(by, range)));
        const before = await reports();
        expect(before[0]!.total.requests).toBeGreaterThan(40);
        const [during] = await Promise.all([reports(), foldLedger(store.db, 1)]);
        expect(during).toEqual(before);
        expect(await foldLedger(store.db, 1)).toBe(0);
        expect(await reports()).toEqual(before);
        await rebuildRollups(store.db);
        expect(await reports()).toEqual(before);
      });

      test('several logs load into one ledger at once, each from its own place', async () => {
        const logOf = (gateway: number): AuditRecord[] =>
          Array.from({ length: 200 }, (_, i) =>
            outcome(`g${gateway}-${i}`, { microUsd: 1, caller: { user: `u${i % 7}` } }),
          );
        const loadOf = ({ db }: Database, gateway: number): Promise<number> =>
          catchUpLedger(db, home, readerOf(logOf(gateway)), { log: `log-${gateway}`, batchRows: 13 });
        // SQLite blocks the thread while another connection writes: only Postgres has writers side by side in one.
        const stores = store.dialect === 'sqlite' ? [store] : [store, await open(home), await open(home)];
        const loaded =
          stores.length > 1
            ? await Promise.all(stores.map(loadOf))
            : [await loadOf(store, 0), await loadOf(store, 1), await loadOf(store, 2)];
        expect(loaded).toEqual([200, 200, 200]);
        expect(await catchUpLedger(store.db, home, readerOf(logOf(1)), { log: 'log-1' })).toBe(0);
        await foldLedger(store.db, 1);
        expect((await report('user')).total).toMatchObject({ requests: 600, cost_micro_usd: 600 });
        await Promise.all(stores.slice(1).map((other) => other.close()));
      });

      test('a shared ledger refuses a log without an id', async () => {
        const loading = catchUpLedger(store.db, home, readerOf(records));
        if (store.dialect === 'postgres') await expect(loading).rejects.toThrow(TypeError);
        else expect(await loading).toBe(7);
      });

      test('a name that Postgres cannot hold is a name all the same, the same in both stores', async () => {
        await load([
          outcome('a', { caller: { user: 'a\0b' }, purpose: { tags: { 'c\0': '\ud800' } }, microUsd: 3 }),
          outcome('b', { caller: { user: 'a\ufffdb' }, microUsd: 4 }),
        ]);
        await foldLedger(store.db, 1);
        expect((await report('user')).groups.map(({ keys, requests }) => [keys, requests])).toEqual([
          [['acme', 'a\ufffdb'], 2],
        ]);
        expect(await spentBy('user', 'acme/a\0b', 0, NOW + 86_400_000)).toBe(7);
      });

      test('a position that is not of this log starts anew and counts nothing twice', async () => {
        await load(records);
        const whole = readerOf(records);
        const added = await catchUpLedger(
          store.db,
          home,
          async function* (folder, options) {
            if ('from' in options) throw Object.assign(new Error('stale'), { name: 'StalePositionError' });
            yield* whole(folder, options);
          },
          { log: LOG },
        );
        expect(added).toBe(0);
        expect((await report('org')).total.requests).toBe(7);
      });
    });

    describe('reports', () => {
      test('names with quotes, percent signs and SQL are names', async () => {
        const names = [`O'Brien`, '"; drop table usage; --', '%', '_', '\\', `a'||'b`, 'ünï ☃', '=1+1'];
        await load(names.map((user, i) => outcome(`r${i}`, { caller: { user }, purpose: { tags: { "it's": user } } })));
        expect((await report('user')).groups.map(({ keys }) => keys[1]).sort()).toEqual([...names].sort());
        expect((await report(`tag:it's`)).groups.map(({ keys }) => keys[0]).sort()).toEqual([...names].sort());
        for (const user of names) expect(await spentBy('user', `acme/${user}`, 0, NOW)).toBe(0);
      });

      test('a report of one organisation has no other’s', async () => {
        await load([outcome('a', { microUsd: 1 }), outcome('b', { caller: { org: 'other' }, microUsd: 2 })]);
        const only = async () => await queryUsage(store.db, ['org', 'user'], NOVEMBER, { org: 'other' });
        const expected = { groups: [{ keys: ['other', 'ann'], cost_micro_usd: 2 }], total: { requests: 1 } };
        expect(await only()).toMatchObject(expected);
        await foldLedger(store.db, 1);
        expect(await only()).toMatchObject(expected);
      });

      test('teams of two organisations with one name are two rows', async () => {
        await load([outcome('a'), outcome('b', { caller: { org: 'other' } })]);
        expect((await report('team')).groups.map(({ keys }) => keys)).toEqual([
          ['acme', 'math'],
          ['other', 'math'],
        ]);
      });

      test('a tag groups requests, those without it included, and two tags do so together', async () => {
        const tagged = (id: string, tags: Record<string, string>, microUsd: number) =>
          outcome(id, { purpose: { tags }, microUsd });
        await load([
          tagged('a', { course: 'CS101', institution: 'MIT' }, 1),
          tagged('b', { institution: 'MIT', course: 'CS101' }, 2),
          tagged('c', { course: 'CS102' }, 4),
          tagged('d', {}, 8),
        ]);
        const costs = async (by: string) =>
          (await report(by)).groups.map(({ keys, cost_micro_usd }) => [...keys, cost_micro_usd]);
        expect(await costs('tag:course')).toEqual([
          ['', 8],
          ['CS102', 4],
          ['CS101', 3],
        ]);
        expect(await costs('tag:course,tag:institution')).toEqual([
          ['', '', 8],
          ['CS102', '', 4],
          ['CS101', 'MIT', 3],
        ]);
      });

      test('every range has the same sums by user, by day and in total', async () => {
        const days = ['2026-09-30', '2026-10-01', '2026-10-31', '2026-11-01', '2026-11-30', '2026-12-01', '2026-12-15'];
        await load(days.map((day, i) => outcome(`r${i}`, { time: `${day}T23:59:59.999Z`, microUsd: 10 ** i })));
        const edges = [...days, '2026-10-02', '2026-11-15'].sort();
        for (const firstDay of edges) {
          for (const lastDay of edges.filter((day) => day >= firstDay)) {
            const expected = days.reduce((sum, day, i) => sum + (day >= firstDay && day <= lastDay ? 10 ** i : 0), 0);
            const totals = [];
            for (const by of ['', 'user', 'key', 'day', 'user,day']) {
              totals.push((await report(by, { firstDay, lastDay })).total.cost_micro_usd);
            }
            expect(totals).toEqual(totals.map(() => expected));
          }
        }
      });

      test('percentiles are of answered requests and right to within a factor of 1.5', async () => {
        const durations = Array.from({ length: 200 }, (_, i) => 20 + i * 37);
        const denied = Array.from({ length: 500 }, (_, i) => outcome(`d${i}`, { outcome: 'denied', duration_ms: 1 }));
        await load([...denied, ...durations.map((duration_ms, i) => outcome(`r${i}`, { duration_ms }))]);
        const { total } = await report('org');
        for (const [share, found] of [
          [0.5, total.p50Ms],
          [0.95, total.p95Ms],
        ] as const) {
          const exact = durations[Math.ceil(share * durations.length) - 1]!;
          expect(found! / exact).toBeGreaterThan(1 / 1.5);
          expect(found! / exact).toBeLessThan(1.5);
        }
      });
    });

    describe('spend history', () => {
      test('each scope finds its own spend by the subjects that policies use', async () => {
        const caller = { id: 'key_9', org: 'acme', team: 'math', user: 'ann', groups: ['cs', 'night'] };
        await load([
          outcome('a', { microUsd: 1, caller, purpose: { tags: { course: 'a=b/c' } } }),
          outcome('b', { microUsd: 2, caller: { ...caller, org: 'other' }, purpose: { tags: { course: 'a=b/c' } } }),
          outcome('c', {
            microUsd: 4,
            caller: { team: 't', user: 'u', id: 'key_8' },
            purpose: { workflow: 'w', use_case: 'x' },
          }),
        ]);
        const spent = (scope: SpentArgs[0], subject: string) =>
          spentBy(scope, subject, Date.UTC(2026, 10, 1), Date.UTC(2026, 11, 1));
        const expected: [SpentArgs[0], string, number][] = [
          ['org', 'acme', 5],
          ['key', 'key_9', 3],
          ['team', 'acme/math', 1],
          ['user', 'acme/u', 4],
          ['group', 'acme/night', 1],
          ['workflow', 'acme/w', 4],
          ['use_case', 'acme/homework', 1],
          ['tag', 'acme/course=a=b/c', 1],
          ['team', 'acme/none', 0],
        ];
        for (const [scope, subject, microUsd] of expected) expect(await spent(scope, subject)).toBe(microUsd);
        await foldLedger(store.db, 1);
        for (const [scope, subject, microUsd] of expected) expect(await spent(scope, subject)).toBe(microUsd);
      });

      test('what mirrors cost is in the budgets of their own tags, and in nobody else’s', async () => {
        const tags = { course: 'CS101' };
        const who = { team: 'math', user: 'ann', groups: ['night'] };
        const mirrored = { mirror_of: 'dec_r1', caller: who, purpose: { tags: { ...tags, mirror: 'm' } } };
        await load([
          outcome('r1', { microUsd: 1, caller: who, purpose: { tags } }),
          outcome('m1', { microUsd: 10, ...mirrored }),
          outcome('m2', { microUsd: 100, ...mirrored, time: '2026-11-23T12:00:00.000Z' }),
          outcome('m3', { microUsd: 1_000, ...mirrored, purpose: { tags: { mirror: 'other' } } }),
        ]);
        const range = [Date.UTC(2026, 10, 1, 5), Date.UTC(2026, 10, 24, 13)] as const;
        const expected: [SpentArgs[0], string, number][] = [
          ['key', 'key_1', 1],
          ['org', 'acme', 1],
          ['team', 'acme/math', 1],
          ['user', 'acme/ann', 1],
          ['group', 'acme/night', 1],
          ['workflow', 'acme/tutor', 1],
          ['use_case', 'acme/homework', 1],
          ['tag', 'acme/course=CS101', 1],
          ['tag', 'acme/mirror=m', 110],
          ['tag', 'acme/mirror=other', 1_000],
        ];
        // As single rows, of days that are folded, and of a day that is whole.
        for (const folds of [false, true]) {
          if (folds) await foldLedger(store.db, 1);
          for (const [scope, subject, microUsd] of expected) {
            expect([scope, subject, await spentBy(scope, subject, ...range)]).toEqual([scope, subject, microUsd]);
            const days = [Date.UTC(2026, 10, 1), Date.UTC(2026, 11, 1)] as const;
            expect(await spentBy(scope, subject, ...days)).toBe(microUsd);
          }
        }
        // A report has all of it.
        expect((await report('org')).total.cost_micro_usd).toBe(1_111);
      });

      test('a subject of another form is an error, because its budget would start anew at each restart', async () => {
        await expect(querySpent(store, 'team', 'math', 0, 1)).rejects.toThrow(RangeError);
        await expect(querySpent(store, 'tag', 'acme/course', 0, 1)).rejects.toThrow(RangeError);
      });

      test('bounds fall on any millisecond, as in zones that are not UTC', async () => {
        const times = [
          '2026-11-01T18:29:59.999Z',
          '2026-11-01T18:30:00.000Z',
          '2026-11-02T00:00:00.000Z',
          '2026-11-03T18:29:59.999Z',
          '2026-11-03T18:30:00.000Z',
        ];
        await load(times.map((time, i) => outcome(`r${i}`, { time, microUsd: 10 ** i })));
        // Folded not at all, in part, and whole: the sums are the same.
        for (const fold of [0, 3, 5]) {
          if (fold > 0) await store.db.updateTable('ledger').set({ folded_seq: 0, last_seq: fold }).execute();
          if (fold > 0) await rebuildRollups(store.db);
          await store.db.updateTable('ledger').set({ last_seq: 5 }).execute();
          for (const [scope, subject] of [
            ['org', 'acme'],
            ['key', 'key_1'],
            ['team', 'acme/math'],
          ] as const) {
            const sum = (from: string, to: string) => spentBy(scope, subject, Date.parse(from), Date.parse(to));
            expect(await sum('2026-11-01T18:30:00Z', '2026-11-03T18:30:00Z')).toBe(1_110);
            expect(await sum('2026-11-01T00:00:00Z', '2026-11-04T00:00:00Z')).toBe(11_111);
            expect(await sum('2026-11-01T18:30:00Z', '2026-11-01T19:00:00Z')).toBe(10);
            expect(await sum('2026-11-01T18:30:00Z', '2026-11-02T00:00:00Z')).toBe(10);
            expect(await sum('2026-11-02T00:00:00Z', '2026-11-02T00:00:00Z')).toBe(0);
          }
        }
      });
    });
  });
}
