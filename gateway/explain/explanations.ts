import { openAskedThread, ThreadError } from '../asked-thread.ts';

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
 * evaluation holds up a request.
 */
export const openExplanations = (places: ExplanationPlaces, timeoutMs = TIMEOUT_MS): Explanations => {
  const thread = openAskedThread<ExplanationQuestion, ExplanationReply>({
    entry: new URL('./explanation-worker.ts', import.meta.url),
    name: 'explanations',
    data: places,
    limits: LIMITS,
    timeoutMs,
    mostWaiting: MOST_WAITING,
  });
  return {
    async explain(id, org) {
      const reply = await thread.ask({ id, org }).catch((error: unknown) => {
        throw explanationError(error);
      });
      if ('trouble' in reply) throw new ExplanationError('unreadable', reply.trouble);
      return reply.explanation;
    },
    close: thread.close,
  };
};

const explanationError = (error: unknown): unknown => {
  if (!(error instanceof ThreadError)) return error;
  const { trouble, message } = error;
  return new ExplanationError(trouble === 'died' || trouble === 'out_of_memory' ? 'unreadable' : 'slow', message);
};
