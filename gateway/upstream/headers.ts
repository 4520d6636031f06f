import type { UpstreamConfig } from './endpoint.ts';
import type { ResponseHeaders } from './upstream.ts';

/**
 * Headers of a caller that may go upstream, whatever the stage hands over: a credential, a cookie, a hop-by-hop header
 * or an x-aegis-* cannot pass. `idempotency-key` stays here too: callers share one provider account, and two with the
 * same key would get each other's answer.
 */
const FORWARDED: ReadonlySet<string> = new Set(['accept', 'anthropic-version', 'anthropic-beta', 'openai-beta']);

const ANTHROPIC_VERSION = '2023-06-01';

/** Makes the header list of each request to one upstream: name, value, name, value. */
export const createRequestHeaders = (
  config: UpstreamConfig,
  anthropic: boolean,
): ((caller: Readonly<Record<string, string>>) => string[]) => {
  const base = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'aegis-gateway'];
  if (config.api_key) {
    if (anthropic) base.push('x-api-key', config.api_key);
    else base.push('authorization', `Bearer ${config.api_key}`);
  }
  return (caller) => {
    const headers = base.slice();
    for (const name in caller) {
      if (FORWARDED.has(name)) headers.push(name, caller[name]!);
    }
    if (anthropic && caller['anthropic-version'] === undefined) headers.push('anthropic-version', ANTHROPIC_VERSION);
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
  relay(relayed, 'x-upstream-request-id', headers['x-request-id'] ?? headers['request-id']);
  return relayed;
};

const relay = (to: Record<string, string>, name: string, value: string | string[] | undefined): void => {
  if (value === undefined) return;
  const text = typeof value === 'string' ? value : value[0]!;
  // Node would throw at a character that no header may have.
  if (PRINTABLE.test(text)) to[name] = text;
};

const PRINTABLE = /^[\x20-\x7e]*$/;
