import type { JsonMember, JsonScan } from './json-scan.ts';
import { KEY, stringAt, tokenAfter } from './json-scan.ts';
import type { Splice } from './protocol.ts';

/** Bytes `start`..`end` of a text. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** The ranges of the elements of the array at `array` of a scanned text. Strings are hopped over by their tokens. */
export const elementRanges = (raw: Buffer, scan: JsonScan, array: Range): Range[] => {
  const ranges: Range[] = [];
  let token = tokenAfter(scan, array.start);
  let depth = 0;
  let start = -1;
  let last = -1;
  let at = array.start + 1;
  while (at < array.end) {
    const byte = raw[at]!;
    if (isSpace(byte)) {
      at++;
      continue;
    }
    const isClose = byte === 0x5d || byte === 0x7d;
    if (depth === 0 && (byte === 0x2c || isClose)) {
      if (start >= 0) ranges.push({ start, end: last });
      start = -1;
      if (isClose) break;
      at++;
      continue;
    }
    if (start < 0) start = at;
    if (byte === 0x22) {
      while (scan.starts[token]! <= at) token++;
      at = scan.ends[token]! + 1;
    } else {
      if (byte === 0x7b || byte === 0x5b) depth++;
      else if (isClose) depth--;
      at++;
    }
    last = at;
  }
  return ranges;
};

/**
 * Splices that take some of a container's members or elements out, with the commas that go. `items` are all of them
 * in order. At least what is between the brackets stays well-formed, even when all go.
 */
export const removals = (items: readonly Range[], isRemoved: (index: number) => boolean): Splice[] => {
  const splices: Splice[] = [];
  let isKeptBefore = false;
  for (let index = 0; index < items.length; index++) {
    const item = items[index]!;
    if (!isRemoved(index)) {
      isKeptBefore = true;
      continue;
    }
    const start = isKeptBefore ? items[index - 1]!.end : item.start;
    const end = isKeptBefore ? item.end : (items[index + 1]?.start ?? item.end);
    splices.push({ start, end, text: '' });
  }
  return splices;
};

/** The top-level members as whole ranges, key included, in order. */
export const memberRanges = (members: ReadonlyMap<string, JsonMember>): Range[] =>
  [...members.values()].map(({ key, end }) => ({ start: key, end }));

/**
 * The tokens of the strings that `wanted` names by holder object and key, found by walking the text and the parsed
 * body side by side. By position, so an equal string elsewhere is not among them. Linear.
 */
export const tokensOf = (
  raw: Buffer,
  scan: JsonScan,
  body: unknown,
  wanted: ReadonlyMap<object, string>,
): Set<number> => {
  const found = new Set<number>();
  // One entry a container that is open: its parsed value, and the key or index that comes next.
  const stack: { value: unknown; key: string; index: number }[] = [];
  let token = 0;
  let pending: unknown = body;
  for (let at = 0; at <= scan.end; ) {
    const byte = raw[at]!;
    const top = stack[stack.length - 1];
    if (byte === 0x22) {
      while (scan.starts[token]! <= at) token++;
      if (scan.flags[token]! & KEY) {
        const key = stringAt(raw, scan, token);
        top!.key = key;
        pending = isObject(top!.value) ? (top!.value as Record<string, unknown>)[key] : undefined;
      } else if (top && isObject(top.value) && wanted.get(top.value) === top.key) found.add(token);
      at = scan.ends[token]! + 1;
      token++;
      continue;
    }
    if (byte === 0x7b || byte === 0x5b) {
      stack.push({ value: pending, key: '', index: 0 });
      if (byte === 0x5b) pending = Array.isArray(pending) ? pending[0] : undefined;
    } else if (byte === 0x7d || byte === 0x5d) stack.pop();
    else if (byte === 0x2c && Array.isArray(top?.value)) {
      top.index++;
      pending = top.value[top.index];
    }
    at++;
  }
  return found;
};

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
