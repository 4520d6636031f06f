const TAIL_MAX = 4;

/**
 * Stars and a tail: the last four characters, or a quarter of a shorter value. Always four stars, which neither tell
 * the length nor cost a token each.
 */
export const maskValue = (value: string): string => {
  let start = value.length - Math.min(TAIL_MAX, Math.floor(value.length / 4));
  if (isLowSurrogate(value.charCodeAt(start))) start++; // half a character is worse than none
  return `****${value.slice(start)}`;
};

const isLowSurrogate = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff;
