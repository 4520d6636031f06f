import type { Exchange } from '../exchange.ts';
import type { Ending } from '../outcome.ts';
import type { Trace } from '../trace.ts';
import type { CounterName, HistogramName, Labels, WatchedName } from './metric-list.ts';

/** One value of a metric that is read when metrics are collected. */
export interface Reading<N extends WatchedName = WatchedName> {
  readonly value: number;
  readonly labels?: Labels<N>;
}

/**
 * Metrics and traces of the gateway. Nothing here throws, waits or touches content: what cannot be counted is not
 * worth a request. The metrics there are stand in metric-list.ts.
 */
export interface Telemetry {
  /** Begins the trace of a request, from its raw header lines. */
  trace(rawHeaders: readonly string[]): Trace;
  /** A request of the data plane has ended: it is counted, and its spans are exported if it is sampled. Once a request. */
  finished(x: Exchange, ending: Ending): void;
  /** Counts something that is no request. */
  count<N extends CounterName>(name: N, labels: Labels<N>, by?: number): void;
  /** Books a value of something that is no request, in the unit of its metric. */
  record<N extends HistogramName>(name: N, labels: Labels<N>, value: number): void;
  /** Asks `read` for the values of a metric each time metrics are collected. */
  watch<N extends WatchedName>(name: N, read: () => Iterable<Reading<N>>): void;
  /** All metrics in Prometheus' text format. */
  prometheus(): string;
  /** Sends what is left, for half a second at most. */
  close(): Promise<void>;
}
