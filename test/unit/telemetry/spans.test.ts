import { describe, expect, test } from '@jest/globals';
import { type HrTime, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { Exchange } from '../../../gateway/exchange.ts';
import type { Ending } from '../../../gateway/outcome.ts';
import { createLabels } from '../../../gateway/telemetry/labels.ts';
import { createSpans } from '../../../gateway/telemetry/spans.ts';
import { Trace } from '../../../gateway/trace.ts';
import type { PolicyData } from '../../../gateway/types.gen.ts';
import { endingOf, exchangeOf, usageOf } from '../../support/exchanges.ts';

const PARENT = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', isSampled: true };
const data = { models: { small: {}, large: {} }, organizations: { acme: {} } } as unknown as PolicyData;

const spansOf = (x: Exchange, ending: Ending) => {
  const labels = createLabels(new Map([['openai', 'openai']]), () => data);
  return createSpans(resourceFromAttributes({}), labels)(x, ending, labels.of(x, ending));
};
const ms = ([s, ns]: HrTime): number => s * 1000 + ns / 1e6;

describe('the spans of a request', () => {
  const whole = (): Exchange => {
    const x = exchangeOf({
      trace: new Trace(PARENT, true),
      stagesUs: { receive: 1000, decide: 2000, intent: 3000, forward: 500_000 },
      attempts: [
        { status: 503, error: 'status_503', ms: 50 },
        { status: null, error: 'circuit_open', ms: 0, model: 'large' },
        { status: 200, error: null, ms: 400 },
      ],
      stream: true,
    });
    x.trace.attempt(0, 6);
    x.trace.attempt(2, 60);
    return x;
  };
  const usage = usageOf({ input: 10, cache_read: 5, cache_write: 1, cache_write_1h: 2, output: 20, reasoning: 7 });
  const ending = endingOf({ usage, cost: { micro_usd: 1500, price_version: null } });

  test('go on with the caller’s trace: the request below it, stages and attempts below the request', () => {
    const x = whole();
    const [request, ...below] = spansOf(x, ending);
    expect(request).toMatchObject({ name: 'POST /v1/chat/completions', kind: SpanKind.SERVER });
    expect(request?.spanContext()).toEqual({ traceId: PARENT.traceId, spanId: x.trace.spanId, traceFlags: 1 });
    expect(request?.parentSpanContext).toMatchObject({ spanId: PARENT.spanId, isRemote: true });
    expect(below).toHaveLength(4 + 3);
    for (const span of below) {
      expect(span.spanContext().traceId).toBe(PARENT.traceId);
      expect(span.parentSpanContext).toMatchObject({ spanId: x.trace.spanId, isRemote: false });
    }
    expect(new Set([request!, ...below].map((span) => span.spanContext().spanId)).size).toBe(8);
  });

  test('without a caller’s trace begin a new one', () => {
    const [request] = spansOf(exchangeOf({ trace: new Trace(null, true) }), endingOf());
    expect(request?.parentSpanContext).toBeUndefined();
  });

  test('have the stages one after the other', () => {
    const x = whole();
    const [, receive, decide, intent, forward] = spansOf(x, ending);
    expect([receive, decide, intent, forward].map((span) => span?.name)).toEqual([
      'receive',
      'decide',
      'intent',
      'forward',
    ]);
    expect(ms(receive!.startTime)).toBeCloseTo(x.receivedAt, 2);
    expect(ms(decide!.startTime)).toBeCloseTo(x.receivedAt + 1, 2);
    expect(ms(forward!.startTime)).toBeCloseTo(x.receivedAt + 6, 2);
    expect(ms(forward!.duration)).toBeCloseTo(500, 2);
  });

  test('have an attempt each with the id that the upstream was told, and the answering one to its end', () => {
    const x = whole();
    const [failed, skipped, answered] = spansOf(x, ending).filter(({ kind }) => kind === SpanKind.CLIENT);
    expect(failed?.spanContext().spanId).toBe(x.trace.attempts[0]?.spanId);
    expect(answered?.spanContext().spanId).toBe(x.trace.attempts[2]?.spanId);
    expect(ms(failed!.startTime)).toBeCloseTo(x.receivedAt + 6, 2);
    expect(ms(failed!.duration)).toBeCloseTo(50, 2);
    expect(ms(skipped!.startTime)).toBeCloseTo(x.receivedAt + 56, 2);
    expect(ms(skipped!.duration)).toBe(0);
    expect(failed?.status.code).toBe(SpanStatusCode.ERROR);
    expect(failed?.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'small',
      'gen_ai.request.stream': true,
      'aegis.upstream': 'openai',
      'http.response.status_code': 503,
      'error.type': 'status_503',
    });
    expect(answered).toMatchObject({ name: 'chat small', status: { code: SpanStatusCode.UNSET } });
    expect(answered?.attributes).toMatchObject({
      'gen_ai.response.model': 'small',
      'gen_ai.usage.input_tokens': 18,
      'gen_ai.usage.output_tokens': 27,
      'gen_ai.usage.cache_read.input_tokens': 5,
      'gen_ai.usage.cache_creation.input_tokens': 3,
      'gen_ai.usage.reasoning.output_tokens': 7,
    });
  });

  test('tell of the request what can be told: ids, codes, counts', () => {
    const x = whole();
    const [request] = spansOf(x, endingOf({ outcome: 'failed', status: 502, error: 'upstream_error' }));
    expect(request?.status.code).toBe(SpanStatusCode.ERROR);
    expect(request?.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/v1/chat/completions',
      'http.response.status_code': 502,
      'url.scheme': 'http',
      'error.type': 'upstream_error',
      'aegis.request.id': x.ids.requestId,
      'aegis.decision.id': x.ids.decisionId,
      'aegis.outcome': 'failed',
      'aegis.org': 'acme',
      'gen_ai.request.model': 'small',
      'aegis.cost.usd': 0,
    });
  });

  test('a caller’s own mistake is no error of the server’s span', () => {
    const [request] = spansOf(whole(), endingOf({ outcome: 'rejected', status: 400, error: 'invalid_json' }));
    expect(request?.status.code).toBe(SpanStatusCode.UNSET);
  });
});
