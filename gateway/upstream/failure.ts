import type { UpstreamFailure } from './upstream.ts';

/** How far a request had come when it failed. */
export type Progress = 'queued' | 'sent' | 'answering';

/** What undici's or Node's error means. Codes: undici's lib/core/errors.js, and errno. */
export const failureOf = (error: unknown, progress: Progress): UpstreamFailure => {
  const code = codeOf(error);
  switch (code) {
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
    case 'UND_ERR_ABORTED':
      return 'aborted';
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'connect_timeout';
    case 'UND_ERR_HEADERS_TIMEOUT':
      return 'first_byte_timeout';
    case 'UND_ERR_BODY_TIMEOUT':
      return 'idle_timeout';
    case 'UND_ERR_HEADERS_OVERFLOW':
    case 'UND_ERR_RES_EXCEEDED_MAX_SIZE':
      return 'invalid_response';
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      // Before the head is whole: two lengths, or a length and chunks. After it: an answer that was cut short.
      if (progress === 'sent') return 'invalid_response';
  }
  if (progress === 'queued') return code === 'ETIMEDOUT' ? 'connect_timeout' : 'connect_failed';
  if ((error as { name?: unknown }).name !== 'HTTPParserError') return 'reset';
  // undici 8 leaves a parser error's code undefined. An answer that the peer cut short is not malformed.
  return /invalid eof state/i.test(String((error as { message?: unknown }).message)) ? 'reset' : 'invalid_response';
};

/** Whether the connection broke, as an idle one does that the peer closed while the request was on its way. */
export const isConnectionLoss = (error: unknown): boolean => {
  const code = codeOf(error);
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET';
};

/** Whether nobody listened. */
export const isRefusedConnection = (error: unknown): boolean => codeOf(error) === 'ECONNREFUSED';

const codeOf = (error: unknown): string => {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
};
