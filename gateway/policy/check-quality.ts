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
 * `today` (YYYY-MM-DD), have fewer than routing.quality.min_samples tasks, or come from different suites, and models of
 * routing.pools without one.
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
    return [
      ...measured.flatMap(([model, row]) => faultsOf(task, model, tableOf(row), today, enough)),
      ...mixed(task, measured),
      ...unmeasured,
    ];
  });
};

/** What one suite finds easy another finds hard: rules hold each model against the best of all. */
const mixed = (task: string, measured: readonly [string, unknown][]): QualityGap[] => {
  const [[, first] = []] = measured;
  const suite = tableOf(first).suite_sha256;
  const others = measured.flatMap(([model, row]) => (tableOf(row).suite_sha256 === suite ? [] : [model]));
  if (others.length === 0) return [];
  const why = `quality.${task}: ${others.join(', ')} ${others.length === 1 ? 'was' : 'were'} measured by other tasks than ${measured[0]?.[0]}, so their figures cannot be compared`;
  return [
    { path: ['quality', task, others[0] as string, 'suite_sha256'], why, fix: 'measure all models with one suite' },
  ];
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
