import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import Sqlite from 'better-sqlite3';
import { sql } from 'kysely';
import type { ReplicaReport, Rollback, RolloutState, RolloutStore } from '../../gateway/policy/rollout-state.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { createRolloutStore } from '../../gateway/store/rollout-store.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';

const STORES = [
  { name: 'SQLite', without: undefined as string | undefined },
  { name: 'Postgres', without: whyNoPostgres() },
];
const DAY_MS = 86_400_000;
const CLIENTS = 8;
const CLIENT = fileURLToPath(new URL('../support/rollout-client.ts', import.meta.url));
const run = promisify(execFile);
const WITHIN_MS = 10_000;

const state = (fields: Partial<RolloutState> = {}): RolloutState => ({
  key: 'k1',
  step: 0,
  sinceMs: 1_000,
  baseline: null,
  rolledBack: null,
  ...fields,
});

const BASELINE = { requests: 200, denied: 3, answers: 190, errors: 1, fallbacks: 2, costMicroUsd: 90_000 };

const reason = (fields: Partial<Rollback> = {}): Rollback => ({
  time: '2026-11-24T12:00:00.000Z',
  guard: 'max_deny_rate_increase',
  reason: 'of 200 requests 12 are refused that stable allows',
  decisionIds: ['dec_1', 'dec_2'],
  replica: 'one',
  ...fields,
});

const report = (fields: Partial<ReplicaReport> = {}): ReplicaReport => ({
  replica: 'one',
  updatedMs: Date.now(),
  stable: { revision: 'r1', digest: 'a'.repeat(64) },
  candidate: null,
  stage: null,
  percent: null,
  key: null,
  readings: null,
  problem: null,
  ...fields,
});

for (const { name, without } of STORES) {
  (without ? describe.skip : describe)(`rollouts on ${name}${without ? ` (${without})` : ''}`, () => {
    let postgres: TestPostgres | undefined;
    let home: string;
    let url: string;
    const opened: Database[] = [];
    /** Of another gateway: with connections of its own. */
    const open = async (): Promise<RolloutStore> => {
      const database = await openDatabase(home, url);
      opened.push(database);
      return createRolloutStore(database.db);
    };
    const db = (): Database['db'] => (opened[0] as Database).db;
    let store: RolloutStore;
    beforeAll(async () => {
      if (name === 'Postgres') postgres = await openPostgres();
    }, 60_000);
    afterAll(() => postgres?.close());
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-rollouts-'));
      url = postgres ? await postgres.createDatabase() : '';
      store = await open();
    });
    afterEach(async () => {
      for (const database of opened.splice(0)) await database.close();
      await rm(home, { recursive: true, force: true });
    });

    test('a rollout that nobody began is not there, and cannot go on', async () => {
      expect(await store.read('k1')).toBeUndefined();
      await expect(store.advance(state(), 2_000, null)).rejects.toThrow('nobody began the rollout k1');
    });

    test('who begins second gets what the first began, also over a restart', async () => {
      expect(await store.begin(state())).toEqual(state());
      const other = await open();
      expect(await other.begin(state({ sinceMs: 9_000 }))).toEqual(state());
      expect(await other.read('k1')).toEqual(state());
      expect(await other.begin(state({ key: 'k2', sinceMs: 9_000 }))).toEqual(state({ key: 'k2', sinceMs: 9_000 }));
    });

    test('a step goes on once, from exactly where it was', async () => {
      const first = await store.begin(state());
      const second = state({ step: 1, sinceMs: 2_000 });
      expect(await store.advance(first, 2_000, null)).toEqual(second);
      expect(await store.advance(first, 3_000, null)).toEqual(second);
      expect(await store.advance(state({ step: 5 }), 3_000, null)).toEqual(second);
      expect(await store.advance(second, 4_000, BASELINE)).toEqual(
        state({ step: 2, sinceMs: 4_000, baseline: BASELINE }),
      );
      expect((await store.rollBack('k1', reason())).baseline).toEqual(BASELINE);
    });

    test('what was rolled back stays back, for the first reason, and goes no step on', async () => {
      const first = await store.begin(state());
      const back = state({ rolledBack: reason() });
      expect(await store.rollBack('k1', reason())).toEqual(back);
      const other = await open();
      expect(await other.rollBack('k1', reason({ guard: 'max_cost_increase', replica: 'two' }))).toEqual(back);
      expect(await other.advance(first, 5_000, null)).toEqual(back);
      expect(await other.begin(state({ sinceMs: 5_000 }))).toEqual(back);
    });

    test('what could not be begun while the store was away is rolled back all the same', async () => {
      const back = state({ sinceMs: Date.parse('2026-11-24T12:00:00.000Z'), rolledBack: reason() });
      expect(await store.rollBack('k1', reason())).toEqual(back);
      expect(await store.begin(state())).toEqual(back);
    });

    test('of eight gateways that go on at once one is first, and all see its step', async () => {
      const stores = await Promise.all(Array.from({ length: CLIENTS }, open));
      const begun = await Promise.all(stores.map((each, i) => each.begin(state({ sinceMs: i + 1 }))));
      expect(new Set(begun.map((each) => JSON.stringify(each))).size).toBe(1);
      let now = begun[0] as RolloutState;
      for (let step = 1; step <= 10; step++) {
        const from = now;
        const seen = await Promise.all(stores.map((each, i) => each.advance(from, step * 1_000 + i, null)));
        now = seen[0] as RolloutState;
        expect(now.step).toBe(step);
        for (const each of seen) expect(each).toEqual(now);
      }
    });

    test('a rollback beats every step that others take at the same time', async () => {
      const stores = await Promise.all(Array.from({ length: CLIENTS }, open));
      for (let round = 0; round < 10; round++) {
        const first = await store.begin(state({ key: `k${round}` }));
        const calls = stores.map((each, i) =>
          i % 2 === 0
            ? each.rollBack(first.key, reason({ replica: `r${i}` }))
            : each.advance(first, 2_000 + i, null).then((next) => each.advance(next, 3_000 + i, null)),
        );
        const seen = await Promise.all(calls);
        const end = await store.read(first.key);
        const winners = new Set(seen.flatMap(({ rolledBack }) => rolledBack?.replica ?? []));
        expect([...winners]).toEqual([end?.rolledBack?.replica]);
        // After that there is no way on: each who asks again is told the same.
        for (const each of stores) expect(await each.advance(end as RolloutState, 9_000, null)).toEqual(end);
      }
    });

    test('of processes that go on at once each step is one’s own', async () => {
      const steps = 60;
      const processes = Array.from({ length: 4 }, (_, i) => {
        const rest = [home, url, 'k1', `${steps}`, '4', `${i}`];
        return run(process.execPath, ['--disable-warning=ExperimentalWarning', CLIENT, ...rest]);
      });
      const mine = (await Promise.all(processes)).map(({ stdout }) => (JSON.parse(stdout) as { mine: number }).mine);
      expect((await store.read('k1'))?.step).toBe(steps);
      expect(mine.reduce((sum, each) => sum + each, 0)).toBe(steps);
      expect(await store.replicas(Date.now(), 60_000)).toHaveLength(4);
    }, 60_000);

    test('a gateway keeps one report, and sees those that are fresh', async () => {
      const now = Date.now();
      const mine = report({ updatedMs: now, problem: 'candidate.tar.gz: expired' });
      expect(await store.report(report({ updatedMs: now - 5 }), WITHIN_MS)).toHaveLength(1);
      expect(await store.report(mine, WITHIN_MS)).toEqual([mine]);
      const other = await open();
      const silent = report({ replica: 'silent', updatedMs: now - 2 * WITHIN_MS });
      await other.report(silent, WITHIN_MS);
      const theirs = report({ replica: 'two', updatedMs: now - 9_000 });
      expect(await other.report(theirs, WITHIN_MS)).toEqual([mine, theirs]);
      expect(await store.report(mine, WITHIN_MS)).toEqual([mine, theirs]);
      expect(await store.replicas(now, WITHIN_MS)).toEqual([mine, theirs]);
      expect(await store.replicas(now, DAY_MS)).toEqual([mine, silent, theirs]);
    });

    test('reports of a day ago are forgotten', async () => {
      const now = Date.now();
      await store.report(report({ replica: 'gone', updatedMs: now - DAY_MS - 60_000 }), WITHIN_MS);
      await (await open()).report(report({ updatedMs: now }), WITHIN_MS);
      expect((await store.replicas(now, 365 * DAY_MS)).map(({ replica }) => replica)).toEqual(['one']);
    });

    test('rollouts of long ago are forgotten, but for those that a gateway is in', async () => {
      for (const key of ['old', 'old-back', 'current-back', 'young']) await store.begin(state({ key }));
      for (const key of ['old-back', 'current-back']) await store.rollBack(key, reason());
      const used_ms = Date.now() - 91 * DAY_MS;
      await db().updateTable('rollouts').set({ used_ms }).where('key', '!=', 'young').execute();
      // A gateway that looks after the store for the first time does so with its first report.
      await (await open()).report(report({ key: 'current-back' }), WITHIN_MS);
      expect(await store.read('old')).toBeUndefined();
      expect(await store.read('old-back')).toBeUndefined();
      expect((await store.read('current-back'))?.rolledBack).toEqual(reason());
      expect(await store.read('young')).toBeDefined();
    });

    test('who begins again what was rolled back long ago keeps it from being forgotten', async () => {
      await store.rollBack('k1', reason());
      await db()
        .updateTable('rollouts')
        .set({ used_ms: Date.now() - 91 * DAY_MS })
        .execute();
      expect((await store.begin(state())).rolledBack).toEqual(reason());
      await (await open()).report(report(), WITHIN_MS);
      expect((await store.read('k1'))?.rolledBack).toEqual(reason());
    });
  });
}

describe('rollouts in a home that other processes write to', () => {
  let home: string;
  let database: Database;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-rollouts-'));
    database = await openDatabase(home);
  });
  afterEach(async () => {
    await database.close();
    await rm(home, { recursive: true, force: true });
  });

  test('a report waits for another’s transaction without holding up this thread', async () => {
    const store = createRolloutStore(database.db);
    const other = new Sqlite(join(home, 'aegis.db'));
    other.exec('begin immediate');
    let turns = 0;
    const turning = setInterval(() => turns++, 5);
    try {
      const reported = store.report(report(), WITHIN_MS);
      // Were the thread held up, this timer would not run before SQLite gave up.
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(turns).toBeGreaterThan(5);
      other.exec('commit');
      expect(await reported).toHaveLength(1);
    } finally {
      clearInterval(turning);
      other.close();
    }
    // Whoever writes next waits and syncs as before.
    for (const [pragma, value] of [
      ['busy_timeout', 5_000],
      ['synchronous', 2],
    ] as const) {
      const { rows } = await sql<Record<string, number>>`pragma ${sql.raw(pragma)}`.execute(database.db);
      expect(Object.values(rows[0] ?? {})).toEqual([value]);
    }
  });

  test('reads answer while another writes', async () => {
    const store = createRolloutStore(database.db);
    await store.begin(state());
    const other = new Sqlite(join(home, 'aegis.db'));
    other.exec("begin immediate; update rollouts set step = 7 where key = 'k1'");
    expect(await store.read('k1')).toEqual(state());
    other.exec('rollback');
    other.close();
  });
});
