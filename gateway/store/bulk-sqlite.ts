import type Sqlite from 'better-sqlite3';
import type { BulkTarget, BulkWriter } from './bulk.ts';

/**
 * A writer over the one connection that the transactions use. It goes past Kysely, which makes a promise a statement, and
 * takes one row a statement: SQLite then says of each row whether it was new, for less than what RETURNING costs.
 */
export const createSqliteBulkWriter = (prepare: (sql: string) => Sqlite.Statement<unknown[]>): BulkWriter => {
  const statements = new Map<BulkTarget, Sqlite.Statement<unknown[]>>();
  const statementFor = (target: BulkTarget, conflict: (target: BulkTarget) => string): Sqlite.Statement<unknown[]> => {
    let statement = statements.get(target);
    if (statement === undefined) {
      statement = prepare(`${insertInto(target)} on conflict ${conflict(target)}`);
      statements.set(target, statement);
    }
    return statement;
  };
  return {
    async insertNew(_db, target, rows, valuesOf) {
      const statement = statementFor(target, () => 'do nothing');
      return rows.filter((row) => statement.run(valuesOf(row)).changes > 0);
    },
    async addUp(_db, target, rows, valuesOf) {
      const statement = statementFor(target, addition);
      for (const row of rows) statement.run(valuesOf(row));
    },
    async fillIn(_db, target, rows, valuesOf) {
      const statement = statementFor(target, filling);
      for (const row of rows) statement.run(valuesOf(row));
    },
  };
};

const insertInto = ({ table, columns }: BulkTarget): string =>
  `insert into ${quoted(table)} (${columns.map(quoted).join(', ')}) values (${columns.map(() => '?').join(', ')})`;

/** The clause that adds to the row that is there, null being 0; the same in SQLite and Postgres. */
export const addition = ({ table, columns, key }: BulkTarget): string => {
  const sums = columns.filter((column) => !key.includes(column)).map(quoted);
  const set = sums.map((column) => {
    const [old, added] = [`${quoted(table)}.${column}`, `excluded.${column}`];
    return `${column} = coalesce(${old} + ${added}, ${old}, ${added})`;
  });
  return `(${key.map(quoted).join(', ')}) do update set ${set.join(', ')}`;
};

/** The clause that fills what is null in the row that is there; the same in SQLite and Postgres. */
export const filling = ({ table, key, nullable = [] }: BulkTarget): string => {
  const set = nullable
    .map(quoted)
    .map((column) => `${column} = coalesce(${quoted(table)}.${column}, excluded.${column})`);
  return `(${key.map(quoted).join(', ')}) do update set ${set.join(', ')}`;
};

/** An identifier of our own, as both dialects write it. */
export const quoted = (name: string): string => `"${name}"`;
