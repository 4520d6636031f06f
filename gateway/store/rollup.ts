import type { Transaction } from 'kysely';
import type { BulkTarget, BulkWriter, Value } from './bulk.ts';
import { LATENCY_COLUMNS } from './latency.ts';
import { AMOUNT_COLUMNS, COUNT_COLUMNS, DIMENSION_COLUMNS, type Schema, type UsageTable } from './schema.ts';
import { countsOf } from './usage-row.ts';

/** Columns that add up. */
export const SUM_COLUMNS = [...COUNT_COLUMNS, ...AMOUNT_COLUMNS, ...LATENCY_COLUMNS] as const;

type DimensionColumn = (typeof DIMENSION_COLUMNS)[number];

/** A table of sums. */
export interface Rollup {
  readonly table: Extract<keyof Schema, `usage_${string}`>;
  readonly period: 'day' | 'month';
  readonly dimensions: readonly DimensionColumn[];
}

const ORG = ['org', 'model', 'upstream', 'endpoint'] as const;
const TEAM = ['org', 'team', 'use_case', 'workflow', 'model', 'upstream', 'endpoint'] as const;
const USER = ['org', 'team', 'user_id', 'key_id'] as const;

/**
 * Every roll-up, smallest first among those of one period: a report reads the first that has its dimensions. A year of
 * many requests is months and days of few combinations, unless it is asked for all of them.
 */
export const ROLLUPS: readonly Rollup[] = [
  { table: 'usage_org_daily', period: 'day', dimensions: ORG },
  { table: 'usage_team_daily', period: 'day', dimensions: TEAM },
  { table: 'usage_user_daily', period: 'day', dimensions: USER },
  { table: 'usage_label_daily', period: 'day', dimensions: [...TEAM, 'labels'] },
  { table: 'usage_full_daily', period: 'day', dimensions: DIMENSION_COLUMNS },
  { table: 'usage_team_monthly', period: 'month', dimensions: TEAM },
  { table: 'usage_user_monthly', period: 'month', dimensions: [...USER, 'model', 'upstream'] },
  { table: 'usage_label_monthly', period: 'month', dimensions: [...TEAM, 'labels'] },
  { table: 'usage_full_monthly', period: 'month', dimensions: DIMENSION_COLUMNS },
];

/** The columns of a row of `usage` that the roll-ups are made of. */
export const FOLDED_COLUMNS = [
  'day',
  ...DIMENSION_COLUMNS,
  ...AMOUNT_COLUMNS,
  'outcome',
  'usage_source',
  'duration_ms',
] as const satisfies readonly (keyof UsageTable)[];

export type FoldedRow = Pick<UsageTable, (typeof FOLDED_COLUMNS)[number]>;

const AMOUNTS_AT = COUNT_COLUMNS.length;
const LATENCY_AT = AMOUNTS_AT + AMOUNT_COLUMNS.length;
/** Keys of a group: the day, then the dimensions. */
const KEYS = ['period', ...DIMENSION_COLUMNS] as const;

/** What is added to one row of a roll-up: its keys, and its numbers in the order of SUM_COLUMNS. */
interface Group {
  readonly keys: readonly string[];
  readonly sums: Float64Array;
}

/** Adds rows to every roll-up. Belongs into the transaction that says that they are in there. */
export const addToRollups = async (
  db: Transaction<Schema>,
  writer: BulkWriter,
  rows: readonly FoldedRow[],
): Promise<void> => {
  // One upsert a group and not a request; each roll-up is summed from a finer one.
  const groups = new Map<Rollup, { readonly columns: readonly string[]; readonly groups: readonly Group[] }>();
  const finest = { columns: KEYS as readonly string[], groups: sumRows(rows) };
  for (const { rollup, from } of PLAN) {
    const source = from === undefined ? finest : groups.get(from)!;
    groups.set(rollup, { columns: keysOf(rollup), groups: regroup(source, rollup, from) });
  }
  for (const [rollup, { groups: added }] of groups) {
    await writer.addUp(db, TARGETS.get(rollup)!, added, ({ keys, sums }): Value[] => {
      const values: Value[] = [...keys];
      for (const sum of sums) values.push(sum === 0 ? null : sum);
      return values;
    });
  }
};

const keysOf = ({ dimensions }: Rollup): readonly string[] => ['period', ...dimensions];

/** Each roll-up with the smallest finer one that has its dimensions, in an order in which the finer comes first. */
const PLAN: readonly { readonly rollup: Rollup; readonly from: Rollup | undefined }[] = [...ROLLUPS]
  .sort((a, b) => b.dimensions.length - a.dimensions.length || (a.period === 'day' ? -1 : 1))
  .map((rollup, i, sorted) => ({
    rollup,
    from: sorted
      .slice(0, i)
      .findLast(
        (finer) => finer.period === 'day' && rollup.dimensions.every((name) => finer.dimensions.includes(name)),
      ),
  }));

const TARGETS: ReadonlyMap<Rollup, BulkTarget> = new Map(
  ROLLUPS.map((rollup) => [
    rollup,
    { table: rollup.table, columns: [...keysOf(rollup), ...SUM_COLUMNS], key: keysOf(rollup) },
  ]),
);

const sumRows = (rows: readonly FoldedRow[]): Group[] => {
  const groups = createGroups();
  let sums: Float64Array = new Float64Array();
  let last: FoldedRow | undefined;
  for (const row of rows) {
    // Requests of one program follow each other: the group of the row before is looked at first.
    if (last === undefined || !isSameGroup(row, last)) {
      sums = groups.at([row.day, ...DIMENSION_COLUMNS.map((column) => row[column])]);
    }
    addRow(sums, row);
    last = row;
  }
  return groups.all();
};

const regroup = (
  { columns, groups: from }: { readonly columns: readonly string[]; readonly groups: readonly Group[] },
  rollup: Rollup,
  source: Rollup | undefined,
): readonly Group[] => {
  const isMonth = rollup.period === 'month';
  if (!isMonth && rollup.dimensions.length === columns.length - 1 && source === undefined) return from;
  const at = keysOf(rollup).map((column) => columns.indexOf(column));
  const groups = createGroups();
  for (const { keys, sums } of from) {
    const into = groups.at(at.map((index, i) => (i === 0 && isMonth ? keys[index]!.slice(0, 7) : keys[index]!)));
    for (let i = 0; i < sums.length; i++) into[i]! += sums[i]!;
  }
  return groups.all();
};

const isSameGroup = (row: FoldedRow, other: FoldedRow): boolean => {
  for (const column of DIMENSION_COLUMNS) if (row[column] !== other[column]) return false;
  return row.day === other.day;
};

const createGroups = (): { at(keys: readonly string[]): Float64Array; all(): Group[] } => {
  const groups = new Map<string, Group>();
  return {
    at(keys) {
      const name = keys.join('\0'); // No key has a NUL in it: see storable.
      let group = groups.get(name);
      if (group === undefined) {
        group = { keys, sums: new Float64Array(SUM_COLUMNS.length) };
        groups.set(name, group);
      }
      return group.sums;
    },
    all: () => [...groups.values()],
  };
};

/** Adds one request to sums in the order of SUM_COLUMNS. */
export const addRow = (sums: number[] | Float64Array, row: Omit<FoldedRow, 'day' | DimensionColumn>): void => {
  const counts = countsOf(row);
  for (let i = 0; i < COUNT_COLUMNS.length; i++) sums[i]! += counts[COUNT_COLUMNS[i]!];
  for (let i = 0; i < AMOUNT_COLUMNS.length; i++) sums[AMOUNTS_AT + i]! += row[AMOUNT_COLUMNS[i]!];
  if (counts.latency !== undefined) sums[LATENCY_AT + counts.latency]! += 1;
};
