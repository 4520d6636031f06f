import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../../gateway/errors.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import type { Policy } from '../../../gateway/policy/policy.ts';
import { isDecision, isInput } from '../../../gateway/policy/shapes.ts';
import { warmupInputs } from '../../../gateway/policy/warmup.ts';
import type { Decision, Input } from '../../../gateway/types.gen.ts';
import { allowing } from '../../support/fake-policy.ts';
import { allowAll, compile, input, MODELS, resultOf } from '../../support/policy-fixture.ts';

const ALLOWED = allowing();
const mirroring = (change: object) => ({
  ...ALLOWED,
  route: { ...ALLOWED.route, mirror: { id: 'm', model: 'small', upstream: 'openai', daily_micro_usd: 1, ...change } },
});
const assigning = (id: string, arm: string) => ({ ...ALLOWED, route: { ...ALLOWED.route, experiment: { id, arm } } });
const NONE = { ...ALLOWED, allow: false, route: { ...ALLOWED.route, candidates: [] } };

/** Answers with the JSON in a header, so that one module can give any decision; without one it denies. */
const ECHO = {
  'models/data.json': JSON.stringify(MODELS),
  'experiments/data.json': JSON.stringify({
    ab: {
      title: 'A or B',
      unit: 'user',
      salt: 1,
      start: '2026-01-01T00:00:00.000Z',
      end: '2027-01-01T00:00:00.000Z',
      arms: { control: { share: 50 }, b: { share: 50 } },
      metric: { name: 'cost', better: 'lower' },
    },
  }),
  'aegis/decision.rego': `package aegis

default decision := ${JSON.stringify(NONE)}

decision := json.unmarshal(input.request.headers.decision)

default models := ["small"]

models := json.unmarshal(input.request.headers.models)

default admin := {"allow": false, "deny": []}

admin := json.unmarshal(input.request.headers.admin)
`,
};

const answering = (decision: unknown, change: Partial<Input['request']> = {}): Input =>
  input({ request: { headers: { decision: JSON.stringify(decision) }, ...change } });

const failure = (run: () => unknown): { code: string; cause: string } | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    return { code: error.code, cause: String((error.detail.cause as { message?: unknown }).message) };
  }
};

describe('a policy', () => {
  let policy: Policy;
  beforeAll(async () => {
    policy = await createPolicy(await compile(ECHO));
  });

  test('gives a decision that is whole', () => {
    expect(policy.decide(answering(ALLOWED))).toEqual(ALLOWED);
    expect(policy.decide(answering(NONE)).allow).toBe(false);
    for (const whole of [mirroring({}), assigning('ab', 'b')]) expect(policy.decide(answering(whole))).toEqual(whole);
  });

  test.each<[string, unknown, RegExp]>([
    ['allows without a model', { ...ALLOWED, route: { ...ALLOWED.route, candidates: [] } }, /names no model/],
    [
      'allows and denies',
      { ...ALLOWED, deny: [{ code: 'x', message: 'x', hint: '', rule: 'x' }] },
      /allows and denies/,
    ],
    [
      'names an unknown model',
      { ...ALLOWED, route: { ...ALLOWED.route, candidates: [{ model: 'large', upstream: 'openai' }] } },
      /unknown model "large"/,
    ],
    [
      'names a property of every object as a model',
      { ...ALLOWED, route: { ...ALLOWED.route, candidates: [{ model: 'constructor', upstream: 'openai' }] } },
      /unknown model/,
    ],
    [
      'names an upstream that does not serve the model',
      { ...ALLOWED, route: { ...ALLOWED.route, candidates: [{ model: 'small', upstream: 'mistral' }] } },
      /does not serve/,
    ],
    ['names a mirror without its budget', { ...ALLOWED, route: { ...ALLOWED.route, mirror: 'small' } }, /mirror/],
    ['mirrors an unknown model', mirroring({ model: 'large' }), /unknown model "large"/],
    ['mirrors at an upstream without the model', mirroring({ upstream: 'mistral' }), /does not serve/],
    ['names an unknown experiment', assigning('other', 'control'), /arm "control" of "other"/],
    ['names an arm that the experiment has not', assigning('ab', 'c'), /arm "c" of "ab"/],
    ['names a property of every object as an arm', assigning('ab', 'constructor'), /arm "constructor"/],
    ['names a cache, which no stage executes', { ...ALLOWED, cache: { ttl_s: 1 } }, /cache/],
    [
      'redacts answers, which no stage executes',
      { ...ALLOWED, redact: [{ entity: 'email', action: 'mask', in: ['request', 'response'], restore: [] }] },
      /redact/,
    ],
    ['has a field too many', { ...ALLOWED, bypass: true }, /bypass/],
    ['allows with a string', { ...ALLOWED, allow: 'true' }, /allow/],
    ['allows with a number', { ...ALLOWED, allow: 1 }, /allow/],
    ['lacks a part', { ...ALLOWED, budgets: undefined }, /budgets/],
    ['is true', true, /malformed/],
    ['is null', null, /malformed/],
    ['is a list', [ALLOWED], /malformed/],
  ])('that %s is unavailable, not an allow', (_, decision, cause) => {
    expect(failure(() => policy.decide(answering(decision)))).toEqual({
      code: 'policy_unavailable',
      cause: expect.stringMatching(cause),
    });
    expect(policy.decide(answering(ALLOWED)).allow).toBe(true);
  });

  test('is unavailable when a candidate is at an upstream that is not configured', () => {
    const unconfigured = { ...answering(ALLOWED), upstreams: {} };
    expect(failure(() => policy.decide(unconfigured))?.cause).toMatch(/upstream "openai"/);
  });

  test('may allow without a model where the endpoint calls none', () => {
    const listing = { ...ALLOWED, route: { ...ALLOWED.route, candidates: [] } };
    expect(policy.decide(answering(listing, { endpoint: 'models' })).allow).toBe(true);
    expect(policy.decide(answering(listing, { endpoint: 'feedback' })).allow).toBe(true);
    expect(failure(() => policy.decide(answering(listing, { endpoint: 'embeddings' })))?.cause).toMatch(/no model/);
  });

  test('lists models sorted, once each, and only those it has', () => {
    const listing = (models: unknown): Input => input({ request: { headers: { models: JSON.stringify(models) } } });
    expect(policy.models(listing(['small', 'small']))).toEqual(['small']);
    for (const bad of [['large'], [1], 'small', null, { small: true }, ['__proto__']]) {
      expect(failure(() => policy.models(listing(bad)))?.code).toBe('policy_unavailable');
    }
  });

  test('decides about administration, and is unavailable for anything but a whole decision', () => {
    const asking = (admin: unknown): Input =>
      input({ request: { endpoint: 'admin.upstreams', headers: { admin: JSON.stringify(admin) } } });
    const denied = { allow: false, deny: [{ code: 'x', message: 'x', hint: '', rule: 'x' }] };
    expect(policy.admin(asking({ allow: true, deny: [] }))).toEqual({ allow: true, deny: [] });
    expect(policy.admin(asking(denied))).toEqual(denied);
    expect(policy.admin(input({ request: { endpoint: 'admin.upstreams' } })).allow).toBe(false);
    const halves = [true, 'true', null, {}, { allow: true }, { allow: 'true', deny: [] }, { allow: 1, deny: [] }];
    for (const bad of [...halves, { ...denied, allow: true }, { allow: true, deny: [], scope: 'all' }, [denied]]) {
      expect([bad, failure(() => policy.admin(asking(bad)))?.code]).toEqual([bad, 'policy_unavailable']);
    }
  });

  test('never allows on a nonsense decision, whatever the JSON', () => {
    const mutant = fc
      .tuple(fc.constantFrom(...Object.keys(ALLOWED)), fc.jsonValue(), fc.boolean())
      .map(([key, value, drop]) => (drop ? { ...ALLOWED, [key]: undefined } : { ...ALLOWED, [key]: value }));
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), mutant), (decision) => {
        let made: Decision | undefined;
        const failed = failure(() => {
          made = policy.decide(answering(decision));
        });
        if (failed !== undefined) return failed.code === 'policy_unavailable';
        const given = made as Decision;
        return isDecision(given) && (!given.allow || given.route.candidates.every(({ model }) => model === 'small'));
      }),
      { numRuns: 10_000 },
    );
  }, 60_000);
});

describe('createPolicy', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['whose data have no models', { ...allowAll(), 'models/data.json': '{}' }, /data.json: \/models/],
    ['whose result is undefined', resultOf('input.nothing'), /the result is undefined/],
    [
      'whose decision is malformed for any valid input',
      resultOf('{"allow": true}'),
      /no valid decision for a valid input/,
    ],
    [
      'whose models are unknown',
      {
        ...allowAll(),
        'aegis/decision.rego': allowAll()['aegis/decision.rego']!.replace(/models := .*/, 'models := ["large"]'),
      },
      /unknown model "large"/,
    ],
  ])('refuses a bundle %s', async (_, sources, reason) => {
    await expect(createPolicy(await compile(sources))).rejects.toThrow(reason);
  });

  test('refuses a decision with two values, which complete rules cannot have', async () => {
    const twice = `${resultOf('1')['aegis/decision.rego']}\ndecision := 2 if input.request.id\n`;
    await expect(createPolicy(await compile({ ...resultOf('1'), 'aegis/decision.rego': twice }))).rejects.toThrow(
      /no valid decision/,
    );
  });
});

describe('warmupInputs', () => {
  test('are valid inputs, with or without tables of names', () => {
    const data = {
      models: MODELS,
      organizations: { a: { teams: { t: {} }, workflows: { w: true } } },
      roles: { r: {} },
    };
    for (const each of [
      ...warmupInputs(data),
      ...warmupInputs({}),
      ...warmupInputs({ models: 7, organizations: null, roles: [] }),
    ]) {
      expect(isInput(each) || isInput.errors).toBe(true);
    }
  });
});
