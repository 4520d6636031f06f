import { type Expression, type Kysely, sql } from 'kysely';
import type { Dimension } from './dimensions.ts';
import { LATENCY_COLUMNS, percentile } from './latency.ts';
import { SUM_COLUMNS } from './rollup.ts';
import { AMOUNT_COLUMNS, COUNT_COLUMNS, type RollupTable, type Schema } from './schema.ts';

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

/**
 * Sums usage by the dimensions, dearest group first, then by name. Answers from the roll-ups alone, so that its cost
 * depends on the number of groups a day and not of requests.
 */
export const queryUsage = async (
  db: Kysely<Schema>,
  dimensions: readonly Dimension[],
  range: DayRange,
): Promise<UsageReport> => {
  const groups = new Map<string, Sums>();
  for (const source of sourcesOf(dimensions, range)) {
    for (const row of await querySource(db, dimensions, source)) {
      const keys = dimensions.map((_, i) => String(row[`k${i}`] ?? ''));
      const name = JSON.stringify(keys);
      const sums = groups.get(name) ?? { keys, values: SUM_COLUMNS.map(() => 0) };
      for (const [i, column] of SUM_COLUMNS.entries()) sums.values[i]! += integerOf(row[column]);
      groups.set(name, sums);
    }
  }
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
  readonly table: 'usage_daily' | 'usage_user_daily' | 'usage_user_monthly';
  readonly from: string;
  readonly to: string;
}

/** The smallest roll-ups that answer: whole months of users come from the monthly one, the days around them from days. */
const sourcesOf = (dimensions: readonly Dimension[], { firstDay, lastDay }: DayRange): Source[] => {
  if (!dimensions.includes('user') && !dimensions.includes('key')) {
    return [{ table: 'usage_daily', from: firstDay, to: lastDay }];
  }
  const days = (from: string, to: string): Source[] => (from <= to ? [{ table: 'usage_user_daily', from, to }] : []);
  const firstMonth = firstDay.endsWith('-01') ? firstDay.slice(0, 7) : shiftMonth(firstDay, 1);
  const lastMonth = shiftDay(lastDay, 1).endsWith('-01') ? lastDay.slice(0, 7) : shiftMonth(lastDay, -1);
  if (dimensions.includes('day') || firstMonth > lastMonth) return days(firstDay, lastDay);
  return [
    ...days(firstDay, shiftDay(`${firstMonth}-01`, -1)),
    { table: 'usage_user_monthly', from: firstMonth, to: lastMonth },
    ...days(`${shiftMonth(`${lastMonth}-01`, 1)}-01`, lastDay),
  ];
};

const COLUMN_OF = {
  org: 'org',
  team: 'team',
  user: 'user_id',
  key: 'key_id',
  use_case: 'use_case',
  workflow: 'workflow',
  model: 'model',
  upstream: 'upstream',
  day: 'period',
} as const satisfies Record<Exclude<Dimension, `tag:${string}`>, keyof RollupTable>;

const querySource = async (
  db: Kysely<Schema>,
  dimensions: readonly Dimension[],
  { table, from, to }: Source,
): Promise<Record<string, unknown>[]> => {
  const keys: Expression<unknown>[] = dimensions.map((dimension, i) =>
    isTag(dimension) ? sql`coalesce(${sql.ref(`t${i}.value`)}, '')` : sql.ref(`u.${COLUMN_OF[dimension]}`),
  );
  const joins = dimensions.map((dimension, i) => {
    if (!isTag(dimension)) return sql``;
    const t = (column: string) => sql.ref(`t${i}.${column}`);
    return sql` left join labels as ${sql.id(`t${i}`)} on ${t('set_id')} = u.labels and ${t('kind')} = 'tag' and ${t('name')} = ${dimension.slice(4)}`;
  });
  const selected = [
    ...keys.map((key, i) => sql`${key} as ${sql.id(`k${i}`)}`),
    ...SUM_COLUMNS.map((column) => sql`coalesce(sum(${sql.ref(`u.${column}`)}), 0) as ${sql.id(column)}`),
  ];
  const grouping = keys.length === 0 ? sql`` : sql` group by ${sql.join(keys)}`;
  const query = sql<
    Record<string, unknown>
  >`select ${sql.join(selected)} from ${sql.table(table)} as u${sql.join(joins, sql``)} where u.period >= ${from} and u.period <= ${to}${grouping}`;
  return (await query.execute(db)).rows;
};

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

/** Postgres gives sums as text. Throws RangeError when a sum is no longer exact. */
const integerOf = (value: unknown): number => {
  const integer = Number(value);
  if (!Number.isSafeInteger(integer)) throw new RangeError(`a sum of ${String(value)} is not exact any more`);
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
