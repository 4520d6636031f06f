import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { proveLayout } from '../../../gateway/policy/value-proof.ts';
import { createValueReader } from '../../../gateway/policy/value-reader.ts';
import { createValueWriter } from '../../../gateway/policy/value-writer.ts';
import type { Memory } from '../../../gateway/policy/web-assembly.ts';

interface Wasm {
  Memory: new (limits: { initial: number; maximum: number }) => Memory;
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

const START = 1001; // the data end anywhere
const setUp = (constantsEnd = START) => {
  const memory = new wasm.Memory({ initial: 1, maximum: 64 });
  const writer = createValueWriter({ memory, start: START });
  return { memory, writer, read: createValueReader({ memory, constantsEnd, maxBytes: 65_536 }) };
};
const poke = (memory: Memory, at: number, ...words: number[]): number => {
  const view = new DataView(memory.buffer);
  for (const [index, word] of words.entries()) view.setUint32(at + index * 4, word, true);
  return at;
};

describe('values in the memory of a policy', () => {
  test('are read as they were written, for anything that JSON can say', () => {
    const { writer, read } = setUp();
    const json = fc.jsonValue({ maxDepth: 5 }).filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(
      fc.property(json, (value) => {
        const expected: unknown = JSON.parse(JSON.stringify({ value }));
        expect(read(writer.write({ value }))).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('leave out what is undefined, and make no number of what is none', () => {
    const { writer, read } = setUp();
    const odd = { gone: undefined, list: [undefined], none: Number.NaN, endless: Number.POSITIVE_INFINITY };
    expect(read(writer.write(odd))).toEqual(JSON.parse(JSON.stringify(odd)));
  });

  test('get the memory that they need, up to its maximum', () => {
    const { writer, read, memory } = setUp();
    const text = 'é'.repeat(30_000);
    expect(read(writer.write({ text }))).toEqual({ text });
    expect(memory.buffer.byteLength).toBeGreaterThan(65_536);
    expect(() => writer.write({ text: 'x'.repeat(3_000_000) })).toThrow(RangeError);
    expect(read(writer.write({ text }))).toEqual({ text });
  });

  test('hold keys that callers choose without end', () => {
    const { writer, read } = setUp();
    for (let round = 0; round < 2_000; round++) {
      const value = { [`key-${round}`]: 1, known: { [`other-${round}`]: 'x' } };
      expect(read(writer.write(value))).toEqual(value);
    }
    expect(writer.end).toBeLessThan(65_536);
  });

  test('are refused with half a character, or nested too deep', () => {
    const { writer, read } = setUp();
    expect(() => writer.write({ id: 'a\ud800' })).toThrow(/half a character/);
    let deep: object = {};
    for (let depth = 0; depth < 40; depth++) deep = { deep };
    expect(() => writer.write(deep)).toThrow(/deeper than 32/);
    expect(read(writer.write({ id: 'a' }))).toEqual({ id: 'a' });
  });

  test('of the policy and its data are read once, and frozen', () => {
    const { writer, read } = setUp(65_536);
    const at = writer.write({ list: [{ a: 1 }] });
    const [one, other] = [read(at) as { list: object[] }, read(at)];
    expect(other).toBe(one);
    expect(() => one.list.push({})).toThrow(TypeError);
    expect(() => Object.assign(one.list[0] as object, { a: 2 })).toThrow(TypeError);
  });

  // Whatever a module does to its memory, there is an end and an error.
  test.each<[string, (memory: Memory) => number]>([
    ['an address outside of the memory', () => 0x7fff_fff0],
    ['an unknown type', (memory) => poke(memory, 40_000, 77)],
    ['a text outside of the memory', (memory) => poke(memory, 40_000, 4, 1_000, 0x7fff_0000)],
    ['a text that leaves the memory', (memory) => poke(memory, 40_000, 4, 5_000, 65_000)],
    ['an array of too many', (memory) => poke(memory, 40_000, 5, 40_032, 0x7fff_ffff, 0, 0, 0, 0, 0, 40_000, 40_000)],
    ['an object with buckets outside', (memory) => poke(memory, 40_000, 6, 65_000, 0x1000_0000, 1)],
    ['a chain that bites its tail', (memory) => poke(memory, 40_000, 7, 40_016, 1, 1, 40_024, 0, 40_040, 40_024, 1, 1)],
    ['a list in itself', (memory) => poke(memory, 40_000, 5, 40_016, 1, 1, 0, 40_000)],
    ['a key that is no text', (memory) => poke(memory, 40_000, 6, 40_016, 1, 1, 40_024, 0, 40_040, 40_040, 0, 0, 1)],
    ['a number that is none', (memory) => poke(memory, 40_000, 3 | (2 << 8), 0, 40_016, 3, 0x00_6e_61_6e)],
  ])('are refused when the module gives %s', (_, spoil) => {
    const { memory, read } = setUp();
    const at = spoil(memory);
    expect(() => read(at)).toThrow();
  });
});

describe('proveLayout', () => {
  const prove = (change: (memory: Memory, at: number) => void): void => {
    const { memory, writer } = setUp();
    proveLayout({
      memory,
      write: (value) => writer.write(value),
      parse: (json) => {
        // As a module would, behind the value that was written.
        const other = createValueWriter({ memory, start: writer.end });
        const at = other.write(JSON.parse(json) as object);
        change(memory, at);
        return at;
      },
      dump: (at) => JSON.stringify(createValueReader({ memory, constantsEnd: 0, maxBytes: 1e6 })(at)),
    });
  };

  test('holds for a module with the same layout', () => {
    expect(() => prove(() => undefined)).not.toThrow();
  });

  test('refuses a module that looks for a key in another bucket, or has more of them', () => {
    const buckets = (memory: Memory, at: number): number => new DataView(memory.buffer).getUint32(at + 4, true);
    const rotate = (memory: Memory, at: number): void => {
      const words = new Uint32Array(memory.buffer.slice(buckets(memory, at), buckets(memory, at) + 64));
      poke(memory, buckets(memory, at), ...words.subarray(1, 8), words[0] as number);
    };
    expect(() => prove(rotate)).toThrow(/not laid out/);
    expect(() => prove((memory, at) => void poke(memory, at + 8, 4))).toThrow(/not laid out/);
  });
});
