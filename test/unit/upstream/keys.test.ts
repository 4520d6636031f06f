import { describe, expect, test } from '@jest/globals';
import { createKeyRing, type KeyRing, MAX_REST_MS, SPEND_REST_MS } from '../../../gateway/upstream/keys.ts';

const ringOf = (...weights: number[]): KeyRing =>
  createKeyRing({ api_keys: weights.map((weight, index) => ({ key: `sk-${index}`, weight })) });
const takes = (ring: KeyRing, count: number, now = 0, model = 'm', except = 0): number[] =>
  Array.from({ length: count }, () => ring.take(model, except, now));
const countsOf = (taken: number[]): Record<string, number> =>
  Object.fromEntries([...Map.groupBy(taken, (key) => String(key))].map(([key, all]) => [key, all.length]));

describe('the keys of an upstream', () => {
  test('are its api_keys, else its api_key, else none', () => {
    expect(ringOf(1, 1).keys).toEqual(['sk-0', 'sk-1']);
    expect(createKeyRing({ api_key: 'sk-one' }).keys).toEqual(['sk-one']);
    const none = createKeyRing({});
    expect([none.keys, none.waitMs('m', 0), none.isReady('m', 0, 0), none.status(0)]).toEqual([[], 0, true, []]);
  });

  test('are taken in proportion to their weights, and smoothly', () => {
    const taken = takes(ringOf(5, 1, 1), 700);
    expect(countsOf(taken)).toEqual({ 0: 500, 1: 100, 2: 100 });
    // Never the heavy one for long: the light ones have their turn within each round.
    for (let at = 0; at < 700; at += 7) expect(new Set(taken.slice(at, at + 7)).size).toBe(3);
  });

  test('are not taken when they have refused this very request', () => {
    const ring = ringOf(5, 1);
    expect(new Set(takes(ring, 20, 0, 'm', 0b01))).toEqual(new Set([1]));
    expect(ring.take('m', 0b11, 0)).toBe(-1);
    expect([ring.isReady('m', 0b01, 0), ring.isReady('m', 0b11, 0)]).toEqual([true, false]);
  });

  test('all 32 of them can be left out', () => {
    const ring = ringOf(...Array(32).fill(1));
    let except = 0;
    const seen = new Set<number>();
    for (let key = ring.take('m', except, 0); key >= 0; key = ring.take('m', except, 0)) {
      seen.add(key);
      except |= 1 << key;
    }
    expect(seen.size).toBe(32);
  });
});

describe('a key whose account is out of money', () => {
  test('rests for a minute, then each time twice as long, up to a quarter of an hour', () => {
    const ring = ringOf(1, 1);
    let now = 0;
    for (const rest of [60_000, 120_000, 240_000, 480_000, 900_000, 900_000]) {
      expect(ring.rest(0, 'spend_limit', 'm', 0, now)).toBe(rest);
      expect(new Set(takes(ring, 10, now + rest - 1))).toEqual(new Set([1]));
      now += rest;
      expect(ring.isReady('m', 0b10, now)).toBe(true);
    }
  });

  test('rests for every model, and a short time again once it has been accepted', () => {
    const ring = ringOf(1, 1);
    ring.rest(0, 'spend_limit', 'a', 0, 0);
    expect(ring.isReady('b', 0b10, 1)).toBe(false);
    ring.accepted(0);
    expect(ring.rest(0, 'spend_limit', 'a', 0, SPEND_REST_MS)).toBe(SPEND_REST_MS);
  });

  test('rests once for all the requests that were under way', () => {
    const ring = ringOf(1, 1);
    expect(ring.rest(0, 'spend_limit', 'm', 0, 0)).toBe(SPEND_REST_MS);
    for (let i = 0; i < 10; i++) expect(ring.rest(0, 'spend_limit', 'm', 0, 5)).toBe(0);
    expect(ring.rest(0, 'spend_limit', 'm', 0, SPEND_REST_MS)).toBe(2 * SPEND_REST_MS);
  });

  test('rests though it is the only one, and the wait is told', () => {
    const ring = createKeyRing({ api_key: 'sk-one' });
    ring.rest(0, 'spend_limit', 'm', 0, 0);
    expect([ring.take('m', 0, 1000), ring.waitMs('m', 1000)]).toEqual([-1, SPEND_REST_MS - 1000]);
    expect(ring.take('m', 0, SPEND_REST_MS)).toBe(0);
  });
});

describe('a key over a rate limit', () => {
  test('rests as long as it was told, for the model that is limited alone', () => {
    const ring = ringOf(1, 1);
    expect(ring.rest(0, 'rate_limit', 'a', 3000, 0)).toBe(3000);
    expect(new Set(takes(ring, 10, 2999, 'a'))).toEqual(new Set([1]));
    expect(new Set(takes(ring, 10, 2999, 'b'))).toEqual(new Set([0, 1]));
    expect(new Set(takes(ring, 10, 3000, 'a'))).toEqual(new Set([0, 1]));
  });

  test('that was told no wait does not rest, and a wait beyond reason is cut', () => {
    const ring = ringOf(1);
    expect(ring.rest(0, 'rate_limit', 'm', 0, 0)).toBe(0);
    expect(ring.take('m', 0, 0)).toBe(0);
    expect(ring.rest(0, 'rate_limit', 'm', 86_400_000, 0)).toBe(MAX_REST_MS);
  });

  test('keeps no more limits than there are models in any catalogue', () => {
    const ring = ringOf(1);
    for (let i = 0; i < 1000; i++) ring.rest(0, 'rate_limit', `m${i}`, 1000, 0);
    expect(ring.take('m999', 0, 0)).toBe(-1);
  });
});

test('a key that is not accepted rests where there is another, and never when it is alone', () => {
  const two = ringOf(1, 1);
  expect(two.rest(0, 'refused', 'm', 0, 0)).toBe(SPEND_REST_MS);
  expect(ringOf(1).rest(0, 'refused', 'm', 0, 0)).toBe(0);
});

test('the status tells the state of each key by index, never the key', () => {
  const ring = ringOf(1, 1, 1);
  ring.rest(0, 'spend_limit', 'm', 0, 1000);
  ring.rest(1, 'rate_limit', 'm', 5000, 1000);
  const status = ring.status(2000);
  expect(status).toEqual([
    { index: 0, state: 'resting', why: 'spend_limit', until: expect.stringMatching(/Z$/) },
    { index: 1, state: 'resting', why: 'rate_limit', until: expect.stringMatching(/Z$/) },
    { index: 2, state: 'ready', why: null, until: null },
  ]);
  expect(Date.parse(status[1]!.until!) - Date.now()).toBeLessThanOrEqual(4000);
  expect(JSON.stringify(status)).not.toContain('sk-');
  expect(ring.status(100_000).map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
});
