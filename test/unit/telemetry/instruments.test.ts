import { describe, expect, test } from '@jest/globals';
import { BoundedNames } from '../../../gateway/telemetry/bounded-names.ts';
import { Distribution, Family, Sum } from '../../../gateway/telemetry/instruments.ts';
import type { MetricSpec } from '../../../gateway/telemetry/metric-list.ts';

const spec = (...labels: string[]): MetricSpec => ({ kind: 'counter', unit: '', labels, description: 'x' });
const sums = (labels: string[], most = 10) => new Family(spec(...labels), most, (attributes) => new Sum(attributes));

describe('a family of series', () => {
  test('gives one series for the same labels and another for others', () => {
    const family = sums(['a', 'b']);
    family.at('x', 'y').add(1);
    family.at('x', 'y').add(2);
    family.at('y', 'x').add(4);
    family.at('x', null).add(8);
    expect(family.all.map(({ attributes, value }) => [attributes, value])).toEqual([
      [{ a: 'x', b: 'y' }, 3],
      [{ a: 'y', b: 'x' }, 4],
      [{ a: 'x' }, 8],
    ]);
  });

  test('without labels has one series', () => {
    const family = sums([]);
    family.at().add(1);
    family.at().add(1);
    expect(family.all).toEqual([{ attributes: {}, value: 2 }]);
  });

  test('tells a number from the text of it', () => {
    const family = sums(['status']);
    expect(family.at(200)).not.toBe(family.at('200'));
  });

  test('keeps to its bound: what comes on top is summed up in one series', () => {
    const family = sums(['a'], 3);
    for (let n = 0; n < 1000; n++) family.at(`n${n}`).add(1);
    expect(family.all).toHaveLength(4);
    expect(family.all[3]).toEqual({ attributes: { 'otel.metric.overflow': true }, value: 997 });
    family.at('n0').add(1);
    expect(family.all[0]?.value).toBe(2);
  });
});

test('a distribution counts a value in the first bucket whose bound it does not exceed', () => {
  const distribution = new Distribution({}, [1, 5, 10]);
  for (const value of [0, 1, 1.1, 5, 9, 10, 10.01, 1e9]) distribution.record(value);
  expect(distribution.counts).toEqual([2, 2, 2, 2]);
  expect(distribution.count).toBe(8);
  expect(distribution.sum).toBeCloseTo(36.11 + 1e9);
});

test('names that are unknown, or one too many, are other', () => {
  const names = new BoundedNames(2);
  expect(names.of('a', true)).toBe('a');
  expect(names.of('stranger', false)).toBe('other');
  expect(names.of('b', true)).toBe('b');
  expect(names.of('c', true)).toBe('other');
  expect(names.of('a', true)).toBe('a');
  expect(names.of('a', false)).toBe('other');
});
