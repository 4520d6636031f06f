import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { usageCommand } from '../../gateway/cli/report-usage.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { runCommand } from '../support/run-command.ts';

const COLLEGE = { org: 'demo-college', team: 'year-12', user: 'ines', groups: [], workflows: [] };

interface Usage {
  readonly since: string;
  readonly until: string;
  readonly by: string[];
  readonly data: Record<string, unknown>[];
  readonly total: Record<string, unknown>;
  readonly movers?: Record<string, unknown>[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

let gateway: TestGateway;
const keys = { admin: '', college: '', platform: '' };

const ask = (query: string, key: string): Promise<Response> =>
  fetch(`${gateway.running.adminUrl}/admin/v1/usage${query}`, { headers: { 'x-api-key': key } });

const usage = async (query: string, key = keys.platform): Promise<Usage> => {
  const answer = await ask(query, key);
  const text = await answer.text();
  expect({ status: answer.status, text }).toMatchObject({ status: 200 });
  return JSON.parse(text) as Usage;
};

const refusal = async (
  query: string,
  key = keys.platform,
): Promise<{ status: number; code: string; param: string }> => {
  const answer = await ask(query, key);
  const { error } = (await answer.json()) as { error: { code: string; param: string } };
  return { status: answer.status, code: error.code, param: error.param };
};

beforeAll(async () => {
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
  });
  const admin = { ...COLLEGE, user: 'root', roles: ['admin'] };
  keys.college = await gateway.keyFor(admin);
  keys.admin = await gateway.keyFor({ ...admin, org: 'demo-university', team: 'lms' });
  keys.platform = await gateway.keyFor({ ...admin, org: 'demo-university', team: '', roles: ['platform-admin'] });
  for (const who of ['student', 'student', 'otherStudent', 'teacher', 'researcher'] as const) {
    expect((await gateway.chat({}, { as: who })).status).toBe(200);
  }
  expect((await gateway.chat({ model: 'gpt-6-astra' })).status).toBe(403);
  const pupil = await gateway.keyFor({ ...COLLEGE, roles: ['student'] });
  const answer = await gateway.post(
    '/v1/chat/completions',
    { model: 'auto', messages: [{ role: 'user', content: 'Hello.' }] },
    { headers: { authorization: `Bearer ${pupil}` } },
  );
  expect(answer.status).toBe(200);
  await until(async () => ((await usage('')).total.requests === 7 ? true : undefined));
}, 60_000);
afterAll(() => gateway.close());

describe('GET /admin/v1/usage', () => {
  test('gives what aegis report usage gives, in pages', async () => {
    const by = 'org,team,user';
    const stdout = await runCommand(usageCommand(), '--by', by, '--json', '--movers', '--home', gateway.home);
    const report = JSON.parse(stdout) as Record<string, unknown> & { groups: unknown[] };
    const whole = await usage(`?by=${by}&movers=true`);
    const { groups, ...rest } = report;
    expect(whole).toEqual({ ...rest, data: groups, has_more: false, next_cursor: null });
    expect(whole.data).toHaveLength(5);
    expect(whole.total).toMatchObject({ requests: 7, ok: 6, denied: 1 });

    const paged: unknown[] = [];
    let cursor = '';
    for (let pages = 1; ; pages++) {
      const page = await usage(`?by=${by}&limit=2${cursor}`);
      expect(page.total).toEqual(whole.total);
      paged.push(...page.data);
      if (page.next_cursor === null) {
        expect(pages).toBe(3);
        break;
      }
      expect(page).toMatchObject({ has_more: true, data: { length: 2 } });
      cursor = `&cursor=${page.next_cursor}`;
    }
    expect(paged).toEqual(whole.data);
  });

  test('shows an administrator its organisation, and the platform’s each', async () => {
    const orgs = async (query: string, key: string): Promise<unknown[]> =>
      (await usage(query, key)).data.map(({ org }) => org).sort();
    expect(await orgs('', keys.platform)).toEqual(['demo-college', 'demo-university']);
    expect(await orgs('?org=demo-college', keys.platform)).toEqual(['demo-college']);
    expect(await orgs('', keys.college)).toEqual(['demo-college']);
    expect(await orgs('?org=demo-university', keys.admin)).toEqual(['demo-university']);
    expect((await usage('?by=model', keys.college)).total).toMatchObject({ requests: 1 });
    expect(await refusal('?org=demo-university', keys.college)).toMatchObject({
      status: 403,
      code: 'organization_not_allowed',
    });
  });

  test('has a cursor for its own report alone', async () => {
    const { next_cursor: cursor } = await usage('?by=user&limit=1');
    expect(cursor).toMatch(/^[\w-]+$/);
    const wrong = { status: 400, code: 'invalid_field', param: 'cursor' };
    expect(await refusal(`?by=team&cursor=${cursor}`)).toEqual(wrong);
    expect(await refusal(`?by=user&cursor=${cursor}`, keys.college)).toEqual(wrong);
    expect(await refusal('?by=user&cursor=bm9uc2Vuc2U')).toEqual(wrong);
  });

  test.each([
    ['?by=colour', 'by'],
    ['?by=team,team', 'by'],
    ['?by=tag:a,tag:b,tag:c,tag:d,tag:e,tag:f,tag:g,tag:h,tag:i', 'by'],
    ['?by=tag:%00', 'by'],
    ['?org=%00', 'org'],
    ['?since=9999d&until=0001-01-01', 'since'],
    ['?since=yesterday', 'since'],
    ['?since=0d', 'since'],
    ['?since=2026-02-30', 'since'],
    ['?until=soon', 'until'],
    ['?since=2026-11-02&until=2026-11-01', 'since'],
    ['?limit=1001', 'limit'],
    ['?limit=0', 'limit'],
    ['?movers=yes', 'movers'],
    ['?orgs=demo-university', 'orgs'],
  ])('refuses %s', async (query, param) => {
    expect(await refusal(query)).toEqual({ status: 400, code: 'invalid_field', param });
  });

  test('counts days as it is told', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const report = await usage('?since=1d&by=day');
    expect(report).toMatchObject({ until: report.since, by: ['day'] });
    expect(report.since >= today).toBe(true);
    expect(await usage('?since=2020-01-01&until=2020-12-31')).toMatchObject({
      since: '2020-01-01',
      until: '2020-12-31',
      data: [],
      total: { requests: 0 },
    });
  });

  test('is on record', async () => {
    await usage('?by=model', keys.college);
    const reads = (await gateway.records()).filter(
      (record) => record.kind === 'event' && (record.detail as { operation?: string }).operation === 'admin.usage',
    );
    expect(reads.at(-1)).toMatchObject({ detail: { status: 200, caller: { org: 'demo-college' } } });
  });
});

(whyNoPostgres() ? describe.skip : describe)('usage of a shared ledger', () => {
  let postgres: TestPostgres;
  let home: string;
  beforeAll(async () => {
    postgres = await openPostgres();
    home = await mkdtemp(join(tmpdir(), 'aegis-usage-'));
  }, 60_000);
  afterAll(async () => {
    await postgres.close();
    await rm(home, { recursive: true, force: true });
  });

  test('is 503 while Postgres is away, and there again when it is back', async () => {
    const one = await openTestGateway({ home, config: { store: { url: await postgres.createDatabase() } } });
    try {
      one.openai.play = answerJson(200, chatCompletion('Hi.'));
      const key = await one.keyFor({ ...COLLEGE, user: 'root', roles: ['platform-admin'] });
      expect((await one.chat({})).status).toBe(200);
      const read = async (): Promise<[number, number | string]> => {
        const answer = await fetch(`${one.running.adminUrl}/admin/v1/usage`, { headers: { 'x-api-key': key } });
        const body = (await answer.json()) as Usage & { error: { code: string } };
        return [answer.status, answer.ok ? (body.total.requests as number) : body.error.code];
      };
      await until(async () => ((await read())[1] === 1 ? true : undefined));
      await postgres.stop();
      expect(await read()).toEqual([503, 'store_unavailable']);
      expect((await one.chat({})).status).toBe(200);
      await postgres.start();
      await until(async () => ((await read())[1] === 2 ? true : undefined), 20_000);
    } finally {
      await one.close();
    }
  }, 60_000);
});
