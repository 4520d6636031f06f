import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One attribute as OTLP's JSON has it. */
interface KeyValue {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number; readonly doubleValue?: number };
}

/** A span as OTLP's JSON has it (opentelemetry-proto, trace/v1). */
export interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
}

interface OtlpPoint {
  readonly attributes: readonly KeyValue[];
  readonly asDouble?: number;
  readonly count?: number;
}

/** A metric as OTLP's JSON has it (metrics/v1). */
export interface OtlpMetric {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly OtlpPoint[]; readonly isMonotonic: boolean };
  readonly gauge?: { readonly dataPoints: readonly OtlpPoint[] };
  readonly histogram?: { readonly dataPoints: readonly OtlpPoint[] };
}

/** A collector that a test plays: OTLP over HTTP, JSON. */
export interface Collector {
  readonly url: string;
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  /** The status of the next answers. */
  status: number;
  spans(): OtlpSpan[];
  /** The metrics of the last export. */
  metrics(): OtlpMetric[];
  close(): Promise<void>;
}

/** Opens a collector on a free port of loopback. */
export const openCollector = async (): Promise<Collector> => {
  const requests: Collector['requests'] = [];
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    requests.push({ path: req.url ?? '', headers: req.headers, body: Buffer.concat(chunks).toString() });
    res.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sentTo = (path: string): string[] => requests.flatMap((sent) => (sent.path === path ? [sent.body] : []));
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    status: 200,
    spans: () =>
      sentTo('/otlp/v1/traces').flatMap((body) => {
        const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[] };
        return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
      }),
    metrics: () => {
      const { resourceMetrics } = JSON.parse(sentTo('/otlp/v1/metrics').at(-1) ?? '{"resourceMetrics":[]}') as {
        resourceMetrics: { scopeMetrics: { metrics: OtlpMetric[] }[] }[];
      };
      return resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return collector;
};

/** An attribute of a span or a point. */
export const attributeOf = (
  { attributes }: { readonly attributes: readonly KeyValue[] },
  name: string,
): string | number | undefined => {
  const { stringValue, intValue, doubleValue } = attributes.find(({ key }) => key === name)?.value ?? {};
  return stringValue ?? intValue ?? doubleValue;
};
