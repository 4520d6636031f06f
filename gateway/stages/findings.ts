import { isTextType, parseDataUrl, textOfBase64 } from '../protocol/data-url.ts';
import { ESCAPED, type JsonScan, KEY, NUMBER, scanJson, stringAt, tokenAfter } from '../protocol/json-scan.ts';
import type { Splice } from '../protocol/protocol.ts';
import { splice } from '../protocol/splice.ts';
import type { Detector, Finding } from '../redact/redactor.ts';

/** What was found in a JSON text, token by token. */
export interface Findings {
  readonly raw: Buffer;
  readonly scan: JsonScan;
  /** Tokens with findings, in the order of the text. Empty when there are none. */
  readonly tokens: readonly TokenFindings[];
}

/** What was found in one string or long number. */
export interface TokenFindings {
  /** Index into `scan`. */
  readonly token: number;
  /** The decoded text that `findings` refer to. */
  readonly text: string;
  /** What stands before the base64 of a text in a data URL, such as `data:text/plain;base64,`; '' for any other. */
  readonly dataUrl: string;
  readonly findings: readonly Finding[];
  /**
   * For a string that holds JSON, such as the arguments of a tool call: what was found inside; then `findings` is
   * empty.
   */
  readonly nested: Findings | null;
}

/** JSON in a string in JSON …: deeper than this it is looked at as text. */
const NESTING = 4;

/** No value of any entity is shorter (`a@b.co`). */
const SHORTEST_VALUE = 6;
/** A credential has at least so many letters, digits, `-` or `_` in a row; any other value a digit, an @ or a colon. */
const SHORTEST_KEY = 16;
/** Longer tokens are given to the detector at once: its own native search is faster than a look at each byte. */
const LONGEST_LOOK = 512;

/** A key this long at most, before a value this long at most, is shown with it: `phone` says what a number is. */
const KEY_CHARACTERS = 32;
const VALUE_CHARACTERS = 64;
/** Keys that say nothing of their value, though their word might. */
const PLAIN_KEYS = new Set(['text', 'content', 'input', 'arguments', 'value', 'name', 'model', 'id']);

/** Above this many strings a byte is one look at the whole body cheaper than one a string. */
const BYTES_A_CALL = 600;

/**
 * Looks at every string of a JSON text, keys and long integers included, but for the tokens in `opaque`. Strings that
 * hold JSON are looked at inside, so that no escape hides a value, and so are texts in data URLs.
 */
export const inspect = (
  raw: Buffer,
  scan: JsonScan,
  detector: Detector,
  opaque: ReadonlySet<number> = NONE,
  depth = 0,
): Findings => {
  const tokens: TokenFindings[] = [];
  const suspects = mayGate(raw, scan) ? suspectsOf(raw, scan, detector) : null;
  let key = -1;
  for (let token = 0; token < scan.count; token++) {
    const flags = scan.flags[token]!;
    const isKey = (flags & KEY) !== 0;
    if (isKey) key = token;
    if (suspects && (flags & ESCAPED) === 0 && !suspects.has(token) && !mayBeDataUrl(raw, scan.starts[token]!))
      continue;
    if (opaque.has(token) || !mayHold(raw, scan.starts[token]!, scan.ends[token]!)) continue;
    const found = inspectToken(raw, scan, token, isKey ? -1 : key, detector, depth);
    if (found) tokens.push(found);
  }
  return { raw, scan, tokens };
};

const NONE: ReadonlySet<number> = new Set();

const mayGate = (raw: Buffer, scan: JsonScan): boolean => {
  let plain = 0;
  for (let token = 0; token < scan.count; token++) {
    if ((scan.flags[token]! & ESCAPED) === 0 && scan.ends[token]! - scan.starts[token]! >= SHORTEST_VALUE) plain++;
  }
  return plain * BYTES_A_CALL > raw.length;
};

/**
 * The plain tokens that may hold a value. What is in a string without escapes stands in the body as it is, between
 * quotes that are part of no value: so a look at the whole body finds at least what a look at each string does.
 */
const suspectsOf = (raw: Buffer, scan: JsonScan, detector: Detector): ReadonlySet<number> => {
  const text = raw.toString('utf8');
  const found = detector.detect(text);
  if (found.length === 0) return NONE;
  const suspects = new Set<number>();
  const isAscii = text.length === raw.length;
  let units = 0;
  let bytes = 0;
  const offsetOf = (unit: number): number => {
    if (isAscii) return unit;
    bytes += Buffer.byteLength(text.slice(units, unit));
    units = unit;
    return bytes;
  };
  for (const { start, end } of found) {
    // From the token in which the finding starts.
    let token = Math.max(0, tokenAfter(scan, offsetOf(start) + 1) - 1);
    for (const stop = offsetOf(end); token < scan.count && scan.starts[token]! < stop; token++) suspects.add(token);
  }
  return suspects;
};

/** Told from its first bytes: `dat`. */
const mayBeDataUrl = (raw: Buffer, start: number): boolean =>
  raw[start] === 0x64 && raw[start + 1] === 0x61 && raw[start + 2] === 0x74;

/** Whether a token can hold a value at all, told from its bytes. Escapes of code points and what is not ASCII can. */
const mayHold = (raw: Buffer, start: number, end: number): boolean => {
  const length = end - start;
  if (length < SHORTEST_VALUE) return false;
  if (length > LONGEST_LOOK) return true;
  let run = 0;
  for (let at = start; at < end; at++) {
    const byte = raw[at]!;
    // Digits and colon, @.
    if ((byte >= 0x30 && byte <= 0x3a) || byte === 0x40 || byte >= 0x80) return true;
    const lower = byte | 0x20;
    if ((lower >= 0x61 && lower <= 0x7a) || byte === 0x2d || byte === 0x5f) {
      if (++run === SHORTEST_KEY) return true;
    } else if (byte === 0x5c) {
      if (raw[at + 1] === 0x75) return true;
      run = 0;
    } else run = 0;
  }
  return false;
};

const inspectToken = (
  raw: Buffer,
  scan: JsonScan,
  token: number,
  key: number,
  detector: Detector,
  depth: number,
): TokenFindings | undefined => {
  const string = stringAt(raw, scan, token);
  const [dataUrl, text] = textIn(string);
  // In base64 any character may be an escape.
  if (depth < NESTING && (dataUrl !== '' || scan.flags[token]! & ESCAPED) && holdsJson(text)) {
    const nested = inspectNested(text, detector, depth + 1);
    if (nested) return nested.tokens.length === 0 ? undefined : { token, text, dataUrl, findings: [], nested };
  }
  let findings = key < 0 ? detector.detect(text) : detectAfterKey(raw, scan, key, text, detector);
  // A number is replaced as a whole, so only a finding of the whole counts.
  if (scan.flags[token]! & NUMBER) findings = findings.filter(({ start, end }) => end - start >= text.length - 1);
  return findings.length === 0 ? undefined : { token, text, dataUrl, findings, nested: null };
};

/** A string's text, and of one in a data URL what stands before it. */
const textIn = (string: string): readonly [dataUrl: string, text: string] => {
  const data = parseDataUrl(string);
  const text = data && isTextType(data.mediaType) ? textOfBase64(data.base64) : undefined;
  return text === undefined ? ['', string] : [string.slice(0, -data!.base64.length), text];
};

/** Whether a text looks like JSON with something inside. */
const holdsJson = (text: string): boolean => {
  let at = 0;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  const code = text.charCodeAt(at);
  return code === 0x7b || code === 0x5b || code === 0x22;
};

const inspectNested = (text: string, detector: Detector, depth: number): Findings | undefined => {
  const raw = Buffer.from(text);
  let scan: JsonScan;
  try {
    scan = scanJson(raw, { top: 'any', anyKeys: true });
  } catch {
    return undefined; // Not JSON: it is looked at as text.
  }
  return inspect(raw, scan, detector, NONE, depth);
};

/**
 * Findings in a value; where it has none by itself, with the name of its member before it as context. A name only adds
 * findings: `version` before an address must not hide it.
 */
const detectAfterKey = (raw: Buffer, scan: JsonScan, key: number, text: string, detector: Detector): Finding[] => {
  const alone = detector.detect(text);
  const length = scan.ends[key]! - scan.starts[key]!;
  if (alone.length > 0 || length > KEY_CHARACTERS || text.length > VALUE_CHARACTERS) return alone;
  const name = stringAt(raw, scan, key);
  if (PLAIN_KEYS.has(name)) return alone;
  const prefix = `${name}: `;
  // One that starts in the name is of both together, which do not stand together.
  return detector
    .detect(prefix + text)
    .filter(({ start }) => start >= prefix.length)
    .map((finding) => ({ ...finding, start: finding.start - prefix.length, end: finding.end - prefix.length }));
};

/**
 * The splices that replace each found value by what `replace` gives. A string is written anew with its quotes; a
 * number becomes a string; JSON in a string stays JSON. A token in which nothing changes keeps its bytes.
 */
export const replacements = (findings: Findings, replace: (value: string, finding: Finding) => string): Splice[] => {
  const splices: Splice[] = [];
  for (const found of findings.tokens) {
    const text = replaced(found, replace);
    if (text === found.text) continue;
    const quotes = findings.scan.flags[found.token]! & NUMBER ? 0 : 1;
    splices.push({
      start: findings.scan.starts[found.token]! - quotes,
      end: findings.scan.ends[found.token]! + quotes,
      text: JSON.stringify(found.dataUrl === '' ? text : found.dataUrl + Buffer.from(text).toString('base64')),
    });
  }
  return splices;
};

const replaced = (found: TokenFindings, replace: (value: string, finding: Finding) => string): string => {
  if (found.nested) return splice(found.nested.raw, replacements(found.nested, replace)).toString('utf8');
  let text = '';
  let from = 0;
  for (const finding of found.findings) {
    text += found.text.slice(from, finding.start) + replace(found.text.slice(finding.start, finding.end), finding);
    from = finding.end;
  }
  return text + found.text.slice(from);
};

/** All findings, those inside JSON in strings included. */
export const allFindings = function* (findings: Findings): Generator<Finding> {
  for (const found of findings.tokens) {
    if (found.nested) yield* allFindings(found.nested);
    else yield* found.findings;
  }
};
