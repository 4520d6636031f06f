import type { Spread } from './statistics.ts';

/** One run of the benchmark, as bench/results/latest.json keeps it. */
export interface Results {
  readonly time: string;
  readonly commit: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string; readonly kernel: string };
  readonly rounds: number;
  readonly seconds: number;
  readonly workloads: readonly WorkloadResult[];
  /** Resident memory of each target after the load, MB. */
  readonly rssMb: Readonly<Record<string, number>>;
}

export interface WorkloadResult {
  readonly name: string;
  readonly stream: boolean;
  readonly bodyBytes: number;
  readonly connections: number;
  /** Chunks of a streamed answer, 0 of another. */
  readonly chunks: number;
  /** The mock asked directly by the load generator, both on one core: more than any target needs of them. */
  readonly mockRequestsPerSecond: Spread;
  readonly targets: readonly TargetResult[];
}

export interface TargetResult {
  readonly name: string;
  readonly requestsPerSecond: Spread;
  readonly cpuUs: Spread;
  readonly p99Us: Spread;
  /** Median latency at one connection less that of the mock asked directly, in the same round. */
  readonly addedUs: Spread;
  /** The same until the first byte. */
  readonly addedFirstByteUs: Spread;
  /** Requests a second over the baseline's of the same round. */
  readonly ratio: Spread;
  /** The baseline's CPU a request over this target's, of the same round. */
  readonly cpuRatio: Spread;
}
