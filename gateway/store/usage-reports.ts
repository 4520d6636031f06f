import { openAskedThread, ThreadError } from '../asked-thread.ts';
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
 * it adds up and however large the answer is.
 */
export const openUsageReports = (store: ReportStore): UsageReports => {
  const thread = openAskedThread<UsageQuestion, ReportReply>({
    entry: new URL('./usage-worker.ts', import.meta.url),
    name: 'usage',
    data: store,
    limits: LIMITS,
    timeoutMs: TIMEOUT_MS,
    mostWaiting: MOST_WAITING,
  });
  return {
    async page(question) {
      const reply = await thread.ask(question).catch((error: unknown) => {
        throw reportError(error);
      });
      if ('page' in reply) return reply.page;
      throw new ReportError(reply.trouble, reply.message);
    },
    close: thread.close,
  };
};

const reportError = (error: unknown): unknown =>
  error instanceof ThreadError
    ? new ReportError(error.trouble === 'out_of_memory' ? 'too_large' : 'away', error.message)
    : error;
