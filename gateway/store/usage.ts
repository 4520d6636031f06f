import { type Expression, type Kysely, type RawBuilder, sql } from 'kysely';
import type { Dimension } from './dimensions.ts';
import { LATENCY_COLUMNS, percentile } from './latency.ts';
import { addRow, type FoldedRow, ROLLUPS, type Rollup, SUM_COLUMNS } from './rollup.ts';
import { AMOUNT_COLUMNS, COUNT_COLUMNS, type Schema, type UsageTable } from './schema.ts';

type SumName = (typeof COUNT_COLUMNS)[number] | (typeof AMOUNT_COLUMNS)[number];

/** Sums of one group. `keys` are its values in the order of the dimensions; '' where a request had none. */
export interface UsageGroup extends Readonly<Record<SumName, number>> {
  readonly keys: readonly string[];
  /** Of answered requests, milliseconds, right to within a factor of 1.5; null when there were none. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
}

/** UTC days, YYYY-MM-DD; the last one included. */
export interface DayRange {
  readonly firstDay: string;
  readonly lastDay: string;
}

export interface UsageReport {
  readonly groups: readonly UsageGroup[];
  readonly total: UsageGroup;
}

/** Which requests a report is about. */
export interface UsageFilter {
  /** Those of one organisation. */
  readonly org?: string;
}

/**
 * Sums usage by the dimensions, dearest group first, then by name. Answers from the roll-ups, and from the last thousands of
 * rows that are not in them yet, as of one moment: its cost depends on the number of groups and not of requests.
 */
export const queryUsage = async (
  db: Kysely<Schema>,
  dimensions: readonly Dimension[],
  range: DayRange,
  filter: UsageFilter = {},
): Promise<UsageReport> => {
  const groups = new Map<string, Sums>();
  const sumsOf = (row: Record<string, unknown>): number[] => {
    const keys = dimensions.map((_, i) => String(row[`k${i}`] ?? ''));
    const name = JSON.stringify(keys);
    let sums = groups.get(name);
    if (sums === undefined) {
      sums = { keys, values: SUM_COLUMNS.map(() => 0) };
      groups.set(name, sums);
    }
    return sums.values;
  };
  await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (snapshot) => {
      for (const source of sourcesOf(dimensions, range)) {
        for (const row of await queryRollup(snapshot, dimensions, source, filter)) {
          const values = sumsOf(row);
          const sums = String(row.sums).split(',');
          for (let i = 0; i < values.length; i++) if (sums[i] !== '0') values[i]! += integerOf(sums[i]!);
        }
      }
      for (const row of await queryTail(snapshot, dimensions, range, filter)) addRow(sumsOf(row), row);
    });
  const total: Sums = { keys: [], values: SUM_COLUMNS.map(() => 0) };
  for (const { values } of groups.values()) {
    for (const [i, value] of values.entries()) total.values[i]! += value;
  }
  const listed = [...groups.values()].map(groupOf);
  listed.sort((a, b) => b.cost_micro_usd - a.cost_micro_usd || b.requests - a.requests || compareKeys(a.keys, b.keys));
  return { groups: listed, total: groupOf(total) };
};

interface Sums {
  readonly keys: readonly string[];
  /** In the order of SUM_COLUMNS. */
  readonly values: number[];
}

interface Source {
  readonly rollup: Rollup;
  readonly from: string;
  readonly to: string;
}

const COLUMN_OF = {
  org: 'org',
  team: 'team',
  user: 'user_id',
  key: 'key_id',
  use_case: 'use_case',
  workflow: 'workflow',
  model: 'model',
  upstream: 'upstream',
  endpoint: 'endpoint',
} as const satisfies Record<Exclude<Dimension, 'day' | `tag:${string}`>, Rollup['dimensions'][number]>;

/** The smallest roll-ups that answer: whole months from a monthly one, the days around them from a daily one. */
const sourcesOf = (dimensions: readonly Dimension[], { firstDay, lastDay }: DayRange): Source[] => {
  const needed = dimensions.flatMap((dimension) => {
    if (dimension === 'day') return [];
    return isTag(dimension) ? (['labels'] as const) : [COLUMN_OF[dimension]];
  });
  const smallest = (period: Rollup['period']): Rollup =>
    ROLLUPS.find((rollup) => rollup.period === period && needed.every((column) => rollup.dimensions.includes(column)))!;
  const days = (from: string, to: string): Source[] => (from <= to ? [{ rollup: smallest('day'), from, to }] : []);
  const firstMonth = firstDay.endsWith('-01') ? firstDay.slice(0, 7) : shiftMonth(firstDay, 1);
  const lastMonth = shiftDay(lastDay, 1).endsWith('-01') ? lastDay.slice(0, 7) : shiftMonth(lastDay, -1);
  if (dimensions.includes('day') || firstMonth > lastMonth) return days(firstDay, lastDay);
  return [
    ...days(firstDay, shiftDay(`${firstMonth}-01`, -1)),
    { rollup: smallest('month'), from: firstMonth, to: lastMonth },
    ...days(`${shiftMonth(`${lastMonth}-01`, 1)}-01`, lastDay),
  ];
};

const queryRollup = async (
  db: Kysely<Schema>,
  dimensions: readonly Dimension[],
  { rollup, from, to }: Source,
  { org }: UsageFilter,
): Promise<Record<string, unknown>[]> => {
  const keys = keysOf(dimensions, 'period');
  const selected = [
    ...keys.map((key, i) => sql`${key} as ${sql.id(`k${i}`)}`),
    // As one text: half a hundred columns cost a driver more than the database.
    sql`concat_ws(',', ${sql.join(SUM_COLUMNS.map((column) => sql`coalesce(sum(${sql.ref(`u.${column}`)}), 0)`))}) as sums`,
  ];
  const grouping = keys.length === 0 ? sql`` : sql` group by ${sql.join(keys)}`;
  const query = sql<
    Record<string, unknown>
  >`select ${sql.join(selected)} from ${sql.table(rollup.table)} as u${joinsOf(dimensions)} where u.period >= ${from} and u.period <= ${to}${whereOrg(org)}${grouping}`;
  return (await query.execute(db)).rows;
};

type TailRow = Omit<FoldedRow, 'day' | Rollup['dimensions'][number]>;

const TAIL_COLUMNS = [
  ...AMOUNT_COLUMNS,
  'outcome',
  'usage_source',
  'duration_ms',
] as const satisfies readonly (keyof TailRow & keyof UsageTable)[];

/** The rows that are not in the roll-ups yet. */
const queryTail = async (
  db: Kysely<Schema>,
  dimensions: readonly Dimension[],
  { firstDay, lastDay }: DayRange,
  { org }: UsageFilter,
): Promise<(TailRow & Record<string, unknown>)[]> => {
  const selected = [
    ...keysOf(dimensions, 'day').map((key, i) => sql`${key} as ${sql.id(`k${i}`)}`),
    ...TAIL_COLUMNS.map((column) => sql`${sql.ref(`u.${column}`)} as ${sql.id(column)}`),
  ];
  const query = sql<
    TailRow & Record<string, unknown>
  >`select ${sql.join(selected)} from usage as u${joinsOf(dimensions)} where u.seq > (select folded_seq from ledger) and u.day >= ${firstDay} and u.day <= ${lastDay}${whereOrg(org)}`;
  return (await query.execute(db)).rows;
};

const whereOrg = (org: string | undefined): RawBuilder<unknown> =>
  org === undefined ? sql`` : sql` and u.org = ${org}`;

const keysOf = (dimensions: readonly Dimension[], day: 'day' | 'period'): Expression<unknown>[] =>
  dimensions.map((dimension, i) => {
    if (isTag(dimension)) return sql`coalesce(${sql.ref(`t${i}.value`)}, '')`;
    return sql.ref(`u.${dimension === 'day' ? day : COLUMN_OF[dimension]}`);
  });

const joinsOf = (dimensions: readonly Dimension[]): RawBuilder<unknown> =>
  sql.join(
    dimensions.map((dimension, i) => {
      if (!isTag(dimension)) return sql``;
      const t = (column: string) => sql.ref(`t${i}.${column}`);
      return sql` left join labels as ${sql.id(`t${i}`)} on ${t('set_id')} = u.labels and ${t('kind')} = 'tag' and ${t('name')} = ${dimension.slice(4)}`;
    }),
    sql``,
  );

const isTag = (dimension: Dimension): dimension is `tag:${string}` => dimension.startsWith('tag:');

const groupOf = ({ keys, values }: Sums): UsageGroup => {
  const sums = Object.fromEntries(SUM_COLUMNS.map((column, i) => [column, values[i]!])) as Record<SumName, number>;
  const latencies = values.slice(-LATENCY_COLUMNS.length);
  const named = Object.fromEntries([...COUNT_COLUMNS, ...AMOUNT_COLUMNS].map((column) => [column, sums[column]]));
  return {
    keys,
    ...(named as Record<SumName, number>),
    p50Ms: percentile(latencies, 0.5),
    p95Ms: percentile(latencies, 0.95),
  };
};

/** Throws RangeError when a sum is no longer exact. */
const integerOf = (value: string): number => {
  const integer = Number(value);
  if (!Number.isSafeInteger(integer)) throw new RangeError(`a sum of ${value} is not exact any more`);
  return integer;
};

const compareKeys = (a: readonly string[], b: readonly string[]): number => {
  for (const [i, key] of a.entries()) {
    if (key !== b[i]) return key < (b[i] ?? '') ? -1 : 1;
  }
  return 0;
};

/** The day so many days later. */
export const shiftDay = (day: string, days: number): string =>
  new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);

/** The month (YYYY-MM) so many months after that of a day. */
const shiftMonth = (day: string, months: number): string => {
  const date = new Date(`${day.slice(0, 7)}-01T00:00:00Z`);
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.toISOString().slice(0, 7);
};
