import { GatewayError } from '../errors.ts';
import type { ResponseHeaders, UpstreamFailure } from './upstream.ts';

/** An attempt that did not give the caller an answer. Either `status` or `failure` is set. */
export interface FailedAttempt {
  readonly status: number | null;
  readonly failure: UpstreamFailure | null;
  /** What the upstream asked to wait. */
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

/** The wait an answer asks for, milliseconds: retry-after-ms (OpenAI), else retry-after in seconds or as a date (RFC 9110). */
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
 * Whether a 429 says that the account has spent its money, so that waiting does not help. OpenAI says
 * `insufficient_quota` or `billing_hard_limit_reached`, as type or as code.
 */
export const isSpendLimit = (status: number | null, body: Buffer): boolean =>
  status === 429 && (body.includes('"insufficient_quota"') || body.includes('"billing_hard_limit_reached"'));

/**
 * The caller's error when every candidate failed: the class of the last failure. 429 stays 429 with the largest wait
 * any candidate asked for; 503 and 529 stay, any other status is 502; a timeout is 504. Says nothing of the upstream.
 */
export const finalError = (failures: readonly FailedAttempt[]): GatewayError => {
  const last = failures.at(-1);
  if (last === undefined) return new GatewayError('no_candidate', 'No upstream could be asked.');
  return last.failure !== null ? failureError(last.failure) : statusError(last.status ?? 502, last, failures);
};

/** The caller's error when an upstream fails in this way. */
export const failureError = (failure: UpstreamFailure): GatewayError => {
  switch (failure) {
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

const statusError = (status: number, last: FailedAttempt, failures: readonly FailedAttempt[]): GatewayError => {
  const waits = failures.map(({ retryAfterMs }) => retryAfterMs ?? -1);
  const longest = Math.max(...waits);
  const retry = longest < 0 ? {} : { retryAfterMs: longest };
  if (isSpendLimit(status, last.body)) {
    const hint = 'The provider account of this gateway has reached its spending limit; its operator must act.';
    return new GatewayError('rate_limited', 'The model provider refused: its account is out of quota.', { hint });
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
