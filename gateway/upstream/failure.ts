import type { UpstreamFailure } from './upstream.ts';

/** How far a request had come when it failed. */
export type Progress = 'queued' | 'sent' | 'answering';

/** What undici's or Node's error means. Codes: undici lib/core/errors.js, llhttp's HPE_*, errno. */
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
    // The peer closed inside a chunked answer: cut short, not malformed.
    case 'HPE_INVALID_EOF_STATE':
      return 'reset';
  }
  if (progress === 'queued') return code === 'ETIMEDOUT' ? 'connect_timeout' : 'connect_failed';
  return code.startsWith('HPE_') ? 'invalid_response' : 'reset';
};

/** Whether the connection broke, as an idle one does that the peer closed while the request was on its way. */
export const isConnectionLoss = (error: unknown): boolean => {
  const code = codeOf(error);
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET';
};

const codeOf = (error: unknown): string => {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
};
