import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { type Compilable, Kysely, SqliteDialect } from 'kysely';
import { migrate } from './migrations.ts';
import type { Schema } from './schema.ts';

/** A writer waits this long for another process's transaction. */
const BUSY_TIMEOUT_MS = 5_000;

/** The open store. Any number of processes and threads may have the same one open. */
export interface Database {
  readonly db: Kysely<Schema>;
  /** Runs a query at once. Only an embedded store can; for what must answer synchronously. */
  querySync<Row>(query: Compilable<Row>): Row[];
  close(): Promise<void>;
}

/**
 * Opens `<home>/aegis.db` (SQLite, WAL, every commit synced), makes it with mode 0600 when it is new, and brings its
 * tables up to date. Throws when the folder cannot be written or the database is newer than this gateway.
 */
export const openDatabase = async (home: string): Promise<Database> => {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const file = join(home, 'aegis.db');
  closeSync(openSync(file, 'a', 0o600)); // SQLite gives its -wal and -shm files the mode of the database.
  chmodSync(file, 0o600);
  const sqlite = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS });
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: sqlite }) });
  const close = async (): Promise<void> => {
    await db.destroy();
    if (sqlite.open) sqlite.close();
  };
  try {
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = FULL');
    await migrate(db);
  } catch (error) {
    await close();
    throw error;
  }
  const querySync = <Row>(query: Compilable<Row>): Row[] => {
    const { sql, parameters } = query.compile();
    return sqlite.prepare(sql).all(...parameters) as Row[];
  };
  return { db, querySync, close };
};
