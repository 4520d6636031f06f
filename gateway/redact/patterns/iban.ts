import { DIGIT, isIn, LETTER } from './characters.ts';
import type { Span } from './scan.ts';

const ALNUM = DIGIT | LETTER;

/** Countries and the length of their IBANs: the registry of SWIFT (ISO 13616), and those that use one unregistered. */
const LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AO25 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BI27 BJ28 BR29 BY28 CF27 CG27 CH21 CI28 CM27 CR22 CV25 ' +
    'CY28 CZ24 DE22 DJ27 DK18 DO28 DZ26 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GA27 GB22 GE22 GI23 GL18 GQ27 GR27 GT28 ' +
    'GW25 HN28 HR21 HU28 IE22 IL23 IQ23 IR26 IS26 IT27 JO30 KM27 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 ' +
    'MC27 MD24 ME22 MG27 MK19 ML28 MN20 MR27 MT31 MU30 MZ25 NE28 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
    'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SN28 SO23 ST25 SV28 TD27 TG28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** Account numbers in use have more digits; words that happen to follow `at 12` have none. */
const DIGITS_MIN = 6;

/** ISO 7064 MOD 97-10 over the rearranged number, a character at a time; letters count 10 to 35. */
const passesMod97 = (compact: string): boolean => {
  let rest = 0;
  for (let index = 0; index < compact.length; index++) {
    const code = compact.charCodeAt((index + 4) % compact.length);
    rest = code < 58 ? (rest * 10 + code - 48) % 97 : (rest * 100 + code - 55) % 97;
  }
  return rest === 1;
};

/**
 * The IBAN whose check digits are at `digits`, after its country. Groups may be joined by single spaces or hyphens,
 * but for the first four characters. Length by country, check digits by ISO 7064; upper or lower case.
 */
export const matchIban = (text: string, digits: number): Span | undefined => {
  const start = digits - 2;
  if (!isIn(text, start, LETTER) || !isIn(text, start + 1, LETTER) || !isIn(text, digits + 1, DIGIT)) return undefined;
  if (isIn(text, start - 1, ALNUM)) return undefined;
  const length = LENGTHS.get(text.slice(start, digits).toUpperCase());
  if (length === undefined) return undefined;
  let compact = text.slice(start, digits + 2);
  let digitCount = 2;
  let end = digits + 2;
  while (compact.length < length) {
    const separator = text.charAt(end);
    if (separator === ' ' || separator === '-') end++;
    if (!isIn(text, end, ALNUM)) return undefined;
    if (isIn(text, end, DIGIT)) digitCount++;
    compact += text.charAt(end);
    end++;
  }
  if (digitCount < DIGITS_MIN || isIn(text, end, ALNUM) || !passesMod97(compact.toUpperCase())) return undefined;
  return { start, end };
};
