import type { IncomingMessage, ServerResponse } from 'node:http';

/** What the control plane tells of the gateway without a credential. */
export interface Health {
  /** Why the gateway is not ready; empty when it is. */
  readonly problems: readonly string[];
  /** Revision and digest of the serving policy; null before the first. */
  readonly policy: { readonly revision: string; readonly digest: string } | null;
  /** Where limits are counted: memory, shared (on Redis), or local while Redis is away. */
  readonly limits: 'memory' | 'shared' | 'local';
  /** Where keys and the ledger are: in the home, or in a shared Postgres; away when that cannot be looked at. */
  readonly store: 'embedded' | 'shared' | 'away';
  readonly upstreams: Readonly<Record<string, unknown>>;
}

/** The content type of Prometheus' text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * The control plane's listener: `/healthz` (the process lives), `/readyz` (it may be sent requests) and `/metrics`, open
 * to whoever reaches it, and `/admin/v1/…`, which the policy guards.
 */
export const createControlPlane =
  (health: () => Health, metrics: () => string, admin: (req: IncomingMessage, res: ServerResponse) => Promise<void>) =>
  (req: IncomingMessage, res: ServerResponse): void => {
    if (req.url?.startsWith('/admin/')) {
      void admin(req, res);
      return;
    }
    const [status, body] = reply(req, health, metrics);
    const isMetrics = typeof body === 'string';
    const text = isMetrics ? body : `${JSON.stringify(body)}\n`;
    res.writeHead(status, {
      'content-type': isMetrics ? METRICS_TYPE : 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    res.end(text);
  };

const reply = (req: IncomingMessage, health: () => Health, metrics: () => string): [number, object | string] => {
  const path = req.url?.split('?', 1)[0];
  if (req.method !== 'GET' && req.method !== 'HEAD') return [405, { error: 'only GET' }];
  if (path === '/healthz') return [200, { status: 'ok' }];
  if (path === '/readyz') {
    const { problems, ...rest } = health();
    const isReady = problems.length === 0;
    return [isReady ? 200 : 503, { status: isReady ? 'ready' : 'not ready', problems, ...rest }];
  }
  if (path === '/metrics') return [200, metrics()];
  return [404, { error: 'not found' }];
};
