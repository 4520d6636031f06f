/** Days before a model's retirement in which its use is worth a warning. */
const NOTICE_DAYS = 90;
const DAY_MS = 86_400_000;

/** A candidate whose model is retired, or will be within the notice. */
export interface DeprecatedModel {
  path: string[];
  why: string;
  fix: string;
}

type Table = Readonly<Record<string, unknown>>;

/**
 * The candidates of routing.pools whose model has a deprecation_date before `today` (YYYY-MM-DD) or within 90 days of it,
 * with a successor of the same class where there is one. A retired model that nobody routes to stays in the data, so that
 * callers who ask for it are told.
 */
export const deprecatedModels = (data: Table, today: string): DeprecatedModel[] => {
  const models = tableOf(data.models);
  const found: DeprecatedModel[] = [];
  for (const [pool, candidates] of Object.entries(tableOf(tableOf(data.routing).pools))) {
    if (!Array.isArray(candidates)) continue;
    const pooled = candidates.map((candidate) => String(tableOf(candidate).model));
    for (const [index, candidate] of candidates.entries()) {
      const { model, upstream } = tableOf(candidate);
      const notice = retirementOf(models, String(model), today);
      if (notice === undefined) continue;
      const fix = successorOf(models, String(model), String(upstream), pooled, today);
      found.push({
        path: ['routing', 'pools', pool, String(index), 'model'],
        why: `"${String(model)}" ${notice}`,
        fix,
      });
    }
  }
  return found;
};

/** When a model is retired, in words, if that has come or comes within the notice. */
export const retirementOf = (models: Table, model: string, today: string): string | undefined => {
  const date = tableOf(models[model]).deprecation_date;
  if (typeof date !== 'string') return undefined;
  const days = Math.round((Date.parse(date) - Date.parse(today)) / DAY_MS);
  if (!(days <= NOTICE_DAYS)) return undefined;
  if (days < 0) return `was retired on ${date}`;
  return days === 0 ? 'is retired today' : `is retired on ${date}, in ${days} day${days === 1 ? '' : 's'}`;
};

/** What to put in a model's place: of its class and operations, not retired soon; at the same upstream, else one that the pool has, else any. */
const successorOf = (
  models: Table,
  model: string,
  upstream: string,
  pooled: readonly string[],
  today: string,
): string => {
  const { class: ofClass, endpoints } = tableOf(models[model]);
  const able = Object.entries(models).filter(
    ([name, row]) =>
      name !== model &&
      tableOf(row).class === ofClass &&
      JSON.stringify(tableOf(row).endpoints) === JSON.stringify(endpoints) &&
      retirementOf(models, name, today) === undefined,
  );
  const servedBy = ([, row]: [string, unknown]): string[] => Object.keys(tableOf(tableOf(row).upstreams));
  const fresh = able.filter(([name]) => !pooled.includes(name));
  const put = (successor: string, at: string | undefined): string =>
    `put { model: ${successor}, upstream: ${at} } in its place, which is of the class ${String(ofClass)} too`;
  const near = fresh.find((entry) => servedBy(entry).includes(upstream));
  if (near !== undefined) return put(near[0], upstream);
  const others = able.map(([name]) => name).filter((name) => pooled.includes(name));
  if (others.length > 0) return `remove it: ${others.join(', ')} of the same class stay in the pool`;
  const [far] = fresh;
  if (far !== undefined) return put(far[0], servedBy(far)[0]);
  return `add a model of the class ${String(ofClass)} to policies/models/in-use.yaml, and put it in its place`;
};

const tableOf = (value: unknown): Table => (typeof value === 'object' && value !== null ? (value as Table) : {});
