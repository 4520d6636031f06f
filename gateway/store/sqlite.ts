import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import { type Compilable, Kysely, SqliteDialect } from 'kysely';
import { createSqliteBulkWriter } from './bulk-sqlite.ts';
import type { Database } from './database.ts';
import { migrate } from './migrations.ts';
import type { Schema } from './schema.ts';

/** A writer waits this long for another process's transaction. */
const BUSY_TIMEOUT_MS = 5_000;
/** The ledger touches the same pages in batch after batch: it pays to copy them to the database seldom. */
const CHECKPOINT_PAGES = 4_000;
/** The roll-ups of thousands of users are more pages than SQLite keeps by default (2 MB). Taken only when used. */
const CACHE_KIB = 8_192;
const MAX_PREPARED = 100;
/** Between two tries of a write that finds another's, about: from the first to the longest. */
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 80;

/**
 * Opens `<home>/aegis.db` (SQLite, WAL, every commit synced), makes it with mode 0600 when it is new, and brings its
 * tables up to date. Throws when the folder cannot be written or the database is newer than this gateway.
 */
export const openSqlite = async (home: string): Promise<Database> => {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const file = join(home, 'aegis.db');
  closeSync(openSync(file, 'a', 0o600)); // SQLite gives its -wal and -shm files the mode of the database.
  chmodSync(file, 0o600);
  const sqlite = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS });
  const prepare = prepareOnce(sqlite);
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: { prepare, close: () => sqlite.close() } }) });
  const close = async (): Promise<void> => {
    await db.destroy();
    if (sqlite.open) sqlite.close();
  };
  try {
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = FULL');
    sqlite.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    sqlite.pragma(`cache_size = -${CACHE_KIB}`);
    await migrate(db, 'sqlite');
  } catch (error) {
    await close();
    throw error;
  }
  const querySync = <Row>(query: Compilable<Row>): Row[] => {
    const { sql, parameters } = query.compile();
    return prepare(sql).all(...parameters) as Row[];
  };
  const bulk = createSqliteBulkWriter((sql) => sqlite.prepare<unknown[]>(sql));
  return { db, dialect: 'sqlite', bulk, querySync, writeSoon: createSoonWriter(sqlite, db), close };
};

/** SQLite waits for another's transaction by stopping the thread: here the wait is the event loop's. */
const createSoonWriter = (sqlite: Sqlite.Database, db: Kysely<Schema>): Database['writeSoon'] => {
  // The connection is this call's alone meanwhile. What a pragma sets holds from the moment it is prepared.
  const once: Database['writeSoon'] = (statements, { isPassing } = { isPassing: false }) =>
    db.connection().execute(async (connection) => {
      sqlite.pragma('busy_timeout = 0');
      if (isPassing) sqlite.pragma('synchronous = NORMAL');
      try {
        return await statements(connection);
      } finally {
        sqlite.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
        sqlite.pragma('synchronous = FULL');
      }
    });
  return async (statements, options) => {
    const end = performance.now() + BUSY_TIMEOUT_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        return await once(statements, options);
      } catch (error) {
        const { code } = (error ?? {}) as { code?: unknown };
        if (!String(code).startsWith('SQLITE_BUSY') || performance.now() > end) throw error;
      }
      // Those who wait together do not come again together.
      await pause(pauseMs * (0.5 + Math.random()));
    }
  };
};

/** Keeps the statements that were prepared last: a large one takes longer to prepare than to run. */
const prepareOnce = (sqlite: Sqlite.Database): ((sql: string) => Sqlite.Statement<unknown[]>) => {
  const prepared = new Map<string, Sqlite.Statement<unknown[]>>();
  return (sql) => {
    let statement = prepared.get(sql);
    if (statement === undefined) {
      if (prepared.size >= MAX_PREPARED) prepared.clear();
      statement = sqlite.prepare<unknown[]>(sql);
      prepared.set(sql, statement);
    }
    return statement;
  };
};
