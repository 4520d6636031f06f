import { GatewayError } from '../errors.ts';

/**
 * An estimate is this much above a provider's own count at most, so that no answer is cut which keeps to its cap: names
 * and rare words are estimated up to a fifth too high, and tokenizers with larger vocabularies count less (tokens.ts).
 */
const MARGIN = 1.5;
/** Short answers are estimated with less luck. */
const MARGIN_TOKENS = 64;
/** Below this many new bytes nothing is looked at again: some ten events. */
const LEAST_STEP_BYTES = 4 * 1024;
/** However thin a stream was so far, this many bytes of it are taken for a token at least. */
const MOST_BYTES_PER_TOKEN = 64;
/** Of a stream that cannot be read a token takes no more bytes than this: an event each, with names and ids. */
const UNREAD_BYTES_PER_TOKEN = 1024;

/** Holds a stream to the output that was reserved for it. */
export interface OutputBound {
  /** Counts whole events by their bytes. Throws GatewayError `budget_exceeded` once their text is beyond the bound. */
  count(bytes: number): void;
}

/**
 * A bound of `tokens` output tokens. `estimate` gives those of the stream so far and is asked seldom: a token is a byte
 * at least, so the first time comes when as many bytes have; each further one when a stream twice as dense as it was
 * until then could be through.
 */
export const createOutputBound = (tokens: number, estimate: () => number): OutputBound => {
  const most = Math.ceil(tokens * MARGIN) + MARGIN_TOKENS;
  let bytes = 0;
  let lookAt = most;
  return {
    count(more) {
      bytes += more;
      if (bytes < lookAt) return;
      let written: number;
      try {
        written = estimate();
      } catch {
        // What cannot be read breaks no stream, but does not run on for ever either.
        if (bytes > most * UNREAD_BYTES_PER_TOKEN) throw beyondReserved();
        return;
      }
      if (written > most) throw beyondReserved();
      const bytesPerToken = Math.min(MOST_BYTES_PER_TOKEN, Math.max(1, bytes / Math.max(1, written) / 2));
      lookAt = bytes + Math.max(LEAST_STEP_BYTES, (most - written) * bytesPerToken);
    },
  };
};

/** The end of a stream that has used up what was reserved for it. */
export const beyondReserved = (): GatewayError =>
  new GatewayError('budget_exceeded', 'The answer was cut off: it has used up what was reserved for it.', {
    hint: 'The model provider went on beyond its output cap; a larger max_tokens reserves more.',
  });
