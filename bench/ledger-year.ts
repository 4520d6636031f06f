import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Kysely, sql } from 'kysely';
import { type Database, openDatabase } from '../gateway/store/database.ts';
import { parseDimensions } from '../gateway/store/dimensions.ts';
import { foldLedger } from '../gateway/store/fold.ts';
import { AMOUNT_COLUMNS, type Schema } from '../gateway/store/schema.ts';
import { querySpent } from '../gateway/store/spend-history.ts';
import { type DayRange, queryUsage } from '../gateway/store/usage.ts';
import { openPostgres } from '../test/support/postgres.ts';

// How long reports take over a year of requests, on SQLite and on Postgres, one JSON line each: rows made by SQL, folded
// into the roll-ups as a gateway folds them. `cpuMs` is processor time, the database's included: what a report takes on a
// machine that does nothing else (less on Postgres, which uses several processors). `node bench/ledger-year.ts --rows 10000000 [--store sqlite|postgres]`; ten
// million rows are about 10 GB of temporary files and half an hour a store.

const { values } = parseArgs({ options: { rows: { type: 'string' }, store: { type: 'string' } } });
const rows = Number(values.rows ?? 1_000_000);
const START = Date.UTC(2026, 0, 1);
const YEAR_MS = 365 * 86_400_000;
/** Rows made by one statement. */
const LOT = 100_000;

/**
 * 20 organisations, 100 teams, 2,000 users with a key and two courses each, 3 workflows, 4 models at 2 upstreams, 2
 * endpoints: what a university's platform looks like. All of it is mixed, so that combinations are as many as they can be.
 */
const makeRows = async (db: Kysely<Schema>): Promise<void> => {
  await sql`insert into labels (set_id, kind, name, value)
    with recursive n(i) as (select 0 union all select i + 1 from n where i < 299)
    select 'set-' || i, 'tag', 'course', 'C' || i from n`.execute(db);
  const tokens = AMOUNT_COLUMNS.map((column, i) => sql`${sql.lit(100 + i)} as ${sql.ref(column)}`);
  for (let from = 0; from < rows; from += LOT) {
    const to = Math.min(rows, from + LOT);
    // `u` is the user, `t` the time: integers of the row's number alone, so that each store holds the same rows.
    await sql`
      insert into usage (seq, request_id, decision_id, error, usage_source, price_version, revision, first_byte_ms,
        day, org, team, user_id, key_id, use_case, workflow, model, upstream, labels, endpoint, session, tier, outcome,
        time_ms, status, duration_ms, attempts, ${sql.join(AMOUNT_COLUMNS.map((column) => sql.ref(column)))})
      with recursive n(i) as (
        select cast(${from} as bigint) union all select i + 1 from n where i < ${to - 1}
      ), r as (
        select i, (i * 7919) % 2000 as u, ${START} + cast(i * ${Math.floor(YEAR_MS / rows)} as bigint) as t from n
      )
      select i + 1, 'req_' || i, 'dec_' || i, null, 'provider', 'r', 'r', 120,
        ${dayOf(db)}, 'org-' || (u % 20), 'team-' || (u % 100), 'user-' || u, 'key_' || u, 'homework', 'w-' || (i % 3),
        'model-' || ((i * 31) % 7 % 4), 'upstream-' || ((i * 31) % 7 % 4 % 2),
        'set-' || ((u % 150) + (i % 2) * 150), 'endpoint-' || (i / 11 % 2), '', 'standard',
        case when i % 50 = 0 then 'denied' else 'ok' end,
        t, 200, 300 + (i * 104729) % 4000, 1, ${sql.join(tokens)}
      from r`.execute(db);
  }
  await db.updateTable('ledger').set({ last_seq: rows }).execute();
};

const dayOf = (db: Kysely<Schema>) =>
  isPostgres(db)
    ? sql`to_char(to_timestamp(t / 1000) at time zone 'UTC', 'YYYY-MM-DD')`
    : sql`strftime('%Y-%m-%d', t / 1000, 'unixepoch')`;

const postgresStores = new WeakSet<Kysely<Schema>>();
const isPostgres = (db: Kysely<Schema>): boolean => postgresStores.has(db);

/** Processor time of this process and the database so far, milliseconds. */
let cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

const timed = async (work: () => unknown): Promise<{ readonly ms: number; readonly cpuMs: number }> => {
  const [start, cpuStart] = [performance.now(), cpuMs()];
  await work();
  return { ms: performance.now() - start, cpuMs: cpuMs() - cpuStart };
};
const say = (figure: Record<string, unknown>): void => console.log(JSON.stringify(figure));

/** Whole months and ragged ones, so that months and days are both read. */
const RANGES: Readonly<Record<string, DayRange>> = {
  year: { firstDay: '2026-01-01', lastDay: '2026-12-31' },
  'ragged year': { firstDay: '2026-01-15', lastDay: '2026-12-16' },
  '30 days': { firstDay: '2026-11-10', lastDay: '2026-12-09' },
};
const REPORTS = [
  'org',
  'team',
  'user',
  'key',
  'use_case',
  'workflow',
  'model',
  'upstream',
  'endpoint',
  'tag:course',
  'day',
  'org,team,model',
  'org,day',
  'model,day',
  'team,day',
  'tag:course,model',
  'user,model',
  'user,tag:course,model',
];

const measure = async (store: string, database: Database, bytes: () => number | Promise<number>): Promise<void> => {
  const { db } = database;
  say({ store, what: 'make rows', rows, s: Math.round((await timed(() => makeRows(db))).ms / 1_000) });
  const fold = await timed(() => foldLedger(db, 1));
  const usPerRow = (ms: number): number => Number(((ms * 1_000) / rows).toFixed(1));
  say({ store, what: 'fold', usPerRow: usPerRow(fold.ms), cpuUsPerRow: usPerRow(fold.cpuMs) });
  if (isPostgres(db)) await sql`vacuum analyze`.execute(db); // As autovacuum has done long since after a year.
  say({ store, what: 'size', bytesPerRow: Math.round((await bytes()) / rows) });
  for (const [range, days] of Object.entries(RANGES)) {
    for (const by of REPORTS) {
      const dimensions = parseDimensions(by);
      const { groups } = await queryUsage(db, dimensions, days);
      const { ms, cpuMs } = await timed(() => queryUsage(db, dimensions, days));
      say({ store, what: 'report', range, by, groups: groups.length, ms: Math.round(ms), cpuMs: Math.round(cpuMs) });
    }
  }
  const month = [Date.UTC(2026, 10, 1) - 3_600_000, Date.UTC(2026, 11, 1) - 3_600_000] as const;
  for (const [scope, subject] of [
    ['org', 'org-1'],
    ['team', 'org-1/team-1'],
    ['user', 'org-1/user-1'],
    ['key', 'key_1'],
    ['tag', 'org-1/course=C1'],
  ] as const) {
    await querySpent(database, scope, subject, ...month);
    const { ms } = await timed(() => querySpent(database, scope, subject, ...month));
    say({ store, what: 'spend of a month', scope, ms: Number(ms.toFixed(2)) });
  }
};

if (values.store !== 'postgres') {
  const home = mkdtempSync(join(tmpdir(), 'aegis-bench-'));
  try {
    const database = await openDatabase(home);
    await measure('sqlite', database, () => statSync(join(home, 'aegis.db')).size);
    await database.close();
  } finally {
    rmSync(home, { recursive: true });
  }
}
if (values.store !== 'sqlite') {
  const postgres = await openPostgres({ config: ['shared_buffers = 512MB', 'max_wal_size = 4GB'] });
  try {
    const url = await postgres.createDatabase();
    const database = await openDatabase('', url, { queryTimeoutMs: 3_600_000 });
    postgresStores.add(database.db);
    const ownCpuMs = cpuMs;
    cpuMs = () => ownCpuMs() + postgres.cpuMs();
    await measure('postgres', database, async () => {
      const { rows: found } = await sql<{ size: number }>`select pg_database_size(current_database()) as size`.execute(
        database.db,
      );
      return Number(found[0]?.size);
    });
    await database.close();
  } finally {
    await postgres.close();
  }
}
