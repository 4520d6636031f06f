import { readFileSync } from 'node:fs';
import { namesOf, tableReferredTo } from './references.ts';

/** The words that a field may hold, and where they are from. */
export interface Vocabulary {
  readonly names: ReadonlySet<string>;
  /** As findings name it: a table, or a schema. */
  readonly source: string;
}

type Data = Readonly<Record<string, unknown>>;

/** Fields of the input whose values, or with `{key}` whose keys, are names of the data. `extra` are words of the gateway's own. */
const FIELDS: readonly { path: string; table: string; extra?: readonly string[] }[] = [
  { path: 'input.caller.roles.*', table: 'roles' },
  { path: 'input.target.roles.*', table: 'roles' },
  { path: 'input.caller.workflows.*', table: 'workflows' },
  { path: 'input.target.workflows.*', table: 'workflows' },
  { path: 'input.purpose.workflow', table: 'workflows', extra: [''] },
  { path: 'input.caller.org', table: 'organizations', extra: [''] },
  { path: 'input.target.org', table: 'organizations', extra: [''] },
  { path: 'input.caller.team', table: 'teams', extra: [''] },
  { path: 'input.target.team', table: 'teams', extra: [''] },
  { path: 'input.request.model', table: 'models', extra: ['', 'auto'] },
  { path: 'input.upstreams.{key}', table: 'upstreams' },
];

interface DataSchema {
  definitions: {
    model: { properties: { modalities: Items; endpoints: Items } };
    role: { properties: { uninspected: { propertyNames: { enum: string[] } } } };
    redactions: { items: { properties: { entity: { enum: string[] } } } };
  };
}
interface Items {
  items: { enum: string[] };
}

const { definitions } = JSON.parse(
  readFileSync(new URL('../../schemas/policy-data.json', import.meta.url), 'utf8'),
) as DataSchema;
const ENTITIES = definitions.redactions.items.properties.entity.enum;

/** Fields of the input that schemas/input.json leaves open, and the gateway fills with words of its own. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  'input.content.pii.{key}': ENTITIES.filter((entity) => entity !== 'api_key'),
  'input.content.secrets.{key}': ENTITIES.filter((entity) => entity === 'api_key'),
  'input.content.modalities.*': definitions.model.properties.modalities.items.enum,
  'input.content.uninspected.*.kind': definitions.role.properties.uninspected.propertyNames.enum,
  'input.upstreams.*.endpoints.*': definitions.model.properties.endpoints.items.enum,
};

/** What the values at a path of the input or the data, or with `key` the keys there, may be called; undefined when anything. */
export const vocabularyOf = (path: readonly string[], key: boolean, data: Data): Vocabulary | undefined => {
  const spelt = [...path, ...(key ? ['{key}'] : [])].join('.');
  const words = WORDS[spelt];
  if (words !== undefined) return { names: new Set(words), source: 'what the gateway writes there' };
  if (path[0] === 'data') {
    const table = tableReferredTo(path.slice(1), key);
    return table === undefined ? undefined : ofTable(table, [], data);
  }
  const field = FIELDS.find((candidate) => candidate.path === spelt);
  return field && ofTable(field.table, field.extra ?? [], data);
};

/** Keys of an object that a rule writes, whose constants are names: `{"model": "…", "upstream": "…"}` is a candidate. */
export const vocabularyOfMember = (name: string, data: Data): Vocabulary | undefined => {
  if (name === 'model') return ofTable('models', [], data);
  if (name === 'upstream') return ofTable('upstreams', [], data);
  return name === 'entity'
    ? { names: new Set(ENTITIES), source: 'the entities of schemas/policy-data.json' }
    : undefined;
};

/** A table that is not in the data says nothing of its names. */
const ofTable = (table: string, extra: readonly string[], data: Data): Vocabulary | undefined => {
  const names = namesOf(data, table);
  return names.size === 0 ? undefined : { names: new Set([...names, ...extra]), source: table };
};
