import { Worker } from 'node:worker_threads';
import type { FollowerData } from './follow-log.ts';
import type { FollowerReply, FollowerRequest } from './follower-messages.ts';

/** The ledger of a running gateway, kept by a worker thread. */
export interface LedgerFollower {
  /** Resolves with the number of new rows when everything that is in the log now is in the ledger. */
  catchUp(): Promise<number>;
  /** False from a failed look at the log to the next success. */
  readonly healthy: boolean;
  /** Ends the worker after the batch under way. */
  close(): Promise<void>;
}

/** How a follower is started. */
export interface FollowerOptions extends FollowerData {
  /** The worker's entry file, which knows the audit log's reader. */
  readonly worker: URL;
  /** Told of every failed look; the worker goes on by itself. */
  readonly onError?: (message: string) => void;
}

/**
 * By default the garbage of batches grows to 50 MB and more before V8 takes it away; smaller is not slower here. The old
 * generation keeps its default: the worker must be able to parse whatever record the log took.
 */
const LIMITS = { maxYoungGenerationSizeMb: 8 } as const;

/** Starts the worker; rejects when it cannot open the store. */
export const openLedgerFollower = async ({
  worker: entry,
  onError,
  ...data
}: FollowerOptions): Promise<LedgerFollower> => {
  const worker = new Worker(entry, { workerData: data, name: 'ledger', resourceLimits: LIMITS });
  const pending = new Map<number, { resolve(rows: number): void; reject(error: Error): void }>();
  let lastId = 0;
  let healthy = true;
  let ended: Error | undefined;

  const ready = new Promise<void>((resolve, reject) => {
    const end = (error: Error): void => {
      ended ??= error;
      healthy = false;
      reject(ended);
      for (const { reject: rejectOne } of pending.values()) rejectOne(ended);
      pending.clear();
    };
    worker.on('error', (error) => {
      end(error as Error);
      onError?.(`the ledger's worker died: ${String((error as { message?: unknown }).message)}`);
    });
    worker.on('exit', () => end(new Error('the ledger is closed')));
    worker.on('message', (reply: FollowerReply) => {
      if (reply.type === 'ready') return resolve();
      healthy = reply.type === 'caughtUp';
      if (reply.type === 'failed') onError?.(reply.message);
      if (reply.id === undefined) return;
      const caller = pending.get(reply.id);
      pending.delete(reply.id);
      if (pending.size === 0) worker.unref();
      if (reply.type === 'caughtUp') caller?.resolve(reply.rows);
      else caller?.reject(new Error(reply.message));
    });
  });
  await ready;
  worker.unref();

  const post = (request: FollowerRequest): void => worker.postMessage(request);
  return {
    catchUp() {
      if (ended !== undefined) return Promise.reject(ended);
      const id = ++lastId;
      worker.ref(); // Somebody waits: the process must not end before the answer.
      return new Promise((resolve, reject) => {
        pending.set(id, { resolve, reject });
        post({ do: 'catchUp', id });
      });
    },
    get healthy() {
      return healthy;
    },
    async close() {
      if (ended !== undefined) return;
      const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      worker.ref();
      post({ do: 'close' });
      await exit;
    },
  };
};
