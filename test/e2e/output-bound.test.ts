import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion, chatEvent, message, messageEvent } from '../support/answers.ts';
import { answerJson, type Play } from '../support/fake-upstream.ts';
import { CHAT_MODEL, MESSAGES_MODEL, openTestGateway, type TestGateway, until } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
afterAll(() => gateway.close());

/** Plays a head, then one event again and again until the connection is closed. */
const playForEver =
  (head: readonly string[], event: string): Play =>
  async (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const first of head) res.write(first);
    while (!res.destroyed) {
      if (!res.write(event)) await new Promise((resolve) => res.once('drain', resolve).once('close', resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

const chatDelta = (content: string, usage: unknown = null): string =>
  chatEvent({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    model: 'm',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
    usage,
  });
const MESSAGE_HEAD = [
  messageEvent({
    type: 'message_start',
    message: { ...message(''), content: [], stop_reason: null, usage: { input_tokens: 20, output_tokens: 1 } },
  }),
  messageEvent({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
];
const messageDelta = (text: string): string =>
  messageEvent({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
const responseDelta = (delta: string): string =>
  `event: response.output_text.delta\ndata: ${JSON.stringify({ type: 'response.output_text.delta', item_id: 'i', output_index: 0, content_index: 0, delta })}\n\n`;

const CAP = 200;
const CALLS = {
  chat: {
    upstream: 'openai',
    play: playForEver([], chatDelta('word ')),
    ask: () => gateway.chat({ stream: true, max_tokens: CAP }),
    end: /\ndata: \{"error":\{[^\n]*"type":"insufficient_quota"[^\n]*"code":"budget_exceeded"[^\n]*\}\n\n$/,
    terminal: '[DONE]',
  },
  messages: {
    upstream: 'anthropic',
    play: playForEver(MESSAGE_HEAD, messageDelta('word ')),
    ask: () => gateway.messages({ stream: true, max_tokens: CAP }),
    end: /\nevent: error\ndata: \{"type":"error","error":\{"type":"rate_limit_error"[^\n]*"code":"budget_exceeded"[^\n]*\}\n\n$/,
    terminal: 'message_stop',
  },
  responses: {
    upstream: 'openai',
    play: playForEver([], responseDelta('word ')),
    ask: () =>
      gateway.post('/v1/responses', { model: CHAT_MODEL, input: 'Hello.', stream: true, max_output_tokens: CAP }),
    end: /\nevent: error\ndata: \{"type":"error"[^\n]*"code":"budget_exceeded"[^\n]*\}\n\n$/,
    terminal: 'response.completed',
  },
  'messages, answered by a chat completion': {
    upstream: 'openai',
    play: playForEver([], chatDelta('word ')),
    ask: () => gateway.messages({ stream: true, max_tokens: CAP, model: CHAT_MODEL }),
    end: /\nevent: error\ndata: \{"type":"error","error":\{"type":"rate_limit_error"[^\n]*"code":"budget_exceeded"[^\n]*\}\n\n$/,
    terminal: 'message_stop',
  },
  'chat, answered by a message': {
    upstream: 'anthropic',
    play: playForEver(MESSAGE_HEAD, messageDelta('word ')),
    ask: () => gateway.chat({ stream: true, max_tokens: CAP, model: MESSAGES_MODEL }),
    end: /\ndata: \{"error":\{[^\n]*"type":"insufficient_quota"[^\n]*"code":"budget_exceeded"[^\n]*\}\n\n$/,
    terminal: '[DONE]',
  },
} as const;

describe('a provider that goes on beyond the output cap', () => {
  test.each(Object.entries(CALLS))('is cut off: %s', async (_name, { upstream, play, ask, end, terminal }) => {
    gateway[upstream].play = play;
    const answer = await ask();
    const text = await answer.text();
    expect(text).toMatch(end);
    expect(text).not.toContain(terminal);
    // It is not cut before the cap, and soon after it.
    const words = text.split('word ').length - 1;
    expect(words).toBeGreaterThan(CAP);
    expect(words).toBeLessThan(CAP * 2);
    await gateway[upstream].last().closed;
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome).toMatchObject({ outcome: 'incomplete', status: 200, error: 'budget_exceeded' });
    expect(outcome.usage?.output).toBe(CAP);
    const intent = (await gateway.intents()).find(({ id }) => id === outcome.id);
    expect(outcome.cost.micro_usd).toBeGreaterThan(0);
    expect(outcome.cost.micro_usd).toBeLessThanOrEqual(intent!.reserved_micro_usd);
  });

  test('may write the cap for each choice', async () => {
    const words = Array.from({ length: CAP * 2 }, (_, at) =>
      chatEvent({ choices: [{ index: at % 2, delta: { content: 'word ' }, finish_reason: null }] }),
    );
    gateway.openai.play = (_request, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.end(`${words.join('')}data: [DONE]\n\n`);
    };
    const answer = await gateway.chat({ stream: true, max_tokens: CAP, n: 2 });
    expect(await answer.text()).toContain('[DONE]');
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'ok' });
  });
});

describe('usage that is told in a stream', () => {
  const told = [
    [
      'in the middle of a chat completion',
      'openai',
      () => playForEver([chatDelta('Hi', { prompt_tokens: 20, completion_tokens: 50_000 })], chatDelta('.')),
      () => gateway.chat({ stream: true, max_tokens: CAP }),
      'Hi',
    ],
    [
      'by a message’s delta, even with the end behind it',
      'anthropic',
      (): Play => (_request, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        const delta = { stop_reason: 'end_turn', stop_sequence: null };
        const usage = messageEvent({ type: 'message_delta', delta, usage: { output_tokens: 50_000 } });
        res.end([...MESSAGE_HEAD, messageDelta('Hi'), usage, messageEvent({ type: 'message_stop' })].join(''));
      },
      () => gateway.messages({ stream: true, max_tokens: CAP }),
      'message_delta',
    ],
  ] as const;
  test.each(told)('counts at once: %s', async (_name, upstream, play, ask, unsent) => {
    gateway[upstream].play = play();
    const answer = await ask();
    const text = await answer.text();
    expect(text).toContain('budget_exceeded');
    expect(text).not.toContain(unsent === 'Hi' ? '"content":"Hi"' : unsent);
    expect(text).not.toMatch(/\[DONE\]|message_stop/);
    // The ledger tells what the provider says it did.
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome).toMatchObject({ outcome: 'incomplete', error: 'budget_exceeded', usage: { output: 50_000 } });
  });

  test('and is beyond the cap by what the reservation covers ends nothing', async () => {
    const usage = { prompt_tokens: 2, completion_tokens: CAP + 1, total_tokens: CAP + 3 };
    gateway.openai.play = (_request, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.end(`${chatDelta('Hi')}${chatEvent({ choices: [], usage })}data: [DONE]\n\n`);
    };
    const answer = await gateway.chat({ stream: true, max_tokens: CAP });
    expect(await answer.text()).toContain('[DONE]');
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'ok', usage: { output: CAP + 1 } });
  });
});

test('an unstreamed answer beyond what was reserved is given, and its whole cost is on the books', async () => {
  const usage = { prompt_tokens: 20, completion_tokens: 3_000_000, total_tokens: 3_000_020 };
  gateway.openai.play = answerJson(200, chatCompletion('Hi.', usage));
  const answer = await gateway.chat({ max_tokens: CAP }, { as: 'otherStudent' });
  expect(answer.status).toBe(200);
  const { cost, id } = await gateway.outcomeOf(answer);
  expect(answer.headers.get('x-aegis-cost-usd')).toBe((cost.micro_usd / 1e6).toFixed(6));
  const intent = (await gateway.intents()).find((record) => record.id === id);
  expect(cost.micro_usd).toBeGreaterThan(intent!.reserved_micro_usd);
  const { limiter } = gateway.running.gateway;
  const [day] = await until(() => {
    const entries = limiter.spend([{ scope: 'user', subject: 'demo-university/kim' }], Date.now());
    return entries[0]?.micro_usd ? entries : undefined;
  });
  // More than a student has for a day: the books say so, and the next request is refused.
  expect(day).toMatchObject({ micro_usd: cost.micro_usd, reserved_micro_usd: 0 });
  expect(day!.micro_usd).toBeGreaterThan(day!.cap_micro_usd);
  const asked = gateway.openai.requests.length;
  const next = await gateway.chat({ max_tokens: CAP }, { as: 'otherStudent' });
  expect(next.status).toBe(429);
  expect(await next.json()).toMatchObject({ error: { type: 'insufficient_quota', code: 'budget_exceeded' } });
  expect(gateway.openai.requests).toHaveLength(asked);
});
