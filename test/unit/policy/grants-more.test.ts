import { describe, expect, test } from '@jest/globals';
import { createGrantsMore } from '../../../gateway/policy/grants-more.ts';
import type { Decision, PolicyData } from '../../../gateway/types.gen.ts';
import { input } from '../../support/policy-fixture.ts';
import { upstreamFacts } from '../../support/upstream-facts.ts';

const model = (upstreams: Record<string, string>, usd?: number) => ({
  upstreams,
  context_tokens: 8000,
  max_output_tokens: 1000,
  ...(usd === undefined ? {} : { usd_per_million_tokens: { input: usd, output: usd } }),
});

const data = {
  models: {
    small: model({ openai: 'small' }, 1),
    middle: model({ openai: 'middle', mistral: 'middle' }, 2),
    large: model({ openai: 'large' }, 9),
    elsewhere: model({ mistral: 'elsewhere' }, 1),
    own: model({ local: 'own' }, 1),
    unpriced: model({ openai: 'unpriced' }),
  },
} as unknown as PolicyData;

const asked = {
  ...input(),
  upstreams: { openai: upstreamFacts('openai'), mistral: upstreamFacts('mistral'), local: upstreamFacts('local') },
};

const WHOLE: Decision = {
  allow: true,
  deny: [],
  route: { candidates: [{ model: 'middle', upstream: 'openai' }], reason: '', experiment: null, mirror: null },
  parameters: { max_output_tokens: 100 },
  tools: { remove: ['shell'] },
  redact: [{ entity: 'email', action: 'tokenize', in: ['request'], restore: ['text'] }],
  rate: {
    tier: 'free',
    limits: [
      { scope: 'org', subject: 'o', requests_per_minute: 10 },
      { scope: 'model', subject: 'o/openai/middle', concurrent: 1 },
    ],
  },
  budgets: [{ scope: 'team', subject: 't', period: 'month', timezone: 'UTC', micro_usd: 50, on_exceed: 'deny' }],
  audit: { content: 'redacted', retention_days: 30 },
  cache: null,
  rules: [],
};

const grantsMore = createGrantsMore(data);
const parts = (change: Partial<Decision>, listed: readonly string[] = []): string[] =>
  grantsMore({ ...WHOLE, ...change }, { input: asked, decision: WHOLE, models: () => listed }).map(({ part }) => part);
const route = (name: string, upstream = 'openai'): Pick<Decision, 'route'> => ({
  route: { ...WHOLE.route, candidates: [{ model: name, upstream }] },
});

describe('a decision on less', () => {
  test('grants no more when it is the same, refuses, or is stricter', () => {
    expect(parts({})).toEqual([]);
    expect(parts({ allow: false, ...route('large'), redact: [] })).toEqual([]);
    expect(
      parts({
        parameters: { max_output_tokens: 99 },
        tools: { remove: ['shell', 'web'] },
        redact: [{ entity: 'email', action: 'block', in: ['request'], restore: [] }],
        rate: {
          tier: 'other',
          limits: [
            { scope: 'org', subject: 'o', requests_per_minute: 9, concurrent: 1 },
            { scope: 'model', subject: 'o/openai/middle', concurrent: 1 },
          ],
        },
        budgets: WHOLE.budgets.map((budget) => ({ ...budget, micro_usd: 49 })),
      }),
    ).toEqual([]);
  });

  test('grants more when the whole was refused, or could not be decided', () => {
    for (const decision of [undefined, { ...WHOLE, allow: false }])
      expect(grantsMore(WHOLE, { input: asked, decision, models: () => [] }).map(({ part }) => part)).toEqual([
        'allow',
      ]);
  });

  test.each<[string, Partial<Decision>]>([
    ['candidates', route('large')],
    ['candidates', route('unpriced')],
    ['candidates', route('middle', 'mistral')],
    ['candidates', route('elsewhere', 'mistral')],
    ['max_output_tokens', { parameters: { max_output_tokens: 101 } }],
    ['max_output_tokens', { parameters: {} }],
    ['tools', { tools: { remove: [] } }],
    ['redact', { redact: [] }],
    ['redact', { redact: [{ entity: 'email', action: 'hash', in: ['request'], restore: [] }] }],
    ['redact', { redact: [{ entity: 'email', action: 'tokenize', in: ['request'], restore: ['text', 'links'] }] }],
    ['limits', { rate: { tier: 'free', limits: WHOLE.rate.limits.slice(1) } }],
    ['limits', { rate: { tier: 'free', limits: WHOLE.rate.limits.slice(0, 1) } }],
    ['budgets', { budgets: [] }],
    ['budgets', { budgets: WHOLE.budgets.map((budget) => ({ ...budget, micro_usd: 51 })) }],
    ['acting_for', { acting_for: 'zoe' }],
    ['audit', { audit: { content: 'full', retention_days: 30 } }],
    ['audit', { audit: { content: 'redacted', retention_days: 1 } }],
  ])('grants more in %s: %j', (part, change) => {
    expect(parts(change).filter((name) => name !== 'limits' || part === 'limits')).toEqual([part]);
  });

  test('may ask a cheaper model where the request goes anyway, by its own limit', () => {
    const limits = WHOLE.rate.limits.slice(0, 1);
    expect(parts({ ...route('small'), rate: { tier: 'free', limits } })).toEqual([]);
    expect(parts({ ...route('own', 'local'), rate: { tier: 'free', limits } })).toEqual([]);
  });

  test('may ask one that the policies list for the caller and that only one upstream has', () => {
    expect(parts(route('elsewhere', 'mistral'), ['elsewhere'])).toEqual([]);
    expect(parts(route('middle', 'mistral'), ['middle'])).toEqual(['candidates']);
  });
});
