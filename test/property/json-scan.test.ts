import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import { ESCAPED, KEY, NUMBER, scanJson, stringAt } from '../../gateway/protocol/json-scan.ts';
import type { Edits } from '../../gateway/protocol/protocol.ts';
import { protocolOf } from '../../gateway/protocol/protocols.ts';
import { splice } from '../../gateway/protocol/splice.ts';
import { callOf } from '../support/calls.ts';

/** JSON text of a value with white space and escapes as `seed` says: the same value in other bytes. */
const write = (value: unknown, random: () => number): string => {
  const space = (): string => [' ', '\n', '\t', '\r', '', '', '', ''][Math.floor(random() * 8)]!;
  const string = (text: string): string =>
    `"${[...text]
      .map((character) => {
        if (random() < 0.1) {
          const hex = [...Array(character.length).keys()].map((at) =>
            character.charCodeAt(at).toString(16).padStart(4, '0'),
          );
          return hex.map((unit) => `\\u${random() < 0.5 ? unit : unit.toUpperCase()}`).join('');
        }
        return character === '/' && random() < 0.5 ? '\\/' : JSON.stringify(character).slice(1, -1);
      })
      .join('')}"`;
  const inner = (item: unknown): string => {
    if (typeof item === 'string') return string(item);
    if (Array.isArray(item)) return `[${space()}${item.map(inner).join(`${space()},${space()}`)}${space()}]`;
    if (typeof item === 'object' && item !== null) {
      const members = Object.entries(item).map(
        ([key, member]) => `${string(key)}${space()}:${space()}${inner(member)}`,
      );
      return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
    }
    return JSON.stringify(item);
  };
  return `${space()}${inner(value)}${space()}`;
};
const randomOf = (seed: number) => {
  let state = seed | 1;
  return (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
};

const isSafe = (value: unknown): boolean => !JSON.stringify(value).includes('__proto__');
const object = fc
  .dictionary(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.jsonValue({ stringUnit: 'grapheme', maxDepth: 5 }), {
    maxKeys: 40,
  })
  .map((value) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>)
  .filter(isSafe);

/** Strings and keys of a value in the order of its text. */
const stringsOf = (value: unknown): string[] => {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(stringsOf);
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, inner]) => [key, ...stringsOf(inner)]);
  return [];
};

describe('scanJson', () => {
  test('agrees with JSON.parse on valid JSON, however it is written', () => {
    fc.assert(
      fc.property(object, fc.integer(), (value, seed) => {
        const raw = Buffer.from(write(value, randomOf(seed)));
        const scan = scanJson(raw);
        const found: string[] = [];
        for (let token = 0; token < scan.count; token++) {
          if ((scan.flags[token]! & NUMBER) === 0) found.push(stringAt(raw, scan, token));
        }
        expect(found).toEqual(stringsOf(value));
        expect([...scan.members.keys()]).toEqual(Object.keys(value));
        for (const [name, { key, start, end }] of scan.members) {
          expect(JSON.parse(raw.toString('utf8', start, end))).toEqual(value[name]);
          expect(raw[key]).toBe(0x22);
        }
        expect(raw[scan.end]).toBe(0x7d);
      }),
      { numRuns: 2000 },
    );
  });

  test('accepts no text that JSON.parse refuses, whatever one byte is changed', () => {
    fc.assert(
      fc.property(
        object,
        fc.integer(),
        fc.nat(),
        fc.constantFrom(...'"\\{}[],:0-.eE+tfn \n\u0001u'),
        (value, seed, at, byte) => {
          const text = write(value, randomOf(seed));
          const cut = at % text.length;
          const changed = Buffer.from(text.slice(0, cut) + byte + text.slice(cut + (at % 3)));
          let isJson = true;
          try {
            JSON.parse(changed.toString());
          } catch {
            isJson = false;
          }
          try {
            scanJson(changed);
            expect(isJson).toBe(true);
          } catch (error) {
            if (!isGatewayError(error)) throw error;
            if (isJson) expect(error.code).not.toBe('too_deep');
            if (isJson && error.code === 'invalid_json') expect(changed.toString().trimStart()[0]).not.toBe('{');
          }
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('a key that is repeated in any object is found, escaped or not', () => {
    fc.assert(
      fc.property(
        object,
        fc.integer(),
        fc.string({ unit: 'grapheme' }),
        fc.array(fc.string({ maxLength: 6 }), { maxLength: 40 }),
        (value, seed, key, others) => {
          fc.pre(key !== '__proto__' && isSafe(others));
          const random = randomOf(seed);
          const names = [...new Set(others.filter((name) => name !== key))];
          names.splice(Math.floor(random() * names.length), 0, key);
          names.push(key);
          const members = names.map((name) =>
            write({ [name]: value }, random)
              .trim()
              .slice(1, -1),
          );
          const text = `{"x":[{${members.join(',')}}]}`;
          expect(() => scanJson(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'duplicate_key' }));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('flags tell keys and escapes', () => {
    fc.assert(
      fc.property(object, fc.integer(), (value, seed) => {
        const raw = Buffer.from(write(value, randomOf(seed)));
        const scan = scanJson(raw);
        for (let token = 0; token < scan.count; token++) {
          const flags = scan.flags[token]!;
          if (flags & NUMBER) continue;
          const bytes = raw.subarray(scan.starts[token]!, scan.ends[token]!);
          expect((flags & ESCAPED) !== 0).toBe(bytes.includes(0x5c));
          let after = scan.ends[token]! + 1;
          while (' \n\r\t'.includes(String.fromCharCode(raw[after]!))) after++;
          expect((flags & KEY) !== 0).toBe(raw[after] === 0x3a);
        }
      }),
    );
  });
});

describe('edits', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const tool = name.map((value) => ({ type: 'function', function: { name: value, description: ']},{"' } }));
  const body = fc.record(
    {
      model: fc.string({ minLength: 1 }),
      messages: fc.constant([]),
      extra: fc.jsonValue(),
      stream: fc.boolean(),
      stream_options: fc.constantFrom(null, {}, { include_usage: false }, { x: [1] }),
      max_tokens: fc.nat(),
      max_completion_tokens: fc.nat(),
      tools: fc.array(tool, { minLength: 1, maxLength: 5 }),
      tool_choice: fc.constantFrom('auto', { type: 'function', function: { name: 'a' } }),
      parallel_tool_calls: fc.boolean(),
    },
    { requiredKeys: ['model', 'messages'] },
  );
  const edits = fc.record(
    {
      model: fc.string({ minLength: 1 }),
      maxOutputTokens: fc.nat(),
      includeUsage: fc.boolean(),
      removeTools: fc.array(name),
    },
    { requiredKeys: [] },
  );

  test('splices give what changing the parsed body gives', () => {
    fc.assert(
      fc.property(body.filter(isSafe), edits, fc.integer(), (sent, change, seed) => {
        const value = JSON.parse(JSON.stringify(sent));
        const call = callOf('chat.completions', write(value, randomOf(seed)));
        const out = splice(call.raw, protocolOf('chat.completions').edit(call, change as Edits));
        expect(JSON.parse(out.toString())).toEqual(changed(value, change as Edits));
        expect(() => scanJson(out)).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });

  const changed = (value: Record<string, unknown>, change: Edits): Record<string, unknown> => {
    const result = structuredClone(value);
    if (change.model !== undefined) result.model = change.model;
    if (change.maxOutputTokens !== undefined) {
      const names = ['max_tokens', 'max_completion_tokens'].filter((field) => field in result);
      for (const field of names.length > 0 ? names : ['max_completion_tokens']) result[field] = change.maxOutputTokens;
    }
    if (change.includeUsage && result.stream === true) {
      result.stream_options = { ...(result.stream_options as object | null), include_usage: true };
    }
    const tools = result.tools as { function: { name: string } }[] | undefined;
    const removed = new Set(change.removeTools);
    const kept = tools?.filter((item) => !removed.has(item.function.name));
    if (tools && kept && kept.length < tools.length) {
      result.tools = kept;
      if (kept.length === 0) for (const field of ['tools', 'tool_choice', 'parallel_tool_calls']) delete result[field];
    }
    const choice = result.tool_choice;
    if (typeof choice === 'object' && removed.has('a')) delete result.tool_choice;
    return result;
  };
});
