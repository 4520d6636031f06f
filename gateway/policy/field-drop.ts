import { isGatewayError } from '../errors.ts';
import { readSchema } from '../schema.ts';
import type { Decision, Input } from '../types.gen.ts';
import { createGrantsMore, type Grant, type GrantsMore } from './grants-more.ts';
import type { Policy } from './policy.ts';

/** An input, and where people find it. */
export interface NamedInput {
  readonly name: string;
  readonly input: Input;
  /** What decides it, where that is not what decides the others. */
  readonly policy?: Policy;
  readonly file?: string;
  readonly line?: number;
}

/** An input that is granted more when a field of it is missing. */
export interface FailOpen {
  readonly base: NamedInput;
  readonly grants: readonly Grant[];
  /** The decision with the field; undefined when there was none. */
  readonly whole: Decision | undefined;
  /** The decision without it. */
  readonly some: Decision;
}

/** What happened when one field was left out of every input that has it. */
export interface DroppedField {
  /** Such as `caller.roles`, `spend[].cap_micro_usd`, `upstreams.*.state`. */
  readonly field: string;
  /** Inputs that were decided without it. */
  readonly decided: number;
  readonly open: readonly FailOpen[];
  readonly ms: number;
}

/**
 * Decides each input again without one of its fields, for all fields: each time the policies must refuse, fail, or grant no
 * more than with it. A list of models must then list no other. Entries that callers and operators choose (a header, a tag,
 * an upstream) are no fields: without one of them an input is whole.
 */
export const dropFields = (inputs: readonly NamedInput[], common: Policy): DroppedField[] => {
  const comparisons = new Map<Policy, GrantsMore>();
  const fields = new Map<string, { decided: number; open: FailOpen[]; ms: number }>();
  for (const base of inputs) {
    const { policy = common } = base;
    const grantsMore = comparisons.get(policy) ?? createGrantsMore(policy.data);
    comparisons.set(policy, grantsMore);
    const whole = attempt(() => policy.decide(base.input));
    const isList = base.input.request.endpoint === 'models';
    let listed: readonly string[] | undefined;
    const models = (): readonly string[] => {
      listed ??= attempt(() => policy.models(asList(base.input))) ?? [];
      return listed;
    };
    for (const path of fieldsOf(base.input)) {
      const start = performance.now();
      const name = nameOf(path);
      const entry = fields.get(name) ?? { decided: 0, open: [], ms: 0 };
      fields.set(name, entry);
      const less = without(base.input, path);
      const some = attempt(() => policy.decide(less));
      entry.decided++;
      if (some?.allow) {
        const grants = grantsMore(some, { input: base.input, decision: whole, models });
        if (isList) grants.push(...listsMore(attempt(() => policy.models(less)) ?? [], models()));
        if (grants.length > 0) entry.open.push({ base, grants, whole, some });
      }
      entry.ms += performance.now() - start;
    }
  }
  return [...fields].map(([field, entry]) => ({ field, ...entry })).sort((a, b) => (a.field < b.field ? -1 : 1));
};

/** What the caller would ask to be told its models. */
const asList = (input: Input): Input => ({
  ...input,
  request: { ...input.request, endpoint: 'models', dialect: 'openai', model: '' },
});

/** Undefined when the policy gives no decision, which the gateway answers with 503. */
const attempt = <T>(decide: () => T): T | undefined => {
  try {
    return decide();
  } catch (error) {
    if (isGatewayError(error) && error.code === 'policy_unavailable') return undefined;
    throw error;
  }
};

const listsMore = (some: readonly string[], whole: readonly string[]): Grant[] =>
  some.filter((model) => !whole.includes(model)).map((model) => ({ part: 'models', how: `${model} is listed` }));

type Path = readonly (string | number)[];

/** The paths of all fields of objects, objects in lists too. */
const fieldsOf = (value: unknown, path: Path = []): Path[] => {
  if (Array.isArray(value)) return value.flatMap((item, index) => fieldsOf(item, [...path, index]));
  if (typeof value !== 'object' || value === null) return [];
  const isTable = TABLES.has(path.join('.'));
  return Object.entries(value).flatMap(([key, item]) => [
    ...(isTable ? [] : [[...path, key]]),
    ...fieldsOf(item, [...path, key]),
  ]);
};

/** Copies what is on the way to the field, and shares the rest. */
const without = (input: Input, path: Path): Input => {
  const drop = (value: unknown, [key, ...rest]: Path): unknown => {
    const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string | number, unknown>;
    if (rest.length === 0) delete copy[key as string];
    else copy[key as string] = drop(copy[key as string], rest);
    return copy;
  };
  return drop(input, path) as Input;
};

/** Places of an input where keys are chosen by others: the objects of schemas/input.json without fields of their own. */
const TABLES: ReadonlySet<string> = new Set(
  (function tablesIn(schema: Schema, path: string[]): string[] {
    const { properties, additionalProperties } = schema;
    if (properties === undefined)
      return typeof additionalProperties === 'object'
        ? [path.join('.')]
        : (schema.anyOf ?? []).flatMap((form) => tablesIn(form, path));
    return Object.entries(properties).flatMap(([name, part]) => tablesIn(part, [...path, name]));
  })(readSchema('input') as Schema, []),
);

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
}

const nameOf = (path: Path): string =>
  path.reduce<string>((name, part, index) => {
    if (typeof part === 'number') return `${name}[]`;
    if (TABLES.has(path.slice(0, index).join('.'))) return `${name}.*`;
    return name === '' ? part : `${name}.${part}`;
  }, '');
