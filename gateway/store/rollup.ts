import { type Kysely, sql } from 'kysely';
import { type BulkWriter, blankRow, type Value } from './bulk.ts';
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
const AMOUNTS_AT = COUNT_COLUMNS.length;
const LATENCY_AT = AMOUNTS_AT + AMOUNT_COLUMNS.length;
const NO_SUMS: readonly number[] = SUM_COLUMNS.map(() => 0);

/** What is added to one row of a roll-up: its key in the order of KEY_COLUMNS, its numbers in that of SUM_COLUMNS. */
interface Group {
  readonly keys: readonly string[];
  readonly sums: number[];
}

/** Adds rows to every roll-up. Belongs into the transaction that writes the rows. */
export const addToRollups = (db: Kysely<Schema>, writer: BulkWriter, rows: readonly UsageTable[]): void => {
  // One upsert a group of the batch, not a request; the smaller roll-ups are summed from the largest.
  const userDaily = sumRows(rows);
  const groups = {
    usage_user_daily: userDaily,
    usage_user_monthly: regroup(userDaily, ([day, ...dimensions]) => [day!.slice(0, 7), ...dimensions]),
    usage_daily: regroup(userDaily, (keys) => keys.map((key, i) => (PERSONAL.has(i) ? '' : key))),
  };
  for (const table of ['usage_user_daily', 'usage_user_monthly', 'usage_daily'] as const) {
    writer.write(
      table,
      () => upsert(db, table),
      groups[table],
      ({ keys, sums }): Value[] => [...keys, ...sums],
    );
  }
};

const PERSONAL: ReadonlySet<number> = new Set([KEY_COLUMNS.indexOf('user_id'), KEY_COLUMNS.indexOf('key_id')]);

const sumRows = (rows: readonly UsageTable[]): Group[] => {
  const groups = createGroups();
  let sums: number[] = [];
  let last: UsageTable | undefined;
  for (const row of rows) {
    // Requests of one program follow each other: the group of the row before is looked at first.
    if (last === undefined || !isSameGroup(row, last)) sums = groups.at(keysOf(row));
    addRow(sums, row);
    last = row;
  }
  return groups.all();
};

const regroup = (from: readonly Group[], keysFor: (keys: readonly string[]) => readonly string[]): Group[] => {
  const groups = createGroups();
  for (const { keys, sums } of from) {
    const into = groups.at(keysFor(keys));
    for (let i = 0; i < sums.length; i++) into[i]! += sums[i]!;
  }
  return groups.all();
};

const isSameGroup = (row: UsageTable, other: UsageTable): boolean => {
  for (const column of DIMENSION_COLUMNS) if (row[column] !== other[column]) return false;
  return row.day === other.day;
};

const keysOf = (row: UsageTable): string[] => [row.day, ...DIMENSION_COLUMNS.map((column) => row[column])];

const createGroups = (): { at(keys: readonly string[]): number[]; all(): Group[] } => {
  const groups = new Map<string, Group>();
  return {
    at(keys) {
      // With the lengths no two lists of keys look the same, whatever they hold.
      let name = '';
      for (const key of keys) name += `${key.length}:${key}`;
      let group = groups.get(name);
      if (group === undefined) {
        group = { keys, sums: [...NO_SUMS] };
        groups.set(name, group);
      }
      return group.sums;
    },
    all: () => [...groups.values()],
  };
};

const addRow = (sums: number[], row: UsageTable): void => {
  const counts = countsOf(row);
  for (let i = 0; i < COUNT_COLUMNS.length; i++) sums[i]! += counts[COUNT_COLUMNS[i]!];
  for (let i = 0; i < AMOUNT_COLUMNS.length; i++) sums[AMOUNTS_AT + i]! += row[AMOUNT_COLUMNS[i]!];
  if (counts.latency !== undefined) sums[LATENCY_AT + counts.latency]! += 1;
};

const upsert = (db: Kysely<Schema>, table: 'usage_daily' | 'usage_user_daily' | 'usage_user_monthly') => {
  const added = (column: string) => sql<number>`${sql.ref(`${table}.${column}`)} + ${sql.ref(`excluded.${column}`)}`;
  return db
    .insertInto(table)
    .values(blankRow<RollupTable>([...KEY_COLUMNS, ...SUM_COLUMNS]))
    .onConflict((conflict) =>
      conflict
        .columns([...KEY_COLUMNS])
        .doUpdateSet(Object.fromEntries(SUM_COLUMNS.map((column) => [column, added(column)]))),
    );
};
