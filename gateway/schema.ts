import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import addFormats from 'ajv-formats';

/** One way in which a value breaks its schema. */
export type SchemaError = ErrorObject;

/** Whether a value is a T; `errors` tells the first reason when it is not. */
export interface Validator<T> {
  (value: unknown): value is T;
  errors?: readonly SchemaError[] | null | undefined;
}

// The package is CommonJS: under some loaders its function is the module, under others a member.
const formats = addFormats as unknown as { default?: (ajv: Ajv) => void } & ((ajv: Ajv) => void);

/** The schema `schemas/<name>.json`. */
export const readSchema = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(new URL(`../schemas/${name}.json`, import.meta.url), 'utf8')) as Record<string, unknown>;

/** A validator of a draft-07 schema, compiled now: at start, never in a request. Throws for a schema that is none. */
export const validator = <T>(schema: Record<string, unknown>): Validator<T> => {
  // One instance each: two compilations of one schema must not meet.
  const ajv = new Ajv({ strict: true, allowUnionTypes: true });
  (formats.default ?? formats)(ajv);
  return ajv.compile(schema) as Validator<T>;
};
