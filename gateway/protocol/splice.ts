import type { Splice } from './protocol.ts';

/**
 * A copy of `raw` with byte ranges replaced, everything else byte for byte. A splice that lies inside a wider one is
 * dropped: what is removed or replaced as a whole needs no change within. Throws RangeError for ranges that cross,
 * are equal, or lie outside: two stages that edit the same field are a bug.
 */
export const splice = (raw: Buffer, splices: readonly Splice[]): Buffer => {
  if (splices.length === 0) return raw;
  const kept = ordered(raw.length, splices);
  let size = raw.length;
  for (const { start, end, text } of kept) size += Buffer.byteLength(text) - (end - start);
  const out = Buffer.allocUnsafe(size);
  let from = 0;
  let to = 0;
  for (const { start, end, text } of kept) {
    to += raw.copy(out, to, from, start);
    to += out.write(text, to);
    from = end;
  }
  raw.copy(out, to, from);
  return out;
};

/** By position, without those inside another. */
const ordered = (length: number, splices: readonly Splice[]): Splice[] => {
  const sorted = splices.length === 1 ? splices : splices.toSorted((a, b) => a.start - b.start || b.end - a.end);
  const kept: Splice[] = [];
  let last: Splice | undefined;
  for (const next of sorted) {
    if (next.start < 0 || next.end < next.start || next.end > length) throw new RangeError('a splice lies outside');
    if (last && next.start < last.end) {
      if (next.end > last.end || (next.start === last.start && next.end === last.end)) {
        throw new RangeError('splices overlap');
      }
      continue;
    }
    kept.push(next);
    last = next;
  }
  return kept;
};
