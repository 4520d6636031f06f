import { KIND, TYPE } from './value-layout.ts';
import type { Memory } from './web-assembly.ts';

const MAX_DEPTH = 32;
/** What a value counts for beside its text: quotes, commas and colons, or a short number. */
const VALUE_BYTES = 4;
const MAX_SHORT_TEXT = 48;

export interface ValueReaderOptions {
  memory: Memory;
  /** What lies below this address, constants and data, never changes: setting the heap forgets all freed blocks below. */
  constantsEnd: number;
  maxBytes: number;
}

interface Constant {
  value: unknown;
  bytes: number;
}

/**
 * Reads results of an evaluation from the module's memory: what JSON.parse makes of the module's own JSON of them,
 * without writing and parsing that. Constants of the policy and its data are read once and shared: they are frozen.
 *
 * Memory is the module's, so nothing in it is believed: an address outside of it, an unknown type, a depth over 32, or
 * more than about `maxBytes` of JSON is an Error.
 */
export const createValueReader = (options: ValueReaderOptions): ((at: number) => unknown) => {
  const { memory, constantsEnd, maxBytes } = options;
  const constants = new Map<number, Constant>();
  let view = new DataView(memory.buffer);
  let bytes = Buffer.from(memory.buffer);
  let left = 0;

  const spend = (count: number): void => {
    left -= count;
    if (left < 0) throw new Error(`the result is larger than ${maxBytes} bytes`);
  };

  const u32 = (at: number): number => view.getUint32(at, true);

  const read = (at: number, depth: number): unknown => {
    if (at >= constantsEnd) return readFresh(at, depth);
    const known = constants.get(at);
    if (known !== undefined) {
      spend(known.bytes);
      return known.value;
    }
    const before = left;
    const value = deepFreeze(readFresh(at, depth));
    constants.set(at, { value, bytes: before - left });
    return value;
  };

  const readFresh = (at: number, depth: number): unknown => {
    spend(VALUE_BYTES);
    if (depth > MAX_DEPTH) throw new Error(`the result is nested deeper than ${MAX_DEPTH}`);
    switch (view.getUint8(at)) {
      case TYPE.string:
      case TYPE.internedString:
        return readText(u32(at + 8), u32(at + 4));
      case TYPE.object:
        return readObject(u32(at + 4), u32(at + 8), depth + 1);
      case TYPE.array:
        return readArray(u32(at + 4), u32(at + 8), depth + 1);
      case TYPE.number:
        return readNumber(at);
      case TYPE.boolean:
      case TYPE.internedBoolean:
        return view.getUint8(at + 1) !== 0;
      case TYPE.null:
        return null;
      case TYPE.set:
        return readSet(u32(at + 4), u32(at + 8), depth + 1);
      default:
        throw new Error('the result holds a value of an unknown type');
    }
  };

  /** Texts are short, and mostly ASCII: a loop is then cheaper than a call of the decoder. */
  const readText = (at: number, length: number): string => {
    spend(length);
    if (length <= MAX_SHORT_TEXT) {
      let text = '';
      for (let index = at; index < at + length; index++) {
        const code = view.getUint8(index);
        if (code > 0x7f) return bytes.toString('utf8', at, at + length);
        text += String.fromCharCode(code);
      }
      return text;
    }
    if (at + length > bytes.length) throw new RangeError('the result holds a text outside of the memory');
    return bytes.toString('utf8', at, at + length);
  };

  const readNumber = (at: number): number => {
    if (view.getUint8(at + 1) === KIND.integer) return view.getInt32(at + 12, true) * 0x1_0000_0000 + u32(at + 8);
    const number = Number(readText(u32(at + 8), u32(at + 12)));
    if (!Number.isFinite(number)) throw new Error('the result holds a number that is none');
    return number;
  };

  const readArray = (elements: number, length: number, depth: number): unknown[] => {
    const list: unknown[] = [];
    for (let index = 0; index < length; index++) list.push(read(u32(elements + index * 8 + 4), depth));
    return list;
  };

  const readObject = (buckets: number, count: number, depth: number): Record<string, unknown> => {
    const object: Record<string, unknown> = {};
    for (let bucket = buckets; bucket < buckets + count * 4; bucket += 4) {
      for (let element = u32(bucket); element !== 0; element = u32(element + 8)) {
        const key = read(u32(element), depth);
        if (typeof key !== 'string' || key === '__proto__')
          throw new Error('the result has a key that no decision has');
        object[key] = read(u32(element + 4), depth);
      }
    }
    return object;
  };

  const readSet = (buckets: number, count: number, depth: number): unknown[] => {
    const list: unknown[] = [];
    for (let bucket = buckets; bucket < buckets + count * 4; bucket += 4) {
      for (let element = u32(bucket); element !== 0; element = u32(element + 4)) list.push(read(u32(element), depth));
    }
    return list;
  };

  return (at) => {
    if (view.buffer !== memory.buffer) {
      view = new DataView(memory.buffer); // A memory that grew has another buffer.
      bytes = Buffer.from(memory.buffer);
    }
    left = maxBytes;
    return read(at, 0);
  };
};

/** What is below is frozen already: it was a constant before. */
const deepFreeze = (value: unknown): unknown => (typeof value === 'object' ? Object.freeze(value) : value);
