/*
 * What workers tell the simulation of limits: numbers alone, in one array a round that is handed over and not copied.
 * A take asks for a request's share of all limits of both decisions, a settle says what was used in the end.
 */

/** Numbers a row. */
export const ROW = 8;

/** [index of the record, TAKE, time, list before, list after, tokens, bound before, bound after] */
export const TAKE = 0;
/** [index of the record, SETTLE, index of the take, tokens, cost before, cost after, 0, 0] */
export const SETTLE = 1;

/** Instead of a list: the decision refuses, or there is none. */
export const NO_LIST = -1;
/** Instead of tokens or a cost: what was taken stands. */
export const AS_TAKEN = -1;

/** What a budget had spent when it was first seen in the log: the gateway's own figure in the input. */
export interface Opening {
  readonly index: number;
  /** By scope, subject and period. */
  readonly key: string;
  readonly microUsd: number;
}

/** The name of a budget's period, as in `spend` of an input. */
export const spendKey = (scope: string, subject: string, period: string): string => `${scope}\n${subject}\n${period}`;

/** What one round of a worker says. */
export interface RowBatch {
  /** In rising order of the record's index. */
  readonly rows: Float64Array<ArrayBuffer>;
  /** Limits and budgets of decisions that this worker had not named before, as JSON; their numbers go on from the last. */
  readonly lists: readonly string[];
  readonly openings: readonly Opening[];
}
