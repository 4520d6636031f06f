import { KIND, TYPE } from './value-layout.ts';
import type { Memory } from './web-assembly.ts';

const PAGE = 64 * 1024;
/** Room for keys that stay: those of the schema and of the operator, and some that callers choose. */
const KEPT_BYTES = 32 * 1024;
const MAX_KEPT_CHARS = 64;
const MIN_BUCKETS = 8;
const LOAD_FACTOR = 0.7;
const MAX_DEPTH = 32;
/** Whole numbers below it are written once. */
const SMALL = 32;

export interface ValueWriterOptions {
  memory: Memory;
  /** Where the memory is free: behind the data. */
  start: number;
}

/** Writes inputs; see createValueWriter. */
export interface ValueWriter {
  /** Writes what JSON.parse(JSON.stringify(value)) would be, and gives its address. */
  write(value: object): number;
  /** Where the memory is free behind the last value. */
  readonly end: number;
}

interface Key {
  at: number;
  hash: number;
}

/**
 * Writes the input of an evaluation into the module's memory as the values that the module would make of its JSON,
 * without writing JSON and having it parsed. Keys come again in each request: each is written once.
 */
export const createValueWriter = ({ memory, start }: ValueWriterOptions): ValueWriter => {
  const keys = new Map<string, Key>();
  const keptEnd = align(start) + KEPT_BYTES;
  let keptTop = align(start);
  let top = keptEnd;
  let limit = 0;
  let bytes = Buffer.alloc(0);
  let words = new Int32Array(0);

  /** A memory that grew has another buffer. */
  const refresh = (): void => {
    bytes = Buffer.from(memory.buffer);
    words = new Int32Array(memory.buffer, 0, memory.buffer.byteLength >>> 2);
    limit = bytes.length;
  };

  /** Makes room, and gives its address: a multiple of 8. */
  const reserve = (size: number): number => {
    const at = top;
    top = align(at + size);
    if (top > limit) {
      memory.grow(Math.ceil((top - limit) / PAGE));
      refresh();
    }
    return at;
  };

  const put = (at: number, head: number, first: number, second: number, third: number): number => {
    const word = at >> 2;
    words[word] = head;
    words[word + 1] = first;
    words[word + 2] = second;
    words[word + 3] = third;
    return at;
  };

  const writeValue = (value: unknown, depth: number): number => {
    switch (typeof value) {
      case 'string':
        return writeString(value);
      case 'number':
        return (value < SMALL ? small[value] : undefined) ?? writeNumber(value);
      case 'boolean':
        return value ? kept.true : kept.false;
      case 'object':
        if (value === null) break;
        if (depth > MAX_DEPTH) throw new Error(`the input is nested deeper than ${MAX_DEPTH}`);
        return Array.isArray(value) ? writeArray(value, depth + 1) : writeObject(value as Fields, depth + 1);
    }
    return kept.null;
  };

  const writeString = (text: string): number => {
    const at = reserve(12 + text.length * 3);
    const length = writeText(text, at + 12);
    words[at >> 2] = TYPE.string;
    words[(at >> 2) + 1] = length;
    words[(at >> 2) + 2] = at + 12;
    top = align(at + 12 + length);
    return at;
  };

  /** Most texts are short and ASCII: a loop is then cheaper than a call of the encoder. */
  const writeText = (text: string, from: number): number => {
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        if (!text.isWellFormed()) throw new Error('the input holds half a character');
        return bytes.write(text, from);
      }
      bytes[from + index] = code;
    }
    return text.length;
  };

  const writeNumber = (value: number): number => {
    if (!Number.isFinite(value)) return kept.null;
    if (Number.isSafeInteger(value)) {
      const at = reserve(16);
      return put(at, TYPE.number | (KIND.integer << 8), 0, value, Math.floor(value / 0x1_0000_0000));
    }
    const text = writeString(String(value)) >> 2;
    const at = reserve(24);
    words[(at >> 2) + 4] = 0;
    return put(at, TYPE.number | (KIND.text << 8), 0, words[text + 2] as number, words[text + 1] as number);
  };

  const writeArray = (list: readonly unknown[], depth: number): number => {
    const elements = reserve(list.length * 8);
    for (let index = 0; index < list.length; index++) {
      const number = small[index] ?? writeNumber(index);
      const value = writeValue(list[index], depth);
      words[(elements >> 2) + index * 2] = number;
      words[(elements >> 2) + index * 2 + 1] = value;
    }
    return put(reserve(16), TYPE.array, elements, list.length, list.length);
  };

  const writeObject = (fields: Fields, depth: number): number => {
    let length = 0;
    for (const name in fields) if (fields[name] !== undefined) length++;
    let count = MIN_BUCKETS;
    while (length > count * LOAD_FACTOR) count *= 2;
    const buckets = reserve(count * 4);
    for (let word = buckets >> 2; word < (buckets >> 2) + count; word++) words[word] = 0;
    for (const name in fields) {
      const value = fields[name];
      if (value === undefined) continue;
      const key = keys.get(name) ?? writeKey(name);
      const written = writeValue(value, depth);
      const bucket = (buckets >> 2) + (key.hash & (count - 1));
      const entry = reserve(16);
      put(entry, key.at, written, words[bucket] as number, 0);
      words[bucket] = entry;
    }
    return put(reserve(16), TYPE.object, buckets, count, length);
  };

  /** A key is kept as long as there is room; callers choose some, so one that is not kept must do as well. */
  const writeKey = (name: string): Key => {
    const outside = top;
    const kept = name.length <= MAX_KEPT_CHARS && keptTop + 12 + MAX_KEPT_CHARS * 3 <= keptEnd;
    if (kept) top = keptTop;
    const at = writeString(name);
    const key = { at, hash: hashOf(bytes.subarray(at + 12, at + 12 + (words[(at >> 2) + 1] as number))) };
    if (!kept) return key;
    keptTop = top;
    top = outside;
    keys.set(name, key);
    return key;
  };

  /** In the room that stays. */
  const keep = (at: number): number => {
    keptTop = top;
    return at;
  };
  refresh();
  top = keptTop;
  reserve(KEPT_BYTES);
  top = keptTop;
  const kept = {
    null: keep(put(reserve(16), TYPE.null, 0, 0, 0)),
    true: keep(put(reserve(16), TYPE.boolean | (1 << 8), 0, 0, 0)),
    false: keep(put(reserve(16), TYPE.boolean, 0, 0, 0)),
  };
  const small = Array.from({ length: SMALL }, (_, value) => keep(writeNumber(value)));

  return {
    write: (value) => {
      if (bytes.buffer !== memory.buffer) refresh();
      top = keptEnd;
      return writeValue(value, 0);
    },
    get end() {
      return top;
    },
  };
};

type Fields = Readonly<Record<string, unknown>>;

const align = (at: number): number => (at + 7) & ~7;

/** FNV-1, 32 bits. */
const hashOf = (text: Uint8Array): number => {
  let hash = 0x811c_9dc5;
  for (const byte of text) hash = Math.imul(hash, 0x0100_0193) ^ byte;
  return hash;
};
