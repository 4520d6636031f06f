import type { LimitState } from './limit/limiter.ts';

/**
 * Every error a caller can get, in one table. docs/errors.md documents each row, and a test compares both ways.
 * `openai` is the error type of the OpenAI dialect, `anthropic` that of the Anthropic dialect.
 */
export const ERRORS = {
  invalid_json: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  duplicate_key: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  too_deep: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_unicode: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  forbidden_key: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_number: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_field: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_header: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_request_target: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  duplicate_credential: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  input_too_large: { status: 400, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  missing_credential: { status: 401, openai: 'invalid_request_error', anthropic: 'authentication_error' },
  invalid_credential: { status: 401, openai: 'invalid_request_error', anthropic: 'authentication_error' },
  policy_denied: { status: 403, openai: 'policy_denied', anthropic: 'permission_error' },
  not_found: { status: 404, openai: 'invalid_request_error', anthropic: 'not_found_error' },
  method_not_allowed: { status: 405, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  request_timeout: { status: 408, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  body_too_large: { status: 413, openai: 'invalid_request_error', anthropic: 'request_too_large' },
  unsupported_media_type: { status: 415, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  rate_limited: { status: 429, openai: 'rate_limit_error', anthropic: 'rate_limit_error' },
  budget_exceeded: { status: 429, openai: 'insufficient_quota', anthropic: 'rate_limit_error' },
  client_closed_request: { status: 499, openai: 'invalid_request_error', anthropic: 'invalid_request_error' },
  internal_error: { status: 500, openai: 'server_error', anthropic: 'api_error' },
  upstream_error: { status: 502, openai: 'server_error', anthropic: 'api_error' },
  no_candidate: { status: 502, openai: 'server_error', anthropic: 'api_error' },
  policy_unavailable: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  audit_unavailable: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  identity_unavailable: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  store_unavailable: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  shutting_down: { status: 503, openai: 'server_error', anthropic: 'overloaded_error' },
  upstream_timeout: { status: 504, openai: 'server_error', anthropic: 'api_error' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** What may accompany an error. Everything but `cause` may reach the caller. */
export interface ErrorDetail {
  hint?: string;
  /** The field at fault, as OpenAI's `param`. */
  param?: string;
  /** A status other than the table's, where an upstream's own is passed on. */
  status?: number;
  /** The code of the rule that denied; it replaces `policy_denied` as the code the caller sees. */
  policyCode?: string;
  retryAfterMs?: number;
  /** The methods a path takes, for the allow header of 405. */
  allow?: string;
  /** The limit that refused. */
  limit?: { readonly kind: LimitState['kind']; readonly scope: LimitState['scope'] };
  /** What the limits have left, for the x-ratelimit headers of a refusal. */
  states?: readonly LimitState[];
  cause?: unknown;
}

/** The one error class: thrown by stages and seams, turned into the caller's dialect by one middleware. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, { cause: detail.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.status = detail.status ?? ERRORS[code].status;
    this.detail = detail;
  }
}

/** Whether `error` is one of ours; anything else becomes `internal_error` without its message. */
export const isGatewayError = (error: unknown): error is GatewayError =>
  typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'GatewayError';
