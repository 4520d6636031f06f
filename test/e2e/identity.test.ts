import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { chatCompletion, message } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { CHAT_MODEL, ledgerOf, MESSAGES_MODEL, openTestGateway, PEOPLE, type TestGateway } from '../support/gateway.ts';
import { openIssuer, type TestIssuer } from '../support/issuer.ts';

let issuer: TestIssuer;
let gateway: TestGateway;
beforeAll(async () => {
  issuer = await openIssuer();
  const entry = { ...issuer.entry, allow_claims: ['year'], allow_roles: ['student', 'teacher'] };
  gateway = await openTestGateway({ config: { identity: { jwt: [entry] } } });
}, 60_000);
afterAll(async () => {
  await gateway.close();
  await issuer.close();
});
beforeEach(() => {
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateway.anthropic.play = answerJson(200, message('Hi.'));
});

const SAM = {
  org: 'demo-university',
  team: 'cs101',
  preferred_username: 'sam',
  realm_access: { roles: ['student', 'platform-admin'] },
  year: 2,
};
const BODY = { model: CHAT_MODEL, messages: [{ role: 'user', content: 'Hello.' }] };

const chatAs = (credential: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(BODY),
  });

describe('a token of an issuer', () => {
  test('is served as its claims say, and what the policy saw is in the audit', async () => {
    const answer = await chatAs(await issuer.token(SAM));
    expect(answer.status).toBe(200);
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome.caller).toEqual({
      id: expect.stringMatching(/^jwt_[0-9a-f]{24}$/),
      org: 'demo-university',
      team: 'cs101',
      user: 'sam',
    });
    const intent = (await gateway.intents()).find(({ id }) => id === outcome.id);
    // The issuer may not give platform-admin.
    expect(intent?.input).toMatchObject({ caller: { kind: 'jwt', roles: ['student'], claims: { year: 2 } } });
  });

  test('works in the official clients of both APIs', async () => {
    const token = await issuer.token(SAM);
    const openai = new OpenAI({ apiKey: token, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
    const chat = await openai.chat.completions.create({
      model: CHAT_MODEL,
      messages: [{ role: 'user', content: 'Hello.' }],
    });
    expect(chat.choices[0]?.message.content).toBe('Hi.');
    const anthropic = new Anthropic({ apiKey: token, baseURL: gateway.url, maxRetries: 0 });
    const messages = {
      model: MESSAGES_MODEL,
      max_tokens: 10,
      messages: [{ role: 'user' as const, content: 'Hello.' }],
    };
    expect((await anthropic.messages.create(messages)).content[0]).toMatchObject({ text: 'Hi.' });
  });

  test('never goes upstream, nor into a record', async () => {
    const token = await issuer.token({ ...SAM, sub: 'secretive' });
    await chatAs(token);
    const seen = gateway.openai.last();
    expect(JSON.stringify(seen.rawHeaders) + seen.body.toString()).not.toContain(token.slice(-40));
    const records = JSON.stringify(await gateway.records());
    expect(records).not.toContain(token.slice(-40));
    expect(records).not.toContain('secretive');
  });

  test('that maps to no organisation is 401; to one that the policy does not know, 403', async () => {
    const nowhere = await chatAs(await issuer.token({ ...SAM, org: undefined }));
    expect(nowhere.status).toBe(401);
    expect(await nowhere.json()).toMatchObject({
      error: { code: 'invalid_credential', message: 'The token names no organisation.' },
    });
    const unknown = await chatAs(await issuer.token({ ...SAM, org: 'acme' }));
    expect(unknown.status).toBe(403);
    expect(await unknown.json()).toMatchObject({ error: { code: 'unknown_organization' } });
  });

  test('that is refused is on record, in the dialect of its path', async () => {
    const answer = await fetch(`${gateway.url}/v1/messages`, {
      method: 'POST',
      headers: { 'x-api-key': await issuer.token({ ...SAM, exp: 1 }), 'content-type': 'application/json' },
      body: JSON.stringify({ ...BODY, max_tokens: 10 }),
    });
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ type: 'error', error: { type: 'authentication_error' } });
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'rejected', status: 401, caller: null });
  });
});

describe('a key that acts for end users', () => {
  const service = { as: 'service' } as const;
  const userOf = async (answer: Response): Promise<string | undefined> => {
    expect(answer.status).toBe(200);
    return (await gateway.outcomeOf(answer)).caller?.user;
  };

  test('names them in the header or in the words of each API', async () => {
    expect(await userOf(await gateway.chat({ user: 'ann' }, service))).toBe('ann');
    expect(await userOf(await gateway.chat({ safety_identifier: 'ben' }, service))).toBe('ben');
    expect(await userOf(await gateway.messages({ metadata: { user_id: 'cleo' } }, service))).toBe('cleo');
    const header = { ...service, headers: { 'x-aegis-user': 'dora' } };
    expect(await userOf(await gateway.chat({ user: 'ann' }, header))).toBe('dora');
    expect(await userOf(await gateway.chat({}, service))).toBe('');
    // What the body says goes on as it was sent.
    await gateway.chat({ user: 'ann' }, service);
    expect(JSON.parse(gateway.openai.last().body.toString())).toMatchObject({ user: 'ann' });
  });

  test('spends their budgets: the ledger has their names, and the key’s', async () => {
    await userOf(await gateway.chat({ user: 'eve' }, service));
    await userOf(await gateway.chat({ user: 'eve' }, service));
    const rows = (await ledgerOf(gateway.home)).filter(({ user_id }) => user_id === 'eve');
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({ org: 'demo-university', team: 'lms', key_id: expect.stringMatching(/^key_/) });
    expect(rows[0]?.cost_micro_usd).toBeGreaterThan(0);
  });

  test('is limited by each of them, and one does not use up what another has', async () => {
    const remaining = async (user: string): Promise<number> => {
      const answer = await gateway.chat({ user }, service);
      return Number(answer.headers.get('x-ratelimit-remaining-requests'));
    };
    const first = await remaining('finn');
    expect(await remaining('finn')).toBeLessThan(first);
    expect(await remaining('gina')).toBe(first);
  });

  test('writes one that is personal data as a pseudonym, the same each time', async () => {
    const names = [];
    for (let n = 0; n < 2; n++) names.push(await userOf(await gateway.chat({ user: 'zoe@example.org' }, service)));
    expect(names[0]).toMatch(/^hash:[0-9a-f]{32}$/);
    expect(names[1]).toBe(names[0]);
    expect(JSON.stringify(await gateway.records())).not.toContain('zoe@example.org');
  });

  test('keeps apart what was taken out for them: a placeholder of one is none of another', async () => {
    const secret = 'mail jane.doe@example.org';
    const sent = async (user: string): Promise<string> => {
      await gateway.chat({ user, messages: [{ role: 'user', content: secret }] }, service);
      return JSON.parse(gateway.openai.last().body.toString()).messages[0].content;
    };
    const [one, again, other] = [await sent('hugo'), await sent('hugo'), await sent('ines')];
    expect(one).not.toContain('jane.doe');
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });
});

describe('a key that does not', () => {
  test('is its own user whatever the body says, which goes on as it was sent', async () => {
    const answer = await gateway.chat({ user: 'somebody' });
    expect((await gateway.outcomeOf(answer)).caller?.user).toBe(PEOPLE.student.user);
    expect(JSON.parse(gateway.openai.last().body.toString())).toMatchObject({ user: 'somebody' });
  });

  test('is refused when it says so in the header, in both dialects', async () => {
    const as = { headers: { 'x-aegis-user': 'somebody' } };
    for (const answer of [await gateway.chat({}, as), await gateway.messages({}, as)]) {
      expect(answer.status).toBe(403);
      expect(await answer.json()).toMatchObject({ error: { code: 'acting_not_allowed' } });
    }
    const models = await fetch(`${gateway.url}/v1/models`, {
      headers: { authorization: `Bearer ${await gateway.key()}`, ...as.headers },
    });
    expect(models.status).toBe(403);
  });
});
