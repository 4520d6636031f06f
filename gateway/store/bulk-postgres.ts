import { CompiledQuery, type Transaction } from 'kysely';
import type { BulkTarget, BulkWriter, Value } from './bulk.ts';
import { addition, filling, quoted } from './bulk-sqlite.ts';
import type { Schema } from './schema.ts';

/** A statement's rows travel as one JSON parameter; this many are about a megabyte. */
const ROWS = 1_000;

/**
 * A writer that sends many rows with one statement: as JSON, which Postgres reads by the table's own types, whatever the
 * number of columns (a list of values ends at 65,535 parameters).
 */
export const createPostgresBulkWriter = (): BulkWriter => {
  const statements = new Map<BulkTarget, string>();
  const statementFor = (target: BulkTarget, conflict: (target: BulkTarget) => string): string => {
    let statement = statements.get(target);
    if (statement === undefined) {
      statement = `${insertInto(target)} on conflict ${conflict(target)}`;
      statements.set(target, statement);
    }
    return statement;
  };
  return {
    async insertNew(db, target, rows, valuesOf) {
      const { columns, key } = target;
      const at = key.map((column) => columns.indexOf(column));
      const statement = statementFor(target, () => `do nothing returning ${key.map(quoted).join(', ')}`);
      const inserted = new Set<string>();
      for (const part of partsOf(rows)) {
        const found = await send(db, statement, target, part.map(valuesOf));
        for (const row of found) inserted.add(JSON.stringify(key.map((column) => row[column])));
      }
      // Deleted once found: of several rows with one key the first is the one that Postgres took.
      return rows.filter((row) => {
        const values = valuesOf(row);
        return inserted.delete(JSON.stringify(at.map((index) => values[index])));
      });
    },
    async addUp(db, target, rows, valuesOf) {
      const statement = statementFor(target, addition);
      for (const part of partsOf(rows)) await send(db, statement, target, part.map(valuesOf));
    },
    async fillIn(db, target, rows, valuesOf) {
      const statement = statementFor(target, filling);
      for (const part of partsOf(rows)) await send(db, statement, target, part.map(valuesOf));
    },
  };
};

const insertInto = ({ table, columns }: BulkTarget): string => {
  const names = columns.map(quoted).join(', ');
  return `insert into ${quoted(table)} (${names}) select ${names} from json_populate_recordset(null::${quoted(table)}, $1)`;
};

function* partsOf<Row>(rows: readonly Row[]): Generator<readonly Row[]> {
  for (let start = 0; start < rows.length; start += ROWS) yield rows.slice(start, start + ROWS);
}

const send = async (
  db: Transaction<Schema>,
  statement: string,
  { columns }: BulkTarget,
  rows: readonly (readonly Value[])[],
): Promise<readonly Record<string, unknown>[]> => {
  const objects = rows.map((values) => {
    const object: Record<string, Value> = {};
    // What is not in the JSON is null.
    for (let i = 0; i < columns.length; i++) if (values[i] !== null) object[columns[i]!] = values[i]!;
    return object;
  });
  const { rows: found } = await db.executeQuery(CompiledQuery.raw(statement, [JSON.stringify(objects)]));
  return found as Record<string, unknown>[];
};
