import { randomFillSync } from 'node:crypto';

/** The two names of a request: the one of the HTTP exchange, and the one of its decision. */
export interface Ids {
  /** `req_…`, also the answer's x-request-id. */
  readonly requestId: string;
  /** `dec_…` with the same body. */
  readonly decisionId: string;
}

/** Crockford's base 32: sorts as it counts, and has no letters to confuse. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const PAIRS = Array.from({ length: 1024 }, (_, index) => ALPHABET[index >> 5]! + ALPHABET[index & 31]!);

// Random bytes are drawn for many ids at once: one call costs as much as forty ids.
const pool = new Uint16Array(1024);
let drawn = pool.length;

const random = (): string => {
  if (drawn === pool.length) {
    randomFillSync(pool);
    drawn = 0;
  }
  return PAIRS[pool[drawn++]! & 1023]!;
};

let stampedMs = -1;
let stamp = '';

/** Ten characters of milliseconds, so that ids sort by time. */
const stampOf = (nowMs: number): string => {
  if (nowMs === stampedMs) return stamp;
  let rest = nowMs;
  let text = '';
  for (let pair = 0; pair < 5; pair++) {
    text = PAIRS[rest % 1024]! + text;
    rest = Math.floor(rest / 1024);
  }
  stampedMs = nowMs;
  stamp = text;
  return text;
};

/** When an id was made, milliseconds since 1970; undefined for what is no id of ours. */
export const timeOfId = (id: string): number | undefined => {
  const body = /^(?:dec|req)_([0-9a-hjkmnp-tv-z]{26})$/.exec(id)?.[1];
  if (body === undefined) return undefined;
  return [...body.slice(0, 10)].reduce((time, digit) => time * 32 + ALPHABET.indexOf(digit), 0);
};

/** The id of the HTTP exchange whose decision has this id: they are made together. */
export const requestIdOf = (decisionId: string): string => decisionId.replace(/^dec_/, 'req_');

/** New ids: 48 bits of time and 80 random bits, as a ULID has them. */
export const newIds = (nowMs: number = Date.now()): Ids => {
  let body = stampOf(nowMs);
  for (let pair = 0; pair < 8; pair++) body += random();
  return { requestId: `req_${body}`, decisionId: `dec_${body}` };
};
