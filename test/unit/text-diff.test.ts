import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { diffItems, markDifferences } from '../../gateway/text-diff.ts';

describe('a diff of two sequences', () => {
  test('tells what left and what came, in order', () => {
    expect(diffItems(['a', 'b', 'c', 'd'], ['a', 'x', 'c', 'd', 'e'])).toEqual([
      { kind: 'same', items: ['a'] },
      { kind: 'removed', items: ['b'] },
      { kind: 'added', items: ['x'] },
      { kind: 'same', items: ['c', 'd'] },
      { kind: 'added', items: ['e'] },
    ]);
  });

  test('gives back both sequences, whatever they are', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 30 });
    fc.assert(
      fc.property(letters, letters, (before, after) => {
        const parts = diffItems(before, after);
        expect(parts.filter(({ kind }) => kind !== 'added').flatMap(({ items }) => items)).toEqual(before);
        expect(parts.filter(({ kind }) => kind !== 'removed').flatMap(({ items }) => items)).toEqual(after);
      }),
    );
  });

  test('of two long sequences with nothing in common is still given', () => {
    const [before, after] = [Array.from({ length: 3000 }, (_, n) => n), Array.from({ length: 3000 }, (_, n) => -1 - n)];
    expect(diffItems(before, after).map(({ kind, items }) => [kind, items.length])).toEqual([
      ['removed', 3000],
      ['added', 3000],
    ]);
  });
});

describe('two texts', () => {
  test('are marked where their words differ', () => {
    expect(markDifferences('Write to EMAIL_A1 today.', 'Write to ada@example.org today.')).toEqual({
      before: 'Write to [-EMAIL_A1-] today.',
      after: 'Write to {+ada@example.org+} today.',
    });
  });

  test('are shortened where they are long and the same', () => {
    const same = 'word '.repeat(60);
    const { before, after } = markDifferences(`${same}left ${same}`, `${same}right ${same}`);
    expect(before).toMatch(/^…(word ){8}\[-left-\]( word){8}…$/);
    expect(after).toContain('{+right+}');
    expect(before.length).toBeLessThan(120);
  });
});
