import Table from 'cli-table3';
import type { Dimension } from '../store/dimensions.ts';
import { formatCount, formatUsd } from '../store/money.ts';
import { cacheShareOf, changeOf, FIGURES, type Mover, type NamedReport } from '../store/report.ts';
import type { DayRange, UsageGroup } from '../store/usage.ts';
import { formatCsv } from './csv.ts';

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

/** A report as CSV: a line a group, no totals, so that a sum over a column is right. */
export const formatReportCsv = ({ dimensions, groups }: NamedReport): string =>
  formatCsv([
    [...dimensions, ...FIGURES, 'cost_usd', 'cache_share', 'p50_ms', 'p95_ms'],
    ...groups.map((group) => [
      ...group.keys,
      ...FIGURES.map((name) => group[name]),
      formatUsd(group.cost_micro_usd),
      cacheShareOf(group),
      group.p50Ms,
      group.p95Ms,
    ]),
  ]);
