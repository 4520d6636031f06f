import type { Transaction } from 'kysely';
import type { Schema } from './schema.ts';

/** What a column of a bulk row holds. */
export type Value = string | number | null;

/** Where bulk rows go: the columns in the order of their values, and those that tell whether a row is there. */
export interface BulkTarget {
  readonly table: keyof Schema;
  readonly columns: readonly string[];
  readonly key: readonly string[];
  /** Columns that may be null, for `fillIn`. */
  readonly nullable?: readonly string[];
}

/**
 * Writes many rows of few kinds inside a transaction, cheaper than a statement of Kysely's a row. A target is one object:
 * what is made of it is kept.
 */
export interface BulkWriter {
  /** Inserts the rows whose key is not there, and gives them: of several with one key the first. */
  insertNew<Row>(
    db: Transaction<Schema>,
    target: BulkTarget,
    rows: readonly Row[],
    valuesOf: (row: Row) => readonly Value[],
  ): Promise<Row[]>;
  /** Inserts rows; where one with the key is there, every other column is added to it (null is 0). No two rows may have one
   * key. */
  addUp<Row>(
    db: Transaction<Schema>,
    target: BulkTarget,
    rows: readonly Row[],
    valuesOf: (row: Row) => readonly Value[],
  ): Promise<void>;
  /** Inserts rows; where one with the key is there, those of its `nullable` columns that are null take the new values. No two
   * rows may have one key. */
  fillIn<Row>(
    db: Transaction<Schema>,
    target: BulkTarget,
    rows: readonly Row[],
    valuesOf: (row: Row) => readonly Value[],
  ): Promise<void>;
}
