import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** Rows of one statement: Postgres and SQLite bound the parameters of one. */
const ROWS = 100;

/** The alerts of a store: kept once each, and taken by one gateway at a time. */
export const createAlertOutbox = (db: Kysely<Schema>) => ({
  /** Keeps those whose `dedupe` is new. */
  async add(
    alerts: readonly { readonly id: string; readonly dedupe: string; readonly body: string }[],
    now: number,
  ): Promise<void> {
    for (let from = 0; from < alerts.length; from += ROWS) {
      const rows = alerts.slice(from, from + ROWS).map(({ id, dedupe, body }) => ({
        id,
        dedupe,
        body,
        state: 'due',
        attempts: 0,
        due_ms: now,
        created_ms: now,
      }));
      await db
        .insertInto('alerts')
        .values(rows)
        .onConflict((conflict) => conflict.column('dedupe').doNothing())
        .execute();
    }
  },

  /** Takes alerts that are due for `leaseMs`. Of several gateways that see the same row, one gets it. */
  async claim(
    now: number,
    leaseMs: number,
    limit: number,
  ): Promise<{ readonly id: string; readonly body: string; readonly attempts: number }[]> {
    const due = await db
      .selectFrom('alerts')
      .select(['id', 'body', 'attempts', 'due_ms'])
      .where('state', '=', 'due')
      .where('due_ms', '<=', now)
      .orderBy('due_ms')
      .limit(limit)
      .execute();
    const claimed = [];
    for (const { id, body, attempts, due_ms } of due) {
      const { numUpdatedRows } = await db
        .updateTable('alerts')
        .set({ due_ms: now + leaseMs, attempts: attempts + 1 })
        .where('id', '=', id)
        .where('state', '=', 'due')
        .where('due_ms', '=', due_ms)
        .where('attempts', '=', attempts)
        .executeTakeFirst();
      if (numUpdatedRows === 1n) claimed.push({ id, body, attempts: attempts + 1 });
    }
    return claimed;
  },

  /** Ends a claim: delivered, given up, or due again. */
  async settle(id: string, how: 'delivered' | 'failed' | { readonly dueMs: number }): Promise<void> {
    const change = typeof how === 'string' ? { state: how } : { due_ms: how.dueMs };
    await db.updateTable('alerts').set(change).where('id', '=', id).execute();
  },

  /** Forgets what was made before a time and is not due. */
  async prune(beforeMs: number): Promise<void> {
    await db.deleteFrom('alerts').where('state', '!=', 'due').where('created_ms', '<', beforeMs).execute();
  },
});
