import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion, chatStream, message } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson, answerStream } from '../support/fake-upstream.ts';
import { ledgerOf, openTestGateway, PEOPLE, type TestGateway, until } from '../support/gateway.ts';

/** Of each student, a day. */
const CAP_MICRO_USD = 3000;

let bundles: TestBundles;
beforeAll(async () => {
  bundles = await openTestBundles();
  await bundles.rollOut({
    'tiers/data.yaml': (text) =>
      text
        .replace(
          /(standard:[\s\S]*?key: \{ )requests_per_minute: 120, tokens_per_minute: \d+, concurrent: 16/,
          '$1requests_per_minute: 5, tokens_per_minute: 20000, concurrent: 3',
        )
        .replace(/(premium:[\s\S]*?key: \{ )requests_per_minute: 1200/, '$1requests_per_minute: 100000')
        .replace(
          /(premium:[\s\S]*?user: \{ )requests_per_minute: 600, tokens_per_minute: \d+, concurrent: 32/,
          '$1requests_per_minute: 100000, tokens_per_minute: 100000000, concurrent: 64',
        ),
    'roles/data.yaml': (text) =>
      text.replace('daily_budget: { usd: 2 }', `daily_budget: { usd: ${CAP_MICRO_USD / 1e6} }`),
  });
}, 60_000);
afterAll(() => bundles.remove());

const withGateway = async (use: (gateway: TestGateway) => Promise<void>): Promise<void> => {
  const gateway = await openTestGateway({ config: bundles.config });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateway.anthropic.play = answerJson(200, message('Hi.'));
  try {
    await use(gateway);
  } finally {
    await gateway.close();
  }
};

describe('requests a minute', () => {
  test.each(['openai', 'anthropic'] as const)('over the limit are 429 with the wait, in the shape of %s', (dialect) =>
    withGateway(async (gateway) => {
      const ask = (): Promise<Response> =>
        dialect === 'openai' ? gateway.chat({}, { as: 'teacher' }) : gateway.messages({}, { as: 'teacher' });
      const remaining: string[] = [];
      for (let count = 0; count < 5; count++) {
        const answer = await ask();
        expect(answer.status).toBe(200);
        expect(answer.headers.get('x-ratelimit-limit-requests')).toBe('5');
        expect(answer.headers.get('x-ratelimit-limit-tokens')).toBe('20000');
        expect(answer.headers.get('x-ratelimit-reset-requests')).toMatch(/^(\d+m)?[\d.]+m?s$/);
        remaining.push(answer.headers.get('x-ratelimit-remaining-requests') as string);
      }
      expect(remaining).toEqual(['4', '3', '2', '1', '0']);
      const before = gateway[dialect].requests.length;
      const answer = await ask();
      expect(answer.status).toBe(429);
      const wait = Number(answer.headers.get('retry-after'));
      expect(wait).toBeGreaterThan(0);
      expect(wait).toBeLessThanOrEqual(12); // one of five a minute
      expect(answer.headers.get('x-ratelimit-remaining-requests')).toBe('0');
      expect(answer.headers.get('x-aegis-decision-id')).toMatch(/^dec_/);
      const body = (await answer.json()) as { error: object };
      expect(body.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limited' });
      if (dialect === 'anthropic') expect(body).toMatchObject({ type: 'error' });
      expect(gateway[dialect].requests.length).toBe(before);
      expect(await gateway.outcomeOf(answer)).toMatchObject({
        outcome: 'limited',
        status: 429,
        cost: { micro_usd: 0 },
      });
      // Another caller is not concerned.
      expect((await gateway.chat({ max_tokens: 10 }, { as: 'otherStudent' })).status).toBe(200);
    }),
  );

  test('a request that needs more tokens than a minute has is refused without a wait', () =>
    withGateway(async (gateway) => {
      const answer = await gateway.chat(
        { messages: [{ role: 'user', content: 'many words in here '.repeat(8000) }] },
        { as: 'teacher' },
      );
      expect(answer.status).toBe(429);
      expect(answer.headers.get('retry-after')).toBeNull();
      expect(await answer.json()).toMatchObject({
        error: { code: 'rate_limited', message: expect.stringMatching(/tokens/) },
      });
    }));
});

test('requests under way are limited, and a place is free again when one ends', () =>
  withGateway(async (gateway) => {
    const waiting: (() => void)[] = [];
    gateway.openai.play = (request, res) => {
      waiting.push(() => void answerJson(200, chatCompletion('Hi.'))(request, res));
    };
    const three = [1, 2, 3].map(() => gateway.chat({}, { as: 'teacher' }));
    await until(() => (waiting.length === 3 ? true : undefined));
    const fourth = await gateway.chat({}, { as: 'teacher' });
    expect(fourth.status).toBe(429);
    expect(await fourth.json()).toMatchObject({
      error: { code: 'rate_limited', message: expect.stringMatching(/under way/) },
    });
    for (const answer of waiting.splice(0)) answer();
    expect((await Promise.all(three)).map(({ status }) => status)).toEqual([200, 200, 200]);
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    expect((await gateway.chat({}, { as: 'teacher' })).status).toBe(200);
  }));

/** A student in a team whose rates do not bind before the budget does. */
const SPENDER = { ...PEOPLE.student, team: 'lms' };

test('50 callers at once never spend more than the cap, and nearly all of it can be spent', async () => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  const open = async (): Promise<TestGateway> => {
    const gateway = await openTestGateway({ home, config: bundles.config });
    // 20 tokens in and up to 100 out of gpt-6-sol: at most 1,040 µ$, about 100 µ$ in the end.
    const usage = { prompt_tokens: 20, completion_tokens: 6, total_tokens: 26 };
    gateway.openai.play = (request, res) => {
      const isStream = request.body.includes('"stream":true');
      const play = isStream ? answerStream(chatStream(['Hi.'])) : answerJson(200, chatCompletion('Hi.', usage));
      setTimeout(() => void play(request, res), Math.random() * 10);
    };
    return gateway;
  };
  let gateway = await open();
  const key = await gateway.keyFor(SPENDER);
  const ask = (stream: boolean): Promise<Response> =>
    gateway.chat(
      { model: 'gpt-6-sol', max_tokens: 20, stream, messages: [{ role: 'user', content: 'Hi' }] },
      { headers: { authorization: `Bearer ${key}` } },
    );
  const statuses = new Map<number, number>();
  const spendAll = async (): Promise<void> => {
    let refusedInARow = 0;
    await Promise.all(
      Array.from({ length: 50 }, async (_, at) => {
        for (let turn = 0; turn < 8 && refusedInARow < 100; turn++) {
          const answer = await ask(at % 2 === 0);
          const text = await answer.text();
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          if (answer.status !== 429) {
            refusedInARow = 0;
            continue;
          }
          refusedInARow++;
          expect(JSON.parse(text)).toMatchObject({ error: { code: 'budget_exceeded', type: 'insufficient_quota' } });
        }
      }),
    );
  };
  try {
    await spendAll();
    expect(statuses.get(200)).toBeGreaterThan(0);
    expect(statuses.get(429)).toBeGreaterThan(0);
    expect([...statuses.keys()].sort()).toEqual([200, 429]);
    // One after the other, until nothing fits any more.
    while ((await ask(false)).status === 200);
    const spent = (await ledgerOf(home)).reduce((sum, row) => sum + Number(row.cost_micro_usd), 0);
    expect(spent).toBeLessThanOrEqual(CAP_MICRO_USD);
    expect(spent).toBeGreaterThan(CAP_MICRO_USD * 0.75); // what is left is below one request's upper bound
    const [state] = gateway.running.gateway.limiter.spend(
      [{ scope: 'user', subject: 'demo-university/sam' }],
      Date.now(),
    );
    expect(state).toMatchObject({ micro_usd: spent, reserved_micro_usd: 0, cap_micro_usd: CAP_MICRO_USD });

    await gateway.close();
    gateway = await open();
    const after = await ask(false);
    expect(after.status).toBe(429);
    expect(await after.json()).toMatchObject({ error: { code: 'budget_exceeded' } });
    expect((await ledgerOf(home)).reduce((sum, row) => sum + Number(row.cost_micro_usd), 0)).toBe(spent);
    // Somebody else's budget is another one.
    expect((await gateway.chat({}, { as: 'teacher' })).status).toBe(200);
    process.stdout.write(
      `budget: ${statuses.get(200)} of ${(statuses.get(200) ?? 0) + (statuses.get(429) ?? 0)} served, ${((spent / CAP_MICRO_USD) * 100).toFixed(1)} % of the cap spent\n`,
    );
  } finally {
    await gateway.close();
    await rm(home, { recursive: true, force: true });
  }
}, 60_000);
