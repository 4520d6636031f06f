import { type HrTime, ValueType } from '@opentelemetry/api';
import { AggregationTemporality, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics';
import { Distribution, Family, Sum } from './instruments.ts';
import {
  type CounterName,
  type HistogramName,
  type Labels,
  METRICS,
  type MetricName,
  type MetricSpec,
  type WatchedName,
} from './metric-list.ts';
import type { Reading } from './telemetry.ts';

/** Series of one metric at most: OpenTelemetry's default for sums, and less for what has sixteen lines a series. */
const MOST_SUMS = 2000;
const MOST_DISTRIBUTIONS = 500;
const MOST_READINGS = 1000;

/** Every metric of the list with its series: the one instrument behind all outputs. */
export interface Registry {
  counter(name: CounterName): Family<Sum>;
  histogram(name: HistogramName): Family<Distribution>;
  watch<N extends WatchedName>(name: N, read: () => Iterable<Reading<N>>): void;
  /** Everything as it stands, cumulative since the registry was made. A reading that throws is left out. */
  collect(): MetricData[];
}

export const createRegistry = (): Registry => {
  const startTime = hrTimeOf(Date.now());
  const counters = new Map<CounterName, Family<Sum>>();
  const histograms = new Map<HistogramName, Family<Distribution>>();
  const watched = new Map<WatchedName, (() => Iterable<Reading>)[]>();
  for (const [name, spec] of Object.entries(METRICS) as [MetricName, MetricSpec][]) {
    if (spec.kind === 'counter') {
      counters.set(name as CounterName, new Family(spec, MOST_SUMS, (attributes) => new Sum(attributes)));
    } else if (spec.kind === 'histogram') {
      const boundaries = spec.boundaries ?? [];
      const create = (attributes: Distribution['attributes']) => new Distribution(attributes, boundaries);
      histograms.set(name as HistogramName, new Family(spec, MOST_DISTRIBUTIONS, create));
    } else watched.set(name as WatchedName, []);
  }
  return {
    counter: (name) => counters.get(name) as Family<Sum>,
    histogram: (name) => histograms.get(name) as Family<Distribution>,
    watch: (name, read) => {
      watched.get(name)?.push(read as () => Iterable<Reading>);
    },
    collect: () => {
      const times = { startTime, endTime: hrTimeOf(Date.now()) };
      const metrics: MetricData[] = [];
      for (const [name, { all }] of counters) {
        const { bookedPerUnit = 1 }: MetricSpec = METRICS[name];
        const dataPoints = all.map(({ attributes, value }) => ({ ...times, attributes, value: value / bookedPerUnit }));
        if (dataPoints.length > 0) metrics.push({ ...sumOf(name), dataPoints });
      }
      for (const [name, { all }] of histograms) {
        const dataPoints = all.map(({ attributes, boundaries, counts, count, sum }) => {
          const buckets = { boundaries: boundaries as number[], counts: counts.slice() };
          return { ...times, attributes, value: { buckets, count, sum } };
        });
        if (dataPoints.length > 0)
          metrics.push({ ...baseOf(name), dataPointType: DataPointType.HISTOGRAM, dataPoints });
      }
      for (const [name, reads] of watched) {
        const dataPoints = reads
          .flatMap(readAll)
          .slice(0, MOST_READINGS)
          .map(({ value, labels }) => ({ ...times, attributes: attributesOf(labels), value }));
        if (dataPoints.length === 0) continue;
        metrics.push(
          METRICS[name].kind === 'gauge'
            ? { ...baseOf(name), dataPointType: DataPointType.GAUGE, dataPoints }
            : { ...sumOf(name), dataPoints },
        );
      }
      return metrics;
    },
  };
};

/** Milliseconds since 1970 as seconds and nanoseconds. */
export const hrTimeOf = (ms: number): HrTime => {
  const s = Math.floor(ms / 1000);
  return [s, Math.round((ms - s * 1000) * 1e6)];
};

const baseOf = (name: MetricName) => {
  const { unit, description } = METRICS[name];
  return {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
};

const sumOf = (name: MetricName) => ({ ...baseOf(name), dataPointType: DataPointType.SUM, isMonotonic: true }) as const;

const readAll = (read: () => Iterable<Reading>): Reading[] => {
  try {
    return [...read()].filter(({ value }) => Number.isFinite(value));
  } catch {
    return []; // one part that cannot be read must not hide the others
  }
};

const attributesOf = (labels: Labels<WatchedName> = {}): Record<string, string | number> => {
  const attributes: Record<string, string | number> = {};
  for (const [label, value] of Object.entries(labels)) if (value !== null) attributes[label] = value;
  return attributes;
};
