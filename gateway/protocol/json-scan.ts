import { GatewayError } from '../errors.ts';

/**
 * What one pass over a JSON text found. Positions are byte offsets into the text. Strings are kept as parallel arrays
 * because a body has thousands and an object each would cost more than the scan.
 */
export interface JsonScan {
  /** Number of tokens: strings, keys included, and long integers, in the order of the text. */
  readonly count: number;
  /** First byte after the opening quote; of a number, its first byte. */
  readonly starts: Int32Array;
  /** The closing quote; of a number, the byte after it. */
  readonly ends: Int32Array;
  /** Bit 1: has escapes. Bit 2: is a key. Bit 4: is an integer of LONG_INTEGER digits or more, not a string. */
  readonly flags: Uint8Array;
  /** Members of the top-level object: the value's byte range, and the key's first quote. Empty for another value. */
  readonly members: ReadonlyMap<string, JsonMember>;
  /** The last byte of the top-level value: the closing brace of an object. */
  readonly end: number;
}

export interface JsonMember {
  readonly key: number;
  readonly start: number;
  readonly end: number;
}

export const ESCAPED = 1;
export const KEY = 2;
export const NUMBER = 4;

/** Integers from this many digits are kept as tokens: a card, phone or account number need not be quoted. */
export const LONG_INTEGER = 9;

/** Deepest nesting that is ever accepted: what walks a body afterwards may recurse. */
export const MAX_DEPTH = 64;

/** More members than this in a top-level object is no call of any dialect. It bounds what `members` can take. */
const MAX_MEMBERS = 1024;

export interface ScanOptions {
  /** Deepest nesting of arrays and objects, at most MAX_DEPTH. */
  readonly maxDepth?: number;
  /** What the text may be: an object, as a body is, or any value, as JSON held in a string may be. */
  readonly top?: 'object' | 'any';
  /** Lets repeated keys and `__proto__` pass: for JSON in a string, of which only the strings are read. */
  readonly anyKeys?: boolean;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

// What may come next.
const VALUE = 0;
const VALUE_OR_CLOSE = 1;
const KEY_NEXT = 2;
const KEY_OR_CLOSE = 3;
const AFTER_VALUE = 4;

/** Up to this many keys an object's keys are compared one by one; beyond, by a set. */
const LINEAR_KEYS = 16;

/** Scratch is kept between calls up to this many tokens, so that one large body does not stay in memory. */
const KEPT_TOKENS = 1 << 16;

let scratchStarts = new Int32Array(2048);
let scratchEnds = new Int32Array(2048);
let scratchFlags = new Uint8Array(2048);
const containers = new Uint8Array(MAX_DEPTH + 1);
const keyBases = new Int32Array(MAX_DEPTH + 1);
const keySets: (Set<string> | undefined)[] = new Array(MAX_DEPTH + 1).fill(undefined);
let keyTokens = new Int32Array(1024);
let keyHashes = new Int32Array(1024);

/**
 * Scans a JSON text in one pass, linear whatever the text. `raw` must be valid UTF-8 (the caller checks: it is one
 * native call). Strict as RFC 8259, and stricter where two readers could see two requests.
 * Throws GatewayError: invalid_json, duplicate_key, forbidden_key, too_deep, invalid_unicode, invalid_number,
 * input_too_large.
 */
export const scanJson = (raw: Buffer, options: ScanOptions = {}): JsonScan => {
  const maxDepth = Math.min(options.maxDepth ?? MAX_DEPTH, MAX_DEPTH);
  const length = raw.length;
  let starts = scratchStarts;
  let ends = scratchEnds;
  let flags = scratchFlags;
  let capacity = starts.length;
  let count = 0;
  let depth = 0;
  let keyTop = 0;
  let expect = VALUE;
  let end = -1;
  const members = new Map<string, JsonMember>();
  let memberName = '';
  let memberKey = 0;
  let memberStart = 0;
  let at = 0;

  if (length > 0 && raw[0] === 0xef) throw invalid(0, 'a byte order mark is not allowed');

  while (at < length) {
    const byte = raw[at]!;
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at++;
      continue;
    }
    if (depth === 0 && end >= 0) throw invalid(at, 'text after the end of the value');

    if (byte === QUOTE) {
      if (expect === AFTER_VALUE) throw invalid(at, "expected ',' or the end of the value");
      const start = at + 1;
      const isKey = expect === KEY_NEXT || expect === KEY_OR_CLOSE;
      if (!isKey && depth === 0 && options.top !== 'any') throw notAnObject(at);
      const close = stringEnd(raw, start);
      const isEscaped = lastStringEscaped;
      if (count === capacity) {
        growTokens();
        starts = scratchStarts;
        ends = scratchEnds;
        flags = scratchFlags;
        capacity = starts.length;
      }
      starts[count] = start;
      ends[count] = close;
      flags[count] = (isEscaped ? ESCAPED : 0) | (isKey ? KEY : 0);
      at = close + 1;
      if (isKey) {
        if (options.anyKeys !== true) keyTop = addKey(raw, starts, ends, count, isEscaped, depth, keyTop);
        if (depth === 1) {
          memberName = isEscaped ? decode(raw, start, close) : raw.toString('utf8', start, close);
          memberKey = start - 1;
        }
        while (at < length && isSpace(raw[at]!)) at++;
        if (raw[at] !== COLON) throw invalid(at, "expected ':' after a key");
        at++;
        if (depth === 1) {
          while (at < length && isSpace(raw[at]!)) at++;
          memberStart = at;
        }
        expect = VALUE;
      } else expect = AFTER_VALUE;
      count++;
    } else if (byte === COMMA) {
      if (expect !== AFTER_VALUE || depth === 0) throw invalid(at, "unexpected ','");
      expect = containers[depth] === OPEN_OBJECT ? KEY_NEXT : VALUE;
      at++;
      continue;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (expect !== VALUE && expect !== VALUE_OR_CLOSE) throw invalid(at, 'unexpected bracket');
      if (depth === 0 && byte === OPEN_ARRAY && options.top !== 'any') throw notAnObject(at);
      if (depth === maxDepth) throw new GatewayError('too_deep', `The JSON is nested deeper than ${maxDepth} levels.`);
      depth++;
      containers[depth] = byte;
      keyBases[depth] = keyTop;
      // A scan that threw may have left one.
      keySets[depth] = undefined;
      expect = byte === OPEN_OBJECT ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
      at++;
      continue;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      const isObject = byte === CLOSE_OBJECT;
      const mayClose = expect === AFTER_VALUE || expect === (isObject ? KEY_OR_CLOSE : VALUE_OR_CLOSE);
      if (depth === 0 || !mayClose || containers[depth] !== (isObject ? OPEN_OBJECT : OPEN_ARRAY)) {
        throw invalid(at, 'unexpected closing bracket');
      }
      keyTop = keyBases[depth]!;
      depth--;
      at++;
      expect = AFTER_VALUE;
    } else {
      if (expect !== VALUE && expect !== VALUE_OR_CLOSE) throw invalid(at, 'unexpected character');
      if (depth === 0 && options.top !== 'any') throw notAnObject(at);
      const start = at;
      at = byte === 0x2d || (byte >= 0x30 && byte <= 0x39) ? numberEnd(raw, at) : literalEnd(raw, at);
      if (lastIntegerDigits >= LONG_INTEGER) {
        lastIntegerDigits = 0;
        if (count === capacity) {
          growTokens();
          starts = scratchStarts;
          ends = scratchEnds;
          flags = scratchFlags;
          capacity = starts.length;
        }
        starts[count] = start;
        ends[count] = at;
        flags[count] = NUMBER;
        count++;
      }
      expect = AFTER_VALUE;
    }

    // A value ends here, or a key with its colon.
    if (expect === AFTER_VALUE) {
      if (depth === 0) end = at - 1;
      else if (depth === 1 && containers[1] === OPEN_OBJECT) {
        if (members.size === MAX_MEMBERS) {
          throw new GatewayError('input_too_large', `The body has more than ${MAX_MEMBERS} members.`);
        }
        members.set(memberName, { key: memberKey, start: memberStart, end: at });
      }
    }
  }
  if (end < 0) throw invalid(length, length === 0 ? 'the body is empty' : 'the text ends before the value does');

  const scan = {
    count,
    starts: starts.slice(0, count),
    ends: ends.slice(0, count),
    flags: flags.slice(0, count),
    members,
    end,
  };
  releaseScratch();
  return scan;
};

/** The text of token `index`: of a string decoded, of a number its digits. */
export const stringAt = (raw: Buffer, scan: JsonScan, index: number): string => {
  const start = scan.starts[index]!;
  const end = scan.ends[index]!;
  return scan.flags[index]! & ESCAPED ? decode(raw, start, end) : raw.toString('utf8', start, end);
};

/**
 * The first token whose start is not before `offset`, by bisection.
 */
export const tokenAfter = (scan: JsonScan, offset: number): number => {
  let low = 0;
  let high = scan.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (scan.starts[middle]! < offset) low = middle + 1;
    else high = middle;
  }
  return low;
};

const decode = (raw: Buffer, start: number, end: number): string =>
  JSON.parse(raw.toString('utf8', start - 1, end + 1)) as string;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

const invalid = (offset: number, what: string): GatewayError =>
  new GatewayError('invalid_json', `The body is not valid JSON: ${what} at byte ${offset}.`);

const notAnObject = (offset: number): GatewayError => invalid(offset, 'expected an object');

const growTokens = (): void => {
  const size = scratchStarts.length * 2;
  const grow = <T extends Int32Array | Uint8Array>(from: T, to: T): T => {
    to.set(from);
    return to;
  };
  scratchStarts = grow(scratchStarts, new Int32Array(size));
  scratchEnds = grow(scratchEnds, new Int32Array(size));
  scratchFlags = grow(scratchFlags, new Uint8Array(size));
};

/** Lets go of what a large body made large. */
const releaseScratch = (): void => {
  if (words.byteLength > KEPT_TOKENS) {
    wordsOf = undefined;
    words = NO_WORDS;
  }
  if (scratchStarts.length <= KEPT_TOKENS) return;
  scratchStarts = new Int32Array(2048);
  scratchEnds = new Int32Array(2048);
  scratchFlags = new Uint8Array(2048);
};

/**
 * Adds a key to its object, which starts at `keyBases[depth]` of the key stack. Keys are compared decoded, so that an
 * escape does not hide a second `model`. Hashes only save comparisons: equal ones are compared in full.
 */
const addKey = (
  raw: Buffer,
  starts: Int32Array,
  ends: Int32Array,
  token: number,
  isEscaped: boolean,
  depth: number,
  keyTop: number,
): number => {
  const start = starts[token]!;
  const end = ends[token]!;
  const text = isEscaped ? decode(raw, start, end) : undefined;
  const bytes = text === undefined ? raw : Buffer.from(text);
  const hash = text === undefined ? hashOf(raw, start, end) : hashOf(bytes, 0, bytes.length);
  if (hash === PROTO_HASH && (text ?? raw.toString('utf8', start, end)) === '__proto__') {
    throw new GatewayError('forbidden_key', 'The key "__proto__" is not allowed.');
  }
  const base = keyBases[depth]!;
  const known = keyTop - base;
  if (known < LINEAR_KEYS) {
    for (let other = base; other < keyTop; other++) {
      if (keyHashes[other] === hash) {
        const key = text ?? raw.toString('utf8', start, end);
        if (keyText(raw, starts, ends, keyTokens[other]!) === key) throw duplicate(key);
      }
    }
    if (keyTop === keyTokens.length) growKeys();
    // The sign bit of the stored token says that the key has escapes.
    keyTokens[keyTop] = isEscaped ? ~token : token;
    keyHashes[keyTop] = hash;
    return keyTop + 1;
  }
  let set = keySets[depth];
  if (set === undefined) {
    set = new Set();
    for (let other = base; other < keyTop; other++) set.add(keyText(raw, starts, ends, keyTokens[other]!));
    keySets[depth] = set;
  }
  const key = text ?? raw.toString('utf8', start, end);
  if (set.has(key)) throw duplicate(key);
  set.add(key);
  return keyTop;
};

const keyText = (raw: Buffer, starts: Int32Array, ends: Int32Array, stored: number): string =>
  stored < 0 ? decode(raw, starts[~stored]!, ends[~stored]!) : raw.toString('utf8', starts[stored]!, ends[stored]!);

const growKeys = (): void => {
  const tokens = new Int32Array(keyTokens.length * 2);
  tokens.set(keyTokens);
  keyTokens = tokens;
  const hashes = new Int32Array(keyHashes.length * 2);
  hashes.set(keyHashes);
  keyHashes = hashes;
};

const duplicate = (key: string): GatewayError => {
  const name = key.length > 64 ? `${key.slice(0, 64)}…` : key;
  return new GatewayError('duplicate_key', `The key ${JSON.stringify(name)} appears twice in one object.`);
};

/** Length, first and last bytes: enough to tell most keys of an object apart. */
const hashOf = (bytes: Uint8Array, start: number, end: number): number => {
  let hash = end - start;
  const stop = end - start > 16 ? start + 16 : end;
  for (let at = start; at < stop; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  return hash;
};

const PROTO_HASH = hashOf(Buffer.from('__proto__'), 0, 9);

/** Set by stringEnd: whether the string it walked has escapes. */
let lastStringEscaped = false;

// Views for reading four bytes at once; aligned by the absolute offset in the ArrayBuffer.
let wordsOf: ArrayBufferLike | undefined;
const NO_WORDS = new Int32Array(0);
let words: Int32Array = NO_WORDS;

/** Strings longer than this are walked by words. */
const SHORT_STRING = 24;

/** The offset of the closing quote of the string whose first byte is `start`. */
const stringEnd = (raw: Buffer, start: number): number => {
  const length = raw.length;
  let at = start;
  let stop = start + SHORT_STRING;
  lastStringEscaped = false;
  for (;;) {
    let byte = 0;
    if (stop > length) stop = length;
    while (at < stop) {
      byte = raw[at]!;
      if (byte === QUOTE || byte === BACKSLASH || byte < 0x20) break;
      at++;
    }
    if (at === stop) {
      if (at === length) throw invalid(at, 'a string is not closed');
      at = plainEnd(raw, at);
      stop = at + SHORT_STRING;
      continue;
    }
    if (byte === QUOTE) return at;
    if (byte < 0x20) throw invalid(at, 'an unescaped control character in a string');
    lastStringEscaped = true;
    at = escapeEnd(raw, at);
    if (at >= stop) stop = at + SHORT_STRING;
  }
};

/**
 * Walks four bytes at a time to the first word that may hold a quote, a backslash or a control character. A quarter of
 * the time of a walk by bytes; native `indexOf` would be faster still but sees no control characters.
 */
const plainEnd = (raw: Buffer, start: number): number => {
  const length = raw.length;
  const base = raw.byteOffset;
  let at = start;
  while (at < length && (base + at) % 4 !== 0) {
    const byte = raw[at]!;
    if (byte === QUOTE || byte === BACKSLASH || byte < 0x20) return at;
    at++;
  }
  if (wordsOf !== raw.buffer) {
    wordsOf = raw.buffer;
    words = new Int32Array(raw.buffer, 0, raw.buffer.byteLength >> 2);
  }
  const view = words;
  let word = (base + at) >> 2;
  const last = (base + length) >> 2;
  while (word < last) {
    const x = view[word]!;
    const quotes = (x ^ 0x22222222) - 0x01010101;
    const backslashes = (x ^ 0x5c5c5c5c) - 0x01010101;
    if (((x - 0x20202020) | quotes | backslashes) & ~x & 0x80808080) break;
    word++;
  }
  return word * 4 - base > at ? word * 4 - base : at;
};

/** The offset after the escape at `at`. A surrogate must be one of a pair of escapes: raw UTF-8 has none. */
const escapeEnd = (raw: Buffer, at: number): number => {
  const byte = raw[at + 1];
  if (byte === 0x75) {
    const unit = hex4(raw, at + 2);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    if (unit < 0xdc00 && raw[at + 6] === BACKSLASH && raw[at + 7] === 0x75) {
      const low = hex4(raw, at + 8);
      if (low >= 0xdc00 && low <= 0xdfff) return at + 12;
    }
    throw new GatewayError('invalid_unicode', `A lone surrogate is not a character, at byte ${at}.`);
  }
  switch (byte) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // '/'
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2;
    default:
      throw invalid(at, 'an unknown escape');
  }
};

const hex4 = (raw: Buffer, at: number): number => {
  let unit = 0;
  for (let offset = at; offset < at + 4; offset++) {
    const byte = raw[offset] ?? 0;
    const lower = byte | 0x20;
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
    if (digit < 0) throw invalid(offset, 'an escape needs four hexadecimal digits');
    unit = unit * 16 + digit;
  }
  return unit;
};

/** Set by numberEnd: digits of the number if it is an integer, else 0. */
let lastIntegerDigits = 0;

const digitsEnd = (raw: Buffer, start: number): number => {
  let at = start;
  let byte = raw[at] ?? 0;
  while (byte >= 0x30 && byte <= 0x39) byte = raw[++at] ?? 0;
  if (at === start) throw invalid(at, 'expected a digit');
  return at;
};

const numberEnd = (raw: Buffer, start: number): number => {
  const first = raw[start] === 0x2d ? start + 1 : start;
  let at = digitsEnd(raw, first);
  if (raw[first] === 0x30 && at - first > 1) throw invalid(first, 'a number starts with 0');
  const digits = at - first;
  let isInteger = true;
  if (raw[at] === 0x2e) {
    isInteger = false;
    at = digitsEnd(raw, at + 1);
  }
  const byte = raw[at] ?? 0;
  if ((byte | 0x20) === 0x65) {
    isInteger = false;
    const sign = raw[at + 1];
    at = digitsEnd(raw, sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    if (!Number.isFinite(Number(raw.toString('latin1', start, at)))) throw overflow(start);
  } else if (digits > 308 && !Number.isFinite(Number(raw.toString('latin1', start, at)))) throw overflow(start);
  lastIntegerDigits = isInteger ? digits : 0;
  return at;
};

const overflow = (offset: number): GatewayError =>
  new GatewayError('invalid_number', `A number is too large to be represented, at byte ${offset}.`);

const LITERALS = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')] as const;

const literalEnd = (raw: Buffer, start: number): number => {
  const first = raw[start]!;
  for (const literal of LITERALS) {
    if (literal[0] !== first) continue;
    for (let offset = 1; offset < literal.length; offset++) {
      if (raw[start + offset] !== literal[offset]) throw invalid(start + offset, 'an unknown word');
    }
    return start + literal.length;
  }
  throw invalid(start, 'an unexpected character');
};
