import type { Call, Endpoint } from '../../gateway/protocol/protocol.ts';
import type { DescribedHead, Facts } from '../../gateway/stages/describe.ts';
import { parseCall } from '../../gateway/stages/read.ts';
import { ROUTES } from '../../gateway/stages/routes.ts';
import type { Input } from '../../gateway/types.gen.ts';

/** A call from a body, or from its JSON text. */
export const callOf = (endpoint: Endpoint, body: unknown): Call =>
  parseCall(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), endpoint, { depth: 64 });

/** A caller, a head and facts for describing calls. */
export const CALLER: Input['caller'] = {
  kind: 'key',
  id: 'key_1',
  org: 'acme',
  team: 'math',
  user: 'ann',
  roles: ['student'],
  groups: [],
  workflows: [],
  scopes: [],
  claims: {},
};
export const HEAD: DescribedHead = {
  requestId: 'req_01',
  sourceIp: '192.0.2.1',
  headers: {},
  purpose: { workflow: '', use_case: '', session: '', tags: {} },
  endUser: '',
};
export const FACTS: Facts = {
  now: () => 1_790_000_000_000,
  upstreams: () => ({}),
  spend: () => [],
  pseudonym: (_org, name) => `hash:${name.length}`,
  experiments: () => ({}),
};

/** The raw header list of a POST with a JSON body. */
export const rawHeaders = (more: Record<string, string> = {}): string[] =>
  Object.entries({ Host: 'localhost:8080', 'Content-Type': 'application/json', ...more }).flat();

export const POSTS = ROUTES.filter(({ method }) => method === 'POST');
