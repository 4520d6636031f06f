import type { Kysely } from 'kysely';
import { databaseOf } from './database.ts';
import type { Schema } from './schema.ts';

/** An experiment that a guard has stopped. */
export interface ExperimentStop {
  readonly experiment: string;
  /** Digest of what it was then: one that was changed is not stopped. */
  readonly definition: string;
  readonly timeMs: number;
  readonly arm: string;
  readonly guard: string;
  readonly reason: string;
}

/** The stopped experiments of a store, which its gateways share. */
export interface ExperimentStops {
  all(): Promise<ExperimentStop[]>;
  /** Keeps a stop; of several for one experiment the first. Gives whether it was this one. */
  add(stop: ExperimentStop): Promise<boolean>;
}

/** Opens the stops of a store. Its calls reject with what the database says. */
export const createExperimentStops = (db: Kysely<Schema>): ExperimentStops => ({
  async all() {
    const rows = await db.selectFrom('experiment_stops').selectAll().execute();
    return rows.map(({ time_ms: timeMs, ...row }) => ({ ...row, timeMs }));
  },
  async add({ timeMs, ...stop }) {
    const { numInsertedOrUpdatedRows } = await databaseOf(db).writeSoon((on) =>
      on
        .insertInto('experiment_stops')
        .values({ ...stop, time_ms: timeMs })
        .onConflict((conflict) => conflict.columns(['experiment', 'definition']).doNothing())
        .executeTakeFirstOrThrow(),
    );
    return numInsertedOrUpdatedRows === 1n;
  },
});
