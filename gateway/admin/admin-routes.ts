import { GatewayError } from '../errors.ts';
import { readSchema, type Validator, validator } from '../schema.ts';
import type { CreateKey, Input, RotateKey } from '../types.gen.ts';
import type { Answer, Operation } from './admin-operation.ts';
import { readDecision } from './decisions.ts';
import { readEvaluations, readExperiments } from './experiments.ts';
import { createKey, listKeys, redeemToken, revokeKey, rotateKey } from './keys.ts';
import { readPolicies } from './policies.ts';
import { readUsage } from './usage.ts';

/** A path of the control plane. `{id}` stands for one segment of it. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** The operation, as the policy knows it; null where a one-time token takes the place of caller and policy. */
  readonly endpoint: Input['request']['endpoint'] | null;
  /** What a body must be; absent where none is read. */
  readonly body?: Validator<unknown>;
  /** Whether the body may be left out. */
  readonly isBodyOptional?: boolean;
  answer(operation: Operation): Answer | Promise<Answer>;
}

/** Every one there is. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: '/admin/v1/upstreams',
    endpoint: 'admin.upstreams',
    answer: ({ gateway }) => ({
      status: 200,
      body: { data: [...gateway.upstreams.values()].map((upstream) => upstream.status()) },
    }),
  },
  { method: 'GET', path: '/admin/v1/policies', endpoint: 'admin.policies', answer: readPolicies },
  { method: 'GET', path: '/admin/v1/usage', endpoint: 'admin.usage', answer: readUsage },
  { method: 'GET', path: '/admin/v1/decisions/{id}', endpoint: 'admin.decisions', answer: readDecision },
  { method: 'GET', path: '/admin/v1/experiments', endpoint: 'admin.experiments', answer: readExperiments },
  { method: 'GET', path: '/admin/v1/evaluations', endpoint: 'admin.evaluations', answer: readEvaluations },
  { method: 'GET', path: '/admin/v1/keys', endpoint: 'admin.keys.list', answer: listKeys },
  {
    method: 'POST',
    path: '/admin/v1/keys',
    endpoint: 'admin.keys.create',
    body: validator<CreateKey>(readSchema('admin-create-key')),
    answer: createKey,
  },
  {
    method: 'POST',
    path: '/admin/v1/keys/{id}/rotate',
    endpoint: 'admin.keys.rotate',
    body: validator<RotateKey>(readSchema('admin-rotate-key')),
    isBodyOptional: true,
    answer: rotateKey,
  },
  { method: 'DELETE', path: '/admin/v1/keys/{id}', endpoint: 'admin.keys.revoke', answer: revokeKey },
  { method: 'POST', path: '/admin/v1/bootstrap', endpoint: null, answer: redeemToken },
];

/** A route, and what stood for `{id}`. */
export interface AdminTarget {
  readonly route: AdminRoute;
  readonly id: string;
  readonly query: URLSearchParams;
}

const LONGEST_TARGET = 2048;
const LONGEST_PATH = 128;
const ID = '[A-Za-z0-9_-]{1,128}';

const PATTERNS = ADMIN_ROUTES.map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll('.', '\\.').replace('{id}', `(${ID})`)}$`),
}));

/** The route of a request line. Throws GatewayError `invalid_request_target`, `not_found` or `method_not_allowed`. */
export const findAdminRoute = (method: string, url: string): AdminTarget => {
  if (url.length > LONGEST_TARGET) {
    throw new GatewayError('invalid_request_target', `The request target is longer than ${LONGEST_TARGET} characters.`);
  }
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const here = PATTERNS.flatMap(({ route, pattern }) => {
    const match = pattern.exec(path);
    return match ? [{ route, id: match[1] ?? '' }] : [];
  });
  if (here.length === 0) {
    throw new GatewayError('not_found', `There is no ${path.slice(0, LONGEST_PATH)} here.`, {
      hint: `Routes: ${ADMIN_ROUTES.map((route) => `${route.method} ${route.path}`).join(', ')}.`,
    });
  }
  const found = here.find(({ route }) => route.method === method);
  if (!found) {
    const allow = here.map(({ route }) => route.method).join(', ');
    throw new GatewayError('method_not_allowed', `${here[0]!.route.path} takes ${allow}.`, { allow });
  }
  return { ...found, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) };
};
