import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

// Migration 007: what experiments are judged by. It never changes.

/** Makes the tables of experiments: their requests, what was said of answers, and those that a guard stopped. */
export const createExperimentTables = async (db: Kysely<Schema>): Promise<void> => {
  await db.schema
    .createTable('experiment_requests')
    .addColumn('request_id', 'text', (column) => column.primaryKey())
    .addColumn('decision_id', 'text', (column) => column.notNull())
    .addColumn('org', 'text', (column) => column.notNull())
    .addColumn('experiment', 'text', (column) => column.notNull())
    .addColumn('definition', 'text', (column) => column.notNull())
    .addColumn('arm', 'text', (column) => column.notNull())
    .addColumn('unit', 'text', (column) => column.notNull())
    .addColumn('time_ms', 'bigint', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('answered', 'bigint', (column) => column.notNull())
    .addColumn('failed', 'bigint', (column) => column.notNull())
    .addColumn('refused', 'bigint', (column) => column.notNull())
    .addColumn('duration_ms', 'bigint', (column) => column.notNull())
    .addColumn('cost_micro_usd', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex('experiment_requests_by_experiment')
    .on('experiment_requests')
    .columns(['experiment', 'definition', 'time_ms'])
    .execute();
  await db.schema
    .createTable('feedback')
    .addColumn('decision_id', 'text', (column) => column.notNull())
    .addColumn('source', 'text', (column) => column.notNull())
    .addColumn('org', 'text', (column) => column.notNull())
    .addColumn('time_ms', 'bigint', (column) => column.notNull())
    .addColumn('score', 'double precision')
    .addColumn('label', 'text', (column) => column.notNull())
    .addColumn('comment', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('feedback_pk', ['decision_id', 'source'])
    .execute();
  await db.schema
    .createTable('experiment_stops')
    .addColumn('experiment', 'text', (column) => column.notNull())
    .addColumn('definition', 'text', (column) => column.notNull())
    .addColumn('time_ms', 'bigint', (column) => column.notNull())
    .addColumn('arm', 'text', (column) => column.notNull())
    .addColumn('guard', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('experiment_stops_pk', ['experiment', 'definition'])
    .execute();
};
