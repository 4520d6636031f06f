import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { CHAT_MODEL, MESSAGES_MODEL, openTestGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({
      name,
      kind: 'sandbox',
      third_party: true,
    })),
  });
  const apiKey = await gateway.key('researcher');
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });
});

afterAll(() => gateway.close());

describe('embeddings', () => {
  test('come through as numbers, and are charged by their prompt', async () => {
    const { data, response } = await openai.embeddings
      .create({ model: 'text-embedding-3-small', input: ['rivers', 'run to the sea'] })
      .withResponse();
    expect(data.data.map(({ embedding }) => embedding.length)).toEqual([1536, 1536]);
    const outcome = await gateway.outcomeOf(response);
    expect(outcome).toMatchObject({
      outcome: 'ok',
      endpoint: 'embeddings',
      model: 'text-embedding-3-small',
      usage: { input: data.usage.prompt_tokens, output: 0, source: 'provider' },
    });
  });

  test('of what is not text at all are refused naming the field', async () => {
    const input = [5, 'x'] as unknown as string[];
    await expect(openai.embeddings.create({ model: 'text-embedding-3-small', input })).rejects.toMatchObject({
      status: 400,
      code: 'invalid_field',
      param: 'input[1]',
    });
  });
});

describe('counts of tokens', () => {
  const messages = [{ role: 'user' as const, content: 'Write about rivers.' }];

  test('come from the provider that counts, and cost nothing', async () => {
    const { data, response } = await anthropic.messages.countTokens({ model: MESSAGES_MODEL, messages }).withResponse();
    expect(data.input_tokens).toBeGreaterThan(0);
    const outcome = await gateway.outcomeOf(response);
    expect(outcome).toMatchObject({ outcome: 'ok', model: MESSAGES_MODEL, usage: null, cost: { micro_usd: 0 } });
  });

  test('of a model whose provider does not count are the gateway’s own, and go nowhere', async () => {
    const { data, response } = await anthropic.messages.countTokens({ model: CHAT_MODEL, messages }).withResponse();
    expect(data).toEqual({ input_tokens: expect.any(Number) });
    expect(response.headers.get('x-aegis-decision-id')).toMatch(/^dec_/);
    const outcome = await gateway.outcomeOf(response);
    expect(outcome).toMatchObject({ outcome: 'ok', attempts: [], usage: null, cost: { micro_usd: 0 } });
    expect((outcome.input as { content: { tokens_estimate: number } }).content.tokens_estimate).toBe(data.input_tokens);
  });
});

describe('completions', () => {
  const model = 'campus-8b';

  test('come through whole, and are charged for every prompt’s answer', async () => {
    const { data, response } = await openai.completions
      .create({ model, prompt: ['Is water wet?', 'Is fire cold?'], n: 2 })
      .withResponse();
    expect(data.choices.map(({ text }) => /^(Yes|No)\.$/.test(text))).toEqual([true, true, true, true]);
    const usage = { input: data.usage!.prompt_tokens, output: data.usage!.completion_tokens, source: 'provider' };
    expect(await gateway.outcomeOf(response)).toMatchObject({ outcome: 'ok', endpoint: 'completions', usage });
  });

  test('stream, with the usage that is charged and not shown unless asked for', async () => {
    const { data: stream, response } = await openai.completions
      .create({ model, prompt: 'Write about rivers.', max_tokens: 200, stream: true })
      .withResponse();
    let text = '';
    for await (const chunk of stream) {
      expect([chunk.choices.length, chunk.usage ?? null]).toEqual([1, null]);
      text += chunk.choices[0]!.text;
    }
    expect(text).toContain('“Write about rivers.”');
    const outcome = await gateway.outcomeOf(response);
    expect(outcome).toMatchObject({ outcome: 'ok', usage: { source: 'provider' } });
    expect(outcome.usage!.output).toBeGreaterThan(20);
  });

  test('have a cap of the policy’s where they sent none, and keep one of 0', async () => {
    const long = await openai.completions.create({ model, prompt: 'Write about rivers.' });
    expect(long.choices[0]!.finish_reason).toBe('stop');
    const echoed = await openai.completions.create({ model, prompt: 'Once', max_tokens: 0, echo: true });
    expect([echoed.choices[0]!.text, echoed.usage!.completion_tokens]).toEqual(['Once', 0]);
  });

  test.each([true, false])('are masked on their way and restored in the answer, stream %s', async (stream) => {
    const body = { model, prompt: 'Write to jane.doe@example.org now.', max_tokens: 200, stream };
    const answer = await gateway.post('/v1/completions', body, { as: 'service' });
    expect(answer.status).toBe(200);
    const text = await answer.text();
    const pieces = stream
      ? [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!).choices[0].text as string)
      : [(JSON.parse(text) as OpenAI.Completion).choices[0]!.text];
    // The sandbox repeats what reached it.
    expect(pieces.join('')).toContain('It names jane.doe@example.org.');
    const outcome = await gateway.outcomeOf(answer);
    const intent = (await gateway.intents()).find(({ id }) => id === outcome.id);
    expect(intent!.masked).toEqual({ email: 1 });
  });

  test('without the name of a model are refused', async () => {
    await expect(openai.completions.create({ model: 'auto', prompt: 'x' })).rejects.toMatchObject({ status: 403 });
  });
});
