import { DIGIT, isIn, LETTER, runEnd, UNDERSCORE } from './characters.ts';

/** Digits and what stands between them: `4111-1111 1111` has three groups. */
export interface DigitGroups {
  /** Starts and ends of the groups, in turn. */
  readonly bounds: readonly number[];
  /** Digits up to the end of each group, as lengths: the first group's length, the first two groups', … */
  readonly lengths: readonly number[];
  readonly digits: string;
}

const isSeparator = (text: string, at: number): boolean => {
  const character = text.charAt(at);
  return character === ' ' || character === '-';
};

/**
 * The groups of digits from `start` on, joined by single spaces or hyphens, up to `limit` digits. A group that would
 * go over the limit is left out.
 */
export const readDigitGroups = (text: string, start: number, limit: number): DigitGroups => {
  const bounds: number[] = [];
  const lengths: number[] = [];
  let digits = '';
  let at = start;
  for (;;) {
    const end = runEnd(text, at, DIGIT, limit - digits.length + 1);
    if (digits.length + end - at > limit) break;
    digits += text.slice(at, end);
    bounds.push(at, end);
    lengths.push(digits.length);
    if (!isSeparator(text, end) || !isIn(text, end + 1, DIGIT)) break;
    at = end + 1;
  }
  return { bounds, lengths, digits };
};

/**
 * Whether a number may start at `start`: not inside a word or a longer number. `0.4111` and `12,411` are longer
 * numbers, `1-411` as well; after a space anything may start.
 */
export const startsNumber = (text: string, start: number): boolean => {
  if (isIn(text, start - 1, DIGIT | LETTER)) return false;
  const before = text.charAt(start - 1);
  return !((before === '.' || before === ',' || before === '-') && isIn(text, start - 2, DIGIT));
};

/** Whether a number may end at `end`: no letter, digit or further group follows without a space. */
export const endsNumber = (text: string, end: number): boolean => {
  if (isIn(text, end, DIGIT | LETTER | UNDERSCORE)) return false;
  const after = text.charAt(end);
  return !((after === '.' || after === ',' || after === '-') && isIn(text, end + 1, DIGIT));
};
