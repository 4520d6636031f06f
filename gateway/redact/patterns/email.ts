import { DIGIT, DOT, HYPHEN, isIn, LETTER } from './characters.ts';
import type { Scan, Span } from './scan.ts';

/** RFC 5321 4.5.3.1. */
const LOCAL_LIMIT = 64;
const DOMAIN_LIMIT = 255;

const ALNUM = DIGIT | LETTER;
/** Beyond letters and digits, what RFC 5322 allows in an unquoted local part and occurs in real addresses. */
const LOCAL_SPECIALS = "._-+%&'*!#$^~";

/**
 * Letters of Latin, Greek, Cyrillic and their neighbours may be part of an address. Those of scripts written without
 * spaces are not: the words around an address would be taken for it.
 */
const isForeignLetter = (code: number): boolean => code >= 0xc0 && code < 0x0600 && code !== 0xd7 && code !== 0xf7;

const isLocal = (text: string, at: number): boolean =>
  isIn(text, at, ALNUM) ||
  isForeignLetter(text.charCodeAt(at)) ||
  (at >= 0 && LOCAL_SPECIALS.includes(text.charAt(at)));

const isDomain = (text: string, at: number): boolean =>
  isIn(text, at, ALNUM | HYPHEN | DOT) || isForeignLetter(text.charCodeAt(at));

const isEdge = (text: string, at: number): boolean => isIn(text, at, ALNUM) || isForeignLetter(text.charCodeAt(at));

/** The start of the local part that ends before `at`, or `at` when there is none. */
const localStart = (text: string, at: number): number => {
  const stop = Math.max(0, at - LOCAL_LIMIT);
  let start = at;
  while (start > stop && isLocal(text, start - 1)) start--;
  while (start < at && !isEdge(text, start) && text.charAt(start) !== '_') start++; // quotes, bullets, Markdown
  return start;
};

/** The end of the domain name that starts at `from`, or `from` when there is none: two labels, the last one letters. */
const domainEnd = (text: string, from: number): number => {
  if (!isEdge(text, from)) return from;
  const stop = Math.min(text.length, from + DOMAIN_LIMIT);
  let end = from;
  while (end < stop && isDomain(text, end)) {
    if (text.charAt(end) === '.' && !isEdge(text, end + 1)) break; // the end of a sentence, or an ellipsis
    end++;
  }
  while (!isEdge(text, end - 1)) end--;
  const labels = text.slice(from, end).split('.');
  while (labels.length > 1 && !isTopLevel(labels.at(-1) ?? '')) labels.pop(); // `x@example.com.2`
  return labels.length > 1 ? from + labels.join('.').length : from;
};

const isTopLevel = (label: string): boolean => /^(?:[a-z\u00c0-\u05ff]{2,63}|xn--[a-z0-9-]{1,59})$/i.test(label);

const matchAround = (text: string, at: number, width: number): Span | undefined => {
  const start = localStart(text, at);
  if (start === at) return undefined;
  const end = domainEnd(text, at + width);
  return end === at + width ? undefined : { start, end };
};

/** E-mail addresses, around `@` or its percent-encoding. Quoted local parts and address literals are not found. */
export const scanEmails: Scan = (text, found) => {
  for (const mark of ['@', '%40']) {
    for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + mark.length)) {
      const span = matchAround(text, at, mark.length);
      if (span) found.push({ entity: 'email', ...span });
    }
  }
};
