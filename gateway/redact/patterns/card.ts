import { saidBefore } from './context.ts';
import { endsNumber, readDigitGroups, startsNumber } from './digit-groups.ts';
import { passesLuhn } from './luhn.ts';
import type { Span } from './scan.ts';

/** ISO/IEC 7812-1: at most 19 digits. */
const LONGEST = 19;
const SHORTEST = 12;

/**
 * Issuer prefixes with the lengths they issue (ISO/IEC 7812 ranges as the networks publish them): American Express,
 * Diners Club, Discover, JCB, Maestro, Mastercard, Mir, RuPay, UnionPay, Visa.
 */
const ISSUED: readonly (readonly [RegExp, ReadonlySet<number>])[] = [
  [/^4/, new Set([13, 16, 18, 19])],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, new Set([16])],
  [/^3[47]/, new Set([15])],
  [/^(?:30[0-5]|309|36|38|39)/, new Set([14, 16, 19])],
  [/^(?:2131|1800)/, new Set([15])],
  [/^35/, new Set([16, 17, 18, 19])],
  [/^(?:6011|64[4-9]|65|62|81|82|508|60)/, new Set([16, 17, 18, 19])],
  [/^220[0-4]/, new Set([16, 17, 18, 19])],
  [/^(?:50|5[6-9]|6|06)/, new Set([12, 13, 14, 15, 16, 17, 18, 19])],
];

/**
 * Lengths at which one in ten ordinary numbers would be taken for a card (article numbers, timestamps, old Visa and
 * short Maestro): those need a word before them that says so.
 */
const ORDINARY: ReadonlySet<number> = new Set([12, 13, 17, 18]);
const CARD_WORDS =
  /card|visa|maestro|master|amex|american express|diners|discover|jcb|credit|debit|\bcc\b|\bpan\b|payment|karte|\bcarte|tarjeta|cartão|\bcarta/i;

/** Groups as cards are embossed or typed: fours with a shorter last one, 4-6-5, 4-6-4, 6-13, or none. */
const isGroupedAsCard = (bounds: readonly number[], groups: number): boolean => {
  if (groups === 1) return true;
  const size = (group: number): number => bounds[group * 2 + 1]! - bounds[group * 2]!;
  if (groups === 2) return (size(0) === 6 && size(1) === 13) || size(0) === 8 || (size(0) === 4 && size(1) >= 8);
  if (groups === 3 && size(0) === 4 && size(1) === 6) return true;
  for (let group = 0; group < groups - 1; group++) if (size(group) !== 4) return false;
  return size(groups - 1) <= 4;
};

const isIssued = (digits: string): boolean =>
  ISSUED.some(([prefix, lengths]) => lengths.has(digits.length) && prefix.test(digits));

/** The payment card number whose first digit is at `start`: grouped as a card, of an issuer, with a right check digit. */
export const matchCard = (text: string, start: number): Span | undefined => {
  if (!startsNumber(text, start)) return undefined;
  const { bounds, lengths, digits } = readDigitGroups(text, start, LONGEST);
  for (let groups = lengths.length; groups > 0; groups--) {
    const length = lengths[groups - 1]!;
    if (length < SHORTEST) return undefined;
    const number = digits.slice(0, length);
    const end = bounds[groups * 2 - 1]!;
    if (!isGroupedAsCard(bounds, groups) || !passesLuhn(number) || !isIssued(number) || !endsNumber(text, end))
      continue;
    if (ORDINARY.has(length) && !saidBefore(text, start, CARD_WORDS)) continue;
    return { start, end };
  }
  return undefined;
};
