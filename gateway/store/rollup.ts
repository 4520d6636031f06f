import { type Kysely, sql } from 'kysely';
import { chunksOf } from './chunks.ts';
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

const COLUMNS = 1 + DIMENSION_COLUMNS.length + SUM_COLUMNS.length;

type RollupName = 'usage_daily' | 'usage_user_daily' | 'usage_user_monthly';

interface Rollup {
  readonly table: RollupName;
  readonly periodChars: number;
  readonly hasUser: boolean;
}

const ROLLUPS: readonly Rollup[] = [
  { table: 'usage_daily', periodChars: 10, hasUser: false },
  { table: 'usage_user_daily', periodChars: 10, hasUser: true },
  { table: 'usage_user_monthly', periodChars: 7, hasUser: true },
];

/** Adds rows to every roll-up. Belongs into the transaction that writes the rows. */
export const addToRollups = async (db: Kysely<Schema>, rows: readonly UsageTable[]): Promise<void> => {
  for (const rollup of ROLLUPS) {
    for (const sums of chunksOf(sumRows(rollup, rows), COLUMNS)) await upsert(db, rollup.table, sums);
  }
};

/** One row for each group of a batch, so that a busy group costs one statement and not one a request. */
const sumRows = ({ periodChars, hasUser }: Rollup, rows: readonly UsageTable[]): RollupTable[] => {
  const groups = new Map<string, RollupTable>();
  for (const row of rows) {
    const keys = { ...pick(row, DIMENSION_COLUMNS), ...(hasUser ? {} : { user_id: '', key_id: '' }) };
    const period = row.day.slice(0, periodChars);
    const name = JSON.stringify([period, ...Object.values(keys)]);
    let group = groups.get(name);
    if (group === undefined) {
      group = { period, ...keys, ...zeros() };
      groups.set(name, group);
    }
    const { latency, ...counts } = countsOf(row);
    for (const column of COUNT_COLUMNS) group[column] += counts[column];
    for (const column of AMOUNT_COLUMNS) group[column] += row[column];
    if (latency !== undefined) addOne(group, LATENCY_COLUMNS[latency]!);
  }
  return [...groups.values()];
};

const addOne = (group: RollupTable, column: (typeof LATENCY_COLUMNS)[number]): void => {
  group[column] = (group[column] ?? 0) + 1;
};

const upsert = async (db: Kysely<Schema>, table: RollupName, rows: readonly RollupTable[]): Promise<void> => {
  const additions = Object.fromEntries(
    SUM_COLUMNS.map((column) => [
      column,
      sql<number>`${sql.ref(`${table}.${column}`)} + ${sql.ref(`excluded.${column}`)}`,
    ]),
  );
  await db
    .insertInto(table)
    .values(rows)
    .onConflict((conflict) => conflict.columns(['period', ...DIMENSION_COLUMNS]).doUpdateSet(additions))
    .execute();
};

type Sums = Pick<RollupTable, (typeof SUM_COLUMNS)[number]>;

const zeros = (): Sums => Object.fromEntries(SUM_COLUMNS.map((column) => [column, 0])) as unknown as Sums;

const pick = <Row, Name extends keyof Row>(row: Row, names: readonly Name[]): Pick<Row, Name> =>
  Object.fromEntries(names.map((name) => [name, row[name]])) as Pick<Row, Name>;
