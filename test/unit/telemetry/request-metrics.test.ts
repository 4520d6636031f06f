import { afterEach, describe, expect, test } from '@jest/globals';
import { mergeMetrics } from '../../../gateway/admin/merge-metrics.ts';
import { ERRORS, type ErrorCode } from '../../../gateway/errors.ts';
import type { Exchange } from '../../../gateway/exchange.ts';
import type { Ending } from '../../../gateway/outcome.ts';
import { openTelemetry } from '../../../gateway/telemetry/open-telemetry.ts';
import type { Telemetry } from '../../../gateway/telemetry/telemetry.ts';
import type { PolicyData } from '../../../gateway/types.gen.ts';
import { endingOf, exchangeOf, usageOf } from '../../support/exchanges.ts';
import { type FamilyText, parsePrometheus, sumOf } from '../../support/prometheus-text.ts';

const named = (names: readonly string[]): Record<string, never> =>
  Object.fromEntries(names.map((name) => [name, {} as never]));

const opened: Telemetry[] = [];
afterEach(async () => {
  for (const telemetry of opened.splice(0)) await telemetry.close();
});

interface Booked {
  readonly text: string;
  readonly families: Map<string, FamilyText>;
  readonly sum: (name: string, labels?: Record<string, string>) => number;
}

/** The metrics after these exchanges have ended, in a gateway with these models and organisations. */
const booked = (
  ended: readonly (readonly [Exchange, Ending])[],
  { models = ['small', 'large'], orgs = ['acme'] }: { models?: string[]; orgs?: string[] } = {},
): Booked => {
  const data = { models: named(models), organizations: named(orgs) } as unknown as PolicyData;
  const warnings: unknown[] = [];
  const telemetry = openTelemetry({
    upstreams: new Map([
      ['openai', 'openai'],
      ['claude', 'anthropic'],
    ]),
    policyData: () => data,
    version: '1.2.3',
    otlp: null,
    tracesSampleRatio: 0,
    onWarning: (...warning) => warnings.push(warning),
  });
  opened.push(telemetry);
  for (const [x, ending] of ended) telemetry.finished(x, ending);
  expect(warnings).toEqual([]);
  const text = telemetry.prometheus();
  const families = parsePrometheus(text);
  return { text, families, sum: (name, labels) => sumOf(families, name, labels) };
};

describe('every kind of failure', () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])('%s is counted by its code, and is there before its first', (code) => {
    expect(booked([]).families.get('aegis_errors_total')?.samples).toContainEqual({
      name: 'aegis_errors_total',
      labels: { code },
      value: 0,
    });
    const { status } = ERRORS[code];
    const outcome = code === 'policy_denied' ? 'denied' : 'failed';
    const { sum } = booked([[exchangeOf(), endingOf({ outcome, status, error: code })]]);
    expect(sum('aegis_errors_total', { code })).toBe(1);
    expect(sum('aegis_errors_total')).toBe(1);
    const labels = { error_type: code, http_response_status_code: String(status) };
    expect(sum('http_server_request_duration_seconds_count', labels)).toBe(1);
  });

  test('a denial is policy_denied, whatever code its rule has; the rule’s own is with the decision', () => {
    const x = exchangeOf({ allow: false });
    const { sum } = booked([[x, endingOf({ outcome: 'denied', status: 403, error: 'model_not_allowed' })]]);
    expect(sum('aegis_errors_total', { code: 'policy_denied' })).toBe(1);
    expect(
      sum('aegis_decisions_total', { result: 'deny', code: 'model_not_allowed', endpoint: 'chat.completions' }),
    ).toBe(1);
    expect(sum('aegis_decisions_total')).toBe(1);
  });

  test('what no table has is other', () => {
    const { sum } = booked([[exchangeOf(), endingOf({ outcome: 'failed', status: 500, error: 'sk-secret' })]]);
    expect(sum('aegis_errors_total', { code: 'other' })).toBe(1);
  });

  test('a request that failed before it had a route has neither route nor organisation', () => {
    const x = exchangeOf();
    for (const name of Object.keys(x.products)) delete (x.products as Record<string, unknown>)[name];
    x.method = 'BREW';
    const { families } = booked([[x, endingOf({ outcome: 'rejected', status: 404, error: 'not_found' })]]);
    const [requests] = families.get('aegis_requests_total')!.samples;
    expect(requests?.labels).toEqual({ outcome: 'rejected' });
    expect(families.get('http_server_request_duration_seconds')?.samples[0]?.labels).toEqual({
      http_request_method: '_OTHER',
      http_response_status_code: '404',
      url_scheme: 'http',
      error_type: 'not_found',
    });
  });
});

describe('a request', () => {
  const usage = usageOf({ input: 100, cache_read: 40, cache_write: 3, output: 11, reasoning: 10 });
  const whole = () =>
    exchangeOf({
      model: 'auto',
      attempts: [
        { upstream: 'openai', model: 'small', status: 503, error: 'status_503', ms: 20 },
        { upstream: 'openai', model: 'small', status: null, error: 'connect_failed', ms: 10 },
        { upstream: 'openai', model: 'large', status: null, error: 'circuit_open', ms: 0 },
        { upstream: 'claude', model: 'large', status: 200, error: null, ms: 400 },
      ],
      stagesUs: { receive: 10, decide: 30, intent: 2000 },
      counts: { email: 2, phone: 1 },
      firstEventMs: 0,
      stream: true,
    });
  const ending = endingOf({ usage, cost: { micro_usd: 1_234_567, price_version: null } });
  const GEN_AI = {
    gen_ai_operation_name: 'chat',
    gen_ai_provider_name: 'anthropic',
    gen_ai_request_model: 'auto',
    gen_ai_response_model: 'large',
    aegis_upstream: 'claude',
  };

  test('is counted by endpoint, outcome and organisation, and timed as HTTP', () => {
    const { sum } = booked([[whole(), ending]]);
    expect(sum('aegis_requests_total', { endpoint: 'chat.completions', outcome: 'ok', org: 'acme' })).toBe(1);
    const http = {
      http_request_method: 'POST',
      http_route: '/v1/chat/completions',
      http_response_status_code: '200',
      url_scheme: 'http',
    };
    expect(sum('http_server_request_duration_seconds_count', http)).toBe(1);
    expect(sum('aegis_errors_total')).toBe(0);
    expect(sum('aegis_decisions_total', { result: 'allow' })).toBe(1);
  });

  test('has its tokens by class, and what they cost', () => {
    const { sum, families } = booked([
      [whole(), ending],
      [whole(), ending],
    ]);
    const tokens = (type: string): number =>
      sum('gen_ai_client_token_usage_sum', { ...GEN_AI, gen_ai_token_type: type });
    expect(['input', 'cache_read', 'cache_write', 'output', 'reasoning'].map(tokens)).toEqual([200, 80, 6, 22, 20]);
    expect(sum('gen_ai_client_token_usage_count', { gen_ai_token_type: 'cache_write_1h' })).toBe(0);
    expect(sum('aegis_cost_usd_total', { org: 'acme', model: 'large', upstream: 'claude' })).toBe(2.469134);
    expect(families.get('gen_ai_client_token_usage')?.samples[0]?.labels).toMatchObject(GEN_AI);
  });

  test('has each stage in its own time', () => {
    const { sum } = booked([[whole(), ending]]);
    expect(sum('aegis_stage_duration_seconds_sum', { stage: 'intent' })).toBeCloseTo(0.002);
    expect(sum('aegis_stage_duration_seconds_count', { stage: 'decide' })).toBe(1);
    expect(sum('aegis_stage_duration_seconds_count')).toBe(3);
  });

  test('has each attempt by upstream and error, and what came after it', () => {
    const { sum } = booked([[whole(), ending]]);
    expect(sum('aegis_upstream_attempts_total')).toBe(4);
    expect(sum('aegis_upstream_attempts_total', { upstream: 'openai', model: 'small', error: 'status_503' })).toBe(1);
    expect(sum('aegis_upstream_retries_total', { upstream: 'openai', error: 'status_503' })).toBe(1);
    expect(sum('aegis_upstream_retries_total')).toBe(1);
    expect(sum('aegis_upstream_fallbacks_total', { upstream: 'openai', error: 'connect_failed' })).toBe(1);
    expect(sum('aegis_upstream_fallbacks_total', { upstream: 'openai', error: 'circuit_open' })).toBe(1);
    expect(sum('aegis_upstream_fallbacks_total')).toBe(2);
    // The one that was passed over took no time.
    expect(sum('aegis_upstream_attempt_duration_seconds_count')).toBe(3);
    expect(sum('aegis_upstream_attempt_duration_seconds_sum', { upstream: 'claude' })).toBeCloseTo(0.4);
  });

  test('has the model’s own times under the names of GenAI', () => {
    const { sum, families } = booked([[whole(), ending]]);
    expect(sum('gen_ai_client_operation_duration_seconds_count', GEN_AI)).toBe(1);
    expect(sum('gen_ai_server_time_to_first_token_seconds_count', GEN_AI)).toBe(1);
    expect(sum('gen_ai_server_time_per_output_token_seconds_count', GEN_AI)).toBe(1);
    const [, spent] = families.get('gen_ai_client_operation_duration_seconds')!.samples;
    expect(spent?.value).toBeLessThan(10);
  });

  test('has no time by token where nobody counted them, or where the stream broke', () => {
    const estimated = endingOf({ usage: usageOf({ output: 100, source: 'estimated' }) });
    const broken = endingOf({ outcome: 'incomplete', usage, error: 'upstream_error' });
    const { sum } = booked([
      [whole(), estimated],
      [whole(), broken],
      [exchangeOf({ attempts: [{}] }), endingOf({ usage })],
    ]);
    expect(sum('gen_ai_server_time_per_output_token_seconds_count')).toBe(0);
    expect(sum('gen_ai_server_time_to_first_token_seconds_count')).toBe(2);
  });

  test('without an answer names the upstream that failed last, and no model that answered', () => {
    const x = exchangeOf({ attempts: [{ status: null, error: 'connect_failed' }] });
    const { families } = booked([[x, endingOf({ outcome: 'failed', status: 502, error: 'upstream_error' })]]);
    expect(families.get('gen_ai_client_operation_duration_seconds')?.samples[0]?.labels).toEqual({
      gen_ai_operation_name: 'chat',
      gen_ai_provider_name: 'openai',
      gen_ai_request_model: 'small',
      aegis_upstream: 'openai',
      error_type: 'upstream_error',
    });
  });

  test('has the values that were taken out of it, by kind', () => {
    const { sum } = booked([[whole(), ending]]);
    expect([sum('aegis_redactions_total', { entity: 'email' }), sum('aegis_redactions_total')]).toEqual([2, 3]);
  });

  test.each([
    ['requests', 'rate_limited'],
    ['tokens', 'rate_limited'],
    ['concurrent', 'rate_limited'],
    ['spend', 'budget_exceeded'],
  ])('over a limit of %s is counted as that', (kind, error) => {
    const refused = endingOf({ outcome: 'limited', status: 429, error, limit: { kind, scope: 'user' } });
    const { sum } = booked([[exchangeOf(), refused]]);
    expect(sum('aegis_limiter_refusals_total', { kind, scope: 'user' })).toBe(1);
    expect(sum('aegis_errors_total', { code: error })).toBe(1);
  });

  test('that the policy could not decide is an error of the policy', () => {
    const x = exchangeOf();
    delete (x.products as { decision?: unknown }).decision;
    const { sum } = booked([[x, endingOf({ outcome: 'failed', status: 503, error: 'policy_unavailable' })]]);
    expect(sum('aegis_decisions_total', { result: 'error', code: 'policy_unavailable' })).toBe(1);
  });
});

describe('labels', () => {
  const lines = (text: string): number => text.split('\n').length;
  const many = (prefix: string): string[] => Array.from({ length: 1000 }, (_, n) => `${prefix}-${n}`);

  test('stay few under a thousand models and organisations that nobody has', () => {
    const one: [Exchange, Ending][] = [[exchangeOf({ attempts: [{}] }), endingOf({ usage: usageOf({ output: 5 }) })]];
    const strange = many('made-up').map((name): [Exchange, Ending] => [
      exchangeOf({ model: name, org: name, attempts: [{ model: name, upstream: name }] }),
      endingOf({ usage: usageOf({ output: 5 }), cost: { micro_usd: 1, price_version: null } }),
    ]);
    const { text, sum } = booked([...one, ...strange]);
    expect(text).not.toContain('made-up');
    expect(lines(text)).toBeLessThan(2 * lines(booked(one).text));
    expect(sum('aegis_requests_total', { org: 'other' })).toBe(1000);
    expect(sum('gen_ai_client_operation_duration_seconds_count', { gen_ai_request_model: 'other' })).toBe(1000);
    expect(sum('aegis_upstream_attempts_total', { upstream: 'other', model: 'other' })).toBe(1000);
  });

  test('stay bounded under a thousand models and organisations that a policy has', () => {
    const models = many('model');
    const orgs = many('org');
    const ended = models.map((name, n): [Exchange, Ending] => [
      exchangeOf({ model: name, org: orgs[n]!, attempts: [{ model: name }] }),
      endingOf({ usage: usageOf({ output: 5 }), cost: { micro_usd: 1, price_version: null } }),
    ]);
    const { families, sum } = booked(ended, { models, orgs });
    const valuesOf = (name: string, label: string): Set<string> =>
      new Set(families.get(name)!.samples.map(({ labels }) => labels[label] ?? ''));
    expect(valuesOf('aegis_requests_total', 'org').size).toBe(201);
    expect(valuesOf('aegis_upstream_attempts_total', 'model').size).toBe(201);
    expect(sum('aegis_requests_total', { org: 'other' })).toBe(800);
    expect(sum('aegis_requests_total')).toBe(1000);
    for (const { type, samples } of families.values()) {
      expect(samples.length).toBeLessThanOrEqual(type === 'histogram' ? 501 * 20 : 2001);
    }
    expect(sum('aegis_cost_usd_total')).toBeCloseTo(0.001, 9);
  });

  test('of denials and upstream errors stay bounded', () => {
    const ended = many('code').map((code): [Exchange, Ending] => [
      exchangeOf({ allow: false, attempts: [{ error: code, status: null }] }),
      endingOf({ outcome: 'denied', status: 403, error: code }),
    ]);
    const { families } = booked(ended);
    expect(families.get('aegis_decisions_total')!.samples.length).toBe(201);
    expect(families.get('aegis_upstream_attempts_total')!.samples.length).toBe(101);
  });

  test('a name of the prototype is no model', () => {
    const { sum } = booked([[exchangeOf({ model: '__proto__', attempts: [{ model: 'constructor' }] }), endingOf()]]);
    expect(sum('gen_ai_client_operation_duration_seconds_count', { gen_ai_request_model: 'other' })).toBe(1);
  });
});

test('nothing that goes wrong here reaches the request, and it is told once', async () => {
  const warnings: unknown[] = [];
  const telemetry = openTelemetry({
    upstreams: new Map(),
    policyData: () => {
      throw new Error('no data');
    },
    version: '1',
    otlp: null,
    tracesSampleRatio: 0,
    onWarning: (message) => warnings.push(message),
  });
  opened.push(telemetry);
  telemetry.finished(exchangeOf(), endingOf());
  telemetry.finished(exchangeOf(), endingOf());
  expect(warnings).toEqual(['a request could not be counted']);
  telemetry.watch('aegis.keys.age', () => {
    throw new Error('no store');
  });
  telemetry.watch('aegis.requests.open', () => [{ value: 3 }]);
  expect(sumOf(parsePrometheus(telemetry.prometheus()), 'aegis_requests_open')).toBe(3);
});

test('the metrics of several processes are valid as one text', () => {
  const ended: [Exchange, Ending][] = [[exchangeOf({ attempts: [{}] }), endingOf({ usage: usageOf({ output: 5 }) })]];
  const texts = [1, 2].map((worker) => ({ worker, text: booked(ended).text }));
  const families = parsePrometheus(mergeMetrics(texts));
  expect([...families.keys()]).toEqual([...booked(ended).families.keys()]);
  expect(sumOf(families, 'aegis_requests_total')).toBe(2);
  expect(sumOf(families, 'aegis_requests_total', { worker: '2' })).toBe(1);
});
