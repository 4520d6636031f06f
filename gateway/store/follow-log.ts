import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import type { Kysely } from 'kysely';
import { openDatabase } from './database.ts';
import { decisionsDays, deleteDecisions, keepDecisions, keptSinceMs } from './decision-retention.ts';
import type { FollowerReply, FollowerRequest } from './follower-messages.ts';
import { type AuditSource, catchUpLog } from './ledger.ts';
import type { Schema } from './schema.ts';

/** Also the least time between two commits of its own: each writes the same pages of the roll-ups again. */
const POLL_MS = 1_000;
/** After a failure the log is looked at less often. */
const RETRY_MS = 5_000;
/** Between two looks at decisions whose days are over. */
const SWEEP_MS = 60_000;
/** As many are deleted between two looks at the log, unless somebody waits for the ledger: more than are ever added. */
const SWEEP_ROWS = 10_000;

/** What a follower works on, as the worker's data. */
export interface FollowerData {
  /** Folder of the embedded store; of the log too, unless `logHome` names another. */
  readonly home: string;
  readonly logHome?: string;
  /** Of a shared store; '' and none mean the embedded one. */
  readonly url?: string;
  /** Folder of the log's segments, whose newest file grows. */
  readonly segments: string;
  /** For how many days decisions of the log are kept in the store; 0, the default, for none. */
  readonly decisionsDays?: number;
}

/** How long the batch under way may take when the worker ends. */
const CLOSE_MS = 2_000;
/** A batch may wait for another gateway's. */
const QUERY_TIMEOUT_MS = 60_000;

/**
 * The worker's side of the ledger: looks every second whether the newest segment grew (two system calls when it did not)
 * and loads what is new. While a shared store is away the log keeps what comes, and is loaded when the store is back.
 * Resolves when it is told to close.
 */
export const followLog = async (
  port: MessagePort,
  { home, logHome = home, url = '', segments, decisionsDays: days = 0 }: FollowerData,
  source: AuditSource,
): Promise<void> => {
  const { db, dialect, close } = await openDatabase(home, url, { queryTimeoutMs: QUERY_TIMEOUT_MS, mayBeAway: true });
  const post = (reply: FollowerReply): void => port.postMessage(reply);
  let isClosing = false;
  let waiting: number[] = [];
  let wake: () => void = () => undefined;
  port.on('message', (request: FollowerRequest) => {
    if (request.do !== 'close') waiting.push(request.id);
    else if (!isClosing) {
      isClosing = true;
      // A Postgres that hangs must not hold the stop: what is not loaded is in the log.
      if (dialect === 'postgres') setTimeout(() => void close().catch(() => {}), CLOSE_MS).unref();
    }
    wake();
  });
  post({ type: 'ready' });

  const sweep = createSweep(db, days, () => isClosing || waiting.length > 0);
  let seen = '';
  while (!isClosing) {
    let pauseMs = POLL_MS;
    const ids = waiting;
    waiting = [];
    try {
      const mark = await markOf(segments);
      if (mark !== seen || ids.length > 0) {
        const rows = await catchUpLog(db, logHome, source, { isStopping: () => isClosing, decisionsDays: days });
        seen = mark;
        if (ids.length === 0) post({ type: 'caughtUp', rows });
        for (const id of ids) post({ type: 'caughtUp', id, rows });
      }
      await sweep();
    } catch (error) {
      seen = ''; // Only a look that comes to its end says that all is well again.
      const message = String((error as { message?: unknown } | null)?.message ?? error);
      for (const id of ids) post({ type: 'failed', id, message });
      if (ids.length === 0) post({ type: 'failed', message });
      pauseMs = RETRY_MS;
    }
    if (isClosing || waiting.length > 0) continue;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  await close();
  port.close();
};

/**
 * Deletes, now and then, decisions that have been kept for their days. Where none are kept any more those that are there
 * still go; where none ever were, nothing is asked.
 */
const createSweep = (db: Kysely<Schema>, days: number, isStopping: () => boolean): (() => Promise<void>) => {
  let nextMs = 0;
  let isSaid = days === 0;
  return async () => {
    if (Date.now() < nextMs || isStopping()) return;
    if (!isSaid) await keepDecisions(db, days);
    isSaid = true;
    const kept = await decisionsDays(db);
    if (kept === undefined) {
      nextMs = Number.POSITIVE_INFINITY;
      return;
    }
    const isDone = await deleteDecisions(db, keptSinceMs(kept, Date.now()), SWEEP_ROWS, isStopping);
    if (isDone) nextMs = Date.now() + SWEEP_MS;
  };
};

/** Changes whenever a record was added: the newest segment's name, size and time (a segment may be allocated ahead). */
const markOf = async (segments: string): Promise<string> => {
  try {
    const newest = (await readdir(segments)).sort().at(-1);
    if (newest === undefined) return '';
    const { size, mtimeMs } = await stat(join(segments, newest));
    return `${newest} ${size} ${mtimeMs}`;
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return '';
    throw error;
  }
};
