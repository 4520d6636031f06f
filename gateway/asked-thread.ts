import { Worker } from 'node:worker_threads';

/** Why a thread gave no reply: too many wait, it took too long, its memory was full, it died, or it is being closed. */
export type ThreadTrouble = 'busy' | 'slow' | 'out_of_memory' | 'died' | 'closed';

/** A question that got no reply. */
export class ThreadError extends Error {
  readonly trouble: ThreadTrouble;

  constructor(trouble: ThreadTrouble, message: string) {
    super(message);
    this.name = 'ThreadError';
    this.trouble = trouble;
  }
}

export interface AskedThreadOptions {
  /** The file it runs: it posts one reply for each message. */
  readonly entry: URL;
  readonly name: string;
  /** Its workerData. */
  readonly data: unknown;
  /** Megabytes. */
  readonly limits: { readonly maxOldGenerationSizeMb: number; readonly maxYoungGenerationSizeMb: number };
  /** For one question, from its turn on. */
  readonly timeoutMs: number;
  /** Questions that are asked or wait for their turn. */
  readonly mostWaiting: number;
}

/** A thread that answers questions, one at a time. */
export interface AskedThread<Question, Reply> {
  /** Rejects with ThreadError. */
  ask(question: Question): Promise<Reply>;
  close(): Promise<void>;
}

/**
 * Opens a thread for work that would hold up requests. It is started at the first question, and anew after one that got no
 * reply: what goes on with an old question would answer the next.
 */
export const openAskedThread = <Question, Reply>(options: AskedThreadOptions): AskedThread<Question, Reply> => {
  const { entry, name, data, limits, timeoutMs, mostWaiting } = options;
  let worker: Worker | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let isClosed = false;

  const end = async (): Promise<void> => {
    const ended = worker;
    worker = undefined;
    await ended?.terminate();
  };

  const start = (): Worker => {
    const started = new Worker(entry, { workerData: data, name, resourceLimits: limits });
    started.unref();
    // Of one that dies while nobody waits; whoever waits hears it too.
    started.on('error', () => {});
    started.once('exit', () => {
      if (worker === started) worker = undefined;
    });
    return started;
  };

  const replyTo = async (question: Question): Promise<Reply> => {
    if (isClosed) throw new ThreadError('closed', 'the gateway is stopping');
    worker ??= start();
    const asked = worker;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const died = (error: unknown): void => {
      const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
      reject(new ThreadError(code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out_of_memory' : 'died', String(message)));
    };
    const gone = (): void => reject(new ThreadError('died', `the thread ${name} ended`));
    const late = (): void => reject(new ThreadError('slow', `no reply within ${timeoutMs / 1000} s`));
    const timer = setTimeout(late, timeoutMs);
    asked.on('message', resolve).on('error', died).on('exit', gone);
    try {
      asked.postMessage(question);
      return await promise;
    } catch (error) {
      await end();
      throw error;
    } finally {
      clearTimeout(timer);
      asked.off('message', resolve).off('error', died).off('exit', gone);
    }
  };

  return {
    ask(question) {
      if (waiting >= mostWaiting) return Promise.reject(new ThreadError('busy', 'too many wait'));
      waiting++;
      const reply = last
        .then(() => replyTo(question))
        .finally(() => {
          waiting--;
        });
      last = reply.catch(() => {});
      return reply;
    },
    async close() {
      isClosed = true;
      await end();
    },
  };
};
