/** A measurement, or the lack of one, that routing does without. */
export interface QualityGap {
  path: string[];
  why: string;
  fix: string;
}

type Table = Readonly<Record<string, unknown>>;

const MEASURE = 'measure again: ./aegis eval run SUITE, then ./aegis eval publish';

/**
 * What is missing for measured quality to decide, for each kind of task that was measured: measurements that ended before
 * `today` (YYYY-MM-DD) or have fewer than routing.quality.min_samples tasks, and models of routing.pools without one.
 * Nothing where nothing was measured, or where routing.quality is absent: then the catalogue's order is meant.
 */
export const qualityGaps = (data: Table, today: string): QualityGap[] => {
  const { quality: rules, pools } = tableOf(data.routing);
  if (rules === undefined) return [];
  const enough = Number(tableOf(rules).min_samples);
  const used = new Set(
    Object.values(tableOf(pools))
      .flatMap((pool) => (Array.isArray(pool) ? pool : []))
      .map((candidate) => String(tableOf(candidate).model)),
  );
  return Object.entries(tableOf(data.quality)).flatMap(([task, rows]) => {
    const measured = Object.entries(tableOf(rows));
    if (measured.length === 0) return [];
    const missing = [...used].filter((model) => !Object.hasOwn(tableOf(rows), model)).sort();
    const unmeasured = missing.map((model) => ({
      path: ['quality', task],
      why: `quality.${task}: "${model}" of routing.pools was never measured, so it is never preferred`,
      fix: `measure it: ./aegis eval run SUITE, then ./aegis eval publish`,
    }));
    return [...measured.flatMap(([model, row]) => faultsOf(task, model, tableOf(row), today, enough)), ...unmeasured];
  });
};

const faultsOf = (task: string, model: string, row: Table, today: string, enough: number): QualityGap[] => {
  const found: QualityGap[] = [];
  const at = ['quality', task, model];
  if (String(row.valid_until) < today) {
    const why = `${at.join('.')}: it ended on ${String(row.valid_until)}, so it decides nothing`;
    found.push({ path: [...at, 'valid_until'], why, fix: MEASURE });
  }
  if (Number(row.samples) < enough) {
    const why = `${at.join('.')}: ${String(row.samples)} graded tasks are fewer than routing.quality.min_samples, so it decides nothing`;
    found.push({ path: [...at, 'samples'], why, fix: 'measure more tasks' });
  }
  return found;
};

const tableOf = (value: unknown): Table => (typeof value === 'object' && value !== null ? (value as Table) : {});
