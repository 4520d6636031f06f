import { GatewayError } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import type { Input } from '../types.gen.ts';

/** A path of the control plane that the policy guards. */
export interface AdminRoute {
  readonly path: string;
  /** The operation, as the policy knows it. */
  readonly endpoint: Input['request']['endpoint'];
  /** The answer's body. */
  read(gw: Gateway): object;
}

/** Every one there is; all are GET. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  {
    path: '/admin/v1/upstreams',
    endpoint: 'admin.upstreams',
    read: (gw) => ({ data: [...gw.upstreams.values()].map((upstream) => upstream.status()) }),
  },
];

const LONGEST_PATH = 128;

/** The route of a request line, a query left aside. Throws GatewayError `not_found` or `method_not_allowed`. */
export const findAdminRoute = (method: string, url: string): AdminRoute => {
  const [path = ''] = url.split('?', 1);
  const route = ADMIN_ROUTES.find((candidate) => candidate.path === path);
  if (!route) {
    throw new GatewayError('not_found', `There is no ${path.slice(0, LONGEST_PATH)} here.`, {
      hint: `Routes: ${ADMIN_ROUTES.map((known) => `GET ${known.path}`).join(', ')}.`,
    });
  }
  if (method !== 'GET') throw new GatewayError('method_not_allowed', `${route.path} takes GET.`, { allow: 'GET' });
  return route;
};
