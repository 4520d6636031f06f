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
import type { AdminDecision, AuditEvent, Input } from '../types.gen.ts';
import { type AdminRoute, findAdminRoute } from './admin-routes.ts';

/** What became known of one request, for its record. */
interface AdminRead {
  readonly requestId: string;
  readonly sourceIp: string;
  route?: AdminRoute;
  caller?: Input['caller'];
  policy?: Policy;
}

/**
 * The control plane's API as a request listener that never rejects: the route, a key as on the data plane, the policy's
 * aegis/admin on the same input document, a record in the audit, and only then the answer. Refusals have OpenAI's shape.
 */
export const createAdminApi =
  (gw: Gateway) =>
  async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const sourceIp = addressOf(req.socket.remoteAddress ?? '');
    const read: AdminRead = { requestId: newIds().requestId, sourceIp };
    res.on('error', ignore);
    try {
      const body = admit(gw, req, read).read(gw);
      await record(gw, read, 200, null);
      send(res, read, 200, body);
    } catch (thrown) {
      const error = await recorded(gw, read, toGatewayError(gw, read, thrown));
      send(res, read, error.status, errorBody(error, read), error.detail.allow);
    }
  };

/** A caller that left is nobody's error. */
const ignore = (): void => {};

/** The route of a request that may be answered. Throws GatewayError; how far it came is in `read`. */
const admit = (gw: Gateway, req: IncomingMessage, read: AdminRead): AdminRoute => {
  const headers = collectHeaders(req.rawHeaders);
  checkHost(headers.get('host'), req.httpVersion);
  const route = findAdminRoute(req.method ?? '', req.url ?? '');
  read.route = route;
  const caller = authenticate({ credential: credentialOf(headers) }, gw.keys, Date.now());
  read.caller = caller;
  const policy = gw.policies.current;
  if (!policy) throw new GatewayError('policy_unavailable', 'No policy bundle is active.');
  read.policy = policy;
  const userAgent = headers.get('user-agent')?.slice(0, LONGEST_USER_AGENT);
  const input = describeBodiless(
    {
      requestId: read.requestId,
      sourceIp: read.sourceIp,
      headers: userAgent === undefined ? {} : { 'user-agent': userAgent },
      purpose: NO_PURPOSE,
      endUser: '',
      endpoint: route.endpoint,
      dialect: 'openai',
    },
    caller,
    gw.facts,
  );
  const decision = policy.admin(input);
  if (!decision.allow) throw denial(decision);
  return route;
};

const LONGEST_USER_AGENT = 256;
const NO_PURPOSE = { workflow: '', use_case: '', session: '', tags: {} };

const denial = ({ deny: [reason] }: AdminDecision): GatewayError =>
  reason
    ? new GatewayError('policy_denied', reason.message, { policyCode: reason.code, hint: reason.hint })
    : new GatewayError('policy_denied', 'No rule of the policy allows this request.');

/** Resolves when the read is on record. Throws GatewayError `audit_unavailable`. */
const record = async (gw: Gateway, read: AdminRead, status: number, error: string | null): Promise<void> => {
  const { caller, policy, route } = read;
  const detail: AuditEvent['detail'] = {
    request_id: read.requestId,
    operation: route?.endpoint ?? null,
    source_ip: read.sourceIp,
    caller: caller ? { id: caller.id, org: caller.org, team: caller.team, user: caller.user } : null,
    status,
    error,
    bundle: policy ? { ...policy.ref } : null,
  };
  await gw.audit.append({ kind: 'event', time: new Date().toISOString(), event: 'admin_read', detail });
};

/** The refusal that is told once it is on record; of strangers only so many are. */
const recorded = async (gw: Gateway, read: AdminRead, error: GatewayError): Promise<GatewayError> => {
  if (error.code === 'audit_unavailable' || (!read.caller && !gw.strangers.record(read.sourceIp))) return error;
  try {
    await record(gw, read, error.status, codeOf(error));
    return error;
  } catch (failure) {
    return toGatewayError(gw, read, failure);
  }
};

const toGatewayError = (gw: Gateway, { requestId }: AdminRead, thrown: unknown): GatewayError => {
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

const errorBody = (error: GatewayError, { requestId }: AdminRead): object =>
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

const send = (res: ServerResponse, read: AdminRead, status: number, body: object, allow?: string): void => {
  if (res.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  res.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-request-id': read.requestId,
    ...(read.policy ? { 'x-aegis-policy-revision': read.policy.ref.revision } : {}),
    ...(allow === undefined ? {} : { allow }),
    // What is left of a body is not worth reading.
    ...(res.req.complete ? {} : { connection: 'close' }),
  });
  res.end(text);
};
