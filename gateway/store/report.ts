import type { Dimension } from './dimensions.ts';
import { formatUsd } from './money.ts';
import type { DayRange, UsageGroup, UsageReport } from './usage.ts';

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

/** Micro-USD, below zero where it became less. */
export const changeOf = (mover: Mover): number => mover.nowMicroUsd - mover.beforeMicroUsd;

/** The share of a group's prompt tokens that came from a provider's cache; null without prompt tokens. */
export const cacheShareOf = (group: UsageGroup): number | null => {
  const prompt = group.input_tokens + group.cache_read_tokens + group.cache_write_tokens + group.cache_write_1h_tokens;
  return prompt === 0 ? null : Math.round((group.cache_read_tokens / prompt) * 10_000) / 10_000;
};

/** The figures of a group that are sums, in the order in which they are shown. */
export const FIGURES = [
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
  ...Object.fromEntries(FIGURES.map((name) => [name, group[name]])),
  cost_usd: formatUsd(group.cost_micro_usd),
  cache_share: cacheShareOf(group),
  p50_ms: group.p50Ms,
  p95_ms: group.p95Ms,
});

const namedKeys = (dimensions: readonly Dimension[], keys: readonly string[]): Record<string, string> =>
  Object.fromEntries(dimensions.map((dimension, i) => [dimension, keys[i] ?? '']));
