import type { ListedPrices } from './catalogue-prices.ts';
import type { DecisionRange } from './decision-source.ts';
import type { RowBatch } from './limit-rows.ts';
import type { Tally } from './tally.ts';

/** What a worker starts from. Bundles are verified already. */
export interface WorkerStart {
  /** Packed bundles. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** Both are one, and only prices differ. */
  readonly isSamePolicy: boolean;
  /** Prices that take the place of the candidate's, by model. */
  readonly prices: Readonly<Record<string, ListedPrices>> | undefined;
  readonly reExecute: boolean;
  readonly range: DecisionRange;
  readonly org: string | undefined;
  readonly withLimits: boolean;
}

/** Records of one round for one worker: their JSON end to end, handed over and not copied. */
export interface Round {
  readonly round: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of each record. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** Place of each among all records. */
  readonly indexes: Float64Array<ArrayBuffer>;
  /** The latest time of the log before this round, milliseconds since 1970. */
  readonly clockMs: number;
  /** Place of the round's first record, whichever worker has it. */
  readonly firstIndex: number;
}

/** To a worker: a round, or the end of the log. */
export type ToWorker = Round | 'finish';

/** From a worker: ready; a round is done; the end, with all it counted and the CPU time it took. */
export type FromWorker =
  | { readonly ready: true }
  | ({ readonly round: number } & RowBatch)
  | { readonly tally: Tally; readonly cpuUs: number };
