import { readFileSync } from 'node:fs';
import type { Constant, Operator } from './lint-conditions.ts';

/** The parts of JSON Schema (draft 7) with which schemas/input.json bounds a value. */
export interface Schema {
  type?: string | string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  enum?: Constant[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
}

const INPUT = JSON.parse(readFileSync(new URL('../../schemas/input.json', import.meta.url), 'utf8')) as Schema;

/** What a field of the input may be, one schema an alternative; empty when the schema does not say. `*` stands for any member. */
export const domainOf = (path: readonly string[]): Schema[] => {
  let schemas = alternatives([INPUT]);
  for (const part of path.slice(1)) schemas = alternatives(schemas.flatMap((schema) => partOf(schema, part)));
  return schemas;
};

const alternatives = (schemas: readonly Schema[]): Schema[] =>
  schemas.flatMap((schema) => (schema.anyOf === undefined ? [schema] : alternatives(schema.anyOf)));

const partOf = ({ properties, additionalProperties: free, items }: Schema, part: string): Schema[] => {
  if (part === '*') {
    const members = [...Object.values(properties ?? {}), ...(typeof free === 'object' ? [free] : [])];
    return items === undefined ? members : [items];
  }
  const known = properties?.[part] ?? (typeof free === 'object' ? free : undefined);
  return known === undefined ? [] : [known];
};

/** Rego's names of the types that alternatives allow. */
export const typesOf = (domain: readonly Schema[]): Set<string> =>
  new Set(domain.flatMap(({ type }) => type ?? []).map((name) => (name === 'integer' ? 'number' : name)));

/** Whether a value of the domain can meet a comparison with a constant of the same type. */
export const canHold = (domain: readonly Schema[], operator: Operator, constant: Constant): boolean =>
  domain.some((schema) => {
    if (operator === 'equal') return accepts(schema, constant);
    if (operator === 'neq' || typeof constant !== 'number') return true;
    const { minimum = -Infinity, maximum = Infinity } = schema;
    if (operator === 'lt') return minimum < constant;
    if (operator === 'lte') return minimum <= constant;
    return operator === 'gt' ? maximum > constant : maximum >= constant;
  });

const accepts = (schema: Schema, value: Constant): boolean => {
  const { minimum = -Infinity, maximum = Infinity, maxLength = Infinity } = schema;
  const types = typesOf([schema]);
  if (types.size > 0 && !types.has(value === null ? 'null' : typeof value)) return false;
  if (schema.enum !== undefined && !schema.enum.includes(value)) return false;
  if (typeof value === 'string') return [...value].length <= maxLength;
  if (typeof value !== 'number') return true;
  const whole = schema.type === 'integer' ? Number.isInteger(value) : true;
  return whole && value >= minimum && value <= maximum;
};

/** A domain in words, for the fix of a finding. */
export const describeDomain = (domain: readonly Schema[]): string => {
  const known = domain.flatMap((schema) => schema.enum ?? []);
  if (known.length > 0) return `one of ${known.map((value) => JSON.stringify(value)).join(', ')}`;
  const bounds = domain.map(({ type, minimum, maximum, maxLength }) =>
    [
      type === 'integer'
        ? 'a whole number'
        : [type]
            .flat()
            .map((name) => `a ${name}`)
            .join(' or '),
      ...(minimum === undefined ? [] : [`from ${minimum}`]),
      ...(maximum === undefined ? [] : [`to ${maximum}`]),
      ...(maxLength === undefined ? [] : [`of at most ${maxLength} characters`]),
    ].join(' '),
  );
  return [...new Set(bounds)].join(', or ');
};
