import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { Resource } from '@opentelemetry/resources';
import type { MetricData } from '@opentelemetry/sdk-metrics';
import { METRICS, type MetricName } from './metric-list.ts';

/** How a unit ends a name in Prometheus: OpenTelemetry, "Prometheus and OpenMetrics Compatibility". */
const SUFFIXES: Readonly<Record<string, string>> = { s: 'seconds', By: 'bytes', '1': 'ratio' };

const serializer = new PrometheusSerializer('', false, undefined, false, true);

/**
 * Metrics in Prometheus' text format, under the names they have when a collector hands them on: the exporter leaves
 * the units out, and one dashboard should fit both ways.
 */
export const prometheusText = (resource: Resource, metrics: readonly MetricData[]): string => {
  const renamed = metrics.map((metric) => {
    const { name, unit } = metric.descriptor;
    const suffix = SUFFIXES[unit];
    return suffix === undefined
      ? metric
      : { ...metric, descriptor: { ...metric.descriptor, name: `${name}.${suffix}` } };
  });
  return serializer.serialize({ resource, scopeMetrics: [{ scope: { name: 'aegis' }, metrics: renamed }] });
};

/** The name of a metric's series in Prometheus; those of a histogram go on with `_bucket`, `_sum` and `_count`. */
export const prometheusName = (name: MetricName): string => {
  const { unit, kind } = METRICS[name];
  const suffix = SUFFIXES[unit];
  const isSum = kind === 'counter' || kind === 'watched_counter';
  return `${name.replaceAll('.', '_')}${suffix === undefined ? '' : `_${suffix}`}${isSum ? '_total' : ''}`;
};
