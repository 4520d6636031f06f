import { GatewayError } from '../errors.ts';
import { isConnectionLoss, isRefusedConnection } from './failure.ts';
import { isSpendLimit } from './spend-limit.ts';
import type { ResponseHeaders, UpstreamFailure, UpstreamSkip } from './upstream.ts';

export { isContextOverflow } from './context-overflow.ts';
export { isSpendLimit } from './spend-limit.ts';

/** An attempt that did not give the caller an answer. Either `status` or `failure` is set. */
export interface FailedAttempt {
  readonly status: number | null;
  readonly failure: UpstreamFailure | null;
  /** What the upstream asked to wait; of one that was passed over, how long until it may be asked. */
  readonly retryAfterMs: number | null;
  /** The start of the error's body, as far as it was read. */
  readonly body: Buffer;
}

/** Longer waits are not believed: a retry-after of a year is a mistake, and SDKs obey it. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** Whether the next candidate may do better: everything but a caller who left. Only before the caller got a byte. */
export const isRetriableFailure = (failure: UpstreamFailure): boolean => failure !== 'aborted';

/** Whether the next candidate may do better: 429 and 5xx. Every other error is about the request itself. */
export const isRetriableStatus = (status: number): boolean => status === 429 || status >= 500;

const SKIPS: ReadonlySet<string> = new Set<UpstreamSkip>([
  'circuit_open',
  'overloaded',
  'keys_resting',
  'retry_budget',
]);

/** Whether the upstream was passed over, so that nothing was sent. */
export const isSkip = (failure: UpstreamFailure | null): failure is UpstreamSkip =>
  failure !== null && SKIPS.has(failure);

/** Statuses of a moment's trouble. A 504, or a silence, has cost its time already; a 429 asks for another key. */
const TRANSIENT: ReadonlySet<number> = new Set([500, 502, 503, 529]);
/** A retry waits no longer than this: an upstream that asks for more is left alone. */
export const MAX_RETRY_DELAY_MS = 100;

/**
 * Whether the same candidate may do better at once: 500, 502, 503 and 529, unless the upstream says otherwise
 * (x-should-retry: false, or a longer retry-after).
 */
export const isTransientStatus = (status: number, headers: ResponseHeaders, retryAfterMs: number | null): boolean =>
  TRANSIENT.has(status) &&
  first(headers['x-should-retry']) !== 'false' &&
  (retryAfterMs === null || retryAfterMs <= MAX_RETRY_DELAY_MS);

/**
 * The same for a failure before a byte: a connection that was refused or broken off. Not so TLS and names that do not
 * resolve, which the next moment will not mend, nor timeouts.
 */
export const isTransientFailure = (failure: UpstreamFailure, cause: unknown): boolean =>
  failure === 'reset' || (failure === 'connect_failed' && (isConnectionLoss(cause) || isRefusedConnection(cause)));

/**
 * Whether an answer may go to the caller as it is. Not so a redirect, which leads nowhere, nor 401, 402, 403 and 407:
 * they are about the operator's account, and the caller would take them for its own.
 */
export const isRelayable = (status: number): boolean =>
  !isRetriableStatus(status) &&
  (status < 300 || status >= 400) &&
  status !== 401 &&
  status !== 402 &&
  status !== 403 &&
  status !== 407;

/**
 * The wait an answer asks for, milliseconds: retry-after-ms (OpenAI), else retry-after in seconds or as a date (RFC
 * 9110).
 */
export const parseRetryAfterMs = (headers: ResponseHeaders, now: number = Date.now()): number | null => {
  const ms = decimal(first(headers['retry-after-ms']));
  if (ms !== null) return clamp(ms);
  const value = first(headers['retry-after']);
  if (value === undefined) return null;
  const seconds = decimal(value);
  if (seconds !== null) return clamp(seconds * 1000);
  // Only the date format of HTTP: Date.parse alone takes "-1" and much else for a date.
  const date = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(value)
    ? Date.parse(value)
    : Number.NaN;
  return Number.isNaN(date) ? null : clamp(date - now);
};

/**
 * The caller's error when no candidate answered: the class of the last one that was asked. 429 stays 429, 503 and 529
 * stay, any other status is 502; a timeout is 504. When none was asked, for open circuits, full queues or resting keys,
 * it is 503, or 429 for keys. The wait is the largest that an upstream asked for, else the shortest until one may be
 * asked. Says nothing of the upstream.
 */
export const finalError = (failures: readonly FailedAttempt[]): GatewayError => {
  const last = failures.findLast(({ failure }) => !isSkip(failure)) ?? failures.at(-1);
  if (last === undefined) return new GatewayError('no_candidate', 'No upstream could be asked.');
  const retry = waitOf(failures);
  return last.failure !== null ? failureError(last.failure, retry) : statusError(last.status ?? 502, last, retry);
};

const waitOf = (failures: readonly FailedAttempt[]): { retryAfterMs?: number } => {
  let asked = -1;
  let soonest = Number.POSITIVE_INFINITY;
  for (const { failure, retryAfterMs } of failures) {
    if (retryAfterMs === null) continue;
    if (isSkip(failure)) soonest = Math.min(soonest, retryAfterMs);
    else asked = Math.max(asked, retryAfterMs);
  }
  if (asked >= 0) return { retryAfterMs: asked };
  return soonest === Number.POSITIVE_INFINITY ? {} : { retryAfterMs: soonest };
};

/** The caller's error when an upstream fails in this way. */
export const failureError = (failure: UpstreamFailure, retry: { retryAfterMs?: number } = {}): GatewayError => {
  switch (failure) {
    case 'circuit_open':
      return unavailable('The model provider is not answering at the moment.', retry);
    case 'overloaded':
      return unavailable('Too many requests wait for the model provider.', retry);
    case 'retry_budget':
      return unavailable('The model provider is not answering, and has been asked often enough.', retry);
    case 'keys_resting':
      return new GatewayError('rate_limited', 'The model provider is limiting requests.', retry);
    case 'connect_timeout':
    case 'first_byte_timeout':
    case 'idle_timeout':
      return new GatewayError('upstream_timeout', 'The model provider did not answer in time.');
    case 'aborted':
      return new GatewayError('client_closed_request', 'The caller left before an answer.');
    case 'connect_failed':
      return new GatewayError('upstream_error', 'The model provider could not be reached.');
    case 'reset':
      return new GatewayError('upstream_error', 'The model provider broke the connection off.');
    case 'invalid_response':
      return new GatewayError('upstream_error', 'The model provider gave an answer that is not valid.');
  }
};

const unavailable = (message: string, retry: { retryAfterMs?: number }): GatewayError =>
  new GatewayError('upstream_error', message, { status: 503, ...retry });

const statusError = (status: number, last: FailedAttempt, retry: { retryAfterMs?: number }): GatewayError => {
  if (isSpendLimit(status, last.body)) {
    const hint = 'The provider account of this gateway has reached its spending limit; its operator must act.';
    const code = status === 429 ? 'rate_limited' : 'upstream_error';
    return new GatewayError(code, 'The model provider refused: its account is out of quota.', { hint });
  }
  if (status === 429) return new GatewayError('rate_limited', 'The model provider is limiting requests.', retry);
  if (status === 504) return new GatewayError('upstream_timeout', 'The model provider timed out.');
  if (status === 503 || status === 529) {
    return new GatewayError('upstream_error', 'The model provider is overloaded.', { status, ...retry });
  }
  if (status >= 500) return new GatewayError('upstream_error', 'The model provider failed.');
  return new GatewayError('upstream_error', 'The model provider did not accept the request of this gateway.');
};

const clamp = (ms: number): number => Math.min(MAX_RETRY_AFTER_MS, Math.max(0, Math.ceil(ms)));

const first = (value: string | string[] | undefined): string | undefined =>
  (typeof value === 'string' ? value : value?.[0])?.trim();

const decimal = (value: string | undefined): number | null =>
  value !== undefined && /^\d{1,12}(\.\d{1,6})?$/.test(value) ? Number(value) : null;
