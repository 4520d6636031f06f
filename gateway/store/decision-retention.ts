import type { Kysely } from 'kysely';
import { databaseOf } from './database.ts';
import type { Schema } from './schema.ts';

const DAY_MS = 86_400_000;
/** Name of the fact that holds for how many days the store keeps decisions. It stays when nobody adds any more. */
const FACT = 'decisions_days';
/** Rows of one statement: it holds the write lock of an embedded store for some 10 ms. */
const ROWS = 500;

/** When decisions begin that are kept for so many days, milliseconds since the epoch. */
export const keptSinceMs = (days: number, now: number): number => now - days * DAY_MS;

/** Says for how many days the store keeps its decisions, those of other gateways too: the one that says it last decides. */
export const keepDecisions = async (db: Kysely<Schema>, days: number): Promise<void> => {
  const value = String(days);
  await db
    .insertInto('facts')
    .values({ name: FACT, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
};

/** For how many days the store keeps its decisions; undefined when no gateway ever said so. */
export const decisionsDays = async (db: Kysely<Schema>): Promise<number | undefined> => {
  const row = await db.selectFrom('facts').select('value').where('name', '=', FACT).executeTakeFirst();
  return row && Number(row.value);
};

/**
 * Deletes decisions from before a time, oldest first, a few at a time. Gives true when none were left, false when it ended
 * before: after about `most` rows, or because `isStopping` said so.
 */
export const deleteDecisions = async (
  db: Kysely<Schema>,
  beforeMs: number,
  most: number,
  isStopping: () => boolean = () => false,
): Promise<boolean> => {
  const oldest = db
    .selectFrom('decisions')
    .select('id')
    .where('time_ms', '<', beforeMs)
    .orderBy('time_ms')
    .orderBy('id')
    .limit(ROWS);
  // Gateways that delete at the same time each take others.
  const free = databaseOf(db).dialect === 'postgres' ? oldest.forUpdate().skipLocked() : oldest;
  for (let deleted = 0; deleted < most && !isStopping(); ) {
    const { numDeletedRows } = await db.deleteFrom('decisions').where('id', 'in', free).executeTakeFirstOrThrow();
    if (numDeletedRows < ROWS) return true;
    deleted += Number(numDeletedRows);
  }
  return false;
};
