import { describe, expect, test } from '@jest/globals';
import type { Exchange } from '../../../gateway/exchange.ts';
import { createPriceTable, MAX_TOKENS } from '../../../gateway/prices.ts';
import type { ReportedUsage } from '../../../gateway/protocol/protocol.ts';
import { account } from '../../../gateway/stages/account.ts';
import type { PolicyData } from '../../../gateway/types.gen.ts';

const models = { m: { usd_per_million_tokens: { input: 1, output: 2 } } };
const prices = createPriceTable({ models } as unknown as PolicyData, 'r1');
const PROMPT = 30;

const usage = (counts: Partial<ReportedUsage>): ReportedUsage => ({
  input: 0,
  cache_read: 0,
  cache_write: 0,
  cache_write_1h: 0,
  output: 0,
  reasoning: 0,
  ...counts,
});

/** What is charged after these failures, with what a provider reported; its output is estimated at 7 tokens. */
const charged = (failures: readonly string[], reported: ReportedUsage | null | undefined) =>
  account(
    {
      products: { described: { input: { content: { tokens_estimate: PROMPT } } } },
      attempts: failures.map((error) => ({ model: 'm', upstream: 'u', status: null, error, ms: 1 })),
    } as unknown as Exchange,
    prices,
    reported === undefined ? null : { model: 'm', reported, outputEstimate: () => 7 },
  );

describe('an answer', () => {
  test('is charged as its provider counted it', () => {
    const got = charged([], usage({ input: 5, cache_read: 6, output: 3 }));
    expect(got).toEqual({
      usage: { ...usage({ input: 5, cache_read: 6, output: 3 }), source: 'provider' },
      cost: { micro_usd: 17, price_version: 'r1' },
    });
  });

  test('whose prompt is all from a cache is one too', () => {
    expect(charged([], usage({ cache_read: 6, output: 3 })).usage?.source).toBe('provider');
  });

  test.each([
    ['without a count', null, 7],
    ['with more tokens than can be counted', usage({ input: MAX_TOKENS, output: 1 }), 7],
    ['with a count of nothing', usage({}), 7],
    ['with a count of its output alone', usage({ output: 9 }), 9],
  ])('%s is charged by estimate', (_, reported, output) => {
    expect(charged([], reported)).toEqual({
      usage: { ...usage({ input: PROMPT, output }), source: 'estimated' },
      cost: { micro_usd: PROMPT + 2 * output, price_version: 'r1' },
    });
  });
});

describe('an attempt without an answer', () => {
  test.each(['first_byte_timeout', 'reset', 'invalid_response', 'aborted'])('(%s) is charged its prompt', (failure) => {
    expect(charged([failure], undefined).cost.micro_usd).toBe(PROMPT);
    expect(charged([failure, failure], usage({ input: 5 })).cost.micro_usd).toBe(2 * PROMPT + 5);
  });

  test.each(['connect_failed', 'connect_timeout', 'circuit_open', 'overloaded', 'keys_resting', 'retry_budget'])(
    '(%s) is free: the provider has seen nothing',
    (failure) => {
      expect(charged([failure], undefined)).toEqual({ usage: null, cost: { micro_usd: 0, price_version: null } });
    },
  );
});
