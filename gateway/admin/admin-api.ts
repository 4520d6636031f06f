import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERRORS, GatewayError, isGatewayError } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import type { Policy } from '../policy/policy.ts';
import { protocolOfDialect } from '../protocol/protocols.ts';
import { addressOf } from '../stages/address.ts';
import { authenticate } from '../stages/authenticate.ts';
import { describeBodiless } from '../stages/describe.ts';
import { checkHost, collectHeaders, credentialOf } from '../stages/header-lines.ts';
import { newIds } from '../stages/ids.ts';
import type { AdminDecision, Input } from '../types.gen.ts';
import { readAdminBody } from './admin-body.ts';
import type { AdminParts, Answer, KeyTarget, Operation } from './admin-operation.ts';
import { type AdminExchange, recordAdmin } from './admin-record.ts';
import { findAdminRoute } from './admin-routes.ts';

/**
 * The control plane's API as a request listener that never rejects: the route, a credential as on the data plane, the
 * policy's aegis/admin on the same input document, a record in the audit, and only then the answer. What changes
 * something is on record before it is done. Refusals have OpenAI's shape.
 */
export const createAdminApi =
  (gw: Gateway, parts: AdminParts) =>
  async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const sourceIp = addressOf(req.socket.remoteAddress ?? '');
    const x: AdminExchange = { requestId: newIds().requestId, sourceIp };
    res.on('error', ignore);
    try {
      const { status, body } = await serve(gw, parts, req, x);
      await recordAdmin(gw, x, { status, error: null });
      count(gw, x, status);
      send(res, x, status, body);
    } catch (thrown) {
      const error = await recorded(gw, x, toGatewayError(gw, x, thrown));
      count(gw, x, error.status);
      gw.telemetry.count('aegis.errors', { code: error.code });
      send(res, x, error.status, errorBody(error, x), error.detail.allow);
    }
  };

/** A caller that left is nobody's error. */
const ignore = (): void => {};

const count = ({ telemetry }: Gateway, { route }: AdminExchange, status: number): void =>
  telemetry.count('aegis.admin.requests', { endpoint: route?.endpoint ?? null, status });

/** The answer of a request. Throws GatewayError; how far it came is in `x`. */
const serve = async (gw: Gateway, parts: AdminParts, req: IncomingMessage, x: AdminExchange): Promise<Answer> => {
  const headers = collectHeaders(req.rawHeaders);
  checkHost(headers.get('host'), req.httpVersion);
  const { route, id, query } = findAdminRoute(req.method ?? '', req.url ?? '');
  x.route = route;
  const credential = credentialOf(headers);
  const operation: Omit<Operation, 'caller' | 'org' | 'body' | 'permit'> = {
    ...parts,
    gateway: gw,
    credential: credential ?? '',
    id,
    query,
    announce: () => recordAdmin(gw, x, null),
    tell(subject) {
      x.subject = subject;
    },
  };
  if (route.endpoint === null) {
    if (credential === null) throw new GatewayError('missing_credential', 'No token was sent.', { hint: TOKEN_HINT });
    return await route.answer({ ...operation, caller: undefined, org: null, body: undefined, permit: neverPermit });
  }
  const caller = await authenticate({ credential }, gw, Date.now());
  x.caller = caller;
  const policy = gw.policies.current;
  if (!policy) throw new GatewayError('policy_unavailable', 'No policy bundle is active.');
  x.policy = policy;
  const input = inputOf(gw, x, caller, route.endpoint, headers);
  const ask = (target: KeyTarget | null): AdminDecision => permitted(policy, { ...input, target });
  const { org = caller.org } = ask(null);
  const body = await readAdminBody(req, route, headers);
  return await route.answer({ ...operation, caller, org, body, permit: ask });
};

const TOKEN_HINT = 'Send the one-time token of ./aegis init as Authorization: Bearer <token>.';

/** Who comes with a one-time token has no caller that a policy could judge. */
const neverPermit = (): never => {
  throw new GatewayError('policy_denied', 'No rule of the policy allows this request.');
};

const permitted = (policy: Policy, input: Input): AdminDecision => {
  const decision = policy.admin(input);
  if (!decision.allow) throw denial(decision);
  return decision;
};

const denial = ({ deny: [reason] }: AdminDecision): GatewayError =>
  reason
    ? new GatewayError('policy_denied', reason.message, { policyCode: reason.code, hint: reason.hint })
    : new GatewayError('policy_denied', 'No rule of the policy allows this request.');

const LONGEST_USER_AGENT = 256;
const NO_PURPOSE = { workflow: '', use_case: '', session: '', tags: {} };

const inputOf = (
  gw: Gateway,
  x: AdminExchange,
  caller: Input['caller'],
  endpoint: Input['request']['endpoint'],
  headers: ReadonlyMap<string, string>,
): Input => {
  const userAgent = headers.get('user-agent')?.slice(0, LONGEST_USER_AGENT);
  const head = {
    requestId: x.requestId,
    sourceIp: x.sourceIp,
    headers: userAgent === undefined ? {} : { 'user-agent': userAgent },
    purpose: NO_PURPOSE,
    endUser: '',
    dialect: 'openai',
  } as const;
  return describeBodiless({ ...head, endpoint }, caller, gw.facts);
};

/** The refusal that is told once it is on record; of strangers only so many are. */
const recorded = async (gw: Gateway, x: AdminExchange, error: GatewayError): Promise<GatewayError> => {
  if (error.code === 'audit_unavailable' || (!x.caller && !gw.strangers.record(x.sourceIp))) return error;
  try {
    await recordAdmin(gw, x, { status: error.status, error: codeOf(error) });
    return error;
  } catch (failure) {
    return toGatewayError(gw, x, failure);
  }
};

const toGatewayError = (gw: Gateway, { requestId }: AdminExchange, thrown: unknown): GatewayError => {
  if (isGatewayError(thrown)) {
    if (thrown.status >= 500) {
      gw.log.warn({ request_id: requestId, code: thrown.code, cause: sentenceOf(thrown.cause) }, thrown.message);
    }
    return thrown;
  }
  gw.log.error({ request_id: requestId, err: sentenceOf(thrown) }, 'unexpected error');
  return new GatewayError('internal_error', 'The gateway failed.', { cause: thrown });
};

const sentenceOf = (error: unknown): string | undefined => {
  const { stack, message } = (error ?? {}) as { stack?: string; message?: string };
  return stack ?? message ?? (error === undefined ? undefined : String(error));
};

const codeOf = (error: GatewayError): string => error.detail.policyCode ?? error.code;

const errorBody = (error: GatewayError, { requestId }: AdminExchange): object =>
  protocolOfDialect('openai').errorBody({
    status: error.status,
    type: ERRORS[error.code].openai,
    code: codeOf(error),
    message: error.message,
    param: error.detail.param ?? null,
    hint: error.detail.hint || null,
    decisionId: null,
    requestId,
  });

const send = (res: ServerResponse, x: AdminExchange, status: number, body: object, allow?: string): void => {
  if (res.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-request-id': x.requestId,
    ...(x.policy ? { 'x-aegis-policy-revision': x.policy.ref.revision } : {}),
    ...(allow === undefined ? {} : { allow }),
    // What is left of a body is not worth reading.
    ...(res.req.complete ? {} : { connection: 'close' }),
  });
  res.end(text);
};
