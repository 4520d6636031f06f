/** Classes of ASCII characters, as bits. A character above U+007F has none. */
export const DIGIT = 1;
export const LETTER = 2;
export const UNDERSCORE = 4;
export const HYPHEN = 8;
export const DOT = 16;
/** `0`-`9`, `a`-`f`, `A`-`F`. */
export const HEX = 32;
/** What base64 has beyond letters and digits: `+`, `/`, `=`. */
export const BASE64 = 64;

const classes = new Uint8Array(128);
const add = (characters: string, bit: number): void => {
  for (const character of characters) classes[character.charCodeAt(0)]! |= bit;
};
add('0123456789', DIGIT | HEX);
add('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', LETTER);
add('abcdefABCDEF', HEX);
add('_', UNDERSCORE);
add('-', HYPHEN);
add('.', DOT);
add('+/=', BASE64);

/** Whether the character at `index` is in one of the classes of `mask`. False outside the text. */
export const isIn = (text: string, index: number, mask: number): boolean => {
  const code = text.charCodeAt(index); // NaN outside the text: every comparison with it is false
  return code < 128 && (classes[code]! & mask) !== 0;
};

/** The end of the run of `mask` characters that starts at `from`, at most `limit` long. */
export const runEnd = (text: string, from: number, mask: number, limit = Number.POSITIVE_INFINITY): number => {
  const stop = Math.min(text.length, from + limit);
  let at = from;
  while (at < stop && isIn(text, at, mask)) at++;
  return at;
};
