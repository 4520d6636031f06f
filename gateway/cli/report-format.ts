import Table from 'cli-table3';
import type { Dimension } from '../store/dimensions.ts';
import { formatCount, formatUsd } from '../store/money.ts';
import type { DayRange, UsageGroup, UsageReport } from '../store/usage.ts';
import { formatCsv } from './csv.ts';

/** How far the cost of one group moved against the period before, micro-USD. */
export interface Mover {
  readonly keys: readonly string[];
  readonly beforeMicroUsd: number;
  readonly nowMicroUsd: number;
}

/** A report with what it is about. */
export interface NamedReport extends UsageReport {
  readonly dimensions: readonly Dimension[];
  readonly range: DayRange;
}

const TOP_MOVERS = 10;

/** The groups whose cost changed most against another report by the same dimensions, at most ten. */
export const moversOf = (now: UsageReport, before: UsageReport): Mover[] => {
  const movers = new Map<string, Mover>();
  const nameOf = (group: UsageGroup): string => JSON.stringify(group.keys);
  for (const group of before.groups) {
    movers.set(nameOf(group), { keys: group.keys, beforeMicroUsd: group.cost_micro_usd, nowMicroUsd: 0 });
  }
  for (const group of now.groups) {
    const beforeMicroUsd = movers.get(nameOf(group))?.beforeMicroUsd ?? 0;
    movers.set(nameOf(group), { keys: group.keys, beforeMicroUsd, nowMicroUsd: group.cost_micro_usd });
  }
  return [...movers.values()]
    .filter((mover) => changeOf(mover) !== 0)
    .sort((a, b) => Math.abs(changeOf(b)) - Math.abs(changeOf(a)))
    .slice(0, TOP_MOVERS);
};

const changeOf = (mover: Mover): number => mover.nowMicroUsd - mover.beforeMicroUsd;

/** A report for people: the period, a row a group, dearest first, and the totals. */
export const formatTable = ({ dimensions, range, groups, total }: NamedReport): string => {
  const head = `usage ${range.firstDay} to ${range.lastDay} (UTC days)`;
  if (total.requests === 0) return `${head}\nno requests`;
  const heads = [
    'requests',
    'denied',
    'limited',
    'errors',
    'input',
    'cached',
    'cache %',
    'cache write',
    'output',
    'reasoning',
    'cost USD',
    'p50 ms',
    'p95 ms',
  ];
  const table = tableOf(dimensions, heads);
  for (const group of groups) table.push([...labelled(group.keys), ...figuresOf(group)]);
  if (dimensions.length > 0) {
    table.push([...dimensions.map((_, i) => (i === 0 ? 'total' : '')), ...figuresOf(total)]);
  }
  const { estimated } = total;
  const notes =
    estimated === 0
      ? []
      : [
          `tokens of ${formatCount(estimated)} ${estimated === 1 ? 'request' : 'requests'} are estimated: the provider told none`,
        ];
  return [head, table.toString(), ...notes].join('\n');
};

const figuresOf = (group: UsageGroup): string[] => [
  formatCount(group.requests),
  formatCount(group.denied),
  formatCount(group.limited),
  formatCount(group.errors),
  formatCount(group.input_tokens),
  formatCount(group.cache_read_tokens),
  percentOf(cacheShareOf(group)),
  formatCount(group.cache_write_tokens + group.cache_write_1h_tokens),
  formatCount(group.output_tokens),
  formatCount(group.reasoning_tokens),
  formatUsd(group.cost_micro_usd, { grouped: true }),
  group.p50Ms === null ? '-' : formatCount(group.p50Ms),
  group.p95Ms === null ? '-' : formatCount(group.p95Ms),
];

/** The share of a group's prompt tokens that came from a provider's cache; null without prompt tokens. */
const cacheShareOf = (group: UsageGroup): number | null => {
  const prompt = group.input_tokens + group.cache_read_tokens + group.cache_write_tokens + group.cache_write_1h_tokens;
  return prompt === 0 ? null : Math.round((group.cache_read_tokens / prompt) * 10_000) / 10_000;
};

const percentOf = (share: number | null): string => (share === null ? '-' : (share * 100).toFixed(1));

/** The movers for people. */
export const formatMovers = (dimensions: readonly Dimension[], before: DayRange, movers: readonly Mover[]): string => {
  const head = `top movers against ${before.firstDay} to ${before.lastDay}`;
  if (movers.length === 0) return `${head}\nno change in cost`;
  const table = tableOf(dimensions, ['before USD', 'now USD', 'change USD', 'change']);
  for (const mover of movers) {
    const change = changeOf(mover);
    table.push([
      ...labelled(mover.keys),
      formatUsd(mover.beforeMicroUsd, { grouped: true }),
      formatUsd(mover.nowMicroUsd, { grouped: true }),
      `${change > 0 ? '+' : ''}${formatUsd(change, { grouped: true })}`,
      mover.beforeMicroUsd === 0
        ? 'new'
        : `${change > 0 ? '+' : ''}${Math.round((change / mover.beforeMicroUsd) * 100)} %`,
    ]);
  }
  return `${head}\n${table.toString()}`;
};

const tableOf = (dimensions: readonly Dimension[], figures: readonly string[]): InstanceType<typeof Table> =>
  new Table({
    head: [...dimensions, ...figures],
    colAligns: [...dimensions.map(() => 'left' as const), ...figures.map(() => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });

/** A request without a team, a tag or a model is a row of its own, named so. Control characters never reach a terminal. */
const labelled = (keys: readonly string[]): string[] =>
  keys.map((key) => (key === '' ? '(none)' : key.replace(/\p{Cc}/gu, '\ufffd')));

const CSV_FIGURES = [
  'requests',
  'ok',
  'denied',
  'limited',
  'rejected',
  'aborted',
  'errors',
  'estimated',
  'input_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'cache_write_1h_tokens',
  'output_tokens',
  'reasoning_tokens',
  'cost_micro_usd',
] as const satisfies readonly (keyof UsageGroup)[];

/** A report as CSV: a line a group, no totals, so that a sum over a column is right. */
export const formatReportCsv = ({ dimensions, groups }: NamedReport): string =>
  formatCsv([
    [...dimensions, ...CSV_FIGURES, 'cost_usd', 'cache_share', 'p50_ms', 'p95_ms'],
    ...groups.map((group) => [
      ...group.keys,
      ...CSV_FIGURES.map((name) => group[name]),
      formatUsd(group.cost_micro_usd),
      cacheShareOf(group),
      group.p50Ms,
      group.p95Ms,
    ]),
  ]);

/** A report as one JSON value. */
export const reportJson = (report: NamedReport, movers?: readonly Mover[]): Record<string, unknown> => ({
  since: report.range.firstDay,
  until: report.range.lastDay,
  by: report.dimensions,
  groups: report.groups.map((group) => ({ ...namedKeys(report.dimensions, group.keys), ...figuresJson(group) })),
  total: figuresJson(report.total),
  ...(movers && {
    movers: movers.map((mover) => ({
      ...namedKeys(report.dimensions, mover.keys),
      before_micro_usd: mover.beforeMicroUsd,
      now_micro_usd: mover.nowMicroUsd,
      change_micro_usd: changeOf(mover),
      change_share: mover.beforeMicroUsd === 0 ? null : changeOf(mover) / mover.beforeMicroUsd,
    })),
  }),
});

const figuresJson = (group: UsageGroup): Record<string, unknown> => ({
  ...Object.fromEntries(CSV_FIGURES.map((name) => [name, group[name]])),
  cost_usd: formatUsd(group.cost_micro_usd),
  cache_share: cacheShareOf(group),
  p50_ms: group.p50Ms,
  p95_ms: group.p95Ms,
});

const namedKeys = (dimensions: readonly Dimension[], keys: readonly string[]): Record<string, string> =>
  Object.fromEntries(dimensions.map((dimension, i) => [dimension, keys[i] ?? '']));
