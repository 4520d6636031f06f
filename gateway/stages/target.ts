import { GatewayError } from '../errors.ts';
import type { Dialect } from '../protocol/protocol.ts';
import { ROUTES, type Route } from './routes.ts';

/** Where a request goes, and the `{id}` in its path if the route has one. */
export interface Target {
  readonly route: Route;
  readonly id: string | null;
  /** Whether the query is `beta=true`, with which Anthropic's clients ask for the beta of an endpoint. */
  readonly isBeta: boolean;
}

const LONGEST_TARGET = 2048;
/** A path that all of us read the same: no empty or dot segments, nothing encoded but inside an id. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~:@!$&'()*+,;=%-]+)+\/?$/;
const QUERY = /^[\w.~:@!$&'()*+,;=%/?-]*$/;
const MODEL_ID = /^[\w.:@-]+(?:\/[\w.:@-]+){0,3}$/;
const LONGEST_ID = 128;
const ID_PREFIX = '/v1/models/';

const FIXED: ReadonlyMap<string, readonly Route[]> = Map.groupBy(ROUTES, ({ path }) => path);

/**
 * Finds the route of a request line. Exact match only. Throws GatewayError `invalid_request_target` (400),
 * `not_found` (404) or `method_not_allowed` (405).
 */
export const findRoute = (method: string, url: string): Target => {
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const fixed = FIXED.get(path);
  if (fixed) {
    if (mark >= 0) checkQuery(url, mark);
    return { route: forMethod(fixed, method), id: null, isBeta: mark >= 0 && url.slice(mark) === '?beta=true' };
  }
  checkTarget(url, path, mark);
  if (path.startsWith(ID_PREFIX) && path.length > ID_PREFIX.length) {
    const id = modelId(path.slice(ID_PREFIX.length));
    return { route: forMethod(FIXED.get(`${ID_PREFIX}{id}`)!, method), id, isBeta: false };
  }
  throw new GatewayError('not_found', `There is no ${path.slice(0, 128)} here.`, {
    hint: `Routes: ${ROUTES.map((route) => `${route.method} ${route.path}`).join(', ')}.`,
  });
};

/**
 * The dialect in which to answer whatever a request asks for, known or not. The models are at the same path in both
 * APIs: there `isAnthropic` says whether the caller sent anthropic-version.
 */
export const dialectOf = (url: string, isAnthropic = false): Dialect =>
  (isAnthropic ? /^\/v1\/(?:messages|models)(?:[/?]|$)/ : /^\/v1\/messages(?:[/?]|$)/).test(url)
    ? 'anthropic'
    : 'openai';

const badTarget = (why: string): GatewayError =>
  new GatewayError('invalid_request_target', `The request target is not valid: ${why}.`);

const checkTarget = (url: string, path: string, mark: number): void => {
  if (url.length > LONGEST_TARGET) throw badTarget(`it is longer than ${LONGEST_TARGET} characters`);
  if (url[0] !== '/') throw badTarget('it must be a path, not a URL or *');
  if (path !== '/' && !PATH.test(path)) throw badTarget('the path has empty, dot or odd segments');
  if (mark >= 0) checkQuery(url, mark);
};

const checkQuery = (url: string, mark: number): void => {
  if (url.length > LONGEST_TARGET) throw badTarget(`it is longer than ${LONGEST_TARGET} characters`);
  if (!QUERY.test(url.slice(mark + 1))) throw badTarget('the query has odd characters');
};

/** A model's id out of one segment. The SDKs encode the slash of names such as `meta-llama/Llama-3`. */
const modelId = (segment: string): string => {
  let id: string;
  try {
    id = decodeURIComponent(segment);
  } catch {
    throw badTarget('the model id is not well encoded');
  }
  if (segment.includes('/')) throw new GatewayError('not_found', 'There is no such route.');
  if (id.length > LONGEST_ID || !MODEL_ID.test(id) || id.split('/').some((part) => /^\.+$/.test(part))) {
    throw badTarget('the model id has odd characters');
  }
  return id;
};

const forMethod = (routes: readonly Route[], method: string): Route => {
  const route = routes.find((candidate) => candidate.method === method);
  if (route) return route;
  const allowed = routes.map((candidate) => candidate.method).join(', ');
  throw new GatewayError('method_not_allowed', `${routes[0]!.path} does not take ${method.slice(0, 16)}.`, {
    hint: `Use ${allowed}.`,
    allow: allowed,
  });
};
