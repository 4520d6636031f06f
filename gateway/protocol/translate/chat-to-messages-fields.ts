import { GatewayError } from '../../errors.ts';
import { invalidField, isObject, type Json } from '../fields.ts';
import { scanJson } from '../json-scan.ts';

/** The error of what a caller may send to its own API, and Anthropic's messages cannot say. */
export const cannotSay = (param: string, why: string): GatewayError =>
  new GatewayError(
    'invalid_field',
    `'${param}' cannot be sent to this model, which speaks the Anthropic messages API: ${why}.`,
    { param },
  );

/** Throws for members of an object that the translation does not know. One that is null says nothing. */
export const onlyKnown = (object: Json, known: ReadonlySet<string>, param: string): void => {
  for (const key in object) {
    if (known.has(key) || object[key] === null || object[key] === undefined) continue;
    throw cannotSay(param === '' ? key : `${param}.${key}`, 'it is not a field that docs/translation.md maps');
  }
};

/** A required string of a nested object. */
export const stringAt = (object: Json, name: string, param: string): string => {
  const value = object[name];
  if (typeof value !== 'string') throw invalidField(`${param}.${name}`, 'a string');
  return value;
};

/** A required object of a nested object. */
export const objectAt = (object: Json, name: string, param: string): Json => {
  const value = object[name];
  if (!isObject(value)) throw invalidField(`${param}.${name}`, 'an object');
  return value;
};

/**
 * The object that a JSON text says. Integers too long for a number stay exactly as they are written. Throws
 * GatewayError `invalid_field` for what is not one object, says a key twice, or is too deep to be walked.
 */
export const objectOf = (text: string, param: string): Json => {
  try {
    scanJson(Buffer.from(text));
  } catch (cause) {
    throw new GatewayError('invalid_field', `Invalid value for '${param}': expected a JSON object as text.`, {
      param,
      cause,
    });
  }
  return (LONG_INTEGER.test(text) ? parseExactly(text, keepInteger) : JSON.parse(text)) as Json;
};

const LONG_INTEGER = /\d{16}/;

/** A reviver's third argument and JSON.rawJSON are newer than TypeScript's library. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;
const parseExactly = JSON.parse as (text: string, reviver: Reviver) => unknown;
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

const keepInteger: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && source !== undefined && /^-?\d+$/.test(source) && !Number.isSafeInteger(value)
    ? rawJSON(source)
    : value;
