import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../gateway/errors.ts';
import { ESCAPED, KEY, NUMBER, scanJson, stringAt } from '../../../gateway/protocol/json-scan.ts';

const codeOf = (text: string | Buffer, options = {}): string => {
  try {
    scanJson(Buffer.from(text), options);
    return 'ok';
  } catch (error) {
    return isGatewayError(error) ? error.code : `not ours: ${error}`;
  }
};
const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;

describe('scanJson', () => {
  test('strings, keys and long integers are tokens in the order of the text', () => {
    const raw = Buffer.from(
      '{"a":"é\\n", "b" : [12345678, 123456789, -4111111111111111, 1.123456789e2], "c":{"d":""}}',
    );
    const scan = scanJson(raw);
    const tokens = Array.from({ length: scan.count }, (_, index) => [stringAt(raw, scan, index), scan.flags[index]]);
    expect(tokens).toEqual([
      ['a', KEY],
      ['é\n', ESCAPED],
      ['b', KEY],
      ['123456789', NUMBER],
      ['-4111111111111111', NUMBER],
      ['c', KEY],
      ['d', KEY],
      ['', 0],
    ]);
    expect(scan.end).toBe(raw.length - 1);
  });

  test('members have the range of their value and the offset of their key', () => {
    const text = ' { "a" : [1, {"x":2}] ,"b":"s", "c\\u0063":true}\n';
    const { members } = scanJson(Buffer.from(text));
    const seen = [...members].map(([name, { key, start, end }]) => [
      name,
      text.slice(start, end),
      text.slice(key, key + 2),
    ]);
    expect(seen).toEqual([
      ['a', '[1, {"x":2}]', '"a'],
      ['b', '"s"', '"b'],
      ['cc', 'true', '"c'],
    ]);
  });

  test.each([
    ['', 'invalid_json'],
    ['[]', 'invalid_json'],
    ['"x"', 'invalid_json'],
    ['1', 'invalid_json'],
    ['{', 'invalid_json'],
    ['{}{}', 'invalid_json'],
    ['{} x', 'invalid_json'],
    ['{"a":1,}', 'invalid_json'],
    ['{,"a":1}', 'invalid_json'],
    ['{"a" 1}', 'invalid_json'],
    ['{"a":}', 'invalid_json'],
    ['{"a":[1,]}', 'invalid_json'],
    ['{"a":[1}', 'invalid_json'],
    ['{"a":01}', 'invalid_json'],
    ['{"a":-}', 'invalid_json'],
    ['{"a":1.}', 'invalid_json'],
    ['{"a":1e}', 'invalid_json'],
    ['{"a":+1}', 'invalid_json'],
    ['{"a":NaN}', 'invalid_json'],
    ['{"a":tru}', 'invalid_json'],
    ['{"a":truee}', 'invalid_json'],
    ['{a:1}', 'invalid_json'],
    ["{'a':1}", 'invalid_json'],
    ['{"a":1 /* c */}', 'invalid_json'],
    ['{"a":"\n"}', 'invalid_json'],
    [`{"a":"${'x'.repeat(99)}\t"}`, 'invalid_json'],
    ['{"a":"\\x41"}', 'invalid_json'],
    ['{"a":"\\u00g0"}', 'invalid_json'],
    ['{"a":"open}', 'invalid_json'],
    ['\ufeff{}', 'invalid_json'],
    ['{"a":1,"a":2}', 'duplicate_key'],
    ['{"model":1,"mod\\u0065l":2}', 'duplicate_key'],
    ['{"x":[{"é":1,"\\u00e9":2}]}', 'duplicate_key'],
    ['{"__proto__":1}', 'forbidden_key'],
    ['{"a":[{"__pr\\u006fto__":{}}]}', 'forbidden_key'],
    ['{"a":1e400}', 'invalid_number'],
    ['{"a":-1E+309}', 'invalid_number'],
    [`{"a":1${'0'.repeat(400)}}`, 'invalid_number'],
    ['{"a":"\\ud800"}', 'invalid_unicode'],
    ['{"a":"\\udc00\\ud800"}', 'invalid_unicode'],
    ['{"\\ud83dx":1}', 'invalid_unicode'],
  ])('%j is %s', (text, code) => expect(codeOf(text)).toBe(code));

  test.each([
    '{}',
    '{"a":1e-400}',
    '{"a":-0}',
    '{"a":"\\ud83d\\ude00"}',
    '{"constructor":1,"prototype":2}',
    '\t{ "a" : null }\r\n',
  ])('%j is accepted', (text) => expect(codeOf(text)).toBe('ok'));

  test('nesting is accepted up to the bound and refused one deeper', () => {
    expect(codeOf(nested(64))).toBe('ok');
    expect(codeOf(nested(65))).toBe('too_deep');
    expect(codeOf(nested(9), { maxDepth: 8 })).toBe('too_deep');
    expect(codeOf(`${'['.repeat(1e6)}`, { top: 'any' })).toBe('too_deep');
  });

  test('an invalid text is refused with the offset of the fault', () => {
    expect(() => scanJson(Buffer.from('{"a":tru}'))).toThrow('at byte 8');
  });

  test('a repeated key is found among very many keys, and in the next object after a failed scan', () => {
    const keys = Array.from({ length: 1000 }, (_, index) => `"key number ${index}":1`);
    expect(codeOf(`{"x":{${keys.join(',')}}}`)).toBe('ok');
    expect(codeOf(`{"x":{${keys.join(',')},"key number \\u0037":1}}`)).toBe('duplicate_key');
    expect(codeOf(`{"x":{${keys.join(',')}}}`)).toBe('ok');
  });

  test('a body with more members than any call has is refused', () => {
    expect(codeOf(`{${Array.from({ length: 1025 }, (_, index) => `"${index}":1`).join(',')}}`)).toBe('input_too_large');
  });

  test('any value is accepted where JSON is held in a string, with any keys when asked', () => {
    for (const text of ['[]', '"x"', '12', 'null', '{"a":1}']) expect(codeOf(text, { top: 'any' })).toBe('ok');
    expect(codeOf('{"a":1,"a":2,"__proto__":3}', { top: 'any', anyKeys: true })).toBe('ok');
  });

  test('a result stays valid after later scans', () => {
    const raw = Buffer.from('{"first":"one"}');
    const scan = scanJson(raw);
    for (let index = 0; index < 10; index++) scanJson(Buffer.from(`{"${'k'.repeat(index + 1)}":["a","b","c","d"]}`));
    expect(stringAt(raw, scan, 1)).toBe('one');
    expect(scan.starts.length).toBe(2);
  });

  test('a quote is found wherever a long string starts and ends', () => {
    const room = Buffer.alloc(400, 0x20);
    for (let offset = 0; offset < 8; offset++) {
      for (let length = 20; length < 120; length += 7) {
        const text = `{"a":"${'x'.repeat(length)}","b":"${'é'.repeat(length)}"}`;
        const end = offset + room.write(text, offset);
        const raw = room.subarray(offset, end);
        const scan = scanJson(raw);
        expect([stringAt(raw, scan, 1).length, stringAt(raw, scan, 3).length]).toEqual([length, length]);
      }
    }
  });

  test('hostile texts take time in proportion to their size', () => {
    const timeOf = (text: string): number => {
      const raw = Buffer.from(text);
      const started = process.cpuUsage();
      codeOf(raw);
      return process.cpuUsage(started).user;
    };
    const many = (count: number): string =>
      `{"x":{${Array.from({ length: count }, (_, index) => `"${String(index).padStart(40, 'k')}":""`).join(',')}}}`;
    timeOf(many(2000));
    // 16 times the size; a quadratic scan would take 256 times as long.
    expect(timeOf(many(32_000))).toBeLessThan(Math.max(timeOf(many(2000)), 2000) * 100);
  });
});
