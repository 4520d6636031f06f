import { GatewayError } from '../errors.ts';
import type { Entity } from './redactor.ts';

/**
 * A placeholder is `EMAIL_` and 13 characters of Crockford's base32, such as `EMAIL_G4T9QYH02M6KD`: one word to a model,
 * and the same word in JSON, Markdown, HTML, a URL and most programming languages, which brackets or braces would not be.
 */
export const NAMES: Readonly<Record<Entity, string>> = {
  email: 'EMAIL',
  phone: 'PHONE',
  card: 'CARD',
  iban: 'IBAN',
  us_ssn: 'SSN',
  ip: 'IP',
  api_key: 'KEY',
};

/** Characters of an id: 63 bits of a keyed hash, 5 each and 4 for the letters at both ends. */
export const ID_LENGTH = 13;

/** Crockford's base32: no I, L, O or U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

const isIdCharacter = new Uint8Array(128);
for (const character of ALPHABET) isIdCharacter[character.charCodeAt(0)] = 1;

/** The end of the id that starts at `from`, or of as much of it as there is. */
export const idEnd = (text: string, from: number): number => {
  const stop = Math.min(text.length, from + ID_LENGTH);
  let at = from;
  while (at < stop && isIdCharacter[text.charCodeAt(at)] === 1) at++;
  return at;
};

/** The first and last character of an id: letters, so that no detector takes it for a number. */
const EDGES = 'ABCDEFGHJKMNPQRS';

const encode = (digest: Buffer): string => {
  let id = EDGES.charAt(digest[0]! & 15);
  for (let index = 1; index < ID_LENGTH - 1; index++) id += ALPHABET.charAt(digest[index]! & 31);
  return id + EDGES.charAt(digest[ID_LENGTH - 1]! & 15);
};

/** What an id is for; the same value has different ids for different uses. */
export type IdUse = 'placeholder' | 'hash';

/** Ids that may be refused for one value before the request fails. A text can hold as many only if it was told them. */
const ATTEMPTS = 1000;

/**
 * The id of a value: HMAC-SHA256 under the scope's key, with a counter that goes on while `refused` refuses it. Throws
 * GatewayError `internal_error` after 1,000 refusals.
 */
export const mintId = (
  hmac: (text: string) => Buffer,
  use: IdUse,
  entity: Entity,
  value: string,
  refused: (id: string) => boolean,
): string => {
  for (let counter = 0; counter < ATTEMPTS; counter++) {
    // No part before the value can hold a NUL, so no two inputs give the same bytes.
    const id = encode(hmac(`${use}\0${entity}\0${counter}\0${value}`));
    if (!refused(id)) return id;
  }
  throw new GatewayError('internal_error', 'no placeholder is free for a value that must be masked');
};
