import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { rejectionOf } from '../support/rejection.ts';

let gateway: TestGateway;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
  });
  const apiKey = await gateway.key('student');
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });
});

afterAll(() => gateway.close());

const QUESTION = 'Which planet is largest?\nA. Mars\nB. Jupiter\nC. Venus';

describe('the openai client with another base URL', () => {
  test('gets a chat completion', async () => {
    const answer = await openai.chat.completions.create({
      model: 'auto',
      messages: [{ role: 'user', content: QUESTION }],
    });
    expect(answer.object).toBe('chat.completion');
    expect(answer.choices[0]?.message.content).toMatch(/^[ABC]$/);
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
  });

  test('gets a streamed chat completion, without usage when it did not ask', async () => {
    const stream = await openai.chat.completions.create({
      model: 'auto',
      stream: true,
      messages: [{ role: 'user', content: 'Write a paragraph about rivers.' }],
    });
    let text = '';
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      expect(chunk.usage ?? null).toBeNull();
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toContain('Write a paragraph about rivers.');
  });

  test('gets the usage of a stream when it asked', async () => {
    const stream = openai.chat.completions.stream({
      model: 'auto',
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: QUESTION }],
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toMatch(/^[ABC]$/);
    expect(final.usage?.completion_tokens).toBeGreaterThan(0);
  });

  test('gets tool calls, streamed and not, with arguments that parse', async () => {
    const request = {
      model: 'auto',
      messages: [{ role: 'user' as const, content: 'What is the weather in Oslo?' }],
      tools: [
        {
          type: 'function' as const,
          function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
        },
      ],
      tool_choice: 'required' as const,
    };
    const answer = await openai.chat.completions.create(request);
    const call = answer.choices[0]?.message.tool_calls?.[0];
    expect(call?.type === 'function' && JSON.parse(call.function.arguments)).toEqual({ city: expect.any(String) });
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'weather' } });
  });

  test('lists and retrieves models', async () => {
    const ids: string[] = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    expect(ids).toEqual(expect.arrayContaining(['auto', 'gpt-5.4-nano', 'claude-haiku-5-5']));
    expect(ids).not.toContain('gpt-6-astra');
    expect(await openai.models.retrieve('gpt-5.4-nano')).toMatchObject({ id: 'gpt-5.4-nano', object: 'model' });
  });

  test('raises PermissionDeniedError with the code of the rule for a model that is not allowed', async () => {
    const error = await rejectionOf(
      openai.chat.completions.create({ model: 'gpt-6-astra', messages: [{ role: 'user', content: 'Hi' }] }),
    );
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect(error).toMatchObject({ status: 403, code: 'model_not_allowed', type: 'policy_denied' });
    const { requestID, error: body } = error as InstanceType<typeof OpenAI.APIError>;
    expect(requestID).toMatch(/^req_/);
    expect(body).toMatchObject({ decision_id: expect.stringMatching(/^dec_/), hint: expect.any(String) });
  });

  test('raises AuthenticationError for a bad key and NotFoundError for an unknown model', async () => {
    const stranger = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'sk-unknown', maxRetries: 0 });
    const refused = await rejectionOf(
      stranger.chat.completions.create({ model: 'auto', messages: [{ role: 'user', content: 'Hi' }] }),
    );
    expect(refused).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(refused).toMatchObject({ status: 401, code: 'invalid_credential' });
    const missing = await rejectionOf(openai.models.retrieve('gpt-6-astra'));
    expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
    expect(missing).toMatchObject({ status: 404, code: 'not_found' });
  });

  test('raises RateLimitError when every provider limits, with the wait', async () => {
    const error = await rejectionOf(
      openai.chat.completions.create({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content: 'sandbox:429' }] }),
    );
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'rate_limited', type: 'rate_limit_error' });
    expect((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after')).toBe('7');
  });

  test('raises an error in the middle of a stream that breaks', async () => {
    const stream = await openai.chat.completions.create({
      model: 'gpt-5.4-nano',
      stream: true,
      messages: [{ role: 'user', content: 'Tell me a long story. sandbox:truncate' }],
    });
    let chunks = 0;
    const error = await rejectionOf(
      (async () => {
        for await (const _ of stream) chunks++;
      })(),
    );
    expect(chunks).toBeGreaterThan(0);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: 'upstream_error' });
  });
});

describe('the Anthropic client with another base URL', () => {
  const request = (content: string, model = 'auto') => ({
    model,
    max_tokens: 300,
    messages: [{ role: 'user' as const, content }],
  });

  test('gets a message', async () => {
    const answer = await anthropic.messages.create(request(QUESTION));
    expect(answer).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn' });
    expect(answer.content[0]).toMatchObject({ type: 'text', text: expect.stringMatching(/^[ABC]$/) });
    expect(answer.usage.output_tokens).toBeGreaterThan(0);
  });

  test('gets a streamed message', async () => {
    const texts: string[] = [];
    const stream = anthropic.messages.stream(request('Write a paragraph about rivers.'));
    stream.on('text', (delta) => texts.push(delta));
    const final = await stream.finalMessage();
    expect(final.content[0]).toMatchObject({ type: 'text', text: texts.join('') });
    expect(texts.join('')).toContain('Write a paragraph about rivers.');
    expect(final.stop_reason).toBe('end_turn');
    expect(final.usage.output_tokens).toBeGreaterThan(0);
  });

  test('gets tool calls, streamed and not', async () => {
    const tool = {
      name: 'weather',
      input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } },
    };
    const withTool = { ...request('Weather in Oslo?'), tools: [tool], tool_choice: { type: 'any' as const } };
    const answer = await anthropic.messages.create(withTool);
    expect(answer.content[0]).toMatchObject({ type: 'tool_use', name: 'weather', input: { city: expect.any(String) } });
    const streamed = await anthropic.messages.stream(withTool).finalMessage();
    expect(streamed.content[0]).toMatchObject({ type: 'tool_use', input: { city: expect.any(String) } });
  });

  test('gets a message over the beta resource', async () => {
    const answer = await anthropic.beta.messages.create({ ...request(QUESTION), betas: ['context-1m-2025-08-07'] });
    expect(answer.type).toBe('message');
  });

  test('lists and retrieves models', async () => {
    const ids: string[] = [];
    for await (const model of anthropic.models.list()) {
      expect(model).toMatchObject({ type: 'model', display_name: expect.any(String), created_at: expect.any(String) });
      ids.push(model.id);
    }
    expect(ids).toEqual(expect.arrayContaining(['auto', 'claude-haiku-5-5']));
    expect(await anthropic.models.retrieve('claude-haiku-5-5')).toMatchObject({ id: 'claude-haiku-5-5' });
  });

  test('raises PermissionDeniedError, AuthenticationError, NotFoundError and RateLimitError of its own', async () => {
    const denied = await rejectionOf(anthropic.messages.create(request('Hi', 'claude-opus-5-5')));
    expect(denied).toBeInstanceOf(Anthropic.PermissionDeniedError);
    expect(denied).toMatchObject({
      status: 403,
      error: { type: 'error', error: { type: 'permission_error', code: 'model_not_allowed' } },
      requestID: expect.stringMatching(/^req_/),
    });
    const stranger = new Anthropic({ baseURL: gateway.url, apiKey: 'sk-unknown', maxRetries: 0 });
    const refused = await rejectionOf(stranger.messages.create(request('Hi')));
    expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(refused).toMatchObject({ error: { error: { type: 'authentication_error' } } });
    const missing = await rejectionOf(anthropic.models.retrieve('claude-none'));
    expect(missing).toBeInstanceOf(Anthropic.NotFoundError);
    expect(missing).toMatchObject({ error: { type: 'error', error: { type: 'not_found_error' } } });
    const limited = await rejectionOf(anthropic.messages.create(request('sandbox:429', 'claude-haiku-5-5')));
    expect(limited).toBeInstanceOf(Anthropic.RateLimitError);
    expect(limited).toMatchObject({ error: { error: { type: 'rate_limit_error' } } });
  });

  test('raises an error in the middle of a stream that breaks', async () => {
    const stream = anthropic.messages.stream(request('Tell me a long story. sandbox:truncate', 'claude-haiku-5-5'));
    const error = await rejectionOf(stream.finalMessage());
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error).toMatchObject({ error: { error: { code: 'upstream_error' } } });
  });
});
