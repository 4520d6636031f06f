import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';
import type { Dialect, Endpoint } from '../protocol/protocol.ts';
import type { Input } from '../types.gen.ts';
import { addressOf } from './address.ts';
import type { Ids } from './ids.ts';
import { readPurpose } from './purpose.ts';
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

/** Headers of which a second one would be read differently by someone. */
const SINGLE = new Set([
  'host',
  'authorization',
  'x-api-key',
  'content-type',
  'content-length',
  'content-encoding',
  'transfer-encoding',
  'x-aegis-workflow',
  'x-aegis-use-case',
  'x-aegis-session',
  'x-aegis-tags',
]);

const LONGEST_FACT = 1024;
const LONGEST_USER_AGENT = 256;
const LONGEST_CREDENTIAL = 8192;

/**
 * Reads route, headers and credential; the body is not touched. Throws GatewayError `invalid_request_target`,
 * `not_found`, `method_not_allowed`, `invalid_header`, `duplicate_credential`, `unsupported_media_type`.
 */
export const receive = (req: RequestHead, ids: Ids): Head => {
  const headers = collect(req.rawHeaders);
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
  };
};

/** Header lines by lower-case name, from the raw list: Node's own map hides repetitions. */
const collect = (raw: readonly string[]): Map<string, string> => {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = raw[at + 1]!;
    const before = headers.get(name);
    if (before === undefined) headers.set(name, value);
    else if (SINGLE.has(name)) throw repeated(name);
    else headers.set(name, `${before}, ${value}`);
  }
  return headers;
};

const repeated = (name: string): GatewayError =>
  name === 'authorization' || name === 'x-api-key'
    ? new GatewayError('duplicate_credential', `The header ${name} was sent twice.`)
    : new GatewayError('invalid_header', `The header ${name} was sent twice.`, { param: name });

/** A name or address with an optional port. HTTP/1.1 asks for one (RFC 9112); without it there is nothing to mistake. */
const HOST = /^(?:[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[[\da-fA-F:.]{2,45}\])(?::\d{1,5})?$/;

const checkHost = (host: string | undefined, httpVersion: string | undefined): void => {
  if (host === undefined ? httpVersion !== '1.1' : host.length <= 255 && HOST.test(host)) return;
  throw new GatewayError('invalid_header', 'The header host is not a host and port.', { param: 'host' });
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

const BEARER = /^bearer +([\x21-\x7e]+) *$/i;

const credentialOf = (headers: ReadonlyMap<string, string>): string | null => {
  const authorization = headers.get('authorization');
  const apiKey = headers.get('x-api-key');
  if (authorization !== undefined && apiKey !== undefined) {
    throw new GatewayError('duplicate_credential', 'Both authorization and x-api-key were sent.', {
      hint: 'Send one of the two.',
    });
  }
  if (authorization === undefined && apiKey === undefined) return null;
  const secret = authorization === undefined ? apiKey : BEARER.exec(authorization)?.[1];
  if (secret === undefined || secret === '' || secret.length > LONGEST_CREDENTIAL || !/^[\x21-\x7e]+$/.test(secret)) {
    throw new GatewayError('invalid_credential', 'The credential is not well formed.', {
      hint: 'Send it as Authorization: Bearer <key> or as x-api-key.',
    });
  }
  return secret;
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
