import type { Endpoint as ApiEndpoint, Dialect, UpstreamKind } from '../protocol/protocol.ts';
import type { Config } from '../types.gen.ts';

export type UpstreamConfig = Config['upstreams'][number];

/** Where an upstream is and what it speaks, from its configuration. */
export interface Endpoint {
  readonly origin: string;
  readonly dialects: readonly Dialect[];
  readonly endpoints: readonly ApiEndpoint[];
  readonly thirdParty: boolean;
  /**
   * The path of a request on the wire, with its query: OpenAI's base ends in /v1, Anthropic's does not, LiteLLM's may or
   * may not, and so may `path`. Azure's api-version is added.
   */
  pathOf(path: string): string;
}

const BASE_URLS: Partial<Record<UpstreamKind, string>> = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com',
  mistral: 'https://api.mistral.ai/v1',
};

/**
 * Reads one upstream's configuration. Throws Error when it has no base URL and its kind has no default, or a bad one.
 */
export const endpointOf = (config: UpstreamConfig): Endpoint => {
  const base = config.base_url ?? BASE_URLS[config.kind];
  if (base === undefined) throw new Error(`upstream "${config.name}": kind ${config.kind} needs a base_url`);
  const url = URL.parse(base);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(`upstream "${config.name}": bad base_url`);
  if (url.username || url.password || url.search || url.hash) {
    throw new Error(`upstream "${config.name}": base_url must not hold a credential, a query or a fragment`);
  }
  const endpoints = config.endpoints ?? endpointsOf(config);
  const dialects = dialectsOf(endpoints);
  const root = url.pathname.replace(/\/+$/, '');
  const isVersioned = root.endsWith('/v1');
  const needsVersion = config.kind === 'litellm' || dialects.includes('anthropic');
  const prefix = needsVersion && !isVersioned ? `${root}/v1` : root;
  const query = config.api_version === undefined ? '' : `api-version=${config.api_version}`;
  const known = new Map<string, string>();
  return {
    origin: url.origin,
    dialects,
    endpoints,
    thirdParty: config.third_party ?? isThirdParty(config, url.hostname),
    pathOf: (path) => {
      const full = known.get(path);
      if (full !== undefined) return full;
      const bare = prefix + (path.startsWith('/v1/') ? path.slice(3) : path);
      const joined = query === '' ? bare : `${bare}${bare.includes('?') ? '&' : '?'}${query}`;
      if (known.size < 16) known.set(path, joined);
      return joined;
    },
  };
};

/** What each kind of provider speaks, where the config does not say. */
const ENDPOINTS: Readonly<Record<Exclude<UpstreamKind, 'sandbox'>, readonly ApiEndpoint[]>> = {
  openai: ['chat.completions', 'responses', 'completions', 'embeddings'],
  anthropic: ['messages', 'messages.count_tokens'],
  mistral: ['chat.completions', 'embeddings'],
  openai_compatible: ['chat.completions', 'completions', 'embeddings'],
  litellm: ['chat.completions', 'responses', 'completions', 'embeddings', 'messages', 'messages.count_tokens'],
};

/** The sandbox stands in for a provider: it speaks what the provider of its name speaks. */
const endpointsOf = ({ kind, name }: UpstreamConfig): readonly ApiEndpoint[] => {
  if (kind !== 'sandbox') return ENDPOINTS[kind];
  if (name === 'anthropic' || name === 'openai' || name === 'mistral' || name === 'litellm') return ENDPOINTS[name];
  return ENDPOINTS.openai_compatible;
};

const dialectsOf = (endpoints: readonly ApiEndpoint[]): readonly Dialect[] => {
  const dialects = new Set<Dialect>();
  for (const endpoint of endpoints) dialects.add(endpoint.startsWith('messages') ? 'anthropic' : 'openai');
  return [...dialects];
};

/**
 * Content leaves the operator's hands, unless the server is on this machine or, if it is no provider's, at an address
 * that only an own network has. A LiteLLM hands it on wherever it stands. The sandbox counts as what it stands in for,
 * so that demo policies show what they would do; `local` is nobody's.
 */
const isThirdParty = (config: UpstreamConfig, hostname: string): boolean => {
  if (config.kind === 'sandbox') return config.name !== 'local';
  if (config.kind === 'litellm') return true;
  return !(LOOPBACK.test(hostname) || (config.kind === 'openai_compatible' && OWN_NETWORK.test(hostname)));
};

const LOOPBACK = /^(?:localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/;

/** Private addresses (RFC 1918, RFC 4193), names without a dot, and domains that no public DNS has. */
const OWN_NETWORK =
  /^(?:10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+|172\.(?:1[6-9]|2\d|3[01])\.\d+\.\d+|\[f[cd][\da-f:]+\]|[\w-]+|.+\.(?:internal|local|lan|home\.arpa|svc|test))\.?$/i;
