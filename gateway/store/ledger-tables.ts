import { type CreateTableBuilder, type Kysely, sql } from 'kysely';
import type { Database } from './database.ts';
import { LATENCY_COLUMNS } from './latency.ts';
import { AMOUNT_COLUMNS, COUNT_COLUMNS, type Schema } from './schema.ts';

// Migration 003: rows are numbered, each log has a place of its own, and there are roll-ups for every kind of report. It
// never changes; the columns are as they were then.

const TEXTS = [
  'day',
  'org',
  'team',
  'user_id',
  'key_id',
  'use_case',
  'workflow',
  'model',
  'upstream',
  'labels',
  'endpoint',
  'session',
  'tier',
  'outcome',
] as const;
const NULLABLE_TEXTS = ['decision_id', 'error', 'usage_source', 'price_version', 'revision'] as const;
const NUMBERS = ['time_ms', 'status', 'duration_ms', 'attempts', ...AMOUNT_COLUMNS] as const;

const TEAM = ['org', 'team', 'use_case', 'workflow', 'model', 'upstream', 'endpoint'];
const USER = ['org', 'team', 'user_id', 'key_id'];
const FULL = [...TEAM, 'user_id', 'key_id', 'labels'];
const ROLLUPS: Readonly<Record<string, readonly string[]>> = {
  usage_org_daily: ['org', 'model', 'upstream', 'endpoint'],
  usage_team_daily: TEAM,
  usage_team_monthly: TEAM,
  usage_label_daily: [...TEAM, 'labels'],
  usage_label_monthly: [...TEAM, 'labels'],
  usage_user_daily: USER,
  usage_user_monthly: [...USER, 'model', 'upstream'],
  usage_full_daily: FULL,
  usage_full_monthly: FULL,
};

type AnyTable = CreateTableBuilder<string, never>;

/** Moves the rows over and leaves the roll-ups empty: the next catch-up folds the rows into them. */
export const createLedgerTables = async (db: Kysely<Schema>, dialect: Database['dialect']): Promise<void> => {
  const old = db as unknown as Kysely<Record<string, Record<string, unknown>>>;
  for (const table of ['usage_daily', 'usage_user_daily', 'usage_user_monthly']) {
    await db.schema.dropTable(table).execute();
  }
  await db.schema.dropIndex('usage_by_org').execute();
  await db.schema.dropIndex('usage_by_key').execute();
  await db.schema.alterTable('usage').renameTo('usage_002').execute();
  await createUsage(db, dialect);
  const columns = ['request_id', ...TEXTS, ...NULLABLE_TEXTS, ...NUMBERS, 'first_byte_ms'];
  const names = sql.join(columns.map((column) => sql.ref(column)));
  await sql`insert into usage (seq, ${names}) select row_number() over (order by time_ms, request_id), ${names} from usage_002`.execute(
    db,
  );
  await db.schema.dropTable('usage_002').execute();
  for (const [table, dimensions] of Object.entries(ROLLUPS)) await createRollup(db, dialect, table, dimensions);
  await createIndexes(db);
  await createBooks(db, old);
};

const createUsage = async (db: Kysely<Schema>, dialect: Database['dialect']): Promise<void> => {
  // In SQLite an `integer` primary key is the row's place itself: no index of its own.
  let table = db.schema
    .createTable('usage')
    .addColumn('seq', dialect === 'sqlite' ? 'integer' : 'bigint', (column) => column.primaryKey())
    .addColumn('request_id', 'text', (column) => column.notNull().unique()) as unknown as AnyTable;
  for (const name of TEXTS) table = table.addColumn(name, 'text', (column) => column.notNull()) as AnyTable;
  for (const name of NULLABLE_TEXTS) table = table.addColumn(name, 'text') as AnyTable;
  for (const name of NUMBERS) table = table.addColumn(name, 'bigint', (column) => column.notNull()) as AnyTable;
  await table.addColumn('first_byte_ms', 'bigint').execute();
};

const createRollup = async (
  db: Kysely<Schema>,
  dialect: Database['dialect'],
  name: string,
  dimensions: readonly string[],
): Promise<void> => {
  const key = ['period', ...dimensions];
  let table = db.schema.createTable(name) as AnyTable;
  for (const column of key) table = table.addColumn(column, 'text', (built) => built.notNull()) as AnyTable;
  // Null stands for 0, of which there are many: it takes no room.
  for (const column of [...COUNT_COLUMNS, ...AMOUNT_COLUMNS, ...LATENCY_COLUMNS]) {
    table = table.addColumn(column, 'bigint') as AnyTable;
  }
  table = table.addPrimaryKeyConstraint(`${name}_pk`, key as never) as AnyTable;
  // The rows lie in the order of their key, which is stored once.
  await (dialect === 'sqlite' ? table.modifyEnd(sql`without rowid`) : table).execute();
};

/** For the spend of one subject, which is asked on the main thread. */
const createIndexes = async (db: Kysely<Schema>): Promise<void> => {
  const index = (name: string, table: string, columns: string[]): Promise<void> =>
    db.schema.createIndex(name).on(table).columns(columns).execute();
  await index('usage_by_org', 'usage', ['org', 'time_ms']);
  await index('usage_by_key', 'usage', ['key_id', 'time_ms']);
  await index('usage_team_daily_by_org', 'usage_team_daily', ['org', 'period']);
  await index('usage_label_daily_by_org', 'usage_label_daily', ['org', 'period']);
  await index('usage_user_daily_by_user', 'usage_user_daily', ['user_id', 'period']);
  await index('usage_user_daily_by_key', 'usage_user_daily', ['key_id', 'period']);
};

const createBooks = async (db: Kysely<Schema>, old: Kysely<Record<string, Record<string, unknown>>>): Promise<void> => {
  await db.schema
    .createTable('ledger')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('last_seq', 'bigint', (column) => column.notNull())
    .addColumn('folded_seq', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('ledger_logs')
    .addColumn('log', 'text', (column) => column.primaryKey())
    .addColumn('position', 'text', (column) => column.notNull())
    .execute();
  await sql`insert into ledger (id, last_seq, folded_seq) select 1, coalesce(max(seq), 0), 0 from usage`.execute(db);
  await sql`insert into ledger_logs (log, position) select '', value from facts where name = 'ledger_position'`.execute(
    db,
  );
  await old.deleteFrom('facts').where('name', '=', 'ledger_position').execute();
};
