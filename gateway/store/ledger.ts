import type { Kysely, Transaction } from 'kysely';
import type { AuditRecord } from '../types.gen.ts';
import type { BulkTarget, Value } from './bulk.ts';
import { databaseOf } from './database.ts';
import { keptSinceMs } from './decision-retention.ts';
import { addDecision, DECISIONS, decisionValues } from './decision-rows.ts';
import { EXPERIMENT_REQUESTS, experimentRequestValues, experimentRowOf } from './experiment-rows.ts';
import { foldLedger } from './fold.ts';
import { readPlace, savePosition } from './ledger-place.ts';
import { ROLLUPS } from './rollup.ts';
import {
  type DecisionTable,
  type ExperimentRequestTable,
  LABEL_COLUMNS,
  type LabelTable,
  type Schema,
  USAGE_COLUMNS,
  type UsageTable,
} from './schema.ts';
import { type UsageEntry, usageEntryOf } from './usage-row.ts';

/** A commit costs less a row the larger a batch is; this one holds the write lock for some 50 ms. */
const BATCH_ROWS = 2_000;
/** While much is loaded, this many rows are folded into the roll-ups at once: fewer writes of one group. */
const FOLD_MANY = 20_000;
/** Behind the last row fewer than this wait for it: reports and budgets add them up one by one. */
const FOLD_SOON = 4_000;
/**
 * Outcomes make rows. An intent comes before each and need not be parsed, unless decisions are kept; the rest moves the
 * place on, and is rare.
 */
const KINDS: readonly AuditRecord['kind'][] = ['outcome', 'suppressed', 'event'];
const KINDS_WITH_DECISIONS: readonly AuditRecord['kind'][] = [...KINDS, 'intent'];
/** Events move the cursor only; after this many records it is saved even without a row. */
const BATCH_RECORDS = 10_000;
/** Of the decisions' records in a batch: 10 KB is a large one, and some may be ten times that. */
const BATCH_CHARS = 4_000_000;

/**
 * Reads the records of some kinds from a place of the audit log on; others may come too. `next` is JSON and opaque here;
 * reading from it gives the record after.
 */
export type AuditReader = (
  home: string,
  options: { readonly from?: never; readonly kinds: readonly AuditRecord['kind'][] },
) => AsyncIterable<{ readonly next: unknown; readonly record: AuditRecord }>;

/** The audit logs of homes, as the ledger reads them. */
export interface AuditSource {
  readonly read: AuditReader;
  /** The id of a home's log; undefined while there is none. */
  logIdOf(home: string): Promise<string | undefined>;
}

/** Loads what the log in `home` has and the ledger has not, as catchUpLedger; 0 where there is no log. */
export const catchUpLog = async (
  db: Kysely<Schema>,
  home: string,
  source: AuditSource,
  options: Omit<CatchUpOptions, 'log'> = {},
): Promise<number> => {
  const log = await source.logIdOf(home);
  return log === undefined ? 0 : await catchUpLedger(db, home, source.read, { ...options, log });
};

/** How a log is loaded. */
export interface CatchUpOptions {
  /** The log's id, by which its place is kept. An embedded store that follows one log only needs none. */
  readonly log?: string;
  readonly batchRows?: number;
  /** Asked after each batch; a load that is stopped goes on where it was the next time. */
  readonly isStopping?: () => boolean;
  /**
   * For how many days the store keeps decisions of this log from now on, 0 for none. Without it that stays as it was said
   * last, so that a report does not load past what the gateway wants kept.
   */
  readonly decisionsDays?: number | undefined;
}

/**
 * Loads every outcome of an audit log that the ledger does not have yet, and the decisions where they are kept; resolves
 * with the number of new rows of the ledger. The rows of a batch and the place in the log are one transaction, and a request is in the ledger once whatever is read twice.
 * Several processes may do it at the same time, with one log or several. Rejects when the log is damaged (what precedes
 * the damage is loaded) or the database cannot be written; TypeError for a log without an id in a shared store.
 */
export const catchUpLedger = async (
  db: Kysely<Schema>,
  home: string,
  read: AuditReader,
  { log = '', batchRows = BATCH_ROWS, isStopping = () => false, decisionsDays }: CatchUpOptions = {},
): Promise<number> => {
  if (log === '' && databaseOf(db).dialect !== 'sqlite') throw new TypeError('a shared ledger needs the id of the log');
  let loaded = 0;
  for (;;) {
    try {
      for await (const added of loadBatches(db, home, read, { log, batchRows, decisionsDays })) {
        loaded += added;
        if (isStopping()) return loaded;
        await foldLedger(db, FOLD_MANY);
      }
      await foldLedger(db, FOLD_SOON);
      return loaded;
    } catch (error) {
      if (error instanceof CursorMovedError) continue; // Another process loaded it: go on from there.
      if ((error as { name?: unknown } | null)?.name !== 'StalePositionError') throw error;
      await savePosition(db, log, ''); // Another log than before: requests that are known are skipped.
    }
  }
};

/**
 * Forgets an embedded ledger and the place in the log; the next catch-up loads everything again. Throws TypeError on a
 * shared one: what other gateways loaded cannot be read again from here.
 */
export const forgetLedger = async (db: Kysely<Schema>): Promise<void> => {
  if (databaseOf(db).dialect !== 'sqlite') throw new TypeError('a shared ledger is not forgotten');
  await db.transaction().execute(async (transaction) => {
    // Numbers go on: the next row is the first that is not folded.
    await transaction
      .updateTable('ledger')
      .set((eb) => ({ folded_seq: eb.ref('last_seq') }))
      .execute();
    await transaction.updateTable('ledger_logs').set({ position: '' }).execute();
    for (const table of ['usage', 'labels', ...ROLLUPS.map((rollup) => rollup.table)] as const) {
      await transaction.deleteFrom(table).execute();
    }
  });
};

/** The place in the log moved while a batch was read. Nothing of the batch was written. */
class CursorMovedError extends Error {}

/** What one transaction adds. */
interface Batch {
  readonly entries: UsageEntry[];
  /** Of those among them that count for an experiment. */
  readonly experiments: ExperimentRequestTable[];
  /** By decision id. */
  readonly decisions: Map<string, DecisionTable>;
  records: number;
  chars: number;
}

const emptyBatch = (): Batch => ({ entries: [], experiments: [], decisions: new Map(), records: 0, chars: 0 });

async function* loadBatches(
  db: Kysely<Schema>,
  home: string,
  read: AuditReader,
  { log, batchRows, decisionsDays }: { log: string; batchRows: number; decisionsDays: number | undefined },
): AsyncGenerator<number> {
  const place = await readPlace(db, log, decisionsDays);
  const keepsDecisions = place.decisions_days > 0;
  const sinceMs = keptSinceMs(place.decisions_days, Date.now());
  let cursor = place.position;
  let batch = emptyBatch();
  let next: unknown;
  const flush = async (): Promise<number> => {
    const moved = JSON.stringify(next);
    const added = await commit(db, log, cursor, moved, batch);
    cursor = moved;
    batch = emptyBatch();
    return added;
  };
  const from = cursor === '' ? {} : { from: JSON.parse(cursor) as never };
  const kinds = keepsDecisions ? KINDS_WITH_DECISIONS : KINDS;
  try {
    for await (const { record, next: after } of read(home, { kinds, ...from })) {
      // Both throw on a record that cannot be added: then the place must stay in front of it.
      const entry = record.kind === 'outcome' ? usageEntryOf(record) : undefined;
      if (keepsDecisions && (record.kind === 'intent' || record.kind === 'outcome'))
        batch.chars += addDecision(batch.decisions, record, sinceMs);
      const counted = record.kind === 'outcome' ? experimentRowOf(record) : undefined;
      if (entry) batch.entries.push(entry);
      if (counted) batch.experiments.push(counted);
      next = after;
      batch.records++;
      if (batch.entries.length >= batchRows || batch.records >= BATCH_RECORDS || batch.chars >= BATCH_CHARS)
        yield await flush();
    }
  } catch (error) {
    if (batch.records > 0 && !(error instanceof CursorMovedError)) await flush();
    throw error;
  }
  if (batch.records > 0) yield await flush();
}

const commit = async (
  db: Kysely<Schema>,
  log: string,
  from: string,
  to: string,
  { entries, experiments, decisions }: Batch,
): Promise<number> =>
  await db.transaction().execute(async (transaction) => {
    // First, because it takes the write lock: rows are numbered in the order in which they can be seen.
    const { last_seq: last } = await transaction
      .updateTable('ledger')
      .set((eb) => ({ last_seq: eb('last_seq', '+', entries.length) }))
      .returning('last_seq')
      .executeTakeFirstOrThrow();
    const moved = await transaction
      .updateTable('ledger_logs')
      .set({ position: to })
      .where('log', '=', log)
      .where('position', '=', from)
      .executeTakeFirst();
    if (moved.numUpdatedRows !== 1n) throw new CursorMovedError();
    if (decisions.size > 0)
      await databaseOf(db).bulk.fillIn(transaction, DECISIONS, [...decisions.values()], decisionValues);
    if (experiments.length > 0)
      await databaseOf(db).bulk.insertNew(transaction, EXPERIMENT_REQUESTS, experiments, experimentRequestValues);
    return entries.length === 0 ? 0 : await insertRows(transaction, db, entries, last - entries.length);
  });

const LABELS: BulkTarget = { table: 'labels', columns: LABEL_COLUMNS, key: ['set_id', 'kind', 'name'] };
const USAGE: BulkTarget = { table: 'usage', columns: USAGE_COLUMNS, key: ['request_id'] };

/** Inserts what is not there yet and tells how many rows that were. */
const insertRows = async (
  transaction: Transaction<Schema>,
  db: Kysely<Schema>,
  entries: readonly UsageEntry[],
  lastSeq: number,
): Promise<number> => {
  const { bulk } = databaseOf(db);
  const sets = new Map<string, readonly LabelTable[]>();
  for (const { row, labels } of entries) if (row.labels !== '') sets.set(row.labels, labels);
  await bulk.insertNew(transaction, LABELS, [...sets.values()].flat(), labelValues);
  for (const [i, { row }] of entries.entries()) row.seq = lastSeq + 1 + i;
  const rows = entries.map(({ row }) => row);
  return (await bulk.insertNew(transaction, USAGE, rows, usageValues)).length;
};

const labelValues = (label: LabelTable): Value[] => LABEL_COLUMNS.map((column) => label[column]);
const usageValues = (row: UsageTable): Value[] => USAGE_COLUMNS.map((column) => row[column]);
