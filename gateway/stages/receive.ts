import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import type { Dialect, Endpoint } from '../protocol/protocol.ts';
import type { Input } from '../types.gen.ts';
import { addressOf } from './address.ts';
import { checkHost, collectHeaders, credentialOf } from './header-lines.ts';
import type { Ids } from './ids.ts';
import { readEndUser, readPurpose } from './purpose.ts';
import type { Route } from './routes.ts';
import { findRoute } from './target.ts';

export { type Ids, newIds } from './ids.ts';
export { ROUTES, type Route } from './routes.ts';
export { dialectOf } from './target.ts';

/** What a request says before its body. */
export interface Head extends Ids {
  readonly route: Route;
  readonly endpoint: Endpoint;
  readonly dialect: Dialect;
  /** The model in the path of GET /v1/models/{id}; null elsewhere. */
  readonly modelId: string | null;
  /** Whether the beta of the endpoint was asked for (`?beta=true`, Anthropic's). */
  readonly isBeta: boolean;
  /** The secret as sent; null when none was. */
  readonly credential: string | null;
  /** The declared size of the body; null when it comes in chunks. */
  readonly contentLength: number | null;
  readonly sourceIp: string;
  /** Allow-listed headers, as facts for the policy. */
  readonly headers: Readonly<Record<string, string>>;
  /** Allow-listed headers that go on to the upstream. */
  readonly upstreamHeaders: Readonly<Record<string, string>>;
  readonly purpose: Input['purpose'];
  /** For whom the application says it calls; '' when it does not. */
  readonly endUser: string;
}

/** What `receive` reads of a request. */
export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders'> & {
  readonly httpVersion?: string;
  readonly socket: Pick<IncomingMessage['socket'], 'remoteAddress'>;
};

/** Headers that a policy may see. */
const FACTS = new Set(['user-agent', 'anthropic-version', 'anthropic-beta', 'openai-beta']);

/**
 * Headers that go upstream. openai-organization and openai-project do not: they would choose an account of the
 * operator's key. Everything else is the gateway's to say.
 */
const UPSTREAM = new Set(['anthropic-version', 'anthropic-beta', 'openai-beta']);

const LONGEST_FACT = 1024;
const LONGEST_USER_AGENT = 256;

/**
 * Reads route, headers and credential; the body is not touched. Throws GatewayError `invalid_request_target`,
 * `not_found`, `method_not_allowed`, `invalid_header`, `duplicate_credential`, `unsupported_media_type`.
 */
export const receive = (req: RequestHead, ids: Ids): Head => {
  const headers = collectHeaders(req.rawHeaders);
  checkHost(headers.get('host'), req.httpVersion);
  const { route, id, isBeta } = findRoute(req.method ?? '', req.url ?? '');
  if (route.method === 'POST') checkMedia(headers);
  const facts: Record<string, string> = {};
  const upstreamHeaders: Record<string, string> = {};
  for (const name of FACTS) {
    const value = headers.get(name);
    if (value === undefined) continue;
    facts[name] = factOf(name, value);
    if (UPSTREAM.has(name)) upstreamHeaders[name] = value;
  }
  return {
    requestId: ids.requestId,
    decisionId: ids.decisionId,
    route,
    endpoint: route.endpoint,
    dialect: route.dialect,
    modelId: id,
    isBeta,
    credential: credentialOf(headers),
    contentLength: contentLengthOf(headers.get('content-length')),
    sourceIp: addressOf(req.socket.remoteAddress ?? ''),
    headers: facts,
    upstreamHeaders,
    purpose: readPurpose(headers),
    endUser: readEndUser(headers),
  };
};

const JSON_TYPE = /^application\/json\s*(?:;\s*charset="?utf-?8"?\s*)?;?$/i;

const checkMedia = (headers: ReadonlyMap<string, string>): void => {
  if (!JSON_TYPE.test(headers.get('content-type') ?? '')) {
    throw new GatewayError('unsupported_media_type', 'The body must be application/json in UTF-8.', {
      hint: 'Send content-type: application/json.',
    });
  }
  const encoding = headers.get('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new GatewayError('unsupported_media_type', 'Compressed bodies are not accepted.', {
      hint: 'Send the body without content-encoding.',
    });
  }
};

const contentLengthOf = (value: string | undefined): number | null => {
  if (value === undefined) return null;
  if (!/^\d{1,15}$/.test(value)) {
    throw new GatewayError('invalid_header', 'The header content-length is not a number.', { param: 'content-length' });
  }
  return Number(value);
};

/** Clients make the user agent long, so it is cut; of the rest a policy must see all or nothing. */
const factOf = (name: string, value: string): string => {
  if (name === 'user-agent') return value.slice(0, LONGEST_USER_AGENT);
  if (value.length > LONGEST_FACT) {
    throw new GatewayError('input_too_large', `The header ${name} is longer than ${LONGEST_FACT} characters.`, {
      param: name,
    });
  }
  return value;
};
