import { describe, expect, test } from '@jest/globals';
import { JsonObjectEnd } from '../../../../gateway/protocol/translate/json-object-end.ts';

/** Number of characters after which an object is taken for whole; -1 for never. */
const wholeAfter = (text: string): number => {
  const end = new JsonObjectEnd();
  for (let at = 0; at < text.length; at++) {
    end.feed(text[at]!);
    if (end.isWhole) return at + 1;
  }
  return -1;
};

describe('an object in pieces', () => {
  test.each(['{}', '{"a":1}', '{"a":{"b":[{}]}}', '{"}":"{"}', '{"a":"\\"}"}', '{"a":"\\\\"}', ' {"a":[1,[2]]}'])(
    '%s is whole at its last character',
    (text) => {
      expect(wholeAfter(text)).toBe(text.length);
      expect(wholeAfter(`${text} and more`)).toBe(text.length);
    },
  );

  test.each(['', ' ', '{', '{"a":"}', '{"a":[}', 'null', '"{}"', '{"a":"\\"}'])('%j is not whole', (text) => {
    expect(wholeAfter(text)).toBe(-1);
  });

  test('may come in one piece', () => {
    const end = new JsonObjectEnd();
    end.feed('{"a":"}');
    expect(end.isWhole).toBe(false);
    end.feed('"}');
    expect(end.isWhole).toBe(true);
  });
});
