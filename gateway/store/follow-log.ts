import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { openDatabase } from './database.ts';
import type { FollowerReply, FollowerRequest } from './follower-messages.ts';
import { type AuditReader, catchUpLedger } from './ledger.ts';

/** Also the least time between two commits of its own: each writes the same pages of the roll-ups again. */
const POLL_MS = 1_000;
/** After a failure the log is looked at less often. */
const RETRY_MS = 5_000;

/** What a follower works on, as the worker's data. */
export interface FollowerData {
  readonly home: string;
  /** Folder of the log's segments, whose newest file grows. */
  readonly segments: string;
}

/**
 * The worker's side of the ledger: looks every second whether the newest segment grew (two system calls when it did not)
 * and loads what is new. Resolves when it is told to close.
 */
export const followLog = async (
  port: MessagePort,
  { home, segments }: FollowerData,
  read: AuditReader,
): Promise<void> => {
  const { db, close } = await openDatabase(home);
  const post = (reply: FollowerReply): void => port.postMessage(reply);
  let isClosing = false;
  let waiting: number[] = [];
  let wake: () => void = () => undefined;
  port.on('message', (request: FollowerRequest) => {
    if (request.do === 'close') isClosing = true;
    else waiting.push(request.id);
    wake();
  });
  post({ type: 'ready' });

  let seen = '';
  while (!isClosing) {
    let pauseMs = POLL_MS;
    const ids = waiting;
    waiting = [];
    try {
      const mark = await markOf(segments);
      if (mark !== seen || ids.length > 0) {
        const rows = await catchUpLedger(db, home, read);
        seen = mark;
        if (ids.length === 0) post({ type: 'caughtUp', rows });
        for (const id of ids) post({ type: 'caughtUp', id, rows });
      }
    } catch (error) {
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
