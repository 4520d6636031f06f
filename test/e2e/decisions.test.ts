import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chatCompletion, message } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type Person, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
beforeEach(() => {
  gateway.openai.play = answerJson(200, chatCompletion('B'));
  gateway.anthropic.play = answerJson(200, message('B'));
});
afterAll(() => gateway.close());

const QUESTION = 'Which planet is largest?\nA. Mars\nB. Jupiter\nC. Venus';
const ESSAY =
  'Write an essay of 1,500 words that compares the causes of the French and the Russian revolutions, explains how ' +
  'historians have disagreed about them, and argues for a position of your own. Discuss at least three sources.';
const user = (content: string) => [{ role: 'user', content }];

const both = [
  {
    dialect: 'openai',
    path: '/v1/chat/completions',
    cheap: 'gpt-5.4-nano',
    strong: 'gpt-6-sol',
    frontier: 'gpt-6-astra',
  },
  {
    dialect: 'anthropic',
    path: '/v1/messages',
    cheap: 'claude-haiku-5-5',
    strong: 'claude-sonnet-5-5',
    frontier: 'claude-opus-5-5',
  },
] as const;

const bodyOf = (model: string, content: string) => ({ model, max_tokens: 100, messages: user(content) });

type Json = Record<string, unknown>;
/** The error of an answer, checked for the shape of its dialect. */
const errorOf = async (dialect: 'openai' | 'anthropic', answer: Response): Promise<Json> => {
  const body = (await answer.json()) as Json;
  const error = body.error as Json;
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
  if (dialect === 'openai') {
    expect(Object.keys(body)).toEqual(['error']);
    expect(error).toMatchObject({ message: expect.any(String), type: expect.any(String), param: null });
    expect(error.request_id).toBe(answer.headers.get('x-request-id'));
  } else {
    expect(body).toMatchObject({ type: 'error', request_id: answer.headers.get('x-request-id') });
    expect(error).toMatchObject({ message: expect.any(String), type: expect.any(String) });
  }
  return error;
};

describe.each(both)('over $path', ({ dialect, path, cheap, strong, frontier }) => {
  const asked = (): number => gateway[dialect].requests.length;

  test('model "auto" sends a multiple-choice question to the cheap model', async () => {
    const answer = await gateway.post(path, bodyOf('auto', QUESTION));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-aegis-model')).toBe(cheap);
    expect(JSON.parse(gateway[dialect].last().body.toString()).model).toBe(cheap);
  });

  test('model "auto" sends an essay to the strong model', async () => {
    const answer = await gateway.post(path, bodyOf('auto', ESSAY));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-aegis-model')).toBe(strong);
    expect(answer.headers.get('x-aegis-upstream')).toBe(dialect);
    expect(answer.headers.get('x-aegis-attempts')).toBe('1');
    expect(answer.headers.get('x-aegis-decision-id')).toMatch(/^dec_/);
    expect(answer.headers.get('x-aegis-policy-revision')).toMatch(/^[0-9a-f]{16}$/);
    expect(answer.headers.get('x-aegis-cost-usd')).toMatch(/^\d+\.\d{6}$/);
    expect(answer.headers.get('x-ratelimit-limit-requests')).toBe('120');
    expect(answer.headers.get('x-ratelimit-remaining-requests')).toMatch(/^\d+$/);
  });

  test('a student is denied a frontier model, a researcher is not', async () => {
    const before = asked();
    const answer = await gateway.post(path, bodyOf(frontier, 'Hello.'));
    expect(answer.status).toBe(403);
    const error = await errorOf(dialect, answer);
    expect(error).toMatchObject({
      code: 'model_not_allowed',
      type: dialect === 'openai' ? 'policy_denied' : 'permission_error',
      hint: expect.stringContaining(cheap),
      decision_id: answer.headers.get('x-aegis-decision-id'),
    });
    expect(answer.headers.get('x-aegis-policy-revision')).toMatch(/^[0-9a-f]{16}$/);
    expect(answer.headers.get('x-aegis-model')).toBeNull();
    expect(asked()).toBe(before);
    expect(await gateway.outcomeOf(answer)).toMatchObject({
      outcome: 'denied',
      status: 403,
      error: 'model_not_allowed',
    });
    const allowed = await gateway.post(path, bodyOf(frontier, 'Hello.'), { as: 'researcher' });
    expect(allowed.status).toBe(200);
    expect(allowed.headers.get('x-aegis-model')).toBe(frontier);
  });

  test.each([
    ['an unknown workflow', 'mining', 'unknown_workflow', 'student'],
    ['a workflow that is not for the role', 'grading', 'workflow_not_allowed', 'student'],
  ] as const)('%s is denied', async (_, workflow, code, as: Person) => {
    const before = asked();
    const answer = await gateway.post(path, bodyOf('auto', 'Hi'), { as, headers: { 'x-aegis-workflow': workflow } });
    expect(answer.status).toBe(403);
    expect(await errorOf(dialect, answer)).toMatchObject({ code, hint: expect.stringContaining('tutoring') });
    expect(asked()).toBe(before);
  });

  test('an unknown institution and a course that is not its own are denied', async () => {
    const tagged = (tags: string): Promise<Response> =>
      gateway.post(path, bodyOf('auto', 'Hi'), { headers: { 'x-aegis-tags': tags } });
    expect(await errorOf(dialect, await tagged('institution=Hogwarts'))).toMatchObject({ code: 'unknown_institution' });
    expect(await errorOf(dialect, await tagged('institution=MIT,course=HIST110'))).toMatchObject({
      code: 'unknown_course',
    });
    expect((await tagged('institution=MIT,course=CS101')).status).toBe(200);
  });

  test('a card number is refused', async () => {
    const before = asked();
    const answer = await gateway.post(path, bodyOf('auto', 'Charge 4242 4242 4242 4242, please.'));
    expect(answer.status).toBe(403);
    const text = await answer.clone().text();
    expect(await errorOf(dialect, answer)).toMatchObject({ code: expect.stringContaining('card') });
    expect(text).not.toContain('4242');
    expect(asked()).toBe(before);
  });

  test('an image is refused for a student and passes for a teacher', async () => {
    const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const image =
      dialect === 'openai'
        ? { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }
        : { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } };
    const body = {
      model: cheap,
      max_tokens: 10,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, image] }],
    };
    const refused = await gateway.post(path, body);
    expect(refused.status).toBe(403);
    expect(await errorOf(dialect, refused)).toMatchObject({ code: 'uninspected_content' });
    expect((await gateway.post(path, body, { as: 'teacher' })).status).toBe(200);
  });

  test('a named model of the other API is asked in its own', async () => {
    const other = both.find((entry) => entry.dialect !== dialect)!;
    const answer = await gateway.post(path, bodyOf(other.cheap, 'Hi'));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-aegis-upstream')).toBe(other.dialect);
    expect(((await answer.json()) as Json).object ?? 'message').toBe(
      dialect === 'openai' ? 'chat.completion' : 'message',
    );
  });
});

describe('GET /v1/models', () => {
  const list = async (as: Person, headers: Record<string, string> = {}): Promise<Json> => {
    const answer = await fetch(`${gateway.url}/v1/models`, {
      headers: { 'x-api-key': await gateway.key(as), ...headers },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-aegis-decision-id')).toMatch(/^dec_/);
    return (await answer.json()) as Json;
  };
  const ids = (body: Json): string[] => (body.data as { id: string }[]).map(({ id }) => id);

  test('lists what each role may use at the upstreams there are', async () => {
    const student = ids(await list('student'));
    expect(student).toEqual(expect.arrayContaining(['auto', 'gpt-5.4-nano', 'gpt-6-sol', 'claude-haiku-5-5']));
    expect(student).not.toContain('gpt-6-astra');
    expect(student).not.toContain('mistral-small-2603'); // no such upstream here
    expect(student).not.toContain('gpt-4.1-nano'); // retired
    expect(ids(await list('researcher'))).toEqual(
      expect.arrayContaining([...student, 'gpt-6-astra', 'claude-opus-5-5']),
    );
  });

  test('speaks the API of the caller', async () => {
    expect(await list('student')).toMatchObject({ object: 'list', data: expect.arrayContaining([]) });
    const anthropic = await list('student', { 'anthropic-version': '2023-06-01' });
    expect(anthropic).toMatchObject({ has_more: false, first_id: 'auto' });
    expect((anthropic.data as Json[])[0]).toMatchObject({ type: 'model', id: 'auto' });
  });

  test('every model that is listed can be retrieved, and no other', async () => {
    const get = async (id: string): Promise<number> =>
      (await fetch(`${gateway.url}/v1/models/${id}`, { headers: { 'x-api-key': await gateway.key('student') } }))
        .status;
    for (const id of ids(await list('student'))) expect([id, await get(id)]).toEqual([id, 200]);
    expect(await get('gpt-6-astra')).toBe(404);
    expect(await get('no-such-model')).toBe(404);
  });
});

test('a wrong key is 401 in both shapes, is recorded, and reaches nobody', async () => {
  for (const { dialect, path } of both) {
    const before = gateway[dialect].requests.length;
    const answer = await gateway.post(path, bodyOf('auto', 'Hi'), { headers: { authorization: 'Bearer nope' } });
    expect(answer.status).toBe(401);
    expect(await errorOf(dialect, answer)).toMatchObject({
      type: dialect === 'openai' ? 'invalid_request_error' : 'authentication_error',
      code: 'invalid_credential',
    });
    expect(gateway[dialect].requests.length).toBe(before);
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'rejected', status: 401, caller: null });
  }
});
