import { Worker } from 'node:worker_threads';
import type { UsagePage, UsageQuestion } from './usage-page.ts';

/** Why a report is not given: its cursor is none of it, it has too many groups, or the store is away or overwhelmed. */
export type ReportTrouble = 'cursor' | 'too_large' | 'away';

/** A report that is not given. */
export class ReportError extends Error {
  readonly trouble: ReportTrouble;

  constructor(trouble: ReportTrouble, message: string) {
    super(message);
    this.name = 'ReportError';
    this.trouble = trouble;
  }
}

/** Reports for the control plane of a running gateway. */
export interface UsageReports {
  /** Rejects with ReportError. */
  page(question: UsageQuestion): Promise<UsagePage>;
  close(): Promise<void>;
}

/** To the worker, and back: one at a time. */
export type ReportReply =
  | { readonly page: UsagePage }
  | { readonly trouble: Exclude<ReportTrouble, 'too_large'>; readonly message: string };

/** Which store is reported of. */
export interface ReportStore {
  readonly home: string;
  /** '' for the embedded one. */
  readonly url: string;
}

/** A year of a large ledger takes about a second; somebody waits for it. */
const TIMEOUT_MS = 20_000;
/** Reports that wait for their turn. */
const MOST_WAITING = 16;
/** Some hundred thousand groups. What needs more must not take the memory of those who serve. */
const LIMITS = { maxOldGenerationSizeMb: 384, maxYoungGenerationSizeMb: 32 } as const;

/**
 * Opens reports that are read in a thread of their own: what an administrator asks holds up no request, however many rows
 * it adds up and however large the answer is. The thread is started at the first report, and anew after one that failed.
 */
export const openUsageReports = (store: ReportStore): UsageReports => {
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
    const entry = new URL('./usage-worker.ts', import.meta.url);
    const started = new Worker(entry, { workerData: store, name: 'usage', resourceLimits: LIMITS });
    started.unref();
    // Of one that dies while nobody waits; whoever waits hears it too.
    started.on('error', () => {});
    started.once('exit', () => {
      if (worker === started) worker = undefined;
    });
    return started;
  };

  const ask = async (question: UsageQuestion): Promise<UsagePage> => {
    if (isClosed) throw new ReportError('away', 'the gateway is stopping');
    worker ??= start();
    const asked = worker;
    const reply = await new Promise<ReportReply>((resolve, reject) => {
      const timer = setTimeout(() => fail(new ReportError('away', 'the store is slow')), TIMEOUT_MS);
      const done = (): void => {
        clearTimeout(timer);
        asked.off('message', answered).off('error', died).off('exit', gone);
      };
      const fail = (error: ReportError): void => {
        done();
        void end();
        reject(error);
      };
      const answered = (answer: ReportReply): void => {
        done();
        resolve(answer);
      };
      const died = (error: unknown): void => {
        const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
        fail(new ReportError(code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'too_large' : 'away', String(message)));
      };
      const gone = (): void => fail(new ReportError('away', 'the thread of reports ended'));
      asked.on('message', answered).on('error', died).on('exit', gone);
      asked.postMessage(question);
    });
    if ('page' in reply) return reply.page;
    throw new ReportError(reply.trouble, reply.message);
  };

  return {
    page(question) {
      if (waiting >= MOST_WAITING) return Promise.reject(new ReportError('away', 'too many reports wait'));
      waiting++;
      const answer = last
        .then(() => ask(question))
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
