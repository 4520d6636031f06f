import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import { type MetricData, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';

/** Where telemetry goes. */
export interface OtlpSettings {
  /** Base URL of a collector: `/v1/metrics` and `/v1/traces` are added. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly metricsIntervalMs: number;
}

/** How an export ended; `count` spans or metrics. */
export type OnExported = (signal: 'metrics' | 'traces', isOk: boolean, count: number) => void;

/** What sends metrics now and then, and spans in batches. */
export interface Otlp {
  send(spans: readonly ReadableSpan[]): void;
  /** Sends what is left, for half a second at most. Never rejects. */
  close(): Promise<void>;
}

const TIMEOUT_MS = 5_000;
/** A stop has no more time than that: it comes after the grace of requests. */
const CLOSE_MS = 500;
const SPANS_EVERY_MS = 2_000;
/** Spans that wait; what comes on top is dropped. About 200 requests. */
const MOST_SPANS = 4_096;
const BATCH = 512;

/** Opens the exporters. A collector that is down or slow costs memory up to a bound, and no request any time. */
export const openOtlp = (
  { endpoint, headers, metricsIntervalMs }: OtlpSettings,
  resource: Resource,
  collect: () => MetricData[],
  onExported: OnExported,
  onDropped: (spans: number) => void,
): Otlp => {
  const base = endpoint.replace(/\/+$/, '');
  const to = (signal: string) => ({ url: `${base}/v1/${signal}`, headers: { ...headers }, timeoutMillis: TIMEOUT_MS });
  const metrics = countedMetrics(new OTLPMetricExporter(to('metrics')), onExported);
  const reader = new PeriodicExportingMetricReader({
    exporter: metrics,
    exportIntervalMillis: metricsIntervalMs,
    exportTimeoutMillis: Math.min(metricsIntervalMs, 2 * TIMEOUT_MS),
  });
  reader.setMetricProducer({
    collect: async () => ({
      resourceMetrics: { resource, scopeMetrics: [{ scope: { name: 'aegis' }, metrics: collect() }] },
      errors: [],
    }),
  });
  let pending = 0;
  const traces: SpanExporter = countedSpans(new OTLPTraceExporter(to('traces')), (isOk, count) => {
    pending -= count;
    if (!isOk) onDropped(count);
    onExported('traces', isOk, count);
  });
  const processor = new BatchSpanProcessor({
    exporter: traces,
    maxQueueSize: MOST_SPANS,
    maxExportBatchSize: BATCH,
    scheduledDelayMillis: SPANS_EVERY_MS,
    exportTimeoutMillis: 2 * TIMEOUT_MS,
  });
  return {
    send: (spans) => {
      // All spans of a request or none.
      if (pending + spans.length > MOST_SPANS) {
        onDropped(spans.length);
        return;
      }
      pending += spans.length;
      for (const span of spans) processor.onEnd(span);
    },
    close: async () => {
      const timer = Promise.withResolvers<void>();
      const deadline = setTimeout(timer.resolve, CLOSE_MS);
      await Promise.race([Promise.allSettled([reader.shutdown(), processor.shutdown()]), timer.promise]);
      clearTimeout(deadline);
    },
  };
};

const countedMetrics = (exporter: OTLPMetricExporter, onExported: OnExported): PushMetricExporter => ({
  export: (metrics, done) =>
    exporter.export(metrics, (result) => {
      const { length } = metrics.scopeMetrics.flatMap((scope) => scope.metrics);
      onExported('metrics', result.code === SUCCESS, length);
      // Told once, by the counter and the log: the reader would tell it a second time.
      done({ code: SUCCESS });
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
  selectAggregationTemporality: (type) => exporter.selectAggregationTemporality(type),
});

const countedSpans = (
  exporter: OTLPTraceExporter,
  onExported: (isOk: boolean, count: number) => void,
): SpanExporter => ({
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      onExported(result.code === SUCCESS, spans.length);
      done({ code: SUCCESS });
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
});

/** ExportResultCode.SUCCESS of @opentelemetry/core. */
const SUCCESS = 0;
