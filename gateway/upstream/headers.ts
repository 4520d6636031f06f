import type { Endpoint } from '../protocol/protocol.ts';
import type { UpstreamConfig } from './endpoint.ts';
import type { ResponseHeaders } from './upstream.ts';

/**
 * Headers of a caller that may go upstream, whatever the stage hands over, and the wire formats they belong to: a
 * credential, a cookie, a hop-by-hop header, an organisation (it is the operator's account) or an x-aegis-* cannot pass.
 * `idempotency-key` stays here too: callers share one provider account, and two with the same key would get each
 * other's answer.
 */
const FORWARDED: ReadonlyMap<string, 'any' | 'openai' | 'anthropic'> = new Map([
  ['accept', 'any'],
  ['anthropic-version', 'anthropic'],
  ['anthropic-beta', 'anthropic'],
  ['openai-beta', 'openai'],
  // Of this gateway's own making, for upstreams of the operator's.
  ['traceparent', 'any'],
]);

const ANTHROPIC_VERSION = '2023-06-01';

/** Makes the header list of one request: name, value, name, value. `key` is the key's index, -1 for none. */
export type RequestHeaders = (caller: Readonly<Record<string, string>>, wire: Endpoint, key: number) => string[];

/** The headers of each request to one upstream with these keys. */
export const createRequestHeaders = (
  { kind, key_header: header = kind === 'anthropic' ? 'x-api-key' : 'authorization' }: UpstreamConfig,
  keys: readonly string[],
): RequestHeaders => {
  const common = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'aegis-gateway'];
  const withKey = keys.map((key) => [...common, header, header === 'authorization' ? `Bearer ${key}` : key]);
  return (caller, wire, key) => {
    const isAnthropic = wire === 'messages' || wire === 'messages.count_tokens';
    const headers = (withKey[key] ?? common).slice();
    for (const name in caller) {
      const speaks = FORWARDED.get(name);
      if (speaks === 'any' || speaks === (isAnthropic ? 'anthropic' : 'openai')) headers.push(name, caller[name]!);
    }
    if (isAnthropic && caller['anthropic-version'] === undefined) headers.push('anthropic-version', ANTHROPIC_VERSION);
    return headers;
  };
};

/**
 * The headers of an upstream's answer that a caller gets; all others stay here. Rate limits, organisation and cookies
 * are those of the operator's account. The provider's request id gets a name of its own, since x-request-id is ours.
 */
export const relayedHeaders = (headers: ResponseHeaders): Record<string, string> => {
  const relayed: Record<string, string> = {};
  relay(relayed, 'content-type', headers['content-type']);
  relay(relayed, 'retry-after', headers['retry-after']);
  relay(relayed, 'retry-after-ms', headers['retry-after-ms']);
  relay(relayed, 'x-should-retry', headers['x-should-retry']);
  relay(relayed, 'openai-processing-ms', headers['openai-processing-ms']);
  const id = headers['x-request-id'] ?? headers['request-id'] ?? headers['x-litellm-call-id'];
  relay(relayed, 'x-upstream-request-id', id);
  return relayed;
};

const relay = (to: Record<string, string>, name: string, value: string | string[] | undefined): void => {
  if (value === undefined) return;
  const text = typeof value === 'string' ? value : value[0]!;
  // Node would throw at a character that no header may have.
  if (PRINTABLE.test(text)) to[name] = text;
};

const PRINTABLE = /^[\x20-\x7e]*$/;
