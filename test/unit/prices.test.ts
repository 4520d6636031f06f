import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createPriceTable, MAX_TOKENS, MAX_USD_PER_MILLION_TOKENS, type PricedUsage } from '../../gateway/prices.ts';
import type { Model, Prices } from '../../gateway/types.gen.ts';

const modelOf = (usd: Prices, long?: Model['long_context']): Model => ({
  title: 'T',
  upstreams: { openai: 't' },
  class: 'cheap',
  modalities: ['text'],
  context_tokens: 1000,
  max_output_tokens: 1000,
  deprecation_date: null,
  usd_per_million_tokens: usd,
  ...(long ? { long_context: long } : {}),
});
const tableOf = (models: Record<string, Model>) => createPriceTable({ models }, 'r1');
const none: PricedUsage = { input: 0, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };

const price = fc.integer({ min: 0, max: 500_000_000 }).map((micro) => micro / 1e6);
const prices = fc.record(
  { input: price, output: price, cache_read: price, cache_write: price, cache_write_1h: price },
  { requiredKeys: ['input', 'output'] },
) as fc.Arbitrary<Prices>;
const model = fc
  .tuple(prices, fc.option(fc.tuple(fc.integer({ min: 1, max: 400_000 }), prices), { nil: undefined }))
  .map(([usd, long]) => modelOf(usd, long && { above_tokens: long[0], usd_per_million_tokens: long[1] }));
const count = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 100_000_000 }));
const usage = fc.record({
  input: count,
  cache_read: count,
  cache_write: count,
  cache_write_1h: count,
  output: count,
  reasoning: count,
});
const inputOf = (u: PricedUsage) => u.input + u.cache_read + u.cache_write + u.cache_write_1h;

/** The same sum in exact integers, as an oracle. */
const exactCost = (m: Model, u: PricedUsage): bigint => {
  const long = m.long_context && inputOf(u) > m.long_context.above_tokens ? m.long_context : undefined;
  const usd = (long ?? m).usd_per_million_tokens as Prices;
  const micro = (value: number | undefined) => BigInt(Math.round((value ?? usd.input) * 1e6));
  const sum =
    BigInt(u.input) * micro(usd.input) +
    BigInt(u.cache_read) * micro(usd.cache_read) +
    BigInt(u.cache_write) * micro(usd.cache_write) +
    BigInt(u.cache_write_1h) * micro(usd.cache_write_1h) +
    BigInt(u.output + u.reasoning) * micro(usd.output);
  return (sum + 999_999n) / 1_000_000n;
};

describe('a model without prices of its own', () => {
  const { usd_per_million_tokens: _, ...unpriced } = modelOf({ input: 1, output: 1 });
  const models = { m: unpriced, own: modelOf({ input: 1, output: 2 }) };

  test('has none: it is not in the table, and costs nothing less than an error', () => {
    const table = createPriceTable({ models }, 'r1');
    expect([table.has('m'), table.has('own')]).toEqual([false, true]);
    expect(() => table.cost('m', none)).toThrow('no price for model "m" in revision r1');
    expect(() => table.upperBound({ models: ['own', 'm'], inputTokensMax: 1, outputTokensMax: 1 })).toThrow(RangeError);
  });

  test('costs what the default prices say, and others what they do', () => {
    const table = createPriceTable({ models, default_prices: { input: 10, output: 75 } }, 'r1');
    expect(table.cost('m', { ...none, input: 3, output: 2 })).toBe(180);
    expect(table.upperBound({ models: ['m'], inputTokensMax: 3, outputTokensMax: 2 })).toBe(180);
    expect(table.cost('own', { ...none, input: 3, output: 2 })).toBe(7);
  });

  test('with default prices that cannot be counted makes no table', () => {
    for (const input of [0.0000001, -1, Number.NaN, undefined as unknown as number]) {
      expect(() => createPriceTable({ models: {}, default_prices: { input, output: 1 } }, 'r1')).toThrow(RangeError);
    }
  });
});

describe('prices', () => {
  test('a cost is the sum of its classes, rounded up to a micro-dollar', () => {
    const table = tableOf({ m: modelOf({ input: 0.15, cache_read: 0.075, output: 0.6 }) });
    expect(table.cost('m', { ...none, input: 1000, cache_read: 2000, output: 10, reasoning: 5 })).toBe(309);
    expect(table.cost('m', { ...none, input: 1 })).toBe(1);
    expect(table.cost('m', none)).toBe(0);
  });

  test('a cache class without a price costs as input', () => {
    const table = tableOf({ m: modelOf({ input: 3, output: 15 }) });
    expect(table.cost('m', { ...none, cache_read: 7 })).toBe(21);
    expect(table.cost('m', { ...none, cache_write: 7 })).toBe(21);
    expect(table.cost('m', { ...none, cache_write_1h: 7 })).toBe(21);
  });

  test('the long-context tier applies to the whole request when all input classes together pass the bound', () => {
    const long = { above_tokens: 100, usd_per_million_tokens: { input: 6, output: 20 } };
    const table = tableOf({ m: modelOf({ input: 3, output: 15 }, long) });
    expect(table.cost('m', { ...none, input: 100, output: 1 })).toBe(315);
    expect(table.cost('m', { ...none, input: 60, cache_read: 41, output: 1 })).toBe(626);
  });

  test('an unknown model is an error, in a cost and in a bound, even beside a known one', () => {
    const table = tableOf({ m: modelOf({ input: 1, output: 1 }) });
    expect(() => table.cost('x', none)).toThrow(RangeError);
    expect(() => table.cost('constructor', none)).toThrow(RangeError);
    expect(() => table.upperBound({ models: ['m', 'x'], inputTokensMax: 1, outputTokensMax: 1 })).toThrow(/"x"/);
    expect(() => table.upperBound({ models: [], inputTokensMax: 1, outputTokensMax: 1 })).toThrow(RangeError);
  });

  test('a count that is negative, fractional, not a number or beyond the bound is refused', () => {
    const table = tableOf({ m: modelOf({ input: 1, output: 1 }) });
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, MAX_TOKENS + 1]) {
      expect(() => table.cost('m', { ...none, output: bad })).toThrow(RangeError);
      expect(() => table.upperBound({ models: ['m'], inputTokensMax: bad, outputTokensMax: 0 })).toThrow(RangeError);
    }
    expect(() => table.cost('m', { ...none, input: MAX_TOKENS, output: 1 })).toThrow(RangeError);
  });

  test('a price with more than six decimals, negative or above the bound is refused at load', () => {
    for (const bad of [0.1234567, -0.1, Number.NaN, MAX_USD_PER_MILLION_TOKENS + 1]) {
      expect(() => tableOf({ m: modelOf({ input: bad, output: 1 }) })).toThrow(RangeError);
    }
  });

  test('the largest price and count are still exact', () => {
    const usd = MAX_USD_PER_MILLION_TOKENS - 0.000001;
    const m = modelOf({ input: usd, output: usd });
    const u = { ...none, input: MAX_TOKENS - 1, output: 1 };
    const cost = tableOf({ m }).cost('m', u);
    expect(Number.isSafeInteger(cost)).toBe(true);
    expect(BigInt(cost)).toBe(exactCost(m, u));
  });

  test('a cost is an exact non-negative integer', () => {
    fc.assert(
      fc.property(model, usage, (m, u) => {
        const cost = tableOf({ m }).cost('m', u);
        expect(Number.isSafeInteger(cost) && cost >= 0).toBe(true);
        expect(BigInt(cost)).toBe(exactCost(m, u));
      }),
      { numRuns: 2000 },
    );
  });

  test('no usage inside a bound costs more than the bound at any candidate', () => {
    fc.assert(
      fc.property(fc.array(model, { minLength: 1, maxLength: 4 }), usage, count, count, (list, u, moreIn, moreOut) => {
        const table = tableOf(Object.fromEntries(list.map((m, i) => [`m${i}`, m])));
        const models = list.map((_, i) => `m${i}`);
        const inputTokensMax = inputOf(u) + moreIn;
        const outputTokensMax = u.output + u.reasoning + moreOut;
        const bound = table.upperBound({ models, inputTokensMax, outputTokensMax });
        for (const name of models) expect(table.cost(name, u)).toBeLessThanOrEqual(bound);
      }),
      { numRuns: 2000 },
    );
  });

  test('the bound is reached: it is not larger than the dearest usage it allows', () => {
    fc.assert(
      fc.property(model, count, count, (m, input, output) => {
        const table = tableOf({ m });
        const bound = table.upperBound({ models: ['m'], inputTokensMax: input, outputTokensMax: output });
        const reach = [input, Math.min(input, m.long_context?.above_tokens ?? input)];
        const classes = ['input', 'cache_read', 'cache_write', 'cache_write_1h'] as const;
        const costs = reach.flatMap((n) => classes.map((name) => table.cost('m', { ...none, [name]: n, output })));
        expect(Math.max(...costs)).toBe(bound);
      }),
    );
  });

  test('within a tier more tokens never cost less', () => {
    fc.assert(
      fc.property(prices, usage, usage, (usd, a, b) => {
        const table = tableOf({ m: modelOf(usd) });
        const sum = Object.fromEntries(
          Object.keys(none).map((k) => [k, a[k as keyof PricedUsage] + b[k as keyof PricedUsage]]),
        ) as unknown as PricedUsage;
        expect(table.cost('m', sum)).toBeGreaterThanOrEqual(table.cost('m', a));
      }),
    );
  });
});
