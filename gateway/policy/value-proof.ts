import { isDeepStrictEqual } from 'node:util';
import { KIND, TYPE } from './value-layout.ts';
import type { Memory } from './web-assembly.ts';

export interface LayoutProof {
  memory: Memory;
  /** Writes a value as an evaluation's input is written, and gives its address. */
  write(value: object): number;
  /** Has the module make the value of its JSON behind it, and gives the address. */
  parse(json: string): number;
  /** The module's own JSON of a value. */
  dump(at: number): string;
}

/**
 * Proves that a module reads the values that the gateway writes: for one value with everything that an input can hold,
 * what is written and what the module makes of the same JSON lie alike, bucket by bucket. Throws if they do not.
 */
export const proveLayout = ({ memory, write, parse, dump }: LayoutProof): void => {
  const written = write(PROBE);
  const parsed = parse(JSON.stringify(PROBE));
  const lie = (at: number): unknown => layoutOf(new DataView(memory.buffer), at);
  if (isDeepStrictEqual(lie(written), lie(parsed)) && isDeepStrictEqual(JSON.parse(dump(written)), PROBE)) return;
  throw new Error('policy.wasm: values are not laid out as expected');
};

const fields = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`field_${index * 7919}`, index]));

/** Objects up to the sizes at which they get more buckets, texts of one to four bytes a character, numbers of each kind. */
const PROBE = {
  '': '',
  'clé €': 'naïve € 𝄞',
  long: 'x'.repeat(300),
  numbers: [
    0,
    1,
    -1,
    31,
    32,
    4294967296,
    -4294967297,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    0.42,
    -1e-9,
    1e21,
  ],
  truth: [true, false, null],
  nested: [[], [[]], {}, { a: { b: { c: [{ d: null }] } } }],
  objects: [5, 6, 7, 11, 12, 13, 22, 23, 44, 45, 46, 100].map(fields),
};

/** Where everything of a value lies, relative to it: the same of two values of which each can stand for the other. */
const layoutOf = (view: DataView, at: number): unknown => {
  const u32 = (address: number): number => view.getUint32(address, true);
  const textAt = (address: number, length: number): string =>
    Buffer.from(view.buffer, address, length).toString('utf8');
  const type = view.getUint8(at);
  switch (type) {
    case TYPE.null:
      return null;
    case TYPE.boolean:
    case TYPE.internedBoolean:
      return view.getUint8(at + 1) === 1;
    case TYPE.number:
      if (view.getUint8(at + 1) === KIND.integer) return Number(view.getBigInt64(at + 8, true));
      return Number(textAt(u32(at + 8), u32(at + 12)));
    case TYPE.string:
    case TYPE.internedString:
      return textAt(u32(at + 8), u32(at + 4));
    case TYPE.array:
      return Array.from({ length: u32(at + 8) }, (_, index) => {
        const element = u32(at + 4) + index * 8;
        return [layoutOf(view, u32(element)), layoutOf(view, u32(element + 4))];
      });
    case TYPE.object:
      return Array.from({ length: u32(at + 8) }, (_, index) => chainOf(view, u32(u32(at + 4) + index * 4)));
    default:
      throw new Error(`policy.wasm: a value of type ${type}`);
  }
};

/** The entries of one bucket. Their order among themselves means nothing. */
const chainOf = (view: DataView, first: number): Record<string, unknown> => {
  const entries: Record<string, unknown> = {};
  for (let entry = first; entry !== 0; entry = view.getUint32(entry + 8, true)) {
    const key = layoutOf(view, view.getUint32(entry, true));
    entries[String(key)] = layoutOf(view, view.getUint32(entry + 4, true));
  }
  return entries;
};
