import type Sqlite from 'better-sqlite3';
import type { Compilable } from 'kysely';

/** What a column of a bulk row holds. */
export type Value = string | number | null;

/**
 * Writes many rows of few kinds, at once and inside the transaction that is open. It goes past Kysely, which makes a
 * promise a statement, and takes one row a statement: SQLite then says of each row whether it was new, for less than
 * what RETURNING costs.
 */
export interface BulkWriter {
  /**
   * Runs a statement for each row, with the row's values as its only parameters, and gives the rows that changed
   * something. The statement is made once for a `name`.
   */
  write<Row>(
    name: string,
    statement: () => Compilable<unknown>,
    rows: Iterable<Row>,
    valuesOf: (row: Row) => readonly Value[],
  ): Row[];
}

/** A writer over the connection that the transactions use. */
export const createBulkWriter = (prepare: (sql: string) => Sqlite.Statement<unknown[]>): BulkWriter => {
  const statements = new Map<string, Sqlite.Statement<unknown[]>>();
  const statementFor = (name: string, make: () => Compilable<unknown>): Sqlite.Statement<unknown[]> => {
    let statement = statements.get(name);
    if (statement === undefined) {
      statement = prepare(make().compile().sql);
      statements.set(name, statement);
    }
    return statement;
  };
  return {
    write<Row>(
      name: string,
      make: () => Compilable<unknown>,
      rows: Iterable<Row>,
      valuesOf: (row: Row) => readonly Value[],
    ): Row[] {
      const statement = statementFor(name, make);
      const written: Row[] = [];
      for (const row of rows) if (statement.run(valuesOf(row)).changes > 0) written.push(row);
      return written;
    },
  };
};

/** A row whose values are placeholders, for making a statement: one parameter a column, in their order. */
export const blankRow = <Row>(columns: readonly (keyof Row & string)[]): Row =>
  Object.fromEntries(columns.map((column) => [column, 0])) as Row;
