import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAdminApi } from '../../gateway/admin/admin-api.ts';
import { GatewayError } from '../../gateway/errors.ts';
import type { Gateway } from '../../gateway/gateway.ts';
import { listen } from '../../gateway/server.ts';
import type { KeyRegistry } from '../../gateway/store/key-registry.ts';
import type { KeyGrant } from '../../gateway/store/keys.ts';
import type { AuditEvent } from '../../gateway/types.gen.ts';
import { openTestGateway, PROVIDER_KEY, type TestGateway, until } from '../support/gateway.ts';
import { NO_EXPERIMENTS, NO_EXPLANATIONS, NO_POLICIES, NO_REPORTS } from '../support/no-reports.ts';

const ADMIN: KeyGrant = {
  org: 'demo-university',
  team: '',
  user: 'ada',
  roles: ['admin'],
  groups: [],
  workflows: [],
};
const PATH = '/admin/v1/upstreams';

let gateway: TestGateway;
let key: string;
beforeAll(async () => {
  gateway = await openTestGateway();
  key = await gateway.keyFor(ADMIN);
}, 60_000);
afterAll(() => gateway.close());

/** A store that cannot be reached. */
const gone = (): Promise<never> => Promise.reject(new Error('the database is gone'));
const NO_KEYS: KeyRegistry = {
  page: gone,
  read: gone,
  create: gone,
  rotate: gone,
  revoke: gone,
  isRedeemable: gone,
  redeem: gone,
};

interface ErrorBody {
  error: { message: string; type: string; code: string; hint?: string; request_id: string };
}

const ask = (headers: Record<string, string>, path = PATH, method = 'GET'): Promise<Response> =>
  fetch(`${gateway.running.adminUrl}${path}`, { method, headers });
const asAdmin = (): Record<string, string> => ({ authorization: `Bearer ${key}` });
const errorOf = async (answer: Response): Promise<ErrorBody['error']> => ((await answer.json()) as ErrorBody).error;

/** The record of a read, by the id that its answer had. */
const readOf = (answer: Response): Promise<AuditEvent> =>
  until(async () =>
    (await gateway.records()).find(
      (record): record is AuditEvent =>
        record.kind === 'event' &&
        record.event === 'admin_read' &&
        (record.detail as { request_id?: unknown }).request_id === answer.headers.get('x-request-id'),
    ),
  );

describe('GET /admin/v1/upstreams', () => {
  test('tells an administrator how each upstream does, without addresses or keys, and is on record', async () => {
    const answer = await ask(asAdmin());
    const text = await answer.text();
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-aegis-policy-revision')).toBe(gateway.running.gateway.policies.current?.ref.revision);
    const { data } = JSON.parse(text) as { data: Record<string, unknown>[] };
    expect(data).toEqual([
      expect.objectContaining({ name: 'openai', kind: 'openai', state: 'up', error_rate: 0 }),
      expect.objectContaining({ name: 'anthropic', kind: 'anthropic', state: 'up', error_rate: 0 }),
    ]);
    for (const secret of [PROVIDER_KEY, gateway.openai.url, '127.0.0.1', 'http']) expect(text).not.toContain(secret);
    expect((await readOf(answer)).detail).toEqual({
      request_id: answer.headers.get('x-request-id'),
      operation: 'admin.upstreams',
      source_ip: '127.0.0.1',
      caller: { id: expect.stringMatching(/^key_/), org: 'demo-university', team: '', user: 'ada' },
      status: 200,
      error: null,
      bundle: gateway.running.gateway.policies.current?.ref,
    });
  });

  test('takes the key in x-api-key too, and ignores a query', async () => {
    expect((await ask({ 'x-api-key': key }, `${PATH}?limit=1`)).status).toBe(200);
  });

  test.each(['student', 'teacher', 'researcher', 'service'] as const)('is refused to a %s, on record', async (who) => {
    const answer = await ask({ authorization: `Bearer ${await gateway.key(who)}` });
    expect(answer.status).toBe(403);
    expect(await errorOf(answer)).toEqual({
      message: "The caller's roles may not do this on the control plane.",
      type: 'policy_denied',
      param: null,
      code: 'admin_not_allowed',
      hint: 'Roles that may: admin, platform-admin.',
      request_id: answer.headers.get('x-request-id'),
    });
    expect((await readOf(answer)).detail).toMatchObject({ status: 403, error: 'admin_not_allowed' });
  });

  test.each([
    ['without a credential', {}, 401, 'missing_credential'],
    ['with a key that is none', { authorization: 'Bearer aeg_live_nobody' }, 401, 'invalid_credential'],
    ['with a credential of another kind', { authorization: 'Basic YTpi' }, 401, 'invalid_credential'],
    ['with two credentials', { authorization: 'Bearer a', 'x-api-key': 'b' }, 400, 'duplicate_credential'],
  ])('is refused %s, on record', async (_, headers, status, code) => {
    const answer = await ask(headers as Record<string, string>);
    expect(answer.status).toBe(status);
    expect(await errorOf(answer)).toMatchObject({ code, type: 'invalid_request_error' });
    const { detail } = await readOf(answer);
    expect(detail).toMatchObject({ status, error: code, caller: null, operation: 'admin.upstreams' });
  });

  test.each(['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS'])('takes GET alone: %s is 405', async (method) => {
    const answer = await ask(asAdmin(), PATH, method);
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  test.each(['/admin/', '/admin/v1', '/admin/v1/', '/admin/v1/upstreams/', '/admin/v1/secrets', '/admin/v1/Upstreams'])(
    'has no neighbour: %s is 404',
    async (path) => {
      const answer = await ask(asAdmin(), path);
      expect(answer.status).toBe(404);
      expect(await errorOf(answer)).toMatchObject({
        code: 'not_found',
        hint: expect.stringContaining(`Routes: GET ${PATH}, `),
      });
    },
  );

  test('is not on the data plane, whatever the key', async () => {
    const answer = await fetch(`${gateway.url}${PATH}`, { headers: asAdmin() });
    expect(answer.status).toBe(404);
  });

  test('leaves health checks open', async () => {
    expect((await fetch(`${gateway.running.adminUrl}/healthz`)).status).toBe(200);
    expect((await fetch(`${gateway.running.adminUrl}/readyz`)).status).toBe(200);
  });

  test('shows what the traffic has taught it', async () => {
    gateway.openai.play = (_request, response) => void response.writeHead(500).end();
    for (let times = 0; times < 6; times++) await (await gateway.chat({})).arrayBuffer();
    const state = await until(async () => {
      const { data } = (await (await ask(asAdmin())).json()) as { data: { name: string; error_rate: number }[] };
      const openai = data.find(({ name }) => name === 'openai');
      return openai && openai.error_rate > 0 ? openai : undefined;
    });
    expect(state).toMatchObject({ error_rate: expect.any(Number) });
  });
});

describe('the control plane', () => {
  const withGateway = async (change: Partial<Gateway>, use: (url: string) => Promise<void>): Promise<void> => {
    const admin = createAdminApi(
      { ...gateway.running.gateway, ...change },
      {
        keys: NO_KEYS,
        usage: NO_REPORTS,
        policies: NO_POLICIES,
        explanations: NO_EXPLANATIONS,
        experiments: NO_EXPERIMENTS,
      },
    );
    const { server, url } = await listen((req, res) => void admin(req, res), { host: '127.0.0.1', port: 0 });
    try {
      await use(url);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };

  test('says nothing without a policy', async () => {
    const policies = { ...gateway.running.gateway.policies, current: undefined };
    await withGateway({ policies }, async (url) => {
      const answer = await fetch(`${url}${PATH}`, { headers: asAdmin() });
      expect(answer.status).toBe(503);
      expect((await errorOf(answer)).code).toBe('policy_unavailable');
    });
  });

  test('says nothing when the policy fails', async () => {
    const current = gateway.running.gateway.policies.current!;
    const admin = (): never => {
      throw new GatewayError('policy_unavailable', 'The policy could not decide this request.');
    };
    const policies = { ...gateway.running.gateway.policies, current: { ...current, admin } };
    await withGateway({ policies }, async (url) => {
      const answer = await fetch(`${url}${PATH}`, { headers: asAdmin() });
      expect([answer.status, (await errorOf(answer)).code]).toEqual([503, 'policy_unavailable']);
    });
  });

  test('says nothing that it cannot record', async () => {
    const { audit } = gateway.running.gateway;
    const append = async (): Promise<never> => {
      throw new GatewayError('audit_unavailable', 'The audit log takes no records.');
    };
    const broken = { append, healthy: false, openContent: audit.openContent, close: async () => {} };
    await withGateway({ audit: broken }, async (url) => {
      const answer = await fetch(`${url}${PATH}`, { headers: asAdmin() });
      const text = await answer.text();
      expect(answer.status).toBe(503);
      expect(text).toContain('audit_unavailable');
      expect(text).not.toContain('"data"');
    });
  });

  test('tells a bug from an answer', async () => {
    const upstreams = new Map([['openai', {} as never]]);
    await withGateway({ upstreams }, async (url) => {
      const answer = await fetch(`${url}${PATH}`, { headers: asAdmin() });
      expect(answer.status).toBe(500);
      expect(await errorOf(answer)).toMatchObject({ code: 'internal_error', message: 'The gateway failed.' });
    });
  });
});
