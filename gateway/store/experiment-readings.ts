import { type Expression, type Kysely, sql } from 'kysely';
import type { Schema } from './schema.ts';

/** What is measured of an arm. */
export const METRIC_NAMES = ['cost', 'latency', 'errors', 'refusals', 'score', 'feedback'] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

/**
 * Sums over the units that have something of a metric to count: of each unit `s` is what came together (micro-USD, ms,
 * failures, refusals, scores, answers with a score) and `c` of how many (answers, requests, scores). Time is of answers and
 * of what callers left.
 */
export interface Moments {
  readonly units: number;
  readonly s: number;
  readonly c: number;
  readonly ss: number;
  readonly sc: number;
  readonly cc: number;
}

/** What is known of an arm. */
export interface ArmReading {
  readonly arm: string;
  readonly units: number;
  readonly requests: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly metrics: Readonly<Record<MetricName, Moments>>;
}

/** Which requests are read. */
export interface ReadingQuestion {
  readonly experiment: string;
  readonly definition: string;
  /** Those of one organisation. */
  readonly org?: string | undefined;
}

/** By metric, what is added up of a unit's requests and what that is divided by. */
const PARTS: Readonly<Record<MetricName, readonly [string, string]>> = {
  cost: ['sum(e.cost_micro_usd)', 'sum(e.answered)'],
  // Callers that leave leave the slow: without the time that they waited, the slowest arm of all would have none.
  latency: [
    "sum(case when e.answered = 1 or e.outcome = 'aborted' then e.duration_ms else 0 end)",
    "sum(case when e.answered = 1 or e.outcome = 'aborted' then 1 else 0 end)",
  ],
  // Of what reached a model or failed on the way: not what limits refused, nor what callers left.
  errors: ['sum(e.failed)', 'sum(case when e.answered + e.failed + e.refused > 0 then 1 else 0 end)'],
  refusals: ['sum(e.refused)', 'sum(case when e.answered + e.refused > 0 then 1 else 0 end)'],
  score: ['coalesce(sum(e.score), 0)', 'count(e.score)'],
  feedback: ['count(e.score)', 'sum(e.answered)'],
};

/**
 * What the store knows of an experiment by arm, those with a request alone. One statement that groups by unit and adds the
 * units up, so that memory is that of a few rows however many there are. It reads every request of the experiment, and of
 * feedback what was said of them alone.
 */
export const readArms = async (
  db: Kysely<Schema>,
  { experiment, definition, org }: ReadingQuestion,
): Promise<ArmReading[]> => {
  const inOrg = org === undefined ? sql`` : sql`and r.org = ${org}`;
  const unitColumns = METRIC_NAMES.flatMap((name) =>
    PARTS[name].map((part, at) => sql`cast(${sql.raw(part)} as double precision) as ${sql.raw(`${name}_${'sc'[at]}`)}`),
  );
  const sums = METRIC_NAMES.flatMap((name) => momentColumns(name));
  const { rows } = await sql<Record<string, number> & { arm: string }>`
    select arm, count(*) as units, sum(requests) as requests, min(first_ms) as first_ms, max(last_ms) as last_ms,
      ${sql.join(sums)}
    from (
      select e.arm as arm, e.unit as unit, count(*) as requests, min(e.time_ms) as first_ms, max(e.time_ms) as last_ms,
        ${sql.join(unitColumns)}
      from (
        select r.*, (select avg(f.score) from feedback f where f.decision_id = r.decision_id) as score
        from experiment_requests r
        where r.experiment = ${experiment} and r.definition = ${definition} ${inOrg}
      ) e
      group by e.arm, e.unit
    ) u
    group by arm order by arm`.execute(db);
  return rows.map(({ arm, ...row }) => ({
    arm,
    units: Number(row.units),
    requests: Number(row.requests),
    firstMs: Number(row.first_ms),
    lastMs: Number(row.last_ms),
    metrics: Object.fromEntries(METRIC_NAMES.map((name) => [name, momentsIn(row, name)])) as Record<
      MetricName,
      Moments
    >,
  }));
};

const momentColumns = (name: MetricName): Expression<unknown>[] => {
  const [s, c] = [`${name}_s`, `${name}_c`];
  const sums = { n: '1', s, c, ss: `${s} * ${s}`, sc: `${s} * ${c}`, cc: `${c} * ${c}` };
  return Object.entries(sums).map(
    ([of, what]) =>
      // A unit that was never answered may have cost something all the same.
      sql`sum(case when ${sql.raw(c)} > 0 or ${sql.raw(s)} > 0 then ${sql.raw(what)} else 0 end) as ${sql.raw(`${name}_m_${of}`)}`,
  );
};

const momentsIn = (row: Readonly<Record<string, number>>, name: MetricName): Moments => {
  const of = (sum: string): number => Number(row[`${name}_m_${sum}`]);
  return { units: of('n'), s: of('s'), c: of('c'), ss: of('ss'), sc: of('sc'), cc: of('cc') };
};
