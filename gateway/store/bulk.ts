import type { Compilable, CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.ts';

/** Rows of a statement. Fixed, so that a statement is compiled and prepared once; 100 columns stay below SQLite's 32,766 values. */
const ROWS = 32;

type Value = string | number | null;

/** Makes the statement that writes so many rows; the values of the rows are its only parameters, row by row. */
export type BulkStatement = (rows: number) => Compilable<unknown>;

/** Compiled statements of one database, by name and number of rows. */
export interface BulkWriter {
  /** Writes rows with a statement; returns what the statement returns, of all rows. */
  write<Returned>(
    db: Kysely<Schema>,
    name: string,
    rows: readonly (readonly Value[])[],
    statement: BulkStatement,
  ): Promise<Returned[]>;
}

/** A writer for many rows of few kinds: Kysely compiles a statement in milliseconds, which is more than running it takes. */
export const createBulkWriter = (): BulkWriter => {
  const compiled = new Map<string, CompiledQuery>();
  const compiledFor = (name: string, rows: number, columns: number, statement: BulkStatement): CompiledQuery => {
    const key = `${name} ${rows}`;
    let query = compiled.get(key);
    if (query === undefined) {
      query = statement(rows).compile() as CompiledQuery;
      if (query.parameters.length !== rows * columns)
        throw new TypeError(`${name}: parameters other than the rows' values`);
      compiled.set(key, query);
    }
    return query;
  };
  return {
    async write<Returned>(
      db: Kysely<Schema>,
      name: string,
      rows: readonly (readonly Value[])[],
      statement: BulkStatement,
    ): Promise<Returned[]> {
      const returned: Returned[] = [];
      for (let from = 0; from < rows.length; ) {
        const count = rows.length - from >= ROWS ? ROWS : 1;
        const chunk = rows.slice(from, from + count);
        const query = compiledFor(name, count, chunk[0]!.length, statement);
        const result = await db.executeQuery<Returned>({
          ...query,
          parameters: chunk.flat(),
        } as CompiledQuery<Returned>);
        for (const row of result.rows) returned.push(row);
        from += count;
      }
      return returned;
    },
  };
};

/** Rows whose values are placeholders, for compiling. */
export const blankRows = <Row>(rows: number, columns: readonly (keyof Row & string)[]): Row[] =>
  Array.from({ length: rows }, () => Object.fromEntries(columns.map((column) => [column, 0])) as Row);
