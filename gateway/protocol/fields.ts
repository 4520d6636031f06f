import { GatewayError } from '../errors.ts';

export type Json = Record<string, unknown>;

/** Whether a value is a JSON object: neither null nor an array. */
export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The error of a known field with a wrong type, in OpenAI's words. `param` as OpenAI's: `messages[0].content`. */
export const invalidField = (param: string, expected: string): GatewayError =>
  new GatewayError('invalid_field', `Invalid type for '${param}': expected ${expected}.`, { param });

/** The error of a required field that was not sent, in OpenAI's words. */
export const missingField = (name: string): GatewayError =>
  new GatewayError('invalid_field', `Missing required parameter: '${name}'.`, { param: name });

/** A required string that is not empty. */
export const requiredString = (body: Json, name: string): string => {
  const value = body[name];
  if (value === undefined) throw missingField(name);
  if (typeof value !== 'string' || value === '') throw invalidField(name, 'a string that is not empty');
  return value;
};

/** A required array. */
export const requiredArray = (body: Json, name: string): unknown[] => {
  const value = body[name];
  if (value === undefined) throw missingField(name);
  if (!Array.isArray(value)) throw invalidField(name, 'an array');
  return value;
};

/** A boolean; absent and null are false. */
export const booleanField = (body: Json, name: string): boolean => {
  const value = body[name] ?? false;
  if (typeof value !== 'boolean') throw invalidField(name, 'a boolean');
  return value;
};

/** A whole number from `minimum` on; absent and null are null. */
export const integerField = (body: Json, name: string, minimum = 0): number | null => {
  const value = body[name] ?? null;
  if (value === null) return null;
  if (!Number.isSafeInteger(value) || (value as number) < minimum) {
    throw invalidField(name, `an integer of at least ${minimum}`);
  }
  return value as number;
};

/** A number; absent and null are null. */
export const numberField = (body: Json, name: string): number | null => {
  const value = body[name] ?? null;
  if (value !== null && typeof value !== 'number') throw invalidField(name, 'a number');
  return value;
};

/** An array; absent and null are empty. */
export const arrayField = (body: Json, name: string, param = name): unknown[] => {
  const value = body[name] ?? [];
  if (!Array.isArray(value)) throw invalidField(param, 'an array');
  return value;
};

/** An object; absent and null are undefined. */
export const objectField = (body: Json, name: string, param = name): Json | undefined => {
  const value = body[name] ?? undefined;
  if (value !== undefined && !isObject(value)) throw invalidField(param, 'an object');
  return value;
};
