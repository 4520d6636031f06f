import type { Kysely } from 'kysely';
import { databaseOf } from './database.ts';
import { addToRollups, FOLDED_COLUMNS, ROLLUPS } from './rollup.ts';
import type { Schema } from './schema.ts';

/**
 * Rows folded in one transaction: more make fewer writes of one group, and hold the write lock for longer, up to a second
 * for so many. A gateway that keeps up folds a few thousand at a time.
 */
const LOT = 20_000;

/**
 * Folds the rows that the roll-ups do not hold yet into them, when they are at least so many; resolves with how many
 * rows were folded. Each lot is one transaction with the number up to which the roll-ups are right, so that every row is in
 * them once, whoever folds.
 */
export const foldLedger = async (db: Kysely<Schema>, least: number): Promise<number> => {
  let folded = 0;
  for (;;) {
    const { last_seq: last, folded_seq: done } = await db.selectFrom('ledger').selectAll().executeTakeFirstOrThrow();
    if (last - done < Math.max(least, 1)) return folded;
    folded += await foldLot(db);
  }
};

const foldLot = async (db: Kysely<Schema>): Promise<number> =>
  await db.transaction().execute(async (transaction) => {
    // The write lock first, as everybody who writes to the ledger.
    const { last_seq: last, folded_seq: done } = await transaction
      .updateTable('ledger')
      .set((eb) => ({ last_seq: eb.ref('last_seq') }))
      .returning(['last_seq', 'folded_seq'])
      .executeTakeFirstOrThrow();
    const end = Math.min(last, done + LOT);
    const rows = await transaction
      .selectFrom('usage')
      .select(FOLDED_COLUMNS)
      .where('seq', '>', done)
      .where('seq', '<=', end)
      .orderBy('seq')
      .execute();
    await addToRollups(transaction, databaseOf(db).bulk, rows);
    await transaction.updateTable('ledger').set({ folded_seq: end }).execute();
    return rows.length;
  });

/** Makes the roll-ups again from the rows. */
export const rebuildRollups = async (db: Kysely<Schema>): Promise<void> => {
  await db.transaction().execute(async (transaction) => {
    await transaction.updateTable('ledger').set({ folded_seq: 0 }).execute();
    for (const { table } of ROLLUPS) await transaction.deleteFrom(table).execute();
  });
  await foldLedger(db, 1);
};
