import type { Ask, AskError, ChatRequest } from './ask.ts';
import type { CallResult, Journal } from './journal.ts';

/** A call that is to be made, once. */
export interface PlannedCall {
  /** Unique in the run, and the same when it is run again. */
  readonly call: string;
  readonly request: ChatRequest;
}

export interface RunOptions {
  readonly ask: Ask;
  readonly journal: Journal;
  readonly concurrency: number;
  readonly budgetMicroUsd: number;
  /** What a request can cost at most, millionths of a US dollar. */
  readonly boundOf: (request: ChatRequest) => number;
  /** Calls that were made before a crash and whose result is lost: whether they are made again. */
  readonly repeatLost: boolean;
  /** Whether calls that failed are made again. */
  readonly repeatFailed?: boolean;
  /** Stops the run: calls under way end, no other begins. */
  readonly signal: AbortSignal;
  /** After each call. */
  readonly onResult?: (result: CallResult) => void;
}

/** Why a run ended. */
export type RunEnd =
  | { readonly reason: 'done' }
  | { readonly reason: 'stopped' }
  /** The next call could have cost more than the budget leaves. */
  | { readonly reason: 'budget' }
  /** No further call would have been answered. */
  | { readonly reason: 'failed'; readonly message: string };

/**
 * Makes the calls that the journal does not have yet, several at a time, each on record before it is made. What is spent and
 * what the calls under way can cost never exceed the budget together. A call that fails is a result as any other, unless
 * all further ones would fail too. Rejects when the journal cannot be written.
 */
export const runCalls = async (calls: readonly PlannedCall[], options: RunOptions): Promise<RunEnd> => {
  const { ask, journal, concurrency, budgetMicroUsd, boundOf, repeatLost, signal, onResult } = options;
  const isWanted = ({ call }: PlannedCall): boolean => {
    const result = journal.results.get(call);
    if (result) return options.repeatFailed === true && result.error !== null;
    return repeatLost || !journal.lost.has(call);
  };
  const pending = calls.filter(isWanted);
  let reserved = 0;
  let next = 0;
  let end: RunEnd = { reason: 'done' };

  const make = async ({ call, request }: PlannedCall, bound: number): Promise<void> => {
    reserved += bound;
    try {
      await journal.asked(call);
      const result = await resultOf(call, request, ask, signal);
      await journal.result(result);
      onResult?.(result);
    } catch (error) {
      if (!isAskError(error)) throw error;
      if (error.isUnasked) await journal.withdrawn(call);
      end = signal.aborted ? { reason: 'stopped' } : { reason: 'failed', message: error.message };
    } finally {
      reserved -= bound;
    }
  };
  const work = async (): Promise<void> => {
    while (next < pending.length && end.reason === 'done') {
      if (signal.aborted) {
        end = { reason: 'stopped' };
        return;
      }
      const planned = pending[next] as PlannedCall;
      const bound = boundOf(planned.request);
      if (journal.spentMicroUsd + reserved + bound > budgetMicroUsd) {
        // Others under way may cost less than they could: the last of them decides.
        if (reserved > 0) return;
        end = { reason: 'budget' };
        return;
      }
      next++;
      await make(planned, bound);
    }
  };
  // A worker that left because others held the budget is followed by the last one, which goes on alone.
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, work));
  while (next < pending.length && end.reason === 'done') await work();
  return end;
};

const isAskError = (error: unknown): error is AskError => (error as { name?: unknown } | null)?.name === 'AskError';

/** The result of one call; a failure that concerns it alone is one. Throws AskError when all others would fail too. */
const resultOf = async (call: string, request: ChatRequest, ask: Ask, signal: AbortSignal): Promise<CallResult> => {
  const { model } = request;
  try {
    return { call, model, error: null, ...(await ask(request, signal)) };
  } catch (error) {
    if (!isAskError(error) || error.isFinal) throw error;
    const { message, costMicroUsd, decisionId } = error;
    const nothing = { text: '', ms: 0, inputTokens: 0, outputTokens: 0 };
    return { call, model, error: message, ...nothing, costMicroUsd, decisionId };
  }
};
