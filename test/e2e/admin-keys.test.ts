import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAdminApi } from '../../gateway/admin/admin-api.ts';
import { GatewayError } from '../../gateway/errors.ts';
import { listen } from '../../gateway/server.ts';
import { createBootstrap } from '../../gateway/store/bootstrap.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKeyRegistry, type KeyRegistry } from '../../gateway/store/key-registry.ts';
import type { KeyGrant } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import type { AuditEvent } from '../../gateway/types.gen.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { NO_EXPERIMENTS, NO_EXPLANATIONS, NO_POLICIES, NO_REPORTS } from '../support/no-reports.ts';

const grant = (org: string, team: string, roles: string[], more: Partial<KeyGrant> = {}): KeyGrant => ({
  org,
  team,
  user: 'ada',
  roles,
  groups: [],
  workflows: [],
  ...more,
});

let gateway: TestGateway;
const keys: Record<'admin' | 'platform' | 'college' | 'limited', string> = {
  admin: '',
  platform: '',
  college: '',
  limited: '',
};
beforeAll(async () => {
  gateway = await openTestGateway();
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  keys.admin = await gateway.keyFor(grant('demo-university', 'lms', ['admin']));
  keys.platform = await gateway.keyFor(grant('demo-university', '', ['platform-admin']));
  keys.college = await gateway.keyFor(grant('demo-college', 'year-12', ['admin']));
  keys.limited = await gateway.keyFor(grant('demo-university', 'lms', ['admin'], { workflows: ['quiz'] }));
}, 60_000);
afterAll(() => gateway.close());

interface Key {
  id: string;
  org: string;
  team: string;
  user: string;
  roles: string[];
  workflows: string[];
  expires: string | null;
  revoked: string | null;
  rotated_from: string | null;
  state: string;
  secret?: string;
}
interface Told {
  status: number;
  headers: Headers;
  body: Key & { data: Key[]; has_more: boolean; next_cursor: string | null; error: Record<string, unknown> };
  text: string;
}

const ask = async (
  method: string,
  path: string,
  { as = 'admin', body, headers = {}, url = gateway.running.adminUrl }: AskOptions = {},
): Promise<Told> => {
  const answer = await fetch(`${url}/admin/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${keys[as]}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: JSON.parse(text), text };
};
interface AskOptions {
  as?: keyof typeof keys;
  body?: unknown;
  headers?: Record<string, string>;
  url?: string;
}

const chatWith = async (secret: string): Promise<number> =>
  (
    await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content: 'Hello.' }] }),
    })
  ).status;

const eventsOf = async ({ headers }: Told): Promise<AuditEvent[]> =>
  (await gateway.records()).filter(
    (record): record is AuditEvent =>
      record.kind === 'event' && (record.detail as { request_id?: unknown }).request_id === headers.get('x-request-id'),
  );

const STUDENT = { team: 'cs101', user: 'sam', roles: ['student'] };

describe('POST /admin/v1/keys', () => {
  test('makes a key of the caller’s organisation that works at once; its secret is nowhere else', async () => {
    const made = await ask('POST', '/keys', {
      body: { ...STUDENT, groups: ['g'], workflows: ['tutoring', 'assistant'] },
    });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      id: expect.stringMatching(/^key_/),
      prefix: expect.stringMatching(/^aeg_live_/),
      org: 'demo-university',
      ...STUDENT,
      groups: ['g'],
      workflows: ['tutoring', 'assistant'],
      created: expect.any(String),
      expires: null,
      revoked: null,
      rotated_from: null,
      state: 'active',
      secret: expect.stringMatching(/^aeg_live_/),
    });
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(await chatWith(made.body.secret as string)).toBe(200);
    const listed = await ask('GET', '/keys?state=all&limit=200');
    expect(listed.text).not.toContain(made.body.secret);
    expect(JSON.stringify(await gateway.records())).not.toContain(made.body.secret);
  });

  test('is on record before it is done, and when it has ended', async () => {
    const made = await ask('POST', '/keys', { body: STUDENT });
    const target = { org: 'demo-university', ...STUDENT, groups: [], workflows: [] };
    expect((await eventsOf(made)).map(({ event, detail }) => ({ event, detail }))).toEqual([
      { event: 'admin_change', detail: expect.objectContaining({ phase: 'intent', status: null, key: null, target }) },
      {
        event: 'admin_change',
        detail: expect.objectContaining({
          operation: 'admin.keys.create',
          phase: 'end',
          status: 201,
          error: null,
          key: made.body.id,
          target,
          caller: expect.objectContaining({ org: 'demo-university', user: 'ada' }),
        }),
      },
    ]);
  });

  test('may give it an end', async () => {
    const expires = new Date(Date.now() + 86_400_000).toISOString();
    expect((await ask('POST', '/keys', { body: { ...STUDENT, expires } })).body).toMatchObject({
      expires,
      state: 'active',
    });
    const past = await ask('POST', '/keys', { body: { ...STUDENT, expires: '2020-01-01T00:00:00Z' } });
    expect([past.status, past.body.error.param]).toEqual([400, 'expires']);
  });

  test.each([
    [
      'of another organisation',
      'admin',
      { ...STUDENT, org: 'demo-college', team: 'year-12' },
      'organization_not_allowed',
    ],
    ['with a role above the caller’s', 'admin', { ...STUDENT, roles: ['platform-admin'] }, 'role_not_grantable'],
    [
      'with such a role among others',
      'admin',
      { ...STUDENT, roles: ['student', 'platform-admin'] },
      'role_not_grantable',
    ],
    ['with a role that nobody knows', 'platform', { ...STUDENT, roles: ['emperor'] }, 'role_not_grantable'],
    ['of a team that there is not', 'admin', { ...STUDENT, team: 'year-12' }, 'unknown_name'],
    ['of an organisation that there is not', 'platform', { ...STUDENT, org: 'nowhere' }, 'unknown_name'],
    ['for more workflows than the caller’s own', 'limited', STUDENT, 'workflow_not_grantable'],
  ] as const)('makes no key %s', async (_, as, body, code) => {
    const refused = await ask('POST', '/keys', { as, body });
    expect([refused.status, refused.body.error.code, refused.body.error.type]).toEqual([403, code, 'policy_denied']);
    const [end, ...rest] = await eventsOf(refused);
    expect(rest).toEqual([]);
    const target = expect.objectContaining({ roles: body.roles });
    expect(end?.detail).toMatchObject({ phase: 'end', status: 403, error: code, key: null, target });
  });

  test('makes one of any organisation for the platform’s administrator', async () => {
    const made = await ask('POST', '/keys', {
      as: 'platform',
      body: { org: 'demo-college', team: 'year-12', roles: ['admin'] },
    });
    expect(made.body).toMatchObject({ org: 'demo-college', roles: ['admin'] });
  });

  test.each([
    ['no JSON', '{', 'invalid_json', null],
    ['a list', '[]', 'invalid_json', null],
    ['a key twice', '{"roles":["student"],"roles":["admin"]}', 'duplicate_key', null],
    ['no roles', { team: 'cs101' }, 'invalid_field', 'roles'],
    ['an empty list of roles', { roles: [] }, 'invalid_field', 'roles'],
    ['roles that are a text', { roles: 'student' }, 'invalid_field', 'roles'],
    ['a role that is a number', { roles: [1] }, 'invalid_field', 'roles.0'],
    ['a field that nobody knows', { roles: ['student'], id: 'key_mine' }, 'invalid_field', 'id'],
    ['an organisation with a slash', { roles: ['student'], org: 'a/b' }, 'invalid_field', 'org'],
    ['a name with a line break', { roles: ['student'], user: 'a\nb', team: 'cs101' }, 'invalid_key', null],
    ['an expiry that is no time', { roles: ['student'], expires: 'soon' }, 'invalid_field', 'expires'],
    ['too much', { roles: ['student'], user: 'x'.repeat(70_000) }, 'body_too_large', null],
  ])('refuses a body with %s', async (_, body, code, param) => {
    const refused = await ask('POST', '/keys', { body });
    expect(refused.body.error).toMatchObject({ code, ...(param === null ? {} : { param }) });
    expect(refused.status).toBe(code === 'body_too_large' ? 413 : 400);
  });

  test('wants JSON, so that no form of a page can send it', async () => {
    const refused = await ask('POST', '/keys', { body: STUDENT, headers: { 'content-type': 'text/plain' } });
    expect([refused.status, refused.body.error.code]).toEqual([415, 'unsupported_media_type']);
  });
});

describe('GET /admin/v1/keys', () => {
  test('lists the organisation’s keys, page by page, each once', async () => {
    for (let n = 0; n < 7; n++)
      await ask('POST', '/keys', { as: 'college', body: { team: 'year-12', user: `p${n}`, roles: ['student'] } });
    const found: Key[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { status, body } = await ask('GET', `/keys?limit=3${query}`, { as: 'college' });
      expect(status).toBe(200);
      expect(body.has_more).toBe(body.next_cursor !== null);
      found.push(...body.data);
      cursor = body.next_cursor;
      pages += 1;
    } while (cursor !== null);
    const all = (await ask('GET', '/keys', { as: 'college' })).body.data;
    expect(found).toEqual(all);
    expect(pages).toBe(Math.ceil(all.length / 3));
    expect(new Set(all.map(({ org }) => org))).toEqual(new Set(['demo-college']));
    expect(all.every((key) => !('secret' in key) && !('digest' in key))).toBe(true);
  });

  test('shows all organisations to the platform’s administrator, or one', async () => {
    const orgs = async (query: string): Promise<Set<string>> =>
      new Set((await ask('GET', `/keys?limit=200${query}`, { as: 'platform' })).body.data.map(({ org }) => org));
    expect(await orgs('')).toEqual(new Set(['demo-university', 'demo-college']));
    expect(await orgs('&org=demo-college')).toEqual(new Set(['demo-college']));
  });

  test('does not show another organisation’s, nor whether it is there', async () => {
    for (const org of ['demo-college', 'nowhere']) {
      const refused = await ask('GET', `/keys?org=${org}`);
      expect([refused.status, refused.body.error.code]).toEqual([403, 'organization_not_allowed']);
    }
    expect((await ask('GET', '/keys?org=demo-university')).status).toBe(200);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=1e2', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['state=dead', 'state'],
    ['cursor=xxx', 'cursor'],
    ['cursor=', 'cursor'],
    ['orgs=demo-college', 'orgs'],
  ])('refuses ?%s', async (query, param) => {
    const refused = await ask('GET', `/keys?${query}`);
    expect([refused.status, refused.body.error.param]).toEqual([400, param]);
  });
});

describe('POST /admin/v1/keys/{id}/rotate', () => {
  test('gives a key for the same caller; the old one works on for the overlap', async () => {
    const old = (await ask('POST', '/keys', { body: STUDENT })).body;
    const made = await ask('POST', `/keys/${old.id}/rotate`);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ ...STUDENT, org: 'demo-university', rotated_from: old.id });
    expect(made.body.id).not.toBe(old.id);
    expect(await chatWith(made.body.secret as string)).toBe(200);
    expect(await chatWith(old.secret as string)).toBe(200);
    expect((await eventsOf(made)).map(({ detail }) => (detail as { key: unknown }).key)).toEqual([
      old.id,
      made.body.id,
    ]);
  });

  test('ends the old one at once where that is asked', async () => {
    const old = (await ask('POST', '/keys', { body: STUDENT })).body;
    const made = await ask('POST', `/keys/${old.id}/rotate`, { body: { overlap_s: 0 } });
    expect(made.status).toBe(201);
    expect(await chatWith(old.secret as string)).toBe(401);
    const again = await ask('POST', `/keys/${old.id}/rotate`);
    expect([again.status, again.body.error.code]).toEqual([400, 'expired_key']);
  });

  test('refuses an overlap that is none', async () => {
    const old = (await ask('POST', '/keys', { body: STUDENT })).body;
    for (const overlap_s of [-1, 1.5, '1', 9e9]) {
      expect((await ask('POST', `/keys/${old.id}/rotate`, { body: { overlap_s } })).body.error.param).toBe('overlap_s');
    }
  });

  test('gives nobody the secret of a key above its own', async () => {
    const above = (await ask('POST', '/keys', { as: 'platform', body: { user: 'root', roles: ['platform-admin'] } }))
      .body;
    expect(above.org).toBe('demo-university');
    for (const [method, path] of [
      ['POST', `/keys/${above.id}/rotate`],
      ['DELETE', `/keys/${above.id}`],
    ] as const) {
      const refused = await ask(method, path);
      expect([refused.status, refused.body.error.code]).toEqual([403, 'role_not_grantable']);
    }
    expect((await ask('GET', '/upstreams', { headers: { authorization: `Bearer ${above.secret}` } })).status).toBe(200);
  });
});

describe('DELETE /admin/v1/keys/{id}', () => {
  test('ends a key at once, and once more changes nothing', async () => {
    const key = (await ask('POST', '/keys', { body: STUDENT })).body;
    const gone = await ask('DELETE', `/keys/${key.id}`);
    expect(gone.body).toMatchObject({ id: key.id, state: 'revoked', revoked: expect.any(String) });
    expect(await chatWith(key.secret as string)).toBe(401);
    expect((await ask('DELETE', `/keys/${key.id}`)).body.revoked).toBe(gone.body.revoked);
    expect((await ask('GET', '/keys?limit=200')).text).not.toContain(key.id);
    expect((await ask('GET', '/keys?limit=200&state=all')).text).toContain(key.id);
  });

  test('does not find another organisation’s key, as one that is not there', async () => {
    const [theirs] = (await ask('GET', '/keys', { as: 'college' })).body.data;
    for (const method of ['DELETE', 'POST']) {
      const path = (id: string): string => `/keys/${id}${method === 'POST' ? '/rotate' : ''}`;
      const [other, none] = [await ask(method, path(theirs?.id as string)), await ask(method, path('key_none'))];
      expect([other.status, none.status]).toEqual([404, 404]);
      const messageOf = ({ body }: Told): string => (body.error.message as string).replace(/key_\w+/, 'key');
      expect(messageOf(other)).toBe(messageOf(none));
    }
    const still = (await ask('GET', '/keys', { as: 'college' })).body.data.find(({ id }) => id === theirs?.id);
    expect(still).toMatchObject({ state: 'active' });
  });
});

describe('POST /admin/v1/bootstrap', () => {
  const withToken = async (use: (token: string) => Promise<void>, now = Date.now()): Promise<void> => {
    const database = await openDatabase(gateway.home);
    try {
      const first = grant('demo-university', '', ['platform-admin'], { user: 'first' });
      await use((await createBootstrap(database.db, openPepper(gateway.home), first, now)).token);
    } finally {
      await database.close();
    }
  };
  const redeem = (token: string): Promise<Told> =>
    ask('POST', '/bootstrap', { headers: { authorization: `Bearer ${token}` } });

  test('gives the first administrator’s key for the token, once', async () => {
    await withToken(async (token) => {
      const made = await redeem(token);
      expect(made.status).toBe(201);
      expect(made.body).toMatchObject({ org: 'demo-university', user: 'first', roles: ['platform-admin'] });
      const asFirst = { headers: { authorization: `Bearer ${made.body.secret}` } };
      expect((await ask('GET', '/keys', asFirst)).status).toBe(200);
      expect((await eventsOf(made)).map(({ detail }) => detail)).toEqual([
        expect.objectContaining({ phase: 'intent', operation: '/admin/v1/bootstrap', caller: null }),
        expect.objectContaining({ phase: 'end', status: 201, key: made.body.id }),
      ]);
      const again = await redeem(token);
      expect([again.status, again.body.error.code]).toEqual([401, 'invalid_credential']);
      const records = JSON.stringify(await gateway.records());
      for (const secret of [token, made.body.secret as string]) expect(records).not.toContain(secret);
    });
  });

  test('gives one key however many ask at the same time', async () => {
    await withToken(async (token) => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => redeem(token)));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(11);
    });
  });

  test('takes no token after a day', async () => {
    await withToken(async (token) => {
      expect((await redeem(token)).status).toBe(401);
    }, Date.now() - 86_400_000);
  });

  test('takes no token that another has taken the place of', async () => {
    await withToken((first) =>
      withToken(async (second) => {
        expect((await redeem(first)).status).toBe(401);
        expect((await redeem(second)).status).toBe(201);
      }),
    );
  });

  test('takes nothing else: no key, and no guess, which the log bounds', async () => {
    for (const wrong of [keys.platform, 'aeg_once_guess', 'x']) expect((await redeem(wrong)).status).toBe(401);
    const none = await fetch(`${gateway.running.adminUrl}/admin/v1/bootstrap`, { method: 'POST' });
    expect(none.status).toBe(401);
    const before = (await gateway.records()).length;
    await Promise.all(Array.from({ length: 100 }, (_, n) => redeem(`aeg_once_${n}`)));
    // Ten a second of one address; the excess is counted.
    expect((await gateway.records()).length - before).toBeLessThan(100);
  });

  test('is no credential anywhere else', async () => {
    await withToken(async (token) => {
      expect(await chatWith(token)).toBe(401);
      expect((await ask('GET', '/keys', { headers: { authorization: `Bearer ${token}` } })).status).toBe(401);
    });
  });
});

describe('a change that cannot be recorded, or stored,', () => {
  const withApi = async (
    change: { audit?: object; keys?: Partial<KeyRegistry> },
    use: (url: string) => Promise<void>,
  ): Promise<void> => {
    const database = await openDatabase(gateway.home);
    const registry = createKeyRegistry(database.db, openPepper(gateway.home), async () => {});
    const { gateway: real } = gateway.running;
    const audit = { ...real.audit, append: real.audit.append.bind(real.audit), ...change.audit };
    const api = createAdminApi(
      { ...real, audit: audit as typeof real.audit },
      {
        keys: { ...registry, ...change.keys },
        usage: NO_REPORTS,
        policies: NO_POLICIES,
        explanations: NO_EXPLANATIONS,
        experiments: NO_EXPERIMENTS,
      },
    );
    const { server, url } = await listen((req, res) => void api(req, res), { host: '127.0.0.1', port: 0 });
    try {
      await use(url);
    } finally {
      server.closeAllConnections();
      server.close();
      await database.close();
    }
  };

  test('is not made', async () => {
    const append = async (): Promise<never> => {
      throw new GatewayError('audit_unavailable', 'The audit log takes no records.');
    };
    const count = async (): Promise<number> => (await ask('GET', '/keys?limit=200')).body.data.length;
    const before = await count();
    await withApi({ audit: { append } }, async (url) => {
      const refused = await ask('POST', '/keys', { body: STUDENT, url });
      expect([refused.status, refused.body.error.code]).toEqual([503, 'audit_unavailable']);
    });
    expect(await count()).toBe(before);
  });

  test('is 503, without a word of the database', async () => {
    const create = async (): Promise<never> => {
      throw new Error('connect ECONNREFUSED postgres://aegis:secret@db');
    };
    await withApi({ keys: { create } }, async (url) => {
      const refused = await ask('POST', '/keys', { body: STUDENT, url });
      expect([refused.status, refused.body.error.code]).toEqual([503, 'store_unavailable']);
      expect(refused.text).not.toMatch(/postgres|secret|ECONN/);
    });
  });
});
