import { describe, expect, test } from '@jest/globals';
import { splice } from '../../../gateway/protocol/splice.ts';

const raw = Buffer.from('0123456789');
const spliced = (...splices: [number, number, string][]): string =>
  splice(
    raw,
    splices.map(([start, end, text]) => ({ start, end, text })),
  ).toString();

describe('splice', () => {
  test('ranges are replaced whatever their order, the rest stays', () => {
    expect(spliced([8, 9, ''], [0, 1, 'é'], [3, 3, 'in'])).toBe('é12in345679');
    expect(spliced([10, 10, '!'])).toBe('0123456789!');
    expect(spliced()).toBe('0123456789');
  });

  test('a change inside a wider one is dropped', () => {
    expect(spliced([2, 8, ''], [3, 4, 'x'], [5, 8, 'y'])).toBe('0189');
  });

  test('ranges that touch are both carried out', () => {
    expect(spliced([2, 4, 'a'], [4, 6, 'b'])).toBe('01ab6789');
  });

  test('ranges that cross, are equal or lie outside are refused', () => {
    expect(() => spliced([1, 4, 'a'], [3, 6, 'b'])).toThrow(RangeError);
    expect(() => spliced([1, 4, 'a'], [1, 4, 'b'])).toThrow(RangeError);
    expect(() => spliced([9, 11, ''])).toThrow(RangeError);
    expect(() => spliced([3, 2, ''])).toThrow(RangeError);
  });
});
