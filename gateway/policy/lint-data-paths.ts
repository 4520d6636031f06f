import { readFileSync } from 'node:fs';

interface Schema {
  $ref?: string;
  allOf?: Schema[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  propertyNames?: { enum?: string[] };
  items?: Schema;
}

const ROOT = JSON.parse(readFileSync(new URL('../../schemas/policy-data.json', import.meta.url), 'utf8')) as Schema & {
  definitions: Record<string, Schema>;
};

/** A part of a path that neither the data have nor schemas/policy-data.json allows. */
export interface UnknownPart {
  /** Its index in the path. */
  at: number;
  /** What is there instead, a few names. */
  known: string[];
}

/**
 * The first part of a path below `data` that is never there, with `*` for any key. A field that the schema knows may be
 * left out of the data, and the keys of a map may come and go where any of several maps is meant.
 */
export const unknownPart = (
  path: readonly string[],
  data: Readonly<Record<string, unknown>>,
): UnknownPart | undefined => {
  let values: unknown[] = [data];
  let schemas: Schema[] = [ROOT];
  for (const [at, part] of path.entries()) {
    const tables = values.filter((value) => typeof value === 'object' && value !== null) as Record<string, unknown>[];
    if (part === '*') {
      values = tables.flatMap((table) => Object.values(table));
      schemas = schemas.flatMap(membersOf);
      continue;
    }
    const isConcrete = !path.slice(0, at).includes('*');
    const next = tables.flatMap((table) => (Object.hasOwn(table, part) ? [table[part]] : []));
    if (next.length === 0 && !schemas.some((schema) => mayHave(schema, part, isConcrete && tables.length > 0))) {
      // Nothing is known of a place that neither has.
      if (tables.length === 0 && schemas.length === 0) return undefined;
      return { at, known: [...new Set([...tables.flatMap(Object.keys), ...schemas.flatMap(fieldsOf)])] };
    }
    values = next;
    schemas = schemas.flatMap((schema) => partOf(schema, part));
  }
  return undefined;
};

const resolved = ({ $ref, ...schema }: Schema): Schema[] => {
  const target = $ref === undefined ? undefined : ROOT.definitions[$ref.replace('#/definitions/', '')];
  if (target !== undefined) return resolved(target);
  const choices = [...(schema.allOf ?? []), ...(schema.anyOf ?? [])];
  return choices.length === 0 ? [schema] : choices.flatMap(resolved);
};

const mayHave = (schema: Schema, part: string, isTable: boolean): boolean =>
  resolved(schema).some(({ properties, additionalProperties: free, propertyNames }) => {
    if (properties !== undefined && Object.hasOwn(properties, part)) return true;
    if (free === undefined || free === false || schema === ROOT) return false;
    return propertyNames?.enum === undefined ? !isTable : propertyNames.enum.includes(part);
  });

const partOf = (schema: Schema, part: string): Schema[] =>
  resolved(schema).flatMap(({ properties, additionalProperties: free }) => {
    const known = properties !== undefined && Object.hasOwn(properties, part) ? properties[part] : undefined;
    if (known !== undefined) return resolved(known);
    return typeof free === 'object' ? resolved(free) : [];
  });

const membersOf = (schema: Schema): Schema[] =>
  resolved(schema).flatMap(({ properties, additionalProperties: free, items }) => [
    ...Object.values(properties ?? {}),
    ...(typeof free === 'object' ? [free] : []),
    ...(items === undefined ? [] : [items]),
  ]);

const fieldsOf = (schema: Schema): string[] =>
  resolved(schema).flatMap(({ properties, propertyNames }) => [
    ...Object.keys(properties ?? {}),
    ...(propertyNames?.enum ?? []),
  ]);
