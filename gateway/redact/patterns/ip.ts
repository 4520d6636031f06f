import { isIPv6 } from 'node:net';
import { DIGIT, DOT, HEX, isIn, LETTER, runEnd, UNDERSCORE } from './characters.ts';
import type { Scan, Span } from './scan.ts';

/** Addresses that are the same on every machine and so tell nothing of anybody. */
const isShared = (address: string): boolean =>
  address.startsWith('127.') ||
  address.startsWith('0.') ||
  address.startsWith('255.') ||
  address === '::1' ||
  address === '::';

const VERSION_WORDS = /(?:\bv|version|release|build|section|chapter)[ :.-]{0,2}$/i;

/** The IPv4 address whose first digit is at `start`: four octets in decimal, not part of a longer dotted number. */
export const matchIpv4 = (text: string, start: number): Span | undefined => {
  if (isIn(text, start - 1, DIGIT | LETTER | UNDERSCORE)) return undefined;
  if (text.charAt(start - 1) === '.' && isIn(text, start - 2, DIGIT)) return undefined;
  let at = start;
  for (let octet = 0; octet < 4; octet++) {
    if (octet > 0 && text.charAt(at++) !== '.') return undefined;
    const end = runEnd(text, at, DIGIT, 4);
    const length = end - at;
    if (length === 0 || length > 3 || Number(text.slice(at, end)) > 255 || (length > 1 && text.charAt(at) === '0'))
      return undefined;
    at = end;
  }
  if (isIn(text, at, DIGIT | LETTER | UNDERSCORE) || (text.charAt(at) === '.' && isIn(text, at + 1, DIGIT)))
    return undefined;
  if (isShared(text.slice(start, at)) || VERSION_WORDS.test(text.slice(Math.max(0, start - 12), start)))
    return undefined;
  return { start, end: at };
};

/** An IPv6 address with an IPv4 tail: 45 characters. */
const IPV6_LIMIT = 45;

/** `a::b` is a name in C++, Ruby and Rust: an address has a digit, or more colons than names have. */
const isName = (address: string): boolean => !/[0-9]/.test(address) && address.split(':').length < 5;

const matchIpv6 = (text: string, start: number, end: number): Span | undefined => {
  if (end - start < 3 || end - start > IPV6_LIMIT) return undefined;
  if (isIn(text, start - 1, LETTER | DIGIT | UNDERSCORE) || isIn(text, end, LETTER | DIGIT | UNDERSCORE))
    return undefined;
  const address = text.slice(start, end);
  return isIPv6(address) && !isShared(address) && !isName(address) ? { start, end } : undefined;
};

/** The start of the run of hex digits that ends at `colon`; more than a group of an address has is a run all the same. */
const groupStart = (text: string, colon: number): number => {
  let start = colon;
  while (start > colon - 5 && isIn(text, start - 1, HEX)) start--;
  return start;
};

/** IPv6 addresses, around their colons; IPv4-mapped ones too. A zone (`%eth0`) and a prefix length are left standing. */
export const scanIpv6: Scan = (text, found) => {
  let at = text.indexOf(':');
  while (at !== -1) {
    let next = at + 1;
    if (isIn(text, at + 1, HEX) || text.charAt(at + 1) === ':') {
      let end = at;
      while (isIn(text, end, HEX | DOT) || text.charAt(end) === ':') end++;
      next = end;
      while (text.charAt(end - 1) === '.' || (text.charAt(end - 1) === ':' && text.charAt(end - 2) !== ':')) end--;
      const span = matchIpv6(text, groupStart(text, at), end);
      if (span) found.push({ entity: 'ip', ...span });
    }
    at = text.indexOf(':', next);
  }
};
