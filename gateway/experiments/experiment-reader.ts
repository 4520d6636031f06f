import { Worker } from 'node:worker_threads';
import type { ArmReading, ReadingQuestion } from '../store/experiment-readings.ts';

/** Reads what the store knows of experiments. */
export interface ExperimentReader {
  /** The arms that have a request. Rejects while the store is away or slow. */
  arms(question: ReadingQuestion): Promise<readonly ArmReading[]>;
  close(): Promise<void>;
}

/** Which store is read. */
export interface ReaderStore {
  readonly home: string;
  /** '' for the embedded one. */
  readonly url: string;
}

/** To the worker. */
export interface ReaderRequest {
  readonly id: number;
  readonly question: ReadingQuestion;
}

/** And back. */
export type ReaderReply =
  | { readonly id: number; readonly arms: readonly ArmReading[] }
  | { readonly id: number; readonly message: string };

/** A million requests take a few seconds. */
const TIMEOUT_MS = 60_000;
const LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8 } as const;

/**
 * Opens a reader that asks in a thread of its own: adding up a large experiment holds up no request. The thread is started
 * at the first question, and anew after one that failed.
 */
export const openExperimentReader = (store: ReaderStore): ExperimentReader => {
  let worker: Worker | undefined;
  let lastId = 0;
  let isClosed = false;
  const pending = new Map<number, { resolve(arms: readonly ArmReading[]): void; reject(error: Error): void }>();

  const fail = (message: string): void => {
    worker = undefined;
    for (const { reject } of pending.values()) reject(new Error(message));
    pending.clear();
  };
  const start = (): Worker => {
    const entry = new URL('./experiment-worker.ts', import.meta.url);
    const started = new Worker(entry, { workerData: store, name: 'experiments', resourceLimits: LIMITS });
    started.unref();
    const gone = (why: string): void => {
      if (worker === started) fail(why);
    };
    started.on('error', (error) => gone(String((error as { message?: unknown }).message)));
    started.once('exit', () => gone('the thread that reads experiments ended'));
    started.on('message', (reply: ReaderReply) => {
      const asked = pending.get(reply.id);
      pending.delete(reply.id);
      if ('arms' in reply) asked?.resolve(reply.arms);
      else asked?.reject(new Error(reply.message));
    });
    return started;
  };
  const end = async (why: string): Promise<void> => {
    const ended = worker;
    fail(why);
    await ended?.terminate();
  };

  return {
    arms(question) {
      if (isClosed) return Promise.reject(new Error('the gateway is stopping'));
      worker ??= start();
      const id = ++lastId;
      const { promise, resolve, reject } = Promise.withResolvers<readonly ArmReading[]>();
      const timer = setTimeout(() => void end('the store is slow'), TIMEOUT_MS).unref();
      pending.set(id, { resolve, reject });
      const request: ReaderRequest = { id, question };
      worker.postMessage(request);
      return promise.finally(() => clearTimeout(timer));
    },
    async close() {
      isClosed = true;
      await end('the gateway is stopping');
    },
  };
};
