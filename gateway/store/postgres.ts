import { Socket } from 'node:net';
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { isAnswer, isAway } from './away.ts';
import { createPostgresBulkWriter } from './bulk-postgres.ts';
import type { Database, DatabaseOptions } from './database.ts';
import { migrate } from './migrations.ts';
import type { Schema } from './schema.ts';

/** Connections of one opened store. The key store, the ledger's worker and the control plane ask seldom. */
const CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 3_000;
const QUERY_TIMEOUT_MS = 10_000;
/** A migration may copy a table, and waits for the gateway that came first. */
const MIGRATION_TIMEOUT_MS = 3_600_000;
/** Between two tries to reach a database that was away at the start. */
const RETRY_MS = 2_000;
/** Until a connection that does not say goodbye is cut. */
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Opens the Postgres (15 or newer) of a URL and brings its tables up to date; gateways that start together wait for each
 * other there. `sslmode=verify-full` and `sslrootcert=<file>` in the URL ask for TLS. Throws when it refuses or is newer
 * than this gateway, and when it cannot be reached in time unless it may be away: then queries fail until it is there.
 */
export const openPostgres = async (
  url: string,
  { queryTimeoutMs = QUERY_TIMEOUT_MS, mayBeAway = false }: DatabaseOptions,
): Promise<Database> => {
  const { db, close } = openPool(url, CONNECTIONS, queryTimeoutMs);
  let again: NodeJS.Timeout | undefined;
  const bringUp = (): Promise<void> =>
    migrateAt(url).catch((error) => {
      if (!mayBeAway || !isAway(error)) throw error;
      // A refusal later on shows in every query.
      again = setTimeout(() => bringUp().catch(() => {}), RETRY_MS).unref();
    });
  try {
    await bringUp();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    db,
    dialect: 'postgres',
    bulk: createPostgresBulkWriter(),
    querySync() {
      throw new TypeError('Postgres answers nothing synchronously');
    },
    writeSoon: (statements) => statements(db),
    async close() {
      clearTimeout(again);
      await close();
    },
  };
};

/** On a connection of its own: a migration may take longer than any query. */
const migrateAt = async (url: string): Promise<void> => {
  const { db, close } = openPool(url, 1, MIGRATION_TIMEOUT_MS);
  try {
    await migrate(db, 'postgres');
  } finally {
    await close();
  }
};

const openPool = (
  url: string,
  max: number,
  queryTimeoutMs: number,
): { readonly db: Kysely<Schema>; close(): Promise<void> } => {
  const sockets = new Set<Socket>();
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: 'aegis',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
    // The server ends a statement whose client gave up.
    statement_timeout: queryTimeoutMs,
    keepAlive: true,
    allowExitOnIdle: true,
    types: TYPES,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
  });
  pool.on('error', () => {}); // An idle connection broke; the next query opens another.
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: discarding(pool) }) });
  let isClosed = false;
  return {
    db,
    async close() {
      if (isClosed) return;
      isClosed = true;
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, CLOSE_TIMEOUT_MS);
      await db.destroy(); // Ends the pool only if something was asked.
      if (!pool.ending) await pool.end();
      await Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
      clearTimeout(cut);
    },
  };
};

/** bigint and sums of it as numbers. Throws RangeError for one that a double does not hold exactly. */
const TYPES = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC
      ? integerOf
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};

const integerOf = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is not an exact integer`);
  return value;
};

/**
 * The pool, without connections whose server fell silent: after an error that is no answer of the server's, a connection
 * is asked nothing more and not used again. pg alone would queue the next query behind the one that hangs.
 */
const discarding = (pool: pg.Pool): PostgresPool => ({
  options: pool.options,
  end: () => pool.end(),
  async connect() {
    const client = await pool.connect();
    let broken: unknown;
    const query = async (sql: string, parameters: readonly unknown[]): Promise<unknown> => {
      if (broken !== undefined) throw broken;
      try {
        return await client.query(sql, parameters as unknown[]);
      } catch (error) {
        if (!isAnswer(error)) broken = error;
        throw error;
      }
    };
    return {
      query,
      release: (destroy?: boolean) => client.release(destroy || broken !== undefined),
    } as PostgresPoolClient;
  },
});
