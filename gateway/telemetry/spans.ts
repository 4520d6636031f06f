import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
} from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { Exchange } from '../exchange.ts';
import type { Ending } from '../outcome.ts';
import { randomHex } from '../trace.ts';
import type { Usage } from '../types.gen.ts';
import type { createLabels, RequestLabels } from './labels.ts';
import { hrTimeOf } from './registry.ts';
import { forwardStartMs } from './request-metrics.ts';

const SCOPE = { name: 'aegis' };
const SAMPLED = 1;

/** The spans of one exchange: the request itself, one for each stage, and one for each attempt at an upstream. */
export type SpansOf = (x: Exchange, ending: Ending, known: RequestLabels) => ReadableSpan[];

/**
 * Makes spans after the fact, from what the exchange kept: a request that is not sampled costs nothing here. Names and
 * attributes are words of closed lists, ids and counts; nothing of a body, a caller's name or an address is in them.
 */
export const createSpans = (resource: Resource, labels: ReturnType<typeof createLabels>): SpansOf => {
  const spanOf = ({
    traceId,
    spanId,
    parentId,
    isRemote = false,
    startMs,
    endMs,
    ...rest
  }: SpanSketch): ReadableSpan => {
    const context: SpanContext = { traceId, spanId, traceFlags: SAMPLED };
    return {
      ...rest,
      spanContext: () => context,
      ...(parentId === null ? {} : { parentSpanContext: { traceId, spanId: parentId, traceFlags: SAMPLED, isRemote } }),
      startTime: hrTimeOf(startMs),
      endTime: hrTimeOf(endMs),
      duration: durationOf(startMs, endMs),
      links: [],
      events: [],
      ended: true,
      resource,
      instrumentationScope: SCOPE,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  };

  const attemptSpans = (x: Exchange, ending: Ending, known: RequestLabels, endMs: number): ReadableSpan[] => {
    const { trace, attempts } = x;
    const stream = x.products.call?.stream ?? false;
    let afterMs = forwardStartMs(x);
    return attempts.map((attempt, index) => {
      const mark = trace.attempts[index];
      const startMs = mark?.startMs ?? afterMs;
      const isAnswer = attempt.error === null;
      // The answering one lasts as long as its answer; of one that was passed over there is no more than the moment.
      afterMs = isAnswer ? Math.max(endMs, startMs) : startMs + attempt.ms;
      const error = labels.upstreamError(attempt.error) ?? (isAnswer ? known.code : null);
      const model = labels.model(attempt.model, x);
      return spanOf({
        name: `${known.operation ?? 'call'} ${model}`,
        kind: SpanKind.CLIENT,
        traceId: trace.traceId,
        spanId: mark?.spanId ?? randomHex(8),
        parentId: trace.spanId,
        startMs: x.receivedAt + startMs,
        endMs: x.receivedAt + afterMs,
        status: error === null ? UNSET : FAILED,
        attributes: present({
          'gen_ai.operation.name': known.operation,
          'gen_ai.provider.name': labels.provider(attempt.upstream),
          'gen_ai.request.model': model,
          'gen_ai.response.model': isAnswer ? model : null,
          'gen_ai.request.stream': stream || null,
          'aegis.upstream': labels.upstream(attempt.upstream),
          'http.response.status_code': attempt.status,
          'error.type': error,
          ...(isAnswer ? usageOf(ending.usage) : {}),
        }),
      });
    });
  };

  const stageSpans = (x: Exchange): ReadableSpan[] => {
    let startMs = x.receivedAt;
    return Object.entries(x.stagesUs).map(([stage, us]) => {
      const endMs = startMs + us / 1000;
      const span = spanOf({
        name: stage,
        kind: SpanKind.INTERNAL,
        traceId: x.trace.traceId,
        spanId: randomHex(8),
        parentId: x.trace.spanId,
        startMs,
        endMs,
        status: UNSET,
        attributes: { 'aegis.stage': stage },
      });
      startMs = endMs;
      return span;
    });
  };

  return (x, ending, known) => {
    const { trace, ids } = x;
    const { head, decision } = x.products;
    const durationMs = x.durationMs();
    const route = head?.route.path ?? null;
    const request = spanOf({
      name: route === null ? known.method : `${known.method} ${route}`,
      kind: SpanKind.SERVER,
      traceId: trace.traceId,
      spanId: trace.spanId,
      parentId: trace.parent?.spanId ?? null,
      isRemote: true,
      startMs: x.receivedAt,
      endMs: x.receivedAt + durationMs,
      // By convention a server's span is in error for what is the server's fault.
      status: ending.status >= 500 || ending.outcome === 'incomplete' ? FAILED : UNSET,
      attributes: present({
        'http.request.method': known.method,
        'http.route': route,
        'http.response.status_code': ending.status,
        'url.scheme': 'http',
        'error.type': known.code,
        'aegis.request.id': ids.requestId,
        'aegis.decision.id': decision ? ids.decisionId : null,
        'aegis.policy.revision': x.policy?.ref.revision ?? null,
        'aegis.outcome': ending.outcome,
        'aegis.org': known.org,
        'gen_ai.request.model': known.requestModel,
        'aegis.cost.usd': ending.cost.micro_usd / 1e6,
      }),
    });
    return [request, ...stageSpans(x), ...attemptSpans(x, ending, known, durationMs)];
  };
};

interface SpanSketch {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | null;
  /** Whether the parent is the caller's. */
  readonly isRemote?: boolean;
  readonly startMs: number;
  readonly endMs: number;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
}

const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };
const FAILED: SpanStatus = { code: SpanStatusCode.ERROR };

const durationOf = (startMs: number, endMs: number): HrTime => hrTimeOf(Math.max(0, endMs - startMs));

/** As OpenTelemetry counts: the whole input, cached or not, and the whole output, and what parts of them were. */
const usageOf = (usage: Usage | null): Attributes =>
  usage === null
    ? {}
    : {
        'gen_ai.usage.input_tokens': usage.input + usage.cache_read + usage.cache_write + usage.cache_write_1h,
        'gen_ai.usage.output_tokens': usage.output + usage.reasoning,
        'gen_ai.usage.cache_read.input_tokens': usage.cache_read,
        'gen_ai.usage.cache_creation.input_tokens': usage.cache_write + usage.cache_write_1h,
        'gen_ai.usage.reasoning.output_tokens': usage.reasoning,
      };

const present = (attributes: Record<string, string | number | boolean | null | undefined>): Attributes => {
  const kept: Attributes = {};
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) kept[name] = value;
  return kept;
};
