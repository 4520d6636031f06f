/**
 * The sandbox's tokens: a leading space and up to seven letters, up to three digits, a run of spaces or one other
 * character. Near enough to a real tokenizer for prose (o200k's median word is one token), and exact about itself: what
 * is counted is what is sent piece by piece.
 */
const PIECE = /\s?\p{L}[\p{L}\p{M}]{0,6}|\p{L}[\p{L}\p{M}]{0,6}|\p{N}{1,3}|\s+?(?=\s?[^\s])|\s+|[^\s]/gu;

/** Splits a text into tokens that join to the text again. */
export const splitTokens = (text: string): string[] => text.match(PIECE) ?? [];

/** Number of tokens of a text. */
export const countTokens = (text: string): number => {
  PIECE.lastIndex = 0;
  let count = 0;
  while (PIECE.test(text)) count++;
  return count;
};
