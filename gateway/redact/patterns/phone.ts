import { validatePhoneNumberLength } from 'libphonenumber-js';
import { DIGIT, isIn, LETTER, UNDERSCORE } from './characters.ts';
import { WordsBefore } from './context.ts';
import type { Span } from './scan.ts';

// Each shape is sticky and bounded, and no two of its parts can match the same character: an attempt costs at most the
// length of a number. Digits are counted afterwards.
const INTERNATIONAL = /\+ ?(?:[ ./()-]{0,3}\d){7,16}/y;
const DIALLED_OUT = /(?:00|011[ .-])(?:[ ./()-]{0,3}\d){8,16}/y;
/** Ten digits as North America groups them; neither area nor exchange starts with 0 or 1. */
const NORTH_AMERICAN = /(?:1[ .-]?)?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}/y;
/** A trunk 0 and an area code, then one to five groups. */
const WITH_TRUNK_ZERO = /0[1-9]\d{0,3}(?:[ ./-]\d{2,8}){1,5}/y;
const WITH_AREA = /\((?!19|20)\d{2,5}\) ?-?\d{2,8}(?:[ .-]\d{2,6}){0,3}/y;
/** Any groups; only where a word says that it is a telephone number. */
const NAMED = /\(?\d{2,12}\)?(?:[ .-]{1,2}\d{2,7}){0,4}/y;

const EXTENSION = / ?(?:x|ext\.?|#) ?\d{1,6}/iy;
const DATE = /^\D*(?:(?:19|20)\d\d\D+\d{1,2}\D+\d{1,2}|\d{1,2}\D+\d{1,2}\D+(?:19|20)\d\d)(?!\d)/;

const WORDS_BEFORE =
  /phone|telefon|teléf|telef|télé|(?<![a-z])tel[.:) ]|mobil|móvil|portable|handy|(?<![a-z])cell|(?<![a-z])fax|(?<![a-z])call|ring me|dial|sms|text me|whatsapp|hotline|answering|reach (?:me|us|him|her|them)|messages? (?:to|at|from)|(?<![a-z])(?:desk|office|home|work|direct|contact) ?[:.]|전화|電話|电话|телефон|тел\./gi;
const WORDS_AFTER = /^[ ,-]{0,3}\(?(?:office|fax|mobile|cell|home|work|desk|tel|phone)(?![a-z])/i;

const digitCount = (text: string): number => {
  let count = 0;
  for (let at = 0; at < text.length; at++) if (isIn(text, at, DIGIT)) count++;
  return count;
};

/** Lengths that some country issues, by libphonenumber's tables; `(0)` is a trunk prefix that is not dialled. */
const isPossible = (international: string): boolean =>
  validatePhoneNumberLength(`+${international.replace('(0)', '').replace(/\D/g, '')}`) === undefined;

/**
 * Calls of libphonenumber (some 4 µs) that one text may cost. Beyond them the shape alone decides, so that a text full
 * of near-numbers loses numbers, never finds fewer telephones.
 */
const lookupsFor = (text: string): number => 64 + text.length / 512;

/** Reads telephone numbers of one text, from left to right. */
export class PhoneReader {
  readonly #text: string;
  readonly #words: WordsBefore;
  #lookups: number;

  constructor(text: string) {
    this.#text = text;
    this.#words = new WordsBefore(text, WORDS_BEFORE);
    this.#lookups = lookupsFor(text);
  }

  /** The number whose first digit is at `digit`; a `+` or `(` before it belongs to it. */
  match(digit: number): Span | undefined {
    const text = this.#text;
    let start = digit;
    if (text.charAt(start - 1) === '(') start--;
    if (text.charAt(start - 1) === '+' || text.startsWith('+ ', start - 2)) {
      start = text.lastIndexOf('+', start);
      return isIn(text, start - 1, DIGIT) ? undefined : this.#international(INTERNATIONAL, start, 1); // no sum
    }
    if (
      text.charAt(start) === '(' &&
      text.charAt(start - 1) !== '' &&
      isIn(text, start - 1, DIGIT | LETTER | UNDERSCORE)
    )
      start = digit;
    if (!this.#startsClean(start)) return undefined;
    return this.#national(start) ?? this.#named(start);
  }

  #startsClean(start: number): boolean {
    const text = this.#text;
    if (isIn(text, start - 1, DIGIT | LETTER | UNDERSCORE)) return false;
    return !('.,-/+:'.includes(text.charAt(start - 1)) && isIn(text, start - 2, DIGIT));
  }

  #national(start: number): Span | undefined {
    const text = this.#text;
    const first = text.charAt(start);
    if (first === '0') {
      if (text.charAt(start + 1) === '0' || text.startsWith('011', start)) {
        const span = this.#international(DIALLED_OUT, start, text.charAt(start + 1) === '0' ? 2 : 3);
        if (span) return span;
      }
      return this.#shape(WITH_TRUNK_ZERO, start, 9, 11);
    }
    return (
      this.#shape(NORTH_AMERICAN, start, 10, 11) ?? (first === '(' ? this.#shape(WITH_AREA, start, 8, 11) : undefined)
    );
  }

  /** The longest number of whole groups, of a sticky shape at `start`, with so many digits. */
  #shape(shape: RegExp, start: number, min: number, max: number): Span | undefined {
    for (const end of this.#ends(shape, start)) {
      const number = this.#text.slice(start, end);
      const count = digitCount(number);
      if (count < min) return undefined;
      if (count <= max && !DATE.test(number)) return this.#finish(start, end);
    }
    return undefined;
  }

  #international(shape: RegExp, start: number, prefix: number): Span | undefined {
    for (const end of this.#ends(shape, start)) {
      const number = this.#text.slice(start + prefix, end);
      const count = digitCount(number);
      if (count < 7) return undefined;
      if (prefix > 1 && count === number.length) return undefined; // 00 without a space or hyphen is any number
      if (count <= 16 && (this.#lookups-- <= 0 || isPossible(number))) return this.#finish(start, end);
    }
    return undefined;
  }

  /** The end of the match of `shape` at `start`, then the ends without its last groups. */
  *#ends(shape: RegExp, start: number): Generator<number> {
    const text = this.#text;
    shape.lastIndex = start;
    if (!shape.test(text)) return;
    let end = shape.lastIndex;
    while (end > start) {
      if (this.#endsClean(end)) yield end;
      while (end > start && isIn(text, end - 1, DIGIT)) end--;
      while (end > start && !isIn(text, end - 1, DIGIT)) end--;
    }
  }

  #endsClean(end: number): boolean {
    const text = this.#text;
    EXTENSION.lastIndex = end;
    const last = EXTENSION.test(text) ? EXTENSION.lastIndex : end;
    if (isIn(text, last, DIGIT | LETTER | UNDERSCORE)) return false;
    return !('.,-/:'.includes(text.charAt(last)) && isIn(text, last + 1, DIGIT));
  }

  #finish(start: number, end: number): Span {
    EXTENSION.lastIndex = end;
    return { start, end: EXTENSION.test(this.#text) ? EXTENSION.lastIndex : end };
  }

  /** A number that only the words around it make a telephone number. It takes all groups or none. */
  #named(start: number): Span | undefined {
    const text = this.#text;
    NAMED.lastIndex = start;
    if (!NAMED.test(text)) return undefined;
    const end = NAMED.lastIndex;
    const number = text.slice(start, end);
    const count = digitCount(number);
    if (count < 7 || count > 15 || DATE.test(number) || !this.#endsClean(end)) return undefined;
    if (text.charAt(start - 1) === ' ' && isIn(text, start - 2, DIGIT)) return undefined; // the middle of a row of numbers
    if (text.charAt(end) === ' ' && isIn(text, end + 1, DIGIT)) return undefined;
    if (!this.#words.at(start) && !WORDS_AFTER.test(text.slice(end, end + 12))) return undefined;
    return this.#finish(start, end);
  }
}
