import { setTimeout as pause } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { databaseOf } from './database.ts';
import type { FeedbackBook, RatedRequest } from './feedback-book.ts';
import type { Schema } from './schema.ts';
import { storable } from './storable.ts';

/** How `find` waits for the ledger. */
export interface FeedbackWait {
  /** How long at most. */
  readonly waitMs?: number;
  /** Between two looks. */
  readonly everyMs?: number;
}

/** Ledgers follow their logs within a second or so. */
const WAIT_MS = 2_000;
const EVERY_MS = 100;
/** The row comes with the end of a request: of one that began longer ago it is there, or never will be. */
const RECENT_MS = 3_600_000;
/** Clocks of gateways differ a little. */
const AHEAD_MS = 60_000;

/**
 * Opens the feedback of a store. `timeOf` tells when a decision was made by its id; undefined for what is no id.
 */
export const createFeedbackStore = (
  db: Kysely<Schema>,
  timeOf: (decisionId: string) => number | undefined,
  { waitMs = WAIT_MS, everyMs = EVERY_MS }: FeedbackWait = {},
): FeedbackBook => {
  const look = async (decisionId: string): Promise<RatedRequest | undefined> => {
    const row = await db
      .selectFrom('usage')
      .select(['org', 'team', 'user_id', 'key_id'])
      // Both names of a request have one body, and by this one the ledger is in order.
      .where('request_id', '=', decisionId.replace(/^dec_/, 'req_'))
      .where('decision_id', '=', decisionId)
      .executeTakeFirst();
    return row && { org: row.org, team: row.team, user: row.user_id, keyId: row.key_id };
  };
  return {
    async find(decisionId) {
      const madeMs = timeOf(decisionId);
      const now = Date.now();
      if (madeMs === undefined || madeMs > now + AHEAD_MS) return undefined;
      const end = madeMs < now - RECENT_MS ? now : now + waitMs;
      for (;;) {
        const found = await look(decisionId);
        if (found !== undefined || Date.now() + everyMs > end) return found;
        await pause(everyMs);
      }
    },
    async keep({ decisionId, source, org, timeMs, score, label, comment }) {
      const said = { org, time_ms: timeMs, score, label: label ?? '', comment: storable(comment) };
      await databaseOf(db).writeSoon((on) =>
        on
          .insertInto('feedback')
          .values({ decision_id: decisionId, source: storable(source), ...said })
          .onConflict((conflict) => conflict.columns(['decision_id', 'source']).doUpdateSet(said))
          .execute(),
      );
    },
  };
};
