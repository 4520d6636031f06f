import type { Gateway } from '../gateway.ts';
import type { Policy } from '../policy/policy.ts';
import type { AuditEvent, Input } from '../types.gen.ts';
import type { Subject } from './admin-operation.ts';
import type { AdminRoute } from './admin-routes.ts';

/** What became known of one request, for its record. */
export interface AdminExchange {
  readonly requestId: string;
  readonly sourceIp: string;
  route?: AdminRoute;
  caller?: Input['caller'];
  policy?: Policy;
  subject?: Subject;
}

/**
 * Puts a request on record: what is read as `admin_read`, what changes something as `admin_change`, before it is done
 * (`phase: intent`, without a status) and when it has ended. Throws GatewayError `audit_unavailable`.
 */
export const recordAdmin = async (
  gw: Gateway,
  x: AdminExchange,
  end: { readonly status: number; readonly error: string | null } | null,
): Promise<void> => {
  const { caller, policy, route, subject } = x;
  const isRead = !route || route.method === 'GET';
  const detail: AuditEvent['detail'] = {
    request_id: x.requestId,
    operation: route ? operationOf(route) : null,
    source_ip: x.sourceIp,
    caller: caller ? { id: caller.id, org: caller.org, team: caller.team, user: caller.user } : null,
    status: end?.status ?? null,
    error: end?.error ?? null,
    bundle: policy ? { ...policy.ref } : null,
    ...(subject?.decision === undefined ? {} : { decision: subject.decision }),
    ...(isRead ? {} : { phase: end ? 'end' : 'intent', key: subject?.key ?? null, target: subject?.target ?? null }),
  };
  const event = isRead ? 'admin_read' : 'admin_change';
  await gw.audit.append({ kind: 'event', time: new Date().toISOString(), event, detail });
};

const operationOf = ({ endpoint, path }: AdminRoute): string => endpoint ?? path;
