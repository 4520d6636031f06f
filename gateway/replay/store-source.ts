import type { Kysely } from 'kysely';
import { readDecisionTexts } from '../store/decision-records.ts';
import type { Schema } from '../store/schema.ts';
import type { DecisionSource } from './decision-source.ts';
import { recordHead } from './record-head.ts';

const BATCH_RECORDS = 512;
/** A row has one time, of its intent or, without one, of its outcome; no request is under way for longer. */
const LATE_MS = 3_600_000;

/**
 * The decisions of a store (`store.decisions_days`), of all gateways that keep theirs there, in the order of time. Outcomes
 * come when they ended, as in a log. Throws what the database says.
 */
export const createStoreSource = (db: Kysely<Schema>, name: string): DecisionSource => ({
  name,
  async *batches({ sinceMs, untilMs }) {
    const question = {
      ...(sinceMs !== undefined && { sinceMs: sinceMs - LATE_MS }),
      ...(untilMs !== undefined && { untilMs: untilMs + LATE_MS }),
    };
    const ends = new Ends();
    let batch: string[] = [];
    for await (const rows of readDecisionTexts(db, question)) {
      for (const { intent, outcome } of rows) {
        const timeMs = recordHead((intent ?? outcome) as string)?.timeMs ?? Number.NEGATIVE_INFINITY;
        batch.push(...ends.until(timeMs));
        if (intent !== null) batch.push(intent);
        if (outcome !== null) ends.add(outcome);
        if (batch.length < BATCH_RECORDS) continue;
        yield batch;
        batch = [];
      }
    }
    batch.push(...ends.until(Number.POSITIVE_INFINITY));
    if (batch.length > 0) yield batch;
  },
});

/** Outcomes that have not ended yet, at a moment of the past: as many as there were requests under way. */
class Ends {
  /** The last is the next to end. */
  readonly #open: { readonly timeMs: number; readonly outcome: string }[] = [];

  add(outcome: string): void {
    const timeMs = recordHead(outcome)?.timeMs ?? Number.NEGATIVE_INFINITY;
    let [low, high] = [0, this.#open.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      // Of two that end together the first to be added comes first.
      if ((this.#open[middle] as { timeMs: number }).timeMs > timeMs) low = middle + 1;
      else high = middle;
    }
    this.#open.splice(low, 0, { timeMs, outcome });
  }

  /** Takes out those that have ended by this moment. */
  *until(timeMs: number): Generator<string> {
    for (let last = this.#open.at(-1); last && last.timeMs <= timeMs; last = this.#open.at(-1)) {
      this.#open.pop();
      yield last.outcome;
    }
  }
}
