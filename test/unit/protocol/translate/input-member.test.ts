import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createInputReader } from '../../../../gateway/protocol/translate/input-member.ts';

const read = (pieces: readonly string[]): string => {
  const reader = createInputReader();
  return pieces.map((piece) => reader.push(piece)).join('') + reader.end();
};
const cut = (text: string, at: readonly number[]): string[] => {
  const cuts = [...new Set(at.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...cuts].map((start, index) => text.slice(start, cuts[index] ?? text.length));
};

describe('the input in the arguments of a custom tool', () => {
  test('is read however it is cut, whatever is escaped', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '\u0001', 'é', '💡', '\ud83d', '{', '}') });
    fc.assert(
      fc.property(text, fc.array(fc.nat(400)), fc.boolean(), (input, cuts, isAscii) => {
        const json = JSON.stringify({ input });
        const ascii = json.replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
        expect(read(cut(isAscii ? ascii : json, cuts))).toBe(input);
      }),
      { numRuns: 500 },
    );
  });

  test('comes piece by piece as soon as it is certain', () => {
    const reader = createInputReader();
    const pieces = ['{"in', 'put" : "ab', 'c\\', 'n\\ud83', 'd\\udca1x', '"}', ' '];
    expect(pieces.map((piece) => reader.push(piece))).toEqual(['', 'ab', 'c', '\n', '💡x', '', '']);
    expect(reader.end()).toBe('');
  });

  test.each([
    ['{"why": "x", "input": "a"}', 'a'],
    ['"a\\nb"', 'a\nb'],
    ['*** Begin Patch', '*** Begin Patch'],
    ['{"patch": "a"}', '{"patch": "a"}'],
    ['{"input": 5}', '{"input": 5}'],
    ['{"input"', '{"input"'],
    ['', ''],
    ['{"input": "cut', 'cut'],
    ['{"input": "line\nline\\t\\"q\\""}', 'line\nline\t"q"'],
  ])('of the arguments %j is %j', (args, input) => {
    expect(read([args])).toBe(input);
    expect(read([...args])).toBe(input);
  });
});
