import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse, parseDocument } from 'yaml';
import { addValue, applyEdits, setValue } from '../../../gateway/cli/yaml-edit.ts';

const set = (text: string, path: string[], value: unknown): string | undefined => {
  const edits = setValue(text, parseDocument(text), path, value);
  return edits && applyEdits(text, edits);
};

const add = (text: string, value: unknown): string | undefined => {
  const edits = addValue(text, parseDocument(text), 'expect', value);
  return edits && applyEdits(text, edits);
};

describe('setting a value in YAML text', () => {
  test.each<[string, string, string[], unknown, string]>([
    [
      'a word, with the comment behind it',
      'a:\n  b: one   # why\n  c: 2\n',
      ['a', 'b'],
      'two',
      'a:\n  b: two   # why\n  c: 2\n',
    ],
    ['a word in braces', 'a: { b: one, c:  2 }\n', ['a', 'b'], 'x, y', 'a: { b: "x, y", c:  2 }\n'],
    ['what would be another type unless quoted', 'a: { b: one }', ['a', 'b'], 'true', 'a: { b: "true" }'],
    ['a word that there is none of', 'a: { b: one }\n', ['a', 'b'], null, 'a: { b: null }\n'],
    ['a list in brackets, with its comment', 'a:\n  b: [x, y] # two\n', ['a', 'b'], ['x'], 'a:\n  b: [x] # two\n'],
    ['a list in wide brackets', 'a: { b: [ x ] }\n', ['a', 'b'], ['x', 'y'], 'a: { b: [ x, y ] }\n'],
    [
      'a list in lines, with the comments of what stays',
      'a:\n  b:\n    # first\n    - x # x\n    # second\n    - y # y\n    - z\nc: 1\n',
      ['a', 'b'],
      ['x', 'z', 'w'],
      'a:\n  b:\n    # first\n    - x # x\n    # second\n    - z\n    - w\nc: 1\n',
    ],
    ['an entry before all others', 'a:\n  - x\n  - y', ['a'], ['w', 'x', 'y'], 'a:\n  - w\n  - x\n  - y'],
    ['an entry at the end of a file without a last line break', 'a:\n  - x', ['a'], ['x', 'y'], 'a:\n  - x\n  - y\n'],
    ['a list that has nothing left', 'a:\n  b:\n    - x\n    - y\nc: 1\n', ['a', 'b'], [], 'a:\n  b: []\nc: 1\n'],
    [
      'a map in lines, with the comments of what stays',
      'a:\n  # mail\n  email: hash # soon\n  ip: mask\nb: 1\n',
      ['a'],
      { email: 'tokenize', card: 'block' },
      'a:\n  # mail\n  email: tokenize # soon\n  card: block\nb: 1\n',
    ],
    [
      'a text of more than one line',
      'a:\n  b: |\n    one\n    two\n  c: 1\n',
      ['a', 'b'],
      'one\nthree',
      'a:\n  b: |-\n    one\n    three\n  c: 1\n',
    ],
  ])('changes %s, and nothing else', (_, text, path, value, expected) => {
    expect(set(text, path, value)).toBe(expected);
  });

  test('is refused where it would take a comment or a name away', () => {
    expect(set('a: [\n  x, # first\n  y\n]\n', ['a'], ['x'])).toBeUndefined();
    expect(set('a: &name one\nb: *name\n', ['a'], 'two')).toBeUndefined();
    expect(set('a: &name one\nb: *name\n', ['b'], 'two')).toBeUndefined();
    expect(set('a: 1\n', ['b'], 2)).toBeUndefined();
  });

  test('says the value, whatever it was and will be', () => {
    const word = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.constantFrom('true', '7', '- a', 'a: b', '# c', 'x\ny', ''),
    );
    const value = fc.oneof(
      word,
      fc.integer(),
      fc.constant(null),
      fc.array(word, { maxLength: 4 }),
      fc.dictionary(fc.constantFrom('email', 'ip', 'card'), word, { noNullPrototype: true }),
      fc.array(fc.record({ scope: word, subject: word }), { maxLength: 3 }),
    );
    const style = fc.constantFrom('block' as const, 'flow' as const);
    fc.assert(
      fc.property(value, value, style, (before, after, collectionStyle) => {
        const written = parseDocument('');
        written.contents = written.createNode({ expect: { first: 1, field: before, last: 2 } }) as never;
        const text = `# top\n${written.toString({ collectionStyle, lineWidth: 0 })}`;
        const changed = set(text, ['expect', 'field'], after);
        expect(parse(changed as string)).toEqual({ expect: { first: 1, field: after, last: 2 } });
        expect(changed).toMatch(/^# top\n/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('adding a value to YAML text', () => {
  test('takes the place of one that says nothing, or comes last', () => {
    const value = { allow: true, rules: ['a.b', 'c.d'], sends: ['Two words'] };
    const written = 'expect:\n  allow: true\n  rules: [a.b, c.d]\n  sends:\n    - Two words';
    expect(add('name: x\nexpect: {}\n', value)).toBe(`name: x\n${written}\n`);
    expect(add('name: x\nexpect:\nlater: 1\n', value)).toBe(`name: x\n${written}\nlater: 1\n`);
    expect(add('name: x # why\n', value)).toBe(`name: x # why\n${written}\n`);
    expect(add('name: x', value)).toBe(`name: x\n${written}`);
    expect(add('name:\n  - x\n', value)).toBe(`name:\n  - x\n${written}\n`);
    expect(add('{ name: x }\n', value)).toBeUndefined();
  });
});
