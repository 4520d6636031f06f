/**
 * Raw audit records, as the JSON of schemas/audit.json. In every batch an outcome comes after its intent, if the source
 * has one. A buffer is valid until the next batch is asked for.
 */
export type RecordBatch = readonly (Buffer | string)[];

/** Which decisions are wanted, milliseconds since 1970. */
export interface DecisionRange {
  /** The first moment, included. */
  readonly sinceMs: number | undefined;
  /** The last moment, excluded. */
  readonly untilMs: number | undefined;
}

/**
 * Where logged decisions are read from: audit logs, or a table that holds their records. `batches` gives intents and
 * outcomes in about the order in which they were written; it may give more than the range asks for, and records of other
 * kinds. It throws where what it reads is damaged. `replay` reads it once, from one end to the other.
 */
export interface DecisionSource {
  /** What is read, for people. */
  readonly name: string;
  batches(range: DecisionRange): AsyncIterable<RecordBatch>;
}
