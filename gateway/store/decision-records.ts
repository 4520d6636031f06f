import type { Kysely } from 'kysely';
import type { AuditIntent, AuditOutcome } from '../types.gen.ts';
import type { DecisionTable, Schema } from './schema.ts';

/** Rows of one query: a few megabytes, and a round trip for each is little. */
const PAGE_ROWS = 500;

/** What the audit log of some gateway says of a decision. One of the two is there. */
export interface DecisionRecord {
  readonly id: string;
  /** Null when the request was decided and not let through: then the outcome holds input and decision. */
  readonly intent: AuditIntent | null;
  /** Null while the request is under way. Without an intent and without a decision it is all that was loaded. */
  readonly outcome: AuditOutcome | null;
}

/** The same with the records as their JSON. */
export type DecisionText = Pick<DecisionTable, 'id' | 'intent' | 'outcome'>;

/** Which decisions are read. Times are milliseconds since the epoch, of the decision; the end is not included. */
export interface DecisionQuestion {
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Those of one organisation. */
  readonly org?: string | undefined;
}

/**
 * The decision of this id, whichever gateway made it; undefined when the store has none. A store has those that gateways
 * with `store.decisions_days` made within so many days, a second or two after they were made.
 */
export const findDecisionRecord = async (db: Kysely<Schema>, id: string): Promise<DecisionRecord | undefined> => {
  const found = db.selectFrom('decisions').select(['id', 'intent', 'outcome']).where('id', '=', id);
  const row = await found.executeTakeFirst();
  return row && recordOf(row);
};

/**
 * Decisions in the order of time, in batches: memory is that of one batch, whatever the range. What is written meanwhile may
 * be among them, so name an end that is past. A reader may stop at any batch; nothing is held between two.
 */
export async function* readDecisionRecords(
  db: Kysely<Schema>,
  question: DecisionQuestion = {},
  pageRows = PAGE_ROWS,
): AsyncGenerator<DecisionRecord[], void, undefined> {
  for await (const texts of readDecisionTexts(db, question, pageRows)) yield texts.map(recordOf);
}

/** As readDecisionRecords, for readers that parse in another place. */
export async function* readDecisionTexts(
  db: Kysely<Schema>,
  { sinceMs, untilMs, org }: DecisionQuestion = {},
  pageRows = PAGE_ROWS,
): AsyncGenerator<DecisionText[], void, undefined> {
  let query = db.selectFrom('decisions').select(['id', 'time_ms', 'intent', 'outcome']);
  if (org !== undefined) query = query.where('org', '=', org);
  if (untilMs !== undefined) query = query.where('time_ms', '<', untilMs);
  if (sinceMs !== undefined) query = query.where('time_ms', '>=', sinceMs);
  let page = query.orderBy('time_ms').orderBy('id').limit(pageRows);
  for (;;) {
    const rows = await page.execute();
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageRows) return;
    page = query
      .where((eb) => eb(eb.refTuple('time_ms', 'id'), '>', eb.tuple(last.time_ms, last.id)))
      .orderBy('time_ms')
      .orderBy('id')
      .limit(pageRows);
  }
}

const recordOf = ({ id, intent, outcome }: DecisionText): DecisionRecord => ({
  id,
  intent: intent === null ? null : (JSON.parse(intent) as AuditIntent),
  outcome: outcome === null ? null : (JSON.parse(outcome) as AuditOutcome),
});
