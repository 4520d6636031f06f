import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';
import { openLocalModel } from '../support/local-model.ts';

// A real, if small, model as the upstream `local`: what it says and counts is nobody's invention.
const local = await openLocalModel();
const isHere = typeof local !== 'string';
const name = isHere ? 'a real model behind the gateway' : `a real model behind the gateway (skipped: ${local})`;

const MODEL = 'campus-8b';
const ASK = 'What is the capital of France? Answer in one sentence.';

(isHere ? describe : describe.skip)(name, () => {
  let gateway: TestGateway;
  let openai: OpenAI;
  let anthropic: Anthropic;

  beforeAll(async () => {
    const { baseUrl } = local as Exclude<typeof local, string>;
    gateway = await openTestGateway({
      upstreams: [{ name: 'local', kind: 'openai_compatible', base_url: baseUrl }],
    });
    const apiKey = await gateway.key('student');
    openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });
  });
  afterAll(async () => {
    await gateway?.close();
    if (typeof local !== 'string') await local.close();
  });

  /** The newest outcome, which must have these tokens. */
  const expectCounted = async (input: number, output: number): Promise<void> => {
    expect(input).toBeGreaterThan(10);
    expect(output).toBeGreaterThan(3);
    const isIt = ({ usage }: AuditOutcome): boolean => usage?.input === input && usage.output === output;
    const outcome = await until(async () => (await gateway.outcomes()).findLast(isIt));
    expect(outcome).toMatchObject({ outcome: 'ok', model: MODEL, upstream: 'local', usage: { source: 'provider' } });
    expect(outcome.cost.micro_usd).toBeGreaterThan(0);
  };

  test('answers the openai client', async () => {
    const answer = await openai.chat.completions.create({ model: MODEL, messages: [{ role: 'user', content: ASK }] });
    expect(answer.choices[0]?.message.content).toContain('Paris');
    await expectCounted(answer.usage?.prompt_tokens ?? 0, answer.usage?.completion_tokens ?? 0);
  }, 120_000);

  test('streams to the openai client, token by token', async () => {
    const stream = openai.chat.completions.stream({
      model: MODEL,
      messages: [{ role: 'user', content: ASK }],
      stream_options: { include_usage: true },
    });
    let pieces = 0;
    stream.on('content', () => pieces++);
    const { choices, usage } = await stream.finalChatCompletion();
    expect(choices[0]?.message.content).toContain('Paris');
    expect(pieces).toBeGreaterThan(3);
    await expectCounted(usage?.prompt_tokens ?? 0, usage?.completion_tokens ?? 0);
  }, 120_000);

  test('answers the anthropic client', async () => {
    const answer = await anthropic.messages.create({
      model: MODEL,
      max_tokens: 60,
      messages: [{ role: 'user', content: ASK }],
    });
    expect(answer.content[0]).toMatchObject({ type: 'text', text: expect.stringContaining('Paris') });
    expect(answer.stop_reason).toBe('end_turn');
    await expectCounted(answer.usage.input_tokens, answer.usage.output_tokens);
  }, 120_000);

  test('streams to the anthropic client', async () => {
    const stream = anthropic.messages.stream({
      model: MODEL,
      max_tokens: 60,
      system: 'You are brief.',
      messages: [{ role: 'user', content: ASK }],
    });
    let pieces = 0;
    stream.on('text', () => pieces++);
    const answer = await stream.finalMessage();
    expect(await stream.finalText()).toContain('Paris');
    expect(pieces).toBeGreaterThan(3);
    await expectCounted(answer.usage.input_tokens, answer.usage.output_tokens);
  }, 120_000);

  test('streams a response to the openai client', async () => {
    const stream = openai.responses.stream({ model: MODEL, input: ASK, max_output_tokens: 60 });
    const { output_text, usage } = await stream.finalResponse();
    expect(output_text).toContain('Paris');
    await expectCounted(usage?.input_tokens ?? 0, usage?.output_tokens ?? 0);
  }, 120_000);

  test('is cut at the cap that was sent', async () => {
    const answer = await anthropic.messages.create({
      model: MODEL,
      max_tokens: 5,
      messages: [{ role: 'user', content: 'Tell a long story about a river.' }],
    });
    expect(answer.stop_reason).toBe('max_tokens');
    expect(answer.usage.output_tokens).toBeLessThanOrEqual(5);
  }, 120_000);
});
