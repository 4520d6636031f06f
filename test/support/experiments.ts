import type { Database } from '../../gateway/store/database.ts';
import type { ArmReading, MetricName, Moments } from '../../gateway/store/experiment-readings.ts';
import { METRIC_NAMES } from '../../gateway/store/experiment-readings.ts';
import { EXPERIMENT_REQUESTS, experimentRequestValues } from '../../gateway/store/experiment-rows.ts';
import type { ExperimentRequestTable } from '../../gateway/store/schema.ts';
import type { Experiment } from '../../gateway/types.gen.ts';

/** An experiment of two halves that runs all of November 2026, and what a test says of it. */
export const experimentOf = (more: Partial<Experiment> = {}): Experiment => ({
  title: 'Nano or Haiku',
  unit: 'user',
  salt: 7,
  start: '2026-11-01T00:00:00.000Z',
  end: '2026-12-01T00:00:00.000Z',
  arms: { control: { share: 50 }, haiku: { share: 50, model: 'claude-haiku-5-5' } },
  metric: { name: 'cost', better: 'lower' },
  ...more,
});

/** Sums over units, each with its `[s, c]`. */
export const momentsOf = (units: readonly (readonly [number, number])[]): Moments => {
  const counted = units.filter(([s, c]) => c > 0 || s > 0);
  const sum = (of: (s: number, c: number) => number): number => counted.reduce((all, [s, c]) => all + of(s, c), 0);
  return {
    units: counted.length,
    s: sum((s) => s),
    c: sum((_s, c) => c),
    ss: sum((s) => s * s),
    sc: sum((s, c) => s * c),
    cc: sum((_s, c) => c * c),
  };
};

/** An arm with these units by metric; each metric that is not given has none. */
export const armOf = (
  arm: string,
  units: number,
  metrics: Partial<Record<MetricName, readonly (readonly [number, number])[]>>,
): ArmReading => ({
  arm,
  units,
  requests: units,
  firstMs: Date.UTC(2026, 10, 1),
  lastMs: Date.UTC(2026, 10, 20),
  metrics: Object.fromEntries(METRIC_NAMES.map((name) => [name, momentsOf(metrics[name] ?? [])])) as Record<
    MetricName,
    Moments
  >,
});

let rows = 0;

/** A request of an experiment, answered at 12:00 on 10 November. */
export const requestRow = (more: Partial<ExperimentRequestTable> = {}): ExperimentRequestTable => {
  const id = String(++rows);
  return {
    request_id: `req_${id}`,
    decision_id: `dec_${id}`,
    org: 'acme',
    experiment: 'nano',
    definition: 'd',
    arm: 'control',
    unit: `user acme ${id}`,
    time_ms: Date.UTC(2026, 10, 10, 12),
    outcome: 'ok',
    answered: 1,
    failed: 0,
    refused: 0,
    duration_ms: 100,
    cost_micro_usd: 10,
    ...more,
  };
};

/** Writes requests as the ledger does. */
export const addRequests = async ({ db, bulk }: Database, added: readonly ExperimentRequestTable[]): Promise<void> => {
  await db
    .transaction()
    .execute((transaction) => bulk.insertNew(transaction, EXPERIMENT_REQUESTS, added, experimentRequestValues));
};
