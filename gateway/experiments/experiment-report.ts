import type { MetricName } from '../store/experiment-readings.ts';
import type { Experiment, ExperimentGuards } from '../types.gen.ts';

// What `aegis experiment show --json` and GET /admin/v1/experiments tell. Money is micro-USD an answer, time ms an answer,
// everything else a share, 0 to 1.

/** An experiment as it stands. */
export interface ExperimentReport {
  readonly id: string;
  readonly title: string;
  /** Digest of what it compares; requests under another are not in here. */
  readonly definition: string;
  readonly unit: Experiment['unit'];
  readonly start: string;
  readonly end: string;
  readonly state: 'scheduled' | 'running' | 'ended' | 'stopped';
  /** The guard that stopped it. */
  readonly stopped: {
    readonly time: string;
    readonly arm: string;
    readonly guard: string;
    readonly reason: string;
  } | null;
  readonly exposure: readonly ArmExposure[];
  readonly sample_ratio: { readonly p_value: number; readonly is_mismatch: boolean };
  readonly primary: { readonly metric: MetricName; readonly better: 'higher' | 'lower' };
  readonly metrics: readonly MetricReport[];
  readonly guards: readonly GuardReport[];
  readonly verdict: Verdict;
}

/** How much of the traffic an arm has got. */
export interface ArmExposure {
  readonly arm: string;
  /** Per cent, as it is planned. */
  readonly share: number;
  readonly units: number;
  readonly requests: number;
}

/** One metric of all arms. */
export interface MetricReport {
  readonly metric: MetricName;
  readonly arms: readonly ArmMetric[];
}

export interface ArmMetric {
  readonly arm: string;
  /** Null where nothing was counted. */
  readonly value: number | null;
  /** Units that have something of it. */
  readonly units: number;
  /** Answers, requests or scores that it is over. */
  readonly count: number;
  /** Against control; null of control itself, and while there is too little to compare. */
  readonly against_control: Difference | null;
}

/** A difference with an interval that holds however often one looks. */
export interface Difference {
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** For this comparison alone; below `alpha` it is certain enough. */
  readonly p_value: number;
  /** The chance of an error: 0.05 divided by the number of comparisons. */
  readonly alpha: number;
}

/** What a guard reads of an arm. Cost and latency are relative to control's. */
export interface GuardReport {
  readonly guard: keyof ExperimentGuards;
  readonly arm: string;
  readonly limit: number;
  /** How much worse than control, below 0: better; null while there is too little to compare, or control has nothing. */
  readonly worse_by: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly is_breached: boolean;
}

/** What to do, in a word and in a sentence. */
export interface Verdict {
  readonly kind:
    | 'wait'
    | 'keep_running'
    | 'ship'
    | 'stop_worse'
    | 'stop_no_difference'
    | 'stopped_by_guard'
    | 'do_not_trust';
  /** The arm to ship, or the one that is worse. */
  readonly arm: string | null;
  readonly text: string;
}
