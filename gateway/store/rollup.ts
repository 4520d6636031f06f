import { type Kysely, sql } from 'kysely';
import { type BulkWriter, blankRows } from './bulk.ts';
import { LATENCY_COLUMNS } from './latency.ts';
import {
  AMOUNT_COLUMNS,
  COUNT_COLUMNS,
  DIMENSION_COLUMNS,
  type RollupTable,
  type Schema,
  type UsageTable,
} from './schema.ts';
import { countsOf } from './usage-row.ts';

/** Columns that add up. */
export const SUM_COLUMNS = [...COUNT_COLUMNS, ...AMOUNT_COLUMNS, ...LATENCY_COLUMNS] as const;

const KEY_COLUMNS = ['period', ...DIMENSION_COLUMNS] as const;
const COLUMNS = [...KEY_COLUMNS, ...SUM_COLUMNS] as const;
const AMOUNTS_AT = KEY_COLUMNS.length + COUNT_COLUMNS.length;
const LATENCY_AT = AMOUNTS_AT + AMOUNT_COLUMNS.length;

interface Rollup {
  readonly table: 'usage_daily' | 'usage_user_daily' | 'usage_user_monthly';
  readonly periodChars: number;
  readonly hasUser: boolean;
}

const ROLLUPS: readonly Rollup[] = [
  { table: 'usage_daily', periodChars: 10, hasUser: false },
  { table: 'usage_user_daily', periodChars: 10, hasUser: true },
  { table: 'usage_user_monthly', periodChars: 7, hasUser: true },
];

/** Adds rows to every roll-up. Belongs into the transaction that writes the rows. */
export const addToRollups = async (
  db: Kysely<Schema>,
  writer: BulkWriter,
  rows: readonly UsageTable[],
): Promise<void> => {
  for (const rollup of ROLLUPS) {
    await writer.write(db, rollup.table, sumRows(rollup, rows), (count) => upsert(db, rollup.table, count));
  }
};

/** One row, in the order of COLUMNS, for each group of a batch: a busy group costs one row and not one a request. */
const sumRows = ({ periodChars, hasUser }: Rollup, rows: readonly UsageTable[]): (string | number)[][] => {
  const groups = new Map<string, (string | number)[]>();
  for (const row of rows) {
    const keys = [row.day.slice(0, periodChars)];
    for (const column of DIMENSION_COLUMNS) {
      keys.push(hasUser || (column !== 'user_id' && column !== 'key_id') ? row[column] : '');
    }
    const name = JSON.stringify(keys);
    let group = groups.get(name);
    if (group === undefined) {
      group = [...keys, ...ZEROS];
      groups.set(name, group);
    }
    addRow(group, row);
  }
  return [...groups.values()];
};

const ZEROS: readonly number[] = SUM_COLUMNS.map(() => 0);

const addRow = (group: (string | number)[], row: UsageTable): void => {
  const add = (at: number, value: number): void => {
    group[at] = (group[at] as number) + value;
  };
  const counts = countsOf(row);
  for (let i = 0; i < COUNT_COLUMNS.length; i++) add(KEY_COLUMNS.length + i, counts[COUNT_COLUMNS[i]!]);
  for (let i = 0; i < AMOUNT_COLUMNS.length; i++) add(AMOUNTS_AT + i, row[AMOUNT_COLUMNS[i]!]);
  if (counts.latency !== undefined) add(LATENCY_AT + counts.latency, 1);
};

const upsert = (db: Kysely<Schema>, table: Rollup['table'], rows: number) => {
  const added = (column: string) => sql<number>`${sql.ref(`${table}.${column}`)} + ${sql.ref(`excluded.${column}`)}`;
  return db
    .insertInto(table)
    .values(blankRows<RollupTable>(rows, COLUMNS))
    .onConflict((conflict) =>
      conflict
        .columns([...KEY_COLUMNS])
        .doUpdateSet(Object.fromEntries(SUM_COLUMNS.map((column) => [column, added(column)]))),
    );
};
