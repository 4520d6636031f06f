import type { Compilable, Kysely } from 'kysely';
import type { BulkWriter } from './bulk.ts';
import { openPostgres } from './postgres.ts';
import type { Schema } from './schema.ts';
import { openSqlite } from './sqlite.ts';

/** The open store. Any number of processes and threads may have the same one open. */
export interface Database {
  readonly db: Kysely<Schema>;
  /** `postgres` is shared by several gateways; `sqlite` belongs to one home. */
  readonly dialect: 'sqlite' | 'postgres';
  readonly bulk: BulkWriter;
  /** Runs a query at once, for what must answer synchronously. Only an embedded store can: TypeError on Postgres. */
  querySync<Row>(query: Compilable<Row>): Row[];
  /**
   * Runs statements that write, one transaction each, without holding up this thread while another process writes to the
   * same embedded store. With `isPassing` a power loss there may take the rows again.
   */
  writeSoon<T>(statements: (db: Kysely<Schema>) => Promise<T>, options?: { readonly isPassing: boolean }): Promise<T>;
  close(): Promise<void>;
}

/** How a store is opened. */
export interface DatabaseOptions {
  /** How long one query of a Postgres may take before its connection is given up. Default 10 s. */
  readonly queryTimeoutMs?: number;
  /** Opens a Postgres that cannot be reached all the same, and goes on trying. What serves from a snapshot asks so. */
  readonly mayBeAway?: boolean;
}

/**
 * Opens the store and brings its tables up to date: the Postgres of a postgres:// URL, or, without one, the embedded
 * database in `home`. Throws when it cannot be reached or written, or is newer than this gateway.
 */
export const openDatabase = async (home: string, url = '', options: DatabaseOptions = {}): Promise<Database> => {
  const database = url === '' ? await openSqlite(home) : await openPostgres(url, options);
  opened.set(database.db, database);
  return database;
};

const opened = new WeakMap<Kysely<Schema>, Database>();

/** The store that a Kysely belongs to. Throws TypeError for one that openDatabase did not open. */
export const databaseOf = (db: Kysely<Schema>): Database => {
  const database = opened.get(db);
  if (database === undefined) throw new TypeError('no store that openDatabase opened');
  return database;
};
