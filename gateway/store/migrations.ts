import { type CreateTableBuilder, type Kysely, sql } from 'kysely';
import type { Database } from './database.ts';
import { createDecisionTables } from './decision-tables.ts';
import { createExperimentTables } from './experiment-tables.ts';
import { LATENCY_COLUMNS } from './latency.ts';
import { createLedgerTables } from './ledger-tables.ts';
import { AMOUNT_COLUMNS, COUNT_COLUMNS, type Schema } from './schema.ts';

interface Migration {
  readonly name: string;
  up(db: Kysely<Schema>, dialect: Database['dialect']): Promise<void>;
}

// SQL that SQLite and Postgres 15 share. A migration that was released never changes; a new one is added below it.

const keys: Migration = {
  name: '001-keys',
  async up(db) {
    await db.schema
      .createTable('facts')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('value', 'text', (column) => column.notNull())
      .execute();
    await db.insertInto('facts').values({ name: 'keys_revision', value: '0' }).execute();
    await db.schema
      .createTable('keys')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('digest', 'text', (column) => column.notNull().unique())
      .addColumn('prefix', 'text', (column) => column.notNull())
      .addColumn('org', 'text', (column) => column.notNull())
      .addColumn('team', 'text', (column) => column.notNull())
      .addColumn('user_id', 'text', (column) => column.notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('groups', 'text', (column) => column.notNull())
      .addColumn('workflows', 'text', (column) => column.notNull())
      .addColumn('created_ms', 'bigint', (column) => column.notNull())
      .addColumn('expires_ms', 'bigint')
      .addColumn('revoked_ms', 'bigint')
      .addColumn('rotated_from', 'text')
      .execute();
  },
};

/** The dimensions as they were in 002. */
const FIRST_DIMENSIONS = [
  'org',
  'team',
  'user_id',
  'key_id',
  'use_case',
  'workflow',
  'model',
  'upstream',
  'labels',
] as const;

/** Adds columns of one type, none of them null. */
const withColumns = (
  table: CreateTableBuilder<string, never>,
  columns: readonly string[],
  type: 'text' | 'bigint',
): CreateTableBuilder<string, never> =>
  columns.reduce<CreateTableBuilder<string, never>>(
    (built, name) => built.addColumn(name, type, (column) => column.notNull()) as CreateTableBuilder<string, never>,
    table,
  );

const createRollup = async (db: Kysely<Schema>, name: string): Promise<void> => {
  const start = db.schema.createTable(name) as CreateTableBuilder<string, never>;
  const dimensions = withColumns(start, ['period', ...FIRST_DIMENSIONS], 'text');
  await withColumns(dimensions, [...COUNT_COLUMNS, ...AMOUNT_COLUMNS, ...LATENCY_COLUMNS], 'bigint')
    .addPrimaryKeyConstraint(`${name}_pk`, ['period', ...FIRST_DIMENSIONS] as never)
    .execute();
};

const usage: Migration = {
  name: '002-usage',
  async up(db) {
    const start = db.schema
      .createTable('usage')
      .addColumn('request_id', 'text', (column) => column.primaryKey())
      .addColumn('decision_id', 'text')
      .addColumn('error', 'text')
      .addColumn('usage_source', 'text')
      .addColumn('price_version', 'text')
      .addColumn('revision', 'text')
      .addColumn('first_byte_ms', 'bigint') as unknown as CreateTableBuilder<string, never>;
    const texts = withColumns(start, ['day', ...FIRST_DIMENSIONS, 'session', 'endpoint', 'tier', 'outcome'], 'text');
    await withColumns(texts, ['time_ms', 'status', 'duration_ms', 'attempts', ...AMOUNT_COLUMNS], 'bigint').execute();
    await db.schema.createIndex('usage_by_org').on('usage').columns(['org', 'time_ms']).execute();
    await db.schema.createIndex('usage_by_key').on('usage').columns(['key_id', 'time_ms']).execute();
    for (const table of ['usage_daily', 'usage_user_daily', 'usage_user_monthly']) await createRollup(db, table);
    await db.schema
      .createTable('labels')
      .addColumn('set_id', 'text', (column) => column.notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('labels_pk', ['set_id', 'kind', 'name'])
      .execute();
    // For the spend of one subject, which is asked on the main thread.
    const index = (name: string, table: string, columns: string[]): Promise<void> =>
      db.schema.createIndex(name).on(table).columns(columns).execute();
    await index('labels_by_name', 'labels', ['kind', 'name', 'value']);
    await index('usage_daily_by_org', 'usage_daily', ['org', 'period']);
    await index('usage_user_daily_by_user', 'usage_user_daily', ['user_id', 'period']);
    await index('usage_user_daily_by_key', 'usage_user_daily', ['key_id', 'period']);
    await db.insertInto('facts').values({ name: 'ledger_position', value: '' }).execute();
  },
};

const sharedLedger: Migration = { name: '003-shared-ledger', up: createLedgerTables };

const alerts: Migration = {
  name: '004-alerts',
  async up(db) {
    await db.schema
      .createTable('alerts')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('dedupe', 'text', (column) => column.notNull().unique())
      .addColumn('body', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('attempts', 'bigint', (column) => column.notNull())
      .addColumn('due_ms', 'bigint', (column) => column.notNull())
      .addColumn('created_ms', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('alerts_by_due').on('alerts').columns(['state', 'due_ms']).execute();
  },
};

const rollouts: Migration = {
  name: '005-rollouts',
  async up(db) {
    await db.schema
      .createTable('rollouts')
      .addColumn('key', 'text', (column) => column.primaryKey())
      .addColumn('step', 'bigint', (column) => column.notNull())
      .addColumn('since_ms', 'bigint', (column) => column.notNull())
      .addColumn('baseline', 'text')
      .addColumn('rolled_back', 'text')
      .addColumn('used_ms', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('replicas')
      .addColumn('replica', 'text', (column) => column.primaryKey())
      .addColumn('updated_ms', 'bigint', (column) => column.notNull())
      .addColumn('report', 'text', (column) => column.notNull())
      .execute();
  },
};

const decisions: Migration = { name: '006-decisions', up: createDecisionTables };

const experiments: Migration = { name: '007-experiments', up: createExperimentTables };

/** For the spend of mirrors, which is taken off everybody else's. */
const mirrors: Migration = {
  name: '008-mirrors',
  async up(db) {
    await db.schema
      .createIndex('usage_full_daily_by_labels')
      .on('usage_full_daily')
      .columns(['labels', 'period'])
      .execute();
  },
};

const MIGRATIONS: readonly Migration[] = [keys, usage, sharedLedger, alerts, rollouts, decisions, experiments, mirrors];
/** Any number of its own; who migrates holds it, in this database. */
const LOCK = 4_135_066_122;
const LEAST_POSTGRES = 150_000;

/**
 * Brings the tables up to date, each migration in a transaction of its own. Several processes may do it at once: on
 * Postgres one waits for the other; on SQLite the row that records a migration is written first, and whoever comes second
 * finds it there. Throws when the database is older than Postgres 15, or holds a migration that this gateway does not know.
 */
export const migrate = async (db: Kysely<Schema>, dialect: Database['dialect']): Promise<void> => {
  if (dialect === 'sqlite') return await applyAll(db, dialect);
  await db.connection().execute(async (connection) => {
    const { rows } = await sql<{ version: string }>`select current_setting('server_version_num') as version`.execute(
      connection,
    );
    if (!(Number(rows[0]?.version) >= LEAST_POSTGRES)) throw new Error('the store needs Postgres 15 or newer');
    await sql`select pg_advisory_lock(${sql.lit(LOCK)})`.execute(connection);
    try {
      await applyAll(connection, dialect);
    } finally {
      await sql`select pg_advisory_unlock(${sql.lit(LOCK)})`.execute(connection);
    }
  });
};

const applyAll = async (db: Kysely<Schema>, dialect: Database['dialect']): Promise<void> => {
  await db.schema
    .createTable('migrations')
    .ifNotExists()
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('applied_ms', 'bigint', (column) => column.notNull())
    .execute();
  const applied = new Set((await db.selectFrom('migrations').select('name').execute()).map((row) => row.name));
  const known = MIGRATIONS.map((migration) => migration.name);
  const foreign = [...applied].filter((name) => !known.includes(name));
  if (foreign.length > 0) throw new Error(`the store was written by a newer gateway: unknown migration ${foreign[0]}`);
  for (const migration of MIGRATIONS) {
    if (applied.has(migration.name)) continue;
    await db.transaction().execute(async (transaction) => {
      const recorded = await transaction
        .insertInto('migrations')
        .values({ name: migration.name, applied_ms: Date.now() })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (recorded.numInsertedOrUpdatedRows === 1n) await migration.up(transaction, dialect);
    });
  }
};
