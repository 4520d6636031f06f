import { createHmac } from 'node:crypto';
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

export const NAME_LENGTH_MAX = 5;

/** Characters of an id: 65 bits of a keyed hash, 63.9 after the letters at both ends are forced. */
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

const isLetter = (character: string | undefined): boolean => character !== undefined && character > '9';

const encode = (digest: Buffer): string => {
  let bits = digest.readBigUInt64BE(0);
  let id = ALPHABET.charAt(digest[8]! & 31);
  for (let index = 1; index < ID_LENGTH; index++) {
    id += ALPHABET.charAt(Number(bits & 31n));
    bits >>= 5n;
  }
  return id;
};

/** The key of a scope. Nobody without the secret can make it, and so none of the scope's ids. */
export const scopeKey = (secret: Buffer, scope: string): Buffer => createHmac('sha256', secret).update(scope).digest();

/** What an id is for; the same value has different ids for different uses. */
export type IdUse = 'placeholder' | 'hash';

/**
 * The id of a value: HMAC-SHA256 under the scope's key, with a counter that goes on until the id starts and ends with a
 * letter (no detector takes it for a number) and `refused` does not refuse it. Throws GatewayError `internal_error` when
 * everything is refused: chance refuses half of them, and 1,000 in a row never.
 */
export const mintId = (
  key: Buffer,
  use: IdUse,
  entity: Entity,
  value: string,
  refused: (id: string) => boolean,
): string => {
  for (let counter = 0; counter < 1000; counter++) {
    // No part before the value can hold a NUL, so no two inputs give the same bytes.
    const id = encode(createHmac('sha256', key).update(`${use}\0${entity}\0${counter}\0${value}`).digest());
    if (isLetter(id[0]) && isLetter(id[ID_LENGTH - 1]) && !refused(id)) return id;
  }
  throw new GatewayError('internal_error', 'no placeholder is free for a value that must be masked');
};
