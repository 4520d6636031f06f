import { DIGIT, runEnd } from './characters.ts';
import { saidBefore } from './context.ts';
import { endsNumber, startsNumber } from './digit-groups.ts';
import type { Span } from './scan.ts';

const SSN_WORDS = /\bssn\b|social[ -]?security|soc\.? ?sec/i;

/** Numbers never issued: area 000, 666 and 900–999, group 00, serial 0000 (SSA, randomization of 2011). */
const isIssuable = (digits: string): boolean =>
  !digits.startsWith('000') &&
  !digits.startsWith('666') &&
  !digits.startsWith('9') &&
  digits.slice(3, 5) !== '00' &&
  digits.slice(5) !== '0000';

/**
 * The US social security number whose first digit is at `start`. 123-45-6789 stands for itself; with spaces or bare it
 * needs the words before it. Taxpayer numbers (ITIN, starting with 9) are not SSNs.
 */
export const matchUsSsn = (text: string, start: number): Span | undefined => {
  const first = runEnd(text, start, DIGIT, 10);
  const bare = first - start === 9;
  if (!bare && first - start !== 3) return undefined;
  const separator = bare ? '' : text.charAt(first);
  if (!bare && separator !== '-' && separator !== ' ') return undefined;
  const end = start + (bare ? 9 : 11);
  const digits = bare ? text.slice(start, end) : readGrouped(text, first, separator, start);
  if (digits === undefined || !isIssuable(digits) || !startsNumber(text, start) || !endsNumber(text, end))
    return undefined;
  return separator === '-' || saidBefore(text, start, SSN_WORDS) ? { start, end } : undefined;
};

const readGrouped = (text: string, first: number, separator: string, start: number): string | undefined => {
  const second = runEnd(text, first + 1, DIGIT, 3);
  if (second - first !== 3 || text.charAt(second) !== separator) return undefined;
  const third = runEnd(text, second + 1, DIGIT, 5);
  return third - second === 5
    ? text.slice(start, first) + text.slice(first + 1, second) + text.slice(second + 1, third)
    : undefined;
};
