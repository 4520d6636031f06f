import { randomUUID } from 'node:crypto';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { Exchange } from '../exchange.ts';
import type { Ending } from '../outcome.ts';
import type { UpstreamKind } from '../protocol/protocol.ts';
import type { PolicyData } from '../types.gen.ts';
import { createLabels } from './labels.ts';
import { METRICS, type MetricName } from './metric-list.ts';
import { type OtlpSettings, openOtlp } from './otlp.ts';
import { watchProcess } from './process-metrics.ts';
import { prometheusText } from './prometheus.ts';
import { createRegistry } from './registry.ts';
import { createRequestMetrics } from './request-metrics.ts';
import { createSampler } from './sampler.ts';
import { createSpans } from './spans.ts';
import type { Telemetry } from './telemetry.ts';

export interface TelemetryOptions {
  /** The configured upstreams: no other is a label. */
  readonly upstreams: ReadonlyMap<string, UpstreamKind>;
  /** The data of the serving policy, for names before a request has one. */
  readonly policyData: () => PolicyData | undefined;
  readonly version: string;
  /** Null for /metrics alone. */
  readonly otlp: OtlpSettings | null;
  /** Share of the requests without a caller's trace that are recorded, 0 to 1. */
  readonly tracesSampleRatio: number;
  /** Hears what goes wrong here, once each time it begins. */
  readonly onWarning: (message: string, detail: Record<string, unknown>) => void;
}

/**
 * Opens metrics and traces on OpenTelemetry's data model: its readers, exporters and formats, but series of our own,
 * since a histogram of the SDK takes microseconds a value and a request has two dozen of them.
 */
export const openTelemetry = (options: TelemetryOptions): Telemetry => {
  const { upstreams, policyData, version, otlp: to, tracesSampleRatio, onWarning } = options;
  const resource: Resource = resourceFromAttributes({
    'service.name': 'aegis',
    'service.version': version,
    'service.instance.id': randomUUID(),
  });
  const registry = createRegistry();
  const labels = createLabels(upstreams, policyData);
  const book = createRequestMetrics(registry, labels);
  const spansOf = createSpans(resource, labels);
  const stopWatching = watchProcess(registry);
  const exports = registry.counter('aegis.telemetry.exports');
  const dropped = registry.counter('aegis.telemetry.dropped_spans').at();
  const failing = new Set<string>();
  const otlp =
    to &&
    openOtlp(
      to,
      resource,
      registry.collect,
      (signal, isOk) => {
        exports.at(signal, isOk ? 'ok' : 'failed').add(1);
        if (isOk) failing.delete(signal);
        else if (!failing.has(signal)) {
          failing.add(signal);
          onWarning('telemetry could not be exported', { signal });
        }
      },
      (spans) => dropped.add(spans),
    );
  const sample = createSampler(otlp ? tracesSampleRatio : 0);
  let isBroken = false;

  return {
    trace: sample,
    finished: (x: Exchange, ending: Ending) => {
      try {
        const known = labels.of(x, ending);
        book(x, ending, known);
        if (otlp && x.trace.isSampled) otlp.send(spansOf(x, ending, known));
      } catch (error) {
        // A bug of ours, and no reason to fail a request.
        if (!isBroken) onWarning('a request could not be counted', { cause: String(error) });
        isBroken = true;
      }
    },
    count: (name, values, by = 1) =>
      registry
        .counter(name)
        .at(...inOrder(name, values))
        .add(by),
    record: (name, values, value) =>
      registry
        .histogram(name)
        .at(...inOrder(name, values))
        .record(value),
    watch: registry.watch,
    prometheus: () => prometheusText(resource, registry.collect()),
    close: async () => {
      stopWatching();
      await otlp?.close();
    },
  };
};

const inOrder = (name: MetricName, values: object): (string | number | null)[] =>
  METRICS[name].labels.map((label) => (values as Record<string, string | number | null>)[label] ?? null);
