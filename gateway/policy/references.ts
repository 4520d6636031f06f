/**
 * Where the policies' data name something of another table. A path's `*` stands for any key or index; a path that ends in
 * `{key}` speaks of the keys of the map before it, any other of the value. `upstreams` are those that serve a model: where
 * they are is the operator's configuration.
 */
const REFERENCES: readonly (readonly [path: string, table: string])[] = [
  ['organizations.*.tier', 'tiers'],
  ['organizations.*.default_workflow', 'workflows'],
  ['organizations.*.workflows.{key}', 'workflows'],
  ['organizations.*.upstreams.{key}', 'upstreams'],
  ['organizations.*.teams.*.tier', 'tiers'],
  ['roles.*.uninspected.*.{key}', 'upstreams'],
  ['roles.*.grants.{key}', 'roles'],
  ['workflows.*.roles.{key}', 'roles'],
  ['routing.pools.*.*.model', 'models'],
  ['routing.pools.*.*.upstream', 'upstreams'],
  ['quality.*.{key}', 'models'],
  ['experiments.*.organizations.{key}', 'organizations'],
  ['experiments.*.workflows.{key}', 'workflows'],
  ['experiments.*.arms.*.model', 'models'],
  ['mirrors.*.organizations.{key}', 'organizations'],
  ['mirrors.*.workflows.{key}', 'workflows'],
  ['mirrors.*.model', 'models'],
];

/** A name that refers to nothing. */
export interface DanglingReference {
  path: string[];
  name: string;
  /** The table that does not have it; for a candidate, the model that the upstream does not serve, or all that chat. */
  table: string;
}

type Table = Readonly<Record<string, unknown>>;

/** The names in the data that refer to nothing, and candidates that could not be: at an upstream without the model, or no chat model. */
export const danglingReferences = (data: Table): DanglingReference[] => {
  const dangling: DanglingReference[] = [];
  for (const [pattern, table] of REFERENCES) {
    const names = namesOf(data, table);
    for (const { path, name } of select(data, pattern.split('.'), [])) {
      if (!names.has(name)) dangling.push({ path, name, table });
    }
  }
  for (const [pool, candidates] of Object.entries(tableOf(tableOf(data.routing).pools))) {
    if (!Array.isArray(candidates)) continue;
    for (const [index, candidate] of candidates.entries()) {
      const { model, upstream } = tableOf(candidate);
      const row = tableOf(data.models)[String(model)];
      if (row === undefined) continue;
      const path = ['routing', 'pools', pool, String(index)];
      if (!upstreamsOf(row).includes(String(upstream))) {
        const table = `models.${String(model)}.upstreams`;
        dangling.push({ path: [...path, 'upstream'], name: String(upstream), table });
      }
      if (!chats(row)) dangling.push({ path: [...path, 'model'], name: String(model), table: CHAT_MODELS });
    }
  }
  for (const { path, name } of CHAT_PLACES.flatMap((pattern) => select(data, pattern.split('.'), []))) {
    const row = tableOf(data.models)[name];
    if (row !== undefined && !chats(row)) dangling.push({ path, name, table: CHAT_MODELS });
  }
  return dangling;
};

/** The names of a table; `upstreams` are those that serve a model, `teams` those of any organisation. */
export const namesOf = (data: Table, table: string): Set<string> => {
  if (table === 'upstreams') return new Set(Object.values(tableOf(data.models)).flatMap(upstreamsOf));
  if (table === 'teams')
    return new Set(
      Object.values(tableOf(data.organizations)).flatMap((row) => Object.keys(tableOf(tableOf(row).teams))),
    );
  return new Set(Object.keys(tableOf(data[table])));
};

/**
 * The table that a value of the data names something of; with `key`, the table that the keys of a map are names of.
 * `path` is below `data`, with `*` for any key or index.
 */
export const tableReferredTo = (path: readonly string[], key: boolean): string | undefined =>
  REFERENCES.find(([pattern]) => {
    const parts = pattern.split('.');
    const isKey = parts.at(-1) === '{key}';
    if (isKey) parts.pop();
    return (
      isKey === key && parts.length === path.length && parts.every((part, at) => part === '*' || part === path[at])
    );
  })?.[1];

/** Pools are for "auto", which chooses among models that chat; experiments and mirrors are of chats. */
const CHAT_PLACES = ['experiments.*.arms.*.model', 'mirrors.*.model'];
const CHAT_MODELS = 'models that answer chat.completions, responses or messages';

const chats = (model: unknown): boolean => {
  const { endpoints } = tableOf(model);
  return !Array.isArray(endpoints) || endpoints.some((endpoint) => CHAT_ENDPOINTS.has(endpoint));
};

const CHAT_ENDPOINTS = new Set<unknown>(['chat.completions', 'responses', 'messages']);

const select = (
  value: unknown,
  pattern: readonly string[],
  path: readonly string[],
): { path: string[]; name: string }[] => {
  const [part, ...rest] = pattern;
  if (part === undefined) return typeof value === 'string' ? [{ path: [...path], name: value }] : [];
  if (part === '{key}') return Object.keys(tableOf(value)).map((name) => ({ path: [...path, name], name }));
  const keys = part === '*' ? Object.keys(tableOf(value)) : [part];
  return keys.flatMap((key) => select(tableOf(value)[key], rest, [...path, key]));
};

const upstreamsOf = (model: unknown): string[] => Object.keys(tableOf(tableOf(model).upstreams));

const tableOf = (value: unknown): Table => (typeof value === 'object' && value !== null ? (value as Table) : {});
