import type { ServerResponse } from 'node:http';
import { accountOf, conclude } from './conclude.ts';
import { ERRORS, GatewayError, isGatewayError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { Gateway } from './gateway.ts';
import { type Ending, FREE } from './outcome.ts';
import type { Call, Dialect, WireError } from './protocol/protocol.ts';
import { protocolOf, protocolOfDialect } from './protocol/protocols.ts';
import type { ProviderError } from './protocol/provider-error.ts';
import { rateLimitHeaders } from './stages/admit.ts';

/**
 * Ends an exchange whose stages threw: settled, recorded, and answered in the caller's dialect. An audit that takes no
 * record turns any answer into 503 `audit_unavailable`.
 */
export const answerError = async (
  gw: Gateway,
  x: Exchange,
  dialect: Dialect,
  res: ServerResponse,
  thrown: unknown,
): Promise<void> => {
  let error = toGatewayError(thrown, gw, x);
  // An answer that is still on its way has nobody to go to.
  x.onAbort?.();
  try {
    await conclude(gw, x, endingOf(gw, x, error));
  } catch (failure) {
    error = toGatewayError(failure, gw, x);
  }
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const body = JSON.stringify(protocolOfDialect(dialect).errorBody(wireError(error, x, dialect)));
  res.writeHead(error.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...decidedHeaders(x, dialect),
    ...errorHeaders(error),
    ...(x.attempts.length === 0 ? {} : { 'x-aegis-attempts': String(x.attempts.length) }),
    // What is left of the body is not worth reading.
    ...(res.req.complete && !gw.isDraining() ? {} : { connection: 'close' }),
  });
  res.end(body);
};

/** The error as the event that ends a broken stream. */
export const errorEventOf = (error: GatewayError, x: Exchange, { endpoint, dialect }: Call): string =>
  protocolOf(endpoint).errorEvent(wireError(error, x, dialect));

/** A provider's refusal of a translated call, in the caller's dialect: its words and code, under the dialect's type. */
export const relayedErrorBody = (
  { message, type, code, param }: ProviderError,
  status: number,
  x: Exchange,
  { endpoint, dialect }: Call,
): Record<string, unknown> => {
  const error = new GatewayError(status === 404 ? 'not_found' : 'invalid_field', message, {
    status,
    policyCode: code || type,
    ...(param === null ? {} : { param }),
  });
  return protocolOf(endpoint).errorBody(wireError(error, x, dialect));
};

/** Any thrown value as an error of ours. What is not one is a bug: it is logged whole and told as `internal_error`. */
export const toGatewayError = (thrown: unknown, gw: Gateway, x: Exchange): GatewayError => {
  if (isGatewayError(thrown)) {
    if (thrown.status >= 500) gw.log.warn({ ...x.names, code: thrown.code, cause: causeOf(thrown) }, thrown.message);
    return thrown;
  }
  gw.log.error({ ...x.names, err: causeOf(thrown) }, 'unexpected error');
  return new GatewayError('internal_error', 'The gateway failed.', { cause: thrown });
};

/** Headers of every answer, and those of a decided request. Anthropic's clients read the id from `request-id`. */
export const decidedHeaders = (x: Exchange, dialect: Dialect): Record<string, string> => {
  const headers: Record<string, string> = { 'x-request-id': x.ids.requestId };
  if (dialect === 'anthropic') headers['request-id'] = x.ids.requestId;
  const { decision, permit } = x.products;
  if (decision && x.policy) {
    headers['x-aegis-decision-id'] = x.ids.decisionId;
    headers['x-aegis-policy-revision'] = x.policy.ref.revision;
  }
  if (permit) {
    Object.assign(headers, rateLimitHeaders(permit.states));
    if (permit.degraded !== undefined) headers['x-aegis-degraded'] = permit.degraded;
  }
  return headers;
};

const errorHeaders = (error: GatewayError): Record<string, string> => {
  const { retryAfterMs, states, allow } = error.detail;
  return {
    ...(states ? rateLimitHeaders(states) : {}),
    ...(retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
    ...(allow === undefined ? {} : { allow }),
  };
};

/** By these types Anthropic's clients tell what to do, whatever our code for it is (its API reference, errors). */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  404: 'not_found_error',
  413: 'request_too_large',
  503: 'overloaded_error',
  529: 'overloaded_error',
};

const typeOf = ({ code, status }: GatewayError, dialect: Dialect): string =>
  (dialect === 'anthropic' ? ANTHROPIC_TYPES[status] : undefined) ?? ERRORS[code][dialect];

const wireError = (error: GatewayError, x: Exchange, dialect: Dialect): WireError => ({
  status: error.status,
  type: typeOf(error, dialect),
  code: error.detail.policyCode ?? error.code,
  message: error.message,
  param: error.detail.param ?? null,
  hint: error.detail.hint || null,
  decisionId: x.products.decision ? x.ids.decisionId : null,
  requestId: x.ids.requestId,
});

/** How an exchange that threw has ended. */
const endingOf = (gw: Gateway, x: Exchange, error: GatewayError): Ending => {
  const used = x.attempts.length > 0 ? accountOf(gw, x, x.evidence) : NOTHING;
  const outcome = outcomeName(x, error);
  return {
    ...used,
    outcome,
    status: outcome === 'aborted' ? 499 : error.status,
    error: error.detail.policyCode ?? error.code,
    ...(error.detail.limit ? { limit: error.detail.limit } : {}),
  };
};

const NOTHING = { usage: null, cost: FREE };

const outcomeName = (x: Exchange, error: GatewayError): Ending['outcome'] => {
  if (x.aborted || error.code === 'client_closed_request') return 'aborted';
  if (error.code === 'policy_denied') return 'denied';
  // A provider's 429 comes after attempts; our own before any.
  if ((error.code === 'rate_limited' || error.code === 'budget_exceeded') && x.attempts.length === 0) return 'limited';
  return error.status < 500 && x.attempts.length === 0 ? 'rejected' : 'failed';
};

/** What a log may say of a cause: its words and place, never a body or a header. */
const causeOf = (error: unknown): unknown => {
  const { stack, message, cause } = (error ?? {}) as { stack?: string; message?: string; cause?: unknown };
  if (isGatewayError(error)) return cause === undefined ? undefined : causeOf(cause);
  return stack ?? message ?? String(error);
};
