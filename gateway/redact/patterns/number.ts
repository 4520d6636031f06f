import type { Entity } from '../redactor.ts';
import { matchCard } from './card.ts';
import { DIGIT, isIn, runEnd } from './characters.ts';
import { matchIban } from './iban.ts';
import { matchIpv4 } from './ip.ts';
import { PhoneReader } from './phone.ts';
import type { Scan, Span } from './scan.ts';
import { matchUsSsn } from './us-ssn.ts';

const ANY_DIGIT = /[0-9]/g;
/** How far to look for the next digit by hand: in text with many digits the native search starts too often. */
const NEAR = 16;

const nextDigit = (text: string, from: number): number => {
  const near = Math.min(text.length, from + NEAR);
  for (let at = from; at < near; at++) if (isIn(text, at, DIGIT)) return at;
  ANY_DIGIT.lastIndex = near;
  return ANY_DIGIT.test(text) ? ANY_DIGIT.lastIndex - 1 : -1;
};

/** The most certain first: check digits, then fixed shapes, then telephones. */
const match = (
  text: string,
  start: number,
  end: number,
  phones: PhoneReader,
): (Span & { entity: Entity }) | undefined => {
  const iban = matchIban(text, start);
  if (iban) return { entity: 'iban', ...iban };
  const length = end - start;
  const ip = length <= 3 && text.charAt(end) === '.' ? matchIpv4(text, start) : undefined;
  if (ip) return { entity: 'ip', ...ip };
  const ssn = length === 3 || length === 9 ? matchUsSsn(text, start) : undefined;
  if (ssn) return { entity: 'us_ssn', ...ssn };
  const card =
    length === 4 || length === 6 || length === 8 || (length >= 12 && length <= 19) ? matchCard(text, start) : undefined;
  if (card) return { entity: 'card', ...card };
  const phone = length <= 15 ? phones.match(start) : undefined;
  return phone && { entity: 'phone', ...phone };
};

/** Everything that starts with a digit, or has its first digit near its start: IBAN, IPv4, SSN, card, telephone. */
export const scanNumbers: Scan = (text, found) => {
  let at = nextDigit(text, 0);
  if (at === -1) return;
  const phones = new PhoneReader(text);
  while (at !== -1) {
    const end = runEnd(text, at, DIGIT);
    const finding = match(text, at, end, phones);
    if (finding) found.push(finding);
    at = nextDigit(text, Math.max(end, finding?.end ?? 0));
  }
};
