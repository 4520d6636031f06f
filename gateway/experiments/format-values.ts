import type { MetricName } from '../store/experiment-readings.ts';
import type { Difference } from './experiment-report.ts';

const HOUR_MS = 3_600_000;

/** A value of a metric for people: dollars and milliseconds an answer, shares in per cent, scores as they are. */
export const formatValue = (metric: MetricName, value: number): string => {
  if (metric === 'cost') return `$${(value / 1e6).toFixed(6)}`;
  if (metric === 'latency') return `${Math.round(value).toLocaleString('en-US')} ms`;
  return metric === 'score' ? value.toFixed(3) : `${(value * 100).toFixed(2)} %`;
};

/** A difference with its interval: `+12 ms [3 ms, 20 ms]`. */
export const formatDifference = (metric: MetricName, { difference, low, high }: Difference): string => {
  const signed = (value: number): string => `${value < 0 ? '-' : '+'}${formatValue(metric, Math.abs(value))}`;
  return `${signed(difference)} [${signed(low)}, ${signed(high)}]`;
};

/** A length of time in days or hours. */
export const formatLength = (ms: number): string => {
  const hours = Math.ceil(ms / HOUR_MS);
  if (hours < 48) return hours === 1 ? '1 hour' : `${hours} hours`;
  return `${Math.ceil(hours / 24)} days`;
};
