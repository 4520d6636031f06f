import { describe, expect, test } from '@jest/globals';
import { createPriceTable } from '../../../gateway/prices.ts';
import type { Endpoint } from '../../../gateway/protocol/protocol.ts';
import { costBound, rateLimitHeaders } from '../../../gateway/stages/admit.ts';
import type { Candidate } from '../../../gateway/stages/candidates.ts';
import { callOf } from '../../support/calls.ts';
import { MODELS } from '../../support/policy-fixture.ts';

// A micro-dollar a token of input, two a token of output.
const PRICES = createPriceTable({ models: MODELS } as unknown as Parameters<typeof createPriceTable>[0], 'test');
const CANDIDATES = [{ model: 'small', maxOutputTokens: 100, contextTokens: 1000 }] as unknown as Candidate[];
const NOTHING = { tokens_estimate: 0, pii: {}, secrets: {} };
const MESSAGES = [{ role: 'user', content: 'Hi' }];

const bound = (
  more: Record<string, unknown>,
  content = NOTHING,
  endpoint: 'chat.completions' | 'messages' = 'messages',
): number => costBound(callOf(endpoint, { model: 'small', messages: MESSAGES, ...more }), CANDIDATES, PRICES, content);

describe('costBound', () => {
  test('counts a token a byte, the output cap, and every choice', () => {
    const bytes = JSON.stringify({ model: 'small', messages: MESSAGES, n: 3 }).length;
    expect(bound({ n: 3 }, NOTHING, 'chat.completions')).toBe(bytes + 3 * 100 * 2);
  });

  test('covers placeholders that are longer than their values', () => {
    const found = { ...NOTHING, pii: { email: 10 }, secrets: { openai: 2 } };
    // EMAIL_ and 13 characters, in the place of at least 6 bytes.
    expect(bound({}, found) - bound({})).toBeGreaterThanOrEqual(12 * (6 + 13 - 6));
  });

  const boundOf = (endpoint: Endpoint, body: object): number => {
    const candidates = CANDIDATES.map((candidate) =>
      endpoint === 'embeddings' ? { ...candidate, maxOutputTokens: 0 } : candidate,
    );
    return costBound(callOf(endpoint, { model: 'small', ...body }), candidates, PRICES, NOTHING);
  };
  const bytesOf = (body: object): number => JSON.stringify({ model: 'small', ...body }).length;

  test('counts what completions write for every prompt, the best of which alone are given', () => {
    const body = { prompt: ['a', 'b'], n: 2, best_of: 3 };
    expect(boundOf('completions', body)).toBe(bytesOf(body) + 2 * 3 * 100 * 2);
  });

  test('counts no output of embeddings, whatever their body says', () => {
    const body = { input: ['a', 'b'], n: 'many', best_of: 7 };
    expect(boundOf('embeddings', body)).toBe(bytesOf(body));
  });

  test('counts a token a byte of token ids, and a full context for each input that cannot be read', () => {
    const ids = { input: [[1, 2, 3], [4]] };
    expect(boundOf('embeddings', ids)).toBe(bytesOf(ids));
    const images = [{ type: 'image_url' }, { type: 'image_url' }];
    expect(boundOf('embeddings', { input: images })).toBe(2 * 1000);
    expect(boundOf('embeddings', { input: [...images, [1, 2]] })).toBe(3 * 1000);
  });

  test('stays countable for the most that can be asked', () => {
    const dear = [{ ...CANDIDATES[0]!, maxOutputTokens: 1_000_000, contextTokens: 10_000_000 }];
    const body = { prompt: Array(2048).fill('x'), prompt_embeds: ['QUJD'], n: 128 };
    expect(costBound(callOf('completions', { model: 'small', ...body }), dear, PRICES, NOTHING)).toBeGreaterThan(1e9);
  });

  test.each<[string, Record<string, unknown>]>([
    ['service_tier', { service_tier: 'priority' }],
    ['speed', { speed: 'fast' }],
    ['inference_geo', { inference_geo: 'us' }],
    ['fallbacks', { fallbacks: [{ model: 'dear' }] }],
    ['fallbacks', { fallbacks: 'default' }],
    ['models', { models: ['small', 'dear'] }],
    ['workspace_id', { workspace_id: 'wrkspc_other' }],
    ['billing_policy', { billing_policy: { type: 'billing_policy', bill_to: 'user_profile' } }],
    ['tools[1].model', { tools: [{ name: 'f' }, { type: 'advisor_20260301', name: 'advisor', model: 'dear' }] }],
  ])('refuses %s that would change model, price or account: %j', (param, more) => {
    expect(() => bound(more)).toThrow(
      expect.objectContaining({ code: 'invalid_field', detail: expect.objectContaining({ param }) }),
    );
  });

  test('takes the same fields with values that change nothing', () => {
    const plain = { service_tier: 'auto', speed: 'standard', inference_geo: 'global', fallbacks: null, models: null };
    expect(bound(plain)).toBeGreaterThan(0);
    expect(bound({ tools: [{ name: 'model', input_schema: { model: 'x' } }] })).toBeGreaterThan(0);
  });
});

describe('rateLimitHeaders', () => {
  test.each([
    [0.2, '1ms'],
    [999, '999ms'],
    [1500, '1.5s'],
    [59_940, '59.9s'],
    [59_960, '1m0s'],
    [119_600, '2m0s'],
    [119_400, '1m59s'],
    [3_600_000, '60m0s'],
  ])('writes %d ms as %s', (resetMs, text) => {
    const state = { kind: 'requests', scope: 'key', subject: 'k', limit: 5, remaining: 2, resetMs } as const;
    expect(rateLimitHeaders([state])['x-ratelimit-reset-requests']).toBe(text);
  });
});
