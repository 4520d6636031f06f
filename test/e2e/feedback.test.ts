import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createApp } from '../../gateway/app.ts';
import { newIds } from '../../gateway/stages/ids.ts';
import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type Person, type PostOptions, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let database: Database;
beforeAll(async () => {
  gateway = await openTestGateway();
  gateway.openai.play = answerJson(200, chatCompletion('Seven.'));
  database = await openDatabase(gateway.home);
});
afterAll(async () => {
  await database?.close();
  await gateway?.close();
});

/** The decision of an answer to somebody. */
const answered = async (as: Person, headers: Record<string, string> = {}): Promise<string> => {
  const answer = await gateway.chat({}, { as, headers });
  await answer.text();
  expect(answer.status).toBe(200);
  return answer.headers.get('x-aegis-decision-id') ?? '';
};
const say = (body: unknown, options: PostOptions = {}) => gateway.post('/v1/feedback', body, options);
const kept = (decisionId: string) =>
  database.db.selectFrom('feedback').selectAll().where('decision_id', '=', decisionId).execute();
const refusal = async (answer: Response): Promise<{ status: number; code: string; param: string | null }> => {
  const { error } = (await answer.json()) as { error: { code: string; param: string | null } };
  return { status: answer.status, code: error.code, param: error.param };
};

describe('POST /v1/feedback', () => {
  test('keeps what somebody says of an answer, and says the same to who sends it again', async () => {
    const decision_id = await answered('student');
    const body = { decision_id, score: 0.5, label: 'too_long', comment: 'Ask sam@example.org.' };
    const [first, second] = [await say(body), await say(body)];
    expect(first.status).toBe(200);
    const said = { object: 'feedback', decision_id, score: 0.5, label: 'too_long', comment: 'Ask [email].' };
    expect(await first.json()).toEqual(said);
    expect(await second.json()).toEqual(said);
    expect(await kept(decision_id)).toMatchObject([
      { source: 'user sam', org: 'demo-university', score: 0.5, label: 'too_long', comment: 'Ask [email].' },
    ]);
    await say({ decision_id, score: 1 });
    expect(await kept(decision_id)).toMatchObject([{ score: 1, label: '', comment: '' }]);
  });

  test('is on record: an outcome like any other, and an event without the comment', async () => {
    const decision_id = await answered('student');
    const answer = await say({ decision_id, score: 0.25, comment: 'Not for the log.' });
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome).toMatchObject({ outcome: 'ok', status: 200, endpoint: 'feedback', cost: { micro_usd: 0 } });
    expect(answer.headers.get('x-aegis-decision-id')).toBe(outcome.id);
    const records = await gateway.records();
    expect(
      records.find(
        (record) => record.kind === 'event' && (record.detail as { decision_id?: string }).decision_id === decision_id,
      ),
    ).toMatchObject({
      event: 'feedback',
      detail: { request_id: outcome.request_id, source: 'user sam', score: 0.25, label: null },
    });
    expect(JSON.stringify(records)).not.toContain('Not for the log');
  });

  test('another user’s answer does not exist, for who has a user', async () => {
    const unknown = newIds(Date.now() - 86_400_000).decisionId;
    const decision_id = await answered('student');
    for (const id of [decision_id, unknown, 'dec_1']) {
      const answer = await say({ decision_id: id, score: 1 }, { as: 'otherStudent' });
      expect(await refusal(answer)).toEqual({ status: 404, code: 'not_found', param: 'decision_id' });
    }
    expect(await kept(decision_id)).toEqual([]);
  });

  test('an application rates what its team asked, and speaks for the user that it names', async () => {
    const decision_id = await answered('service', { 'x-aegis-user': 'ann' });
    const named = { as: 'service', headers: { 'x-aegis-user': 'ann' } } as const;
    expect((await say({ decision_id, score: 0 }, named)).status).toBe(200);
    expect((await say({ decision_id, score: 1 }, { as: 'service' })).status).toBe(200);
    const sources = (await kept(decision_id)).map(({ source }) => source.replace(/key_.*/, 'key_…')).sort();
    expect(sources).toEqual([expect.stringMatching(/^key /), 'user ann']);
    const students = await answered('student');
    expect((await say({ decision_id: students, score: 1 }, { as: 'service' })).status).toBe(404);
  });

  test('another organisation’s application finds nothing', async () => {
    const decision_id = await answered('service');
    const secret = await gateway.keyFor({
      org: 'demo-college',
      team: 'lms',
      user: '',
      roles: ['service'],
      groups: [],
      workflows: [],
    });
    const headers = { authorization: `Bearer ${secret}`, 'x-aegis-workflow': 'tutoring' };
    expect((await say({ decision_id, score: 1 }, { headers })).status).not.toBe(200);
    expect(await kept(decision_id)).toEqual([]);
  });

  test.each([
    ['nothing said', { decision_id: 'dec_1' }, 400, 'invalid_field', null],
    ['no decision', { score: 1, label: 'x' }, 400, 'invalid_field', 'decision_id'],
    ['a score beyond 1', { decision_id: 'dec_1', score: 2 }, 400, 'invalid_field', 'score'],
    ['a field that is not known', { decision_id: 'dec_1', stars: 5 }, 400, 'invalid_field', 'stars'],
    ['a key twice', '{"decision_id": "dec_1", "score": 1, "score": 0}', 400, 'duplicate_key', null],
    ['no JSON', '{', 400, 'invalid_json', null],
    ['a list', '[]', 400, 'invalid_json', null],
    ['a long body', { decision_id: 'dec_1', comment: 'x'.repeat(17_000) }, 413, 'body_too_large', null],
  ])('refuses %s', async (_what, body, status, code, param) => {
    expect(await refusal(await say(body))).toMatchObject({ status, code, ...(param === null ? {} : { param }) });
  });

  test('takes no more of it than the caller’s tier allows of any call', async () => {
    const secret = await gateway.keyFor({
      org: 'demo-university',
      team: 'hist110',
      user: 'max',
      roles: ['student'],
      groups: [],
      workflows: [],
    });
    const headers = { authorization: `Bearer ${secret}` };
    const old = newIds(Date.now() - 86_400_000).decisionId;
    const statuses: number[] = [];
    for (let n = 0; n < 21; n++) statuses.push((await say({ decision_id: old, score: 1 }, { headers })).status);
    expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 404));
    expect(statuses[20]).toBe(429);
  });

  test('is not kept while the store is away: 503, and the caller may send it again', async () => {
    const away = () => Promise.reject(new Error('away'));
    const app = createApp({ ...gateway.running.gateway, feedback: { find: away, keep: away } }, new Set());
    const server = createServer(app.callback()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/feedback`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await gateway.key()}`, 'content-type': 'application/json' },
        body: JSON.stringify({ decision_id: newIds().decisionId, score: 1 }),
      });
      expect(await refusal(answer)).toMatchObject({ status: 503, code: 'store_unavailable' });
      expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'failed', error: 'store_unavailable' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
