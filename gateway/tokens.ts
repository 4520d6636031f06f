/**
 * Estimates tokens (o200k) from the shapes of a text, since real tokenizers are slow and superlinear on hostile text.
 * Weights are a robust least-squares fit on 1,970 texts (prose, code, JSON, Markdown, sixteen languages): median error
 * 4 %, 95th percentile 18 %, most of it in lists of proper names.
 */
const WEIGHTS = {
  /** A word, or the part of one that starts with a capital after a small letter. */
  word: 1.08,
  /** Each letter of a word beyond six. */
  longLetter: 0.038,
  /** Each capital that does not start a part. */
  capital: 0.096,
  /** Up to three digits. */
  digits: 1.432,
  /** A run of punctuation, and each further character of it: one that repeats, a rare one, any other. */
  punctuation: 0.544,
  repeated: 0.05,
  rare: 1.56,
  further: 0.089,
  /** White space with a line feed in it, and other white space that is more than a space. */
  lineFeeds: 1.063,
  spaces: 0.715,
  /** The first letter of a word of another alphabet, and each of its letters. */
  otherWord: 0.464,
  otherLetter: 0.334,
  /** A Chinese, Japanese or Korean character. */
  cjk: 0.678,
  /** A UTF-16 unit of an emoji or another symbol. */
  symbol: 0.997,
};

/** Texts are read in full up to this many characters together; beyond, in even windows. */
const FULL_CHARACTERS = 2048;
const WINDOWS = 16;
const WINDOW_CHARACTERS = 256;

/** A message costs this much more than its text at OpenAI (measured: 3 a message and 3 an answer). */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_ANSWER = 3;

/** Estimated tokens of a text, or of several together; without what messages cost on top. */
export const estimateTokens = (content: string | readonly string[]): number => {
  const texts = typeof content === 'string' ? [content] : content;
  let length = 0;
  for (const text of texts) length += text.length;
  if (length <= FULL_CHARACTERS) {
    let sum = 0;
    for (const text of texts) sum += weigh(text, 0, text.length);
    return Math.round(sum);
  }
  return Math.round(sampled(texts, length));
};

/** Estimated prompt tokens of a conversation. */
export const estimatePromptTokens = (texts: readonly string[], messages: number): number =>
  estimateTokens(texts) + messages * TOKENS_PER_MESSAGE + TOKENS_PER_ANSWER;

/** Weighs windows at even distances of the texts laid end to end, and scales up. */
const sampled = (texts: readonly string[], length: number): number => {
  const step = length / WINDOWS;
  let sum = 0;
  let seen = 0;
  let index = 0;
  let before = 0;
  for (let window = 0; window < WINDOWS; window++) {
    const at = Math.floor(window * step + (step - Math.min(step, WINDOW_CHARACTERS)) / 2);
    while (before + texts[index]!.length <= at) before += texts[index++]!.length;
    const text = texts[index]!;
    const start = at - before;
    const end = Math.min(text.length, start + WINDOW_CHARACTERS);
    sum += weigh(text, start, end);
    seen += end - start;
  }
  return seen === 0 ? 0 : (sum / seen) * length;
};

// Classes of ASCII characters.
const LOWER = 1;
const UPPER = 2;
const DIGIT = 3;
const SPACE = 4;
const PUNCTUATION = 5;
/** Punctuation that seldom joins its neighbour in one token. */
const RARE = 6;
const CLASSES = Uint8Array.from({ length: 128 }, (_, code) => {
  if (code >= 0x61 && code <= 0x7a) return LOWER;
  if (code >= 0x41 && code <= 0x5a) return UPPER;
  if (code >= 0x30 && code <= 0x39) return DIGIT;
  if (code <= 0x20) return SPACE;
  return '|<>~^@#%&$'.includes(String.fromCharCode(code)) ? RARE : PUNCTUATION;
});

const weigh = (text: string, start: number, end: number): number => {
  let sum = 0;
  let at = start;
  while (at < end) {
    const code = text.charCodeAt(at);
    if (code >= 128) {
      sum += weighOther(text, at, code);
      at++;
      continue;
    }
    const from = at;
    switch (CLASSES[code]) {
      case LOWER:
      case UPPER: {
        let parts = 1;
        let capitals = 0;
        let last = 0;
        for (; at < end; at++) {
          const next = text.charCodeAt(at);
          const kind = next < 128 ? CLASSES[next]! : 0;
          if (kind === UPPER) {
            capitals++;
            if (last === LOWER) parts++;
          } else if (kind !== LOWER) break;
          last = kind;
        }
        sum += parts * WEIGHTS.word;
        if (at - from > 6) sum += (at - from - 6) * WEIGHTS.longLetter;
        if (capitals > parts) sum += (capitals - parts) * WEIGHTS.capital;
        break;
      }
      case DIGIT:
        while (at < end && isClass(text, at, DIGIT)) at++;
        sum += Math.ceil((at - from) / 3) * WEIGHTS.digits;
        break;
      case SPACE: {
        let hasLineFeed = false;
        for (; at < end && isClass(text, at, SPACE); at++) if (text.charCodeAt(at) === 10) hasLineFeed = true;
        if (hasLineFeed) sum += WEIGHTS.lineFeeds;
        if (hasLineFeed ? isIndent(text, at, from) : at - from > 1) sum += WEIGHTS.spaces;
        break;
      }
      default:
        sum += WEIGHTS.punctuation;
        for (let before = code; ++at < end; ) {
          const next = text.charCodeAt(at);
          const kind = next < 128 ? CLASSES[next]! : 0;
          if (kind < PUNCTUATION) break;
          if (next === before) sum += WEIGHTS.repeated;
          else sum += kind === RARE || CLASSES[before] === RARE ? WEIGHTS.rare : WEIGHTS.further;
          before = next;
        }
    }
  }
  return sum;
};

const isClass = (text: string, at: number, kind: number): boolean => {
  const code = text.charCodeAt(at);
  return code < 128 && CLASSES[code] === kind;
};

/** Whether the white space that ends at `end` has more than one space after its last line feed. */
const isIndent = (text: string, end: number, from: number): boolean =>
  end - from > 2 && text.charCodeAt(end - 1) !== 10 && text.charCodeAt(end - 2) !== 10;

const weighOther = (text: string, at: number, code: number): number => {
  if (isCjk(code)) return WEIGHTS.cjk;
  if (isSymbol(code)) return WEIGHTS.symbol;
  const before = at > 0 ? text.charCodeAt(at - 1) : 32;
  const isInWord = before >= 128 || CLASSES[before] === LOWER || CLASSES[before] === UPPER;
  return isInWord ? WEIGHTS.otherLetter : WEIGHTS.otherLetter + WEIGHTS.otherWord;
};

const isCjk = (code: number): boolean =>
  (code >= 0x2e80 && code <= 0x9fff) ||
  (code >= 0xac00 && code <= 0xd7af) ||
  (code >= 0xf900 && code <= 0xfaff) ||
  (code >= 0xff00 && code <= 0xffef);

const isSymbol = (code: number): boolean =>
  (code >= 0xd800 && code <= 0xdfff) || code === 0x200d || code === 0xfe0f || (code >= 0x2190 && code <= 0x2bff);
