import { servedEndpoints } from '../../gateway/protocol/translations.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { endpointOf } from '../../gateway/upstream/endpoint.ts';

/** What the gateway tells the policies of an upstream that the sandbox stands in for, with `changes`. */
export const upstreamFacts = (
  name: string,
  changes: Partial<Input['upstreams'][string]> = {},
): Input['upstreams'][string] => {
  const { dialects, endpoints, thirdParty } = endpointOf({ name, kind: 'sandbox', base_url: 'http://127.0.0.1:1/v1' });
  return {
    dialects: [...dialects],
    endpoints: servedEndpoints(endpoints),
    third_party: thirdParty,
    state: 'up',
    error_rate: 0,
    p50_ms: 300,
    ...changes,
  };
};
