import type { Kysely, Transaction } from 'kysely';
import type { AuditRecord } from '../types.gen.ts';
import { type BulkWriter, blankRow, type Value } from './bulk.ts';
import { bulkWriterOf } from './database.ts';
import { addToRollups } from './rollup.ts';
import { LABEL_COLUMNS, type LabelTable, type Schema, USAGE_COLUMNS, type UsageTable } from './schema.ts';
import { type UsageEntry, usageEntryOf } from './usage-row.ts';

/** A commit and the roll-ups cost less a row the larger a batch is; this one holds the write lock for some 50 ms. */
const BATCH_ROWS = 2_000;
/** Outcomes make rows. An intent comes before each and need not be parsed; the rest moves the place on, and is rare. */
const KINDS: readonly AuditRecord['kind'][] = ['outcome', 'suppressed', 'event'];
/** Events move the cursor only; after this many records it is saved even without a row. */
const BATCH_RECORDS = 10_000;

/**
 * Reads the records of some kinds from a place of the audit log on; others may come too. `next` is JSON and opaque here;
 * reading from it gives the record after.
 */
export type AuditReader = (
  home: string,
  options: { readonly from?: never; readonly kinds: readonly AuditRecord['kind'][] },
) => AsyncIterable<{ readonly next: unknown; readonly record: AuditRecord }>;

/**
 * Loads every outcome of the audit log that the ledger does not have yet; resolves with the number of new rows. The rows
 * of a batch, their roll-ups and the place in the log are one transaction, and a request is in the ledger once whatever
 * is read twice. Several processes may do it at the same time. Rejects when the log is damaged (what precedes the damage
 * is loaded) or the database cannot be written.
 */
export const catchUpLedger = async (
  db: Kysely<Schema>,
  home: string,
  read: AuditReader,
  { batchRows = BATCH_ROWS }: { readonly batchRows?: number } = {},
): Promise<number> => {
  let loaded = 0;
  for (;;) {
    try {
      for await (const added of loadBatches(db, home, read, batchRows)) loaded += added;
      return loaded;
    } catch (error) {
      if (error instanceof CursorMovedError) continue; // Another process loaded it: go on from there.
      if ((error as { name?: unknown } | null)?.name !== 'StalePositionError') throw error;
      await saveCursor(db, ''); // Another log than before: requests that are known are skipped.
    }
  }
};

/** Forgets the ledger and the place in the log; the next catch-up loads everything again. */
export const forgetLedger = async (db: Kysely<Schema>): Promise<void> => {
  await db.transaction().execute(async (transaction) => {
    await saveCursor(transaction, '');
    for (const table of ['usage', 'usage_daily', 'usage_user_daily', 'usage_user_monthly', 'labels'] as const) {
      await transaction.deleteFrom(table).execute();
    }
  });
};

/** The place in the log moved while a batch was read. Nothing of the batch was written. */
class CursorMovedError extends Error {}

async function* loadBatches(
  db: Kysely<Schema>,
  home: string,
  read: AuditReader,
  batchRows: number,
): AsyncGenerator<number> {
  let cursor = await readCursor(db);
  let entries: UsageEntry[] = [];
  let records = 0;
  let next: unknown;
  const flush = async (): Promise<number> => {
    const moved = JSON.stringify(next);
    const added = await commit(db, cursor, moved, entries);
    cursor = moved;
    entries = [];
    records = 0;
    return added;
  };
  const from = cursor === '' ? {} : { from: JSON.parse(cursor) as never };
  try {
    for await (const entry of read(home, { kinds: KINDS, ...from })) {
      // Throws on a record that is no outcome to add up: then the place must stay in front of it.
      if (entry.record.kind === 'outcome') entries.push(usageEntryOf(entry.record));
      next = entry.next;
      records++;
      if (entries.length >= batchRows || records >= BATCH_RECORDS) yield await flush();
    }
  } catch (error) {
    if (records > 0 && !(error instanceof CursorMovedError)) await flush();
    throw error;
  }
  if (records > 0) yield await flush();
}

const commit = async (db: Kysely<Schema>, from: string, to: string, entries: readonly UsageEntry[]): Promise<number> =>
  await db.transaction().execute(async (transaction) => {
    // First, because it takes the write lock: nobody else can have loaded the same records after it.
    const moved = await transaction
      .updateTable('facts')
      .set({ value: to })
      .where('name', '=', 'ledger_position')
      .where('value', '=', from)
      .executeTakeFirst();
    if (moved.numUpdatedRows !== 1n) throw new CursorMovedError();
    if (entries.length === 0) return 0;
    const writer = bulkWriterOf(db);
    const added = insertRows(transaction, writer, entries);
    addToRollups(transaction, writer, added);
    return added.length;
  });

/** Inserts what is not there yet and returns it. */
const insertRows = (db: Transaction<Schema>, writer: BulkWriter, entries: readonly UsageEntry[]): UsageTable[] => {
  const sets = new Map<string, readonly LabelTable[]>();
  for (const { row, labels } of entries) if (row.labels !== '') sets.set(row.labels, labels);
  writer.write('labels', () => insertLabel(db), [...sets.values()].flat(), labelValues);
  const rows = entries.map(({ row }) => row);
  return writer.write('usage', () => insertRow(db), rows, usageValues);
};

const insertLabel = (db: Kysely<Schema>) =>
  db
    .insertInto('labels')
    .values(blankRow<LabelTable>(LABEL_COLUMNS))
    .onConflict((conflict) => conflict.doNothing());

const insertRow = (db: Kysely<Schema>) =>
  db
    .insertInto('usage')
    .values(blankRow<UsageTable>(USAGE_COLUMNS))
    .onConflict((conflict) => conflict.column('request_id').doNothing());

const labelValues = (label: LabelTable): Value[] => LABEL_COLUMNS.map((column) => label[column]);
const usageValues = (row: UsageTable): Value[] => USAGE_COLUMNS.map((column) => row[column]);

const readCursor = async (db: Kysely<Schema>): Promise<string> => {
  const facts = db.selectFrom('facts').select('value').where('name', '=', 'ledger_position');
  return (await facts.executeTakeFirstOrThrow()).value;
};

const saveCursor = async (db: Kysely<Schema>, value: string): Promise<void> => {
  await db.updateTable('facts').set({ value }).where('name', '=', 'ledger_position').execute();
};
