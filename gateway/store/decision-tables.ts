import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

// Migration 006: decisions, and which logs they are kept of. It never changes.

/** Makes the table of decisions, read by id, or in the order of time of all or of one organisation. */
export const createDecisionTables = async (db: Kysely<Schema>): Promise<void> => {
  await db.schema
    .createTable('decisions')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('time_ms', 'bigint', (column) => column.notNull())
    .addColumn('org', 'text', (column) => column.notNull())
    .addColumn('revision', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('intent', 'text')
    .addColumn('outcome', 'text')
    .execute();
  await db.schema.createIndex('decisions_by_time').on('decisions').columns(['time_ms', 'id']).execute();
  await db.schema.createIndex('decisions_by_org').on('decisions').columns(['org', 'time_ms', 'id']).execute();
  await db.schema
    .alterTable('ledger_logs')
    .addColumn('decisions_days', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute();
};
