import type { Kysely, Selectable } from 'kysely';
import type { ArmReadings, ReplicaReport, Rollback, RolloutState, RolloutStore } from '../policy/rollout-state.ts';
import { databaseOf } from './database.ts';
import type { RolloutTable, Schema } from './schema.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A gateway that has said nothing for so long is forgotten. */
const REPORT_KEPT_MS = DAY_MS;
/** A rollout that nobody was in for so long is forgotten, with what became of it. */
const ROLLOUT_KEPT_MS = 90 * DAY_MS;

/**
 * The rollouts of a store. Any number of gateways may use it at once: each change is one statement that holds only from
 * the state it was meant for. Rejects with what the database says, and with an Error for a rollout that nobody began.
 */
export const createRolloutStore = (db: Kysely<Schema>): RolloutStore => {
  const { writeSoon: write } = databaseOf(db);
  let nextUpkeepMs = 0;

  const read = async (key: string): Promise<RolloutState | undefined> => {
    const row = await db.selectFrom('rollouts').selectAll().where('key', '=', key).executeTakeFirst();
    return row && stateOf(row);
  };
  const present = async (key: string): Promise<RolloutState> => {
    const state = await read(key);
    if (state === undefined) throw new Error(`nobody began the rollout ${key}`);
    return state;
  };
  const replicas = async (nowMs: number, withinMs: number): Promise<readonly ReplicaReport[]> => {
    const rows = await db
      .selectFrom('replicas')
      .select('report')
      .where('updated_ms', '>=', nowMs - withinMs)
      .orderBy('replica')
      .execute();
    return rows.map(({ report }) => JSON.parse(report) as ReplicaReport);
  };

  return {
    read,
    replicas,

    async begin(state) {
      const used = { used_ms: Date.now() };
      const row = await write((on) =>
        on
          .insertInto('rollouts')
          .values({ ...rowOf(state), ...used })
          .onConflict((conflict) => conflict.column('key').doUpdateSet(used))
          .returningAll()
          .executeTakeFirstOrThrow(),
      );
      return stateOf(row);
    },

    async advance({ key, step }, sinceMs, baseline) {
      const row = await write((on) =>
        on
          .updateTable('rollouts')
          .set({ step: step + 1, since_ms: sinceMs, baseline: jsonOf(baseline), used_ms: Date.now() })
          .where('key', '=', key)
          .where('step', '=', step)
          .where('rolled_back', 'is', null)
          .returningAll()
          .executeTakeFirst(),
      );
      return row ? stateOf(row) : await present(key);
    },

    async rollBack(key, reason) {
      const taken = { rolled_back: JSON.stringify(reason), used_ms: Date.now() };
      // A rollout that could not be begun, because the store was away, is taken back all the same.
      const row = await write((on) =>
        on
          .insertInto('rollouts')
          .values({ key, step: 0, since_ms: sinceOf(reason), baseline: null, ...taken })
          .onConflict((conflict) => conflict.column('key').doUpdateSet(taken).where('rollouts.rolled_back', 'is', null))
          .returningAll()
          .executeTakeFirst(),
      );
      return row ? stateOf(row) : await present(key);
    },

    async report(report, withinMs) {
      const row = { updated_ms: report.updatedMs, report: JSON.stringify(report) };
      await write(
        (on) =>
          on
            .insertInto('replicas')
            .values({ replica: report.replica, ...row })
            .onConflict((conflict) => conflict.column('replica').doUpdateSet(row))
            .execute(),
        { isPassing: true },
      );
      const now = Date.now();
      if (now >= nextUpkeepMs) {
        await write((on) => keepUp(on, now));
        nextUpkeepMs = now + HOUR_MS;
      }
      return await replicas(report.updatedMs, withinMs);
    },
  };
};

/**
 * Forgets gateways and rollouts of long ago. A rollout that a gateway is in stays, however old: without its row a
 * candidate that was rolled back would begin anew.
 */
const keepUp = async (db: Kysely<Schema>, now: number): Promise<void> => {
  await db
    .deleteFrom('replicas')
    .where('updated_ms', '<', now - REPORT_KEPT_MS)
    .execute();
  const reports = await db.selectFrom('replicas').select('report').execute();
  const keys = reports.flatMap(({ report }) => (JSON.parse(report) as ReplicaReport).key ?? []);
  if (keys.length > 0) await db.updateTable('rollouts').set({ used_ms: now }).where('key', 'in', keys).execute();
  await db
    .deleteFrom('rollouts')
    .where('used_ms', '<', now - ROLLOUT_KEPT_MS)
    .execute();
};

const rowOf = (state: RolloutState): Omit<RolloutTable, 'used_ms'> => ({
  key: state.key,
  step: state.step,
  since_ms: state.sinceMs,
  baseline: jsonOf(state.baseline),
  rolled_back: jsonOf(state.rolledBack),
});

const stateOf = (row: Selectable<RolloutTable>): RolloutState => ({
  key: row.key,
  step: row.step,
  sinceMs: row.since_ms,
  baseline: row.baseline === null ? null : (JSON.parse(row.baseline) as ArmReadings),
  rolledBack: row.rolled_back === null ? null : (JSON.parse(row.rolled_back) as Rollback),
});

const jsonOf = (value: object | null): string | null => value && JSON.stringify(value);

const sinceOf = ({ time }: Rollback): number => {
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? Date.now() : ms;
};
