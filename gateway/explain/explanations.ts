import { Worker } from 'node:worker_threads';

/** Why an explanation is not given: the search took too long or too many wait, or what it needs cannot be read. */
export type ExplanationTrouble = 'slow' | 'unreadable';

/** An explanation that is not given though there may be one. */
export class ExplanationError extends Error {
  readonly trouble: ExplanationTrouble;

  constructor(trouble: ExplanationTrouble, message: string) {
    super(message);
    this.name = 'ExplanationError';
    this.trouble = trouble;
  }
}

/** Explanations of recorded decisions for the control plane of a running gateway. */
export interface Explanations {
  /**
   * What is known of a decision, as JSON; undefined when none of that id is here, or when it is of another organisation
   * than `org` (null: of any). Rejects with ExplanationError.
   */
  explain(id: string, org: string | null): Promise<Record<string, unknown> | undefined>;
  close(): Promise<void>;
}

/** Where decisions are looked for. */
export interface ExplanationPlaces {
  /** The home, whose workers' audit logs are searched too. */
  readonly home: string;
  /** Of the shared store; '' for the embedded one. */
  readonly url: string;
}

/** To the worker. */
export interface ExplanationQuestion {
  readonly id: string;
  readonly org: string | null;
}

/** From the worker: one reply a question. */
export type ExplanationReply =
  | { readonly explanation: Record<string, unknown> | undefined }
  | { readonly trouble: string };

/** Somebody waits for it, and the worker's gigabyte is read in two or three seconds. */
const TIMEOUT_MS = 20_000;
const MOST_WAITING = 16;
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32 } as const;

/**
 * Opens explanations that are made in a thread of their own, one at a time: neither the search through the log nor the
 * evaluation holds up a request. The thread is started at the first question, and anew after one that failed.
 */
export const openExplanations = (places: ExplanationPlaces, timeoutMs = TIMEOUT_MS): Explanations => {
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
    const entry = new URL('./explanation-worker.ts', import.meta.url);
    const started = new Worker(entry, { workerData: places, name: 'explanations', resourceLimits: LIMITS });
    started.unref();
    // Of one that dies while nobody waits; whoever waits hears it too.
    started.on('error', () => {});
    started.once('exit', () => {
      if (worker === started) worker = undefined;
    });
    return started;
  };

  const ask = async (question: ExplanationQuestion): Promise<Record<string, unknown> | undefined> => {
    if (isClosed) throw new ExplanationError('slow', 'the gateway is stopping');
    worker ??= start();
    const asked = worker;
    const { promise, resolve, reject } = Promise.withResolvers<ExplanationReply>();
    const died = (error?: unknown): void =>
      reject(new ExplanationError('unreadable', `the thread of explanations ended: ${String(error ?? 'unknown')}`));
    const timer = setTimeout(
      () => reject(new ExplanationError('slow', `it was not found within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    asked.once('message', resolve).once('error', died).once('exit', died);
    try {
      asked.postMessage(question);
      const reply = await promise;
      if ('trouble' in reply) throw new ExplanationError('unreadable', reply.trouble);
      return reply.explanation;
    } catch (error) {
      // A search that goes on would answer the next question.
      if (!(error instanceof ExplanationError) || error.trouble === 'slow') await end();
      throw error;
    } finally {
      clearTimeout(timer);
      asked.off('message', resolve).off('error', died).off('exit', died);
    }
  };

  return {
    explain(id, org) {
      if (waiting >= MOST_WAITING)
        return Promise.reject(new ExplanationError('slow', 'too many wait for an explanation'));
      waiting++;
      const answer = last
        .then(() => ask({ id, org }))
        .finally(() => {
          waiting--;
        });
      last = answer.catch(() => {});
      return answer;
    },
    async close() {
      isClosed = true;
      await end();
    },
  };
};
