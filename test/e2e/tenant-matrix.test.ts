import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ADMIN_ROUTES } from '../../gateway/admin/admin-routes.ts';
import { ROUTES } from '../../gateway/stages/routes.ts';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { openIssuer, type TestIssuer } from '../support/issuer.ts';

// Every endpoint × role × own and other organisation × key and token × both credential headers. What is asked for always
// belongs to demo-university: a model at an upstream that only it may use (for completions, where there is none, a
// workflow that only it has), or a key of its own. Callers are its own, then another
// organisation's. A decision that is rated is another user's: nobody may. Entries are `ok` or the code of the refusal; a route or a role without an entry fails.

const OWN = `
route                           | student              | teacher              | researcher         | service            | admin              | platform-admin
POST /v1/chat/completions       | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/responses              | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/completions            | endpoint_not_allowed | endpoint_not_allowed | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/embeddings             | endpoint_not_allowed | endpoint_not_allowed | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/messages               | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/messages/count_tokens  | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
POST /v1/feedback               | not_found            | not_found            | not_found          | not_found          | not_found          | endpoint_not_allowed
GET /v1/models                  | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
GET /v1/models/{id}             | ok                   | ok                   | ok                 | ok                 | ok                 | endpoint_not_allowed
GET /admin/v1/upstreams         | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
GET /admin/v1/usage             | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
GET /admin/v1/policies          | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | admin_not_allowed  | ok
GET /admin/v1/decisions/{id}    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
GET /admin/v1/experiments       | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
GET /admin/v1/evaluations       | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
GET /admin/v1/keys              | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
POST /admin/v1/keys             | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
POST /admin/v1/keys/{id}/rotate | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
DELETE /admin/v1/keys/{id}      | admin_not_allowed    | admin_not_allowed    | admin_not_allowed  | admin_not_allowed  | ok                 | ok
POST /admin/v1/bootstrap        | invalid_credential   | invalid_credential   | invalid_credential | invalid_credential | invalid_credential | invalid_credential
`;

const OTHER = `
route                           | student              | teacher              | researcher           | service              | admin                    | platform-admin
POST /v1/chat/completions       | no_upstream          | no_upstream          | workflow_not_allowed | workflow_not_allowed | no_upstream              | endpoint_not_allowed
POST /v1/responses              | no_upstream          | no_upstream          | workflow_not_allowed | workflow_not_allowed | no_upstream              | endpoint_not_allowed
POST /v1/completions            | endpoint_not_allowed | endpoint_not_allowed | unknown_workflow     | unknown_workflow     | unknown_workflow         | endpoint_not_allowed
POST /v1/embeddings             | endpoint_not_allowed | endpoint_not_allowed | workflow_not_allowed | workflow_not_allowed | no_upstream              | endpoint_not_allowed
POST /v1/messages               | no_upstream          | no_upstream          | workflow_not_allowed | workflow_not_allowed | no_upstream              | endpoint_not_allowed
POST /v1/messages/count_tokens  | no_upstream          | no_upstream          | workflow_not_allowed | workflow_not_allowed | no_upstream              | endpoint_not_allowed
POST /v1/feedback               | not_found            | not_found            | not_found            | not_found            | not_found                | endpoint_not_allowed
GET /v1/models                  | ok                   | ok                   | ok                   | ok                   | ok                       | endpoint_not_allowed
GET /v1/models/{id}             | not_found            | not_found            | not_found            | not_found            | not_found                | endpoint_not_allowed
GET /admin/v1/upstreams         | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | ok                       | ok
GET /admin/v1/usage             | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | organization_not_allowed | ok
GET /admin/v1/policies          | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed        | ok
GET /admin/v1/decisions/{id}    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | not_found                | ok
GET /admin/v1/experiments       | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | ok                       | ok
GET /admin/v1/evaluations       | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | ok                       | ok
GET /admin/v1/keys              | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | organization_not_allowed | ok
POST /admin/v1/keys             | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | organization_not_allowed | ok
POST /admin/v1/keys/{id}/rotate | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | not_found                | ok
DELETE /admin/v1/keys/{id}      | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | admin_not_allowed    | not_found                | ok
POST /admin/v1/bootstrap        | invalid_credential   | invalid_credential   | invalid_credential   | invalid_credential   | invalid_credential       | invalid_credential
`;

const table = (text: string): Map<string, Map<string, string>> => {
  const [head = [], ...rows] = text
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return new Map(
    rows.map(([route = '', ...cells]) => [route, new Map(cells.map((cell, n) => [head[n + 1] ?? '', cell]))]),
  );
};
const EXPECTED = { own: table(OWN), other: table(OTHER) };
const ORGS = {
  own: { org: 'demo-university', team: 'lms' },
  other: { org: 'demo-college', team: 'year-12' },
} as const;
type Whose = keyof typeof ORGS;

const routes = [...ROUTES, ...ADMIN_ROUTES].map(({ method, path }) => `${method} ${path}`);

const CHAT = { messages: [{ role: 'user', content: 'Hello.' }] };
interface Asked {
  path?: string;
  body?: object;
  headers?: Record<string, string>;
}
/** What demo-university has: ids of keys, and of a decision. */
interface Ids {
  rotate: string;
  revoke: string;
  decision: string;
}
/** A request of each route, for something of demo-university. */
const REQUESTS: Record<string, (ids: Ids) => Asked> = {
  'POST /v1/chat/completions': () => ({ body: { model: 'gpt-5.4-nano', ...CHAT } }),
  'POST /v1/responses': () => ({ body: { model: 'gpt-5.4-nano', input: 'Hello.' } }),
  'POST /v1/completions': () => ({
    body: { model: 'campus-8b', prompt: 'Hello.' },
    headers: { 'x-aegis-workflow': 'assistant' },
  }),
  'POST /v1/embeddings': () => ({ body: { model: 'text-embedding-3-small', input: 'Hello.' } }),
  'POST /v1/messages': () => ({ body: { model: 'claude-haiku-5-5', max_tokens: 10, ...CHAT } }),
  'POST /v1/messages/count_tokens': () => ({ body: { model: 'claude-haiku-5-5', ...CHAT } }),
  'POST /v1/feedback': ({ decision }) => ({ body: { decision_id: decision, score: 1 } }),
  'GET /v1/models': () => ({}),
  'GET /v1/models/{id}': () => ({ path: '/v1/models/gpt-5.4-nano' }),
  'GET /admin/v1/upstreams': () => ({}),
  'GET /admin/v1/usage': () => ({ path: '/admin/v1/usage?org=demo-university&by=team' }),
  'GET /admin/v1/decisions/{id}': ({ decision }) => ({ path: `/admin/v1/decisions/${decision}` }),
  'GET /admin/v1/experiments': () => ({}),
  'GET /admin/v1/evaluations': () => ({}),
  'GET /admin/v1/policies': () => ({}),
  'GET /admin/v1/keys': () => ({ path: '/admin/v1/keys?org=demo-university' }),
  'POST /admin/v1/keys': () => ({ body: { org: 'demo-university', team: 'cs101', roles: ['student'] } }),
  'POST /admin/v1/keys/{id}/rotate': ({ rotate }) => ({ path: `/admin/v1/keys/${rotate}/rotate` }),
  'DELETE /admin/v1/keys/{id}': ({ revoke }) => ({ path: `/admin/v1/keys/${revoke}` }),
  'POST /admin/v1/bootstrap': () => ({}),
};

let issuer: TestIssuer;
let gateway: TestGateway;
let ids: Ids;
beforeAll(async () => {
  issuer = await openIssuer();
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
    config: { identity: { jwt: [issuer.entry] } },
  });
  const keyId = async (): Promise<string> => {
    const secret = await gateway.keyFor({ ...ORGS.own, user: 'u', roles: ['student'], groups: [], workflows: [] });
    return gateway.running.gateway.keys.find(secret, Date.now())?.id ?? '';
  };
  const answer = await gateway.chat({});
  await answer.text();
  const decision = answer.headers.get('x-aegis-decision-id') ?? '';
  ids = { rotate: await keyId(), revoke: await keyId(), decision };
}, 60_000);
afterAll(async () => {
  await gateway.close();
  await issuer.close();
});

const credentials = new Map<string, Promise<string>>();
const credentialOf = (kind: 'key' | 'token', whose: Whose, role: string): Promise<string> => {
  const name = `${kind} ${whose} ${role}`;
  const { org, team } = ORGS[whose];
  const user = `${kind}-${role}`;
  const made =
    credentials.get(name) ??
    (kind === 'key'
      ? gateway.keyFor({ org, team, user, roles: [role], groups: [], workflows: [] })
      : issuer.token({ sub: name, org, team, preferred_username: user, realm_access: { roles: [role] } }));
  credentials.set(name, made);
  return made;
};

const HEADERS = {
  authorization: (credential: string) => ({ authorization: `Bearer ${credential}` }),
  'x-api-key': (credential: string) => ({ 'x-api-key': credential }),
};

/** `ok`, or the code of the refusal. */
const ask = async (route: string, headers: Record<string, string>): Promise<string> => {
  const [method = '', pattern = ''] = route.split(' ');
  const { path = pattern, body, headers: more } = REQUESTS[route]?.(ids) ?? {};
  const base = pattern.startsWith('/admin/') ? gateway.running.adminUrl : gateway.url;
  const answer = await fetch(`${base}${path}`, {
    method,
    headers: { ...headers, ...more, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await answer.text();
  return answer.ok ? 'ok' : (JSON.parse(text) as { error: { code: string } }).error.code;
};

describe('the tables', () => {
  test.each(['own', 'other'] as const)('have a row for each route and an entry for each role: %s', (whose) => {
    expect([...EXPECTED[whose].keys()].sort()).toEqual([...routes].sort());
    const roles = Object.keys(gateway.running.gateway.policies.current?.data.roles ?? {}).sort();
    for (const row of EXPECTED[whose].values()) expect([...row.keys()].sort()).toEqual(roles);
  });

  test('have a request for each route', () => {
    expect(Object.keys(REQUESTS).sort()).toEqual([...routes].sort());
  });
});

describe.each(['own', 'other'] as const)(
  'what is demo-university’s, asked for by a caller of the %s organisation',
  (whose) => {
    test.each(routes)('%s', async (route) => {
      const expected: Record<string, string> = {};
      const actual: Record<string, string> = {};
      for (const [role, entry] of EXPECTED[whose].get(route) ?? []) {
        for (const kind of ['key', 'token'] as const) {
          for (const [header, headersOf] of Object.entries(HEADERS)) {
            const name = `${role} with a ${kind} in ${header}`;
            expected[name] = entry;
            actual[name] = await ask(route, headersOf(await credentialOf(kind, whose, role)));
          }
        }
      }
      expect(actual).toEqual(expected);
    });
  },
);

describe('without a credential that counts', () => {
  test.each(routes)('%s is refused', async (route) => {
    const strange = await openIssuer();
    try {
      const claims = { org: 'demo-university', team: 'lms', realm_access: { roles: ['platform-admin'] } };
      const forged = await strange.token({ ...claims, iss: issuer.entry.issuer });
      const expired = await issuer.token({ ...claims, exp: 1 });
      for (const headersOf of Object.values(HEADERS)) {
        for (const credential of ['aeg_live_none', 'x', forged, expired]) {
          expect(await ask(route, headersOf(credential))).toBe('invalid_credential');
        }
      }
      expect(await ask(route, {})).toBe('missing_credential');
      const good = await credentialOf('key', 'own', 'admin');
      expect(await ask(route, { authorization: `Bearer ${good}`, 'x-api-key': good })).toBe('duplicate_credential');
    } finally {
      await strange.close();
    }
  });
});

describe('what another organisation lists', () => {
  test('names no model that only demo-university may use', async () => {
    const models = async (whose: Whose): Promise<string> => {
      const headers = HEADERS.authorization(await credentialOf('key', whose, 'student'));
      return (await fetch(`${gateway.url}/v1/models`, { headers })).text();
    };
    expect(await models('own')).toContain('gpt-5.4-nano');
    expect(await models('other')).not.toContain('gpt-5.4-nano');
  });

  test('has no key of demo-university', async () => {
    for (const kind of ['key', 'token'] as const) {
      const headers = HEADERS.authorization(await credentialOf(kind, 'other', 'admin'));
      const text = await (
        await fetch(`${gateway.running.adminUrl}/admin/v1/keys?state=all&limit=200`, { headers })
      ).text();
      expect(text).toContain('demo-college');
      expect(text).not.toContain('demo-university');
    }
  });
});
