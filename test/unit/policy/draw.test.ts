import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { drawOf, isDrawn } from '../../../gateway/policy/draw.ts';

const digest = (name: string): string => createHash('sha256').update(name).digest('hex');
const drawn = (name: string, percent: number): Set<number> => {
  const draw = drawOf(digest(name), 'user', percent);
  const buckets = Array.from({ length: 10_000 }, (_, user) => user);
  return new Set(buckets.filter((user) => isDrawn(draw, { request: 0, session: 0, org: 0, user })));
};

describe('the draw of a canary', () => {
  test.each([0.01, 1, 5, 12.5, 50, 99.99, 100])('is exactly %s percent of the buckets', (percent) => {
    expect(drawn('one', percent).size).toBe(Math.round(percent * 100));
  });

  test('at a larger percentage has everybody of a smaller one', () => {
    const [five, twenty] = [drawn('one', 5), drawn('one', 20)];
    expect([...five].every((user) => twenty.has(user))).toBe(true);
  });

  test('meets other callers first at another candidate', () => {
    const shared = [...drawn('one', 5)].filter((user) => drawn('two', 5).has(user));
    expect(shared.length).toBeLessThan(500);
  });

  test('looks at the bucket it is drawn by, and no other', () => {
    const draw = drawOf(digest('one'), 'org', 5);
    const inside = [...drawn('one', 5)][0]!;
    const outside = (inside + 5_000) % 10_000;
    expect(isDrawn(draw, { request: outside, user: outside, session: outside, org: inside })).toBe(true);
    expect(isDrawn(draw, { request: inside, user: inside, session: inside, org: outside })).toBe(false);
  });
});
