import type { Kysely } from 'kysely';
import type { LedgerLogTable, Schema } from './schema.ts';

/** What the ledger knows of a log. */
export type LogPlace = Omit<LedgerLogTable, 'log'>;

/**
 * Where a log is loaded up to, and for how many days its decisions are kept: as is said now, or, without a word, as it was
 * said last.
 */
export const readPlace = async (
  db: Kysely<Schema>,
  log: string,
  decisionsDays: number | undefined,
): Promise<LogPlace> => {
  const place = await findPlace(db, log);
  if (decisionsDays === undefined || decisionsDays === place.decisions_days) return place;
  await db.updateTable('ledger_logs').set({ decisions_days: decisionsDays }).where('log', '=', log).execute();
  return { ...place, decisions_days: decisionsDays };
};

const findPlace = async (db: Kysely<Schema>, log: string): Promise<LogPlace> => {
  const place = db.selectFrom('ledger_logs').select(['position', 'decisions_days']).where('log', '=', log);
  const row = await place.executeTakeFirst();
  if (row !== undefined) return row;
  // Before logs were told apart a home had one. If it is another's, the reader says that the place is not of this log.
  const named = await db.updateTable('ledger_logs').set({ log }).where('log', '=', '').executeTakeFirst();
  if (named.numUpdatedRows === 1n) return await place.executeTakeFirstOrThrow();
  await db
    .insertInto('ledger_logs')
    .values({ log, position: '', decisions_days: 0 })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return await place.executeTakeFirstOrThrow();
};

/** Moves the place, whatever it was before. */
export const savePosition = async (db: Kysely<Schema>, log: string, position: string): Promise<void> => {
  await db.updateTable('ledger_logs').set({ position }).where('log', '=', log).execute();
};
