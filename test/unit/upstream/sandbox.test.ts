import { readFileSync } from 'node:fs';
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import OpenAI from 'openai';
import { openSandbox, type Sandbox } from '../../../gateway/upstream/sandbox/sandbox.ts';
import { countTokens, splitTokens } from '../../../gateway/upstream/sandbox/tokens.ts';

let sandbox: Sandbox;
let openai: OpenAI;
let anthropic: Anthropic;
beforeAll(async () => {
  sandbox = await openSandbox();
  openai = new OpenAI({ baseURL: `${sandbox.url}/v1`, apiKey: 'none', maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: sandbox.url, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => sandbox.close());

const ask = async (content: string, more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) =>
  openai.chat.completions.create({ model: 'gpt-x', messages: [{ role: 'user', content }], ...more });
const askAnthropic = (content: string, more: Partial<Anthropic.MessageCreateParamsNonStreaming> = {}) =>
  anthropic.messages.create({ model: 'claude-x', max_tokens: 500, messages: [{ role: 'user', content }], ...more });
const raw = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${sandbox.url}${path}`, { method: 'POST', body: JSON.stringify(body), headers });

const TOOL_SCHEMA = {
  type: 'object',
  properties: {
    city: { type: 'string' },
    days: { type: 'integer' },
    unit: { enum: ['C', 'F'] },
    tags: { type: 'array', items: { type: 'string' } },
  },
};

describe('what the sandbox says', () => {
  test('it says that it is a sandbox, and always the same', async () => {
    const first = await ask('Write about rivers.');
    expect(first.system_fingerprint).toBe('sandbox');
    expect(first.id).toMatch(/^chatcmpl-sandbox-/);
    expect(first.choices[0]!.message.content).toMatch(/^This is the sandbox/);
    const second = await ask('Write about rivers.');
    expect({ ...second, created: 0 }).toEqual({ ...first, created: 0 });
  });

  test('a multiple-choice question gets one of its letters', async () => {
    const { choices } = await ask('Capital of France?\nA) Oslo\nB) Paris\nC) Rome');
    expect(choices[0]!.message.content).toMatch(/^[ABC]$/);
  });

  test('a yes-or-no question gets one of the two', async () => {
    expect((await ask('Is water wet?')).choices[0]!.message.content).toMatch(/^(Yes|No)\.$/);
    expect((await ask('True or false: water is wet.')).choices[0]!.message.content).toMatch(/^(True|False)$/);
  });

  test('every address and placeholder that reached it comes back, from anywhere in the conversation', async () => {
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'system', content: 'The teacher is EMAIL_G4T9QYH02M6KD.' },
      {
        role: 'user',
        content: [{ type: 'text', text: `${'word '.repeat(500)} (ada@example.com), and PHONE_A234567890ABC.` }],
      },
    ];
    const { choices } = await openai.chat.completions.create({ model: 'gpt-x', messages });
    const text = choices[0]!.message.content;
    for (const name of ['EMAIL_G4T9QYH02M6KD', 'ada@example.com', 'PHONE_A234567890ABC']) expect(text).toContain(name);
  });

  test('a forced tool is called with arguments that fit its schema, in both dialects', async () => {
    const fn = { name: 'weather', parameters: TOOL_SCHEMA };
    const { choices } = await ask('Paris', { tools: [{ type: 'function', function: fn }], tool_choice: 'required' });
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    const call = choices[0]!.message.tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(JSON.parse(call.function.arguments)).toEqual({ city: 'Paris', days: 1, unit: 'C', tags: ['Paris'] });

    const tools = [{ name: 'weather', input_schema: TOOL_SCHEMA as Anthropic.Tool.InputSchema }];
    const message = await askAnthropic('Paris', { tools, tool_choice: { type: 'any' } });
    expect(message.stop_reason).toBe('tool_use');
    expect(message.content[0]).toMatchObject({
      type: 'tool_use',
      name: 'weather',
      input: { city: 'Paris', unit: 'C' },
    });
  });

  test('a tool that need not be called is not', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: TOOL_SCHEMA } }];
    expect((await ask('Write about Paris.', { tools })).choices[0]!.finish_reason).toBe('stop');
  });

  test('JSON asked for is JSON that fits the schema', async () => {
    const schema = { type: 'object', properties: { answer: { type: 'string' }, sure: { type: 'boolean' } } };
    const format = { type: 'json_schema' as const, json_schema: { name: 'a', schema } };
    const { choices } = await ask('Paris', { response_format: format });
    expect(JSON.parse(choices[0]!.message.content!)).toEqual({ answer: 'Paris', sure: true });
  });

  test('a cap on output tokens is kept, with its finish reason, in both dialects', async () => {
    const { choices, usage } = await ask('Write about rivers.', { max_completion_tokens: 5 });
    expect(choices[0]!.finish_reason).toBe('length');
    expect(usage!.completion_tokens).toBe(5);
    const message = await askAnthropic('Write about rivers.', { max_tokens: 5 });
    expect(message).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 5 } });
  });

  test('a stop sequence ends the answer before it, in both dialects', async () => {
    const { choices } = await ask('Write about rivers.', { stop: [' offline'] });
    expect(choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { content: 'This is the sandbox: it answers' },
    });
    const message = await askAnthropic('Write about rivers.', { stop_sequences: [' offline'] });
    expect(message).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: ' offline' });
  });
});

describe('streams', () => {
  test('of OpenAI join to the whole answer and end with usage when it was asked for', async () => {
    const whole = await ask('Write about rivers.');
    const stream = await openai.chat.completions.create({
      model: 'gpt-x',
      messages: [{ role: 'user', content: 'Write about rivers.' }],
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    const finishes: unknown[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason);
      usage = chunk.usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(finishes).toEqual(['stop']);
    expect(usage).toEqual(whole.usage);
  });

  test('of OpenAI have no usage when it was not asked for', async () => {
    const text = await (
      await raw('/v1/chat/completions', { model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi.' }] })
    ).text();
    expect(text).not.toContain('usage');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test('of Anthropic have the provider’s sequence of events and join to the whole answer', async () => {
    const whole = await askAnthropic('Write about rivers.');
    const stream = anthropic.messages.stream({
      model: 'claude-x',
      max_tokens: 500,
      messages: [{ role: 'user', content: 'Write about rivers.' }],
    });
    const final = await stream.finalMessage();
    expect(final.content).toMatchObject(whole.content);
    expect(final.usage.output_tokens).toBe(whole.usage.output_tokens);
    const body = { model: 'c', max_tokens: 1, stream: true, messages: [{ role: 'user', content: 'Hi.' }] };
    const text = await (await raw('/v1/messages', body, { 'anthropic-version': '2023-06-01' })).text();
    expect([...text.matchAll(/^event: (\w+)$/gm)].map((match) => match[1])).toEqual([
      ...['message_start', 'content_block_start', 'ping', 'content_block_delta'],
      ...['content_block_stop', 'message_delta', 'message_stop'],
    ]);
  });

  test('of tool calls bring arguments that parse, in both dialects', async () => {
    const stream = openai.chat.completions.stream({
      model: 'gpt-x',
      messages: [{ role: 'user', content: 'Paris' }],
      tools: [{ type: 'function', function: { name: 'weather', parameters: TOOL_SCHEMA } }],
      tool_choice: 'required',
    });
    const call = (await stream.finalChatCompletion()).choices[0]!.message
      .tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall;
    expect(JSON.parse(call.function.arguments)).toMatchObject({ city: 'Paris' });
    const message = await anthropic.messages
      .stream({
        model: 'claude-x',
        max_tokens: 500,
        messages: [{ role: 'user', content: 'Paris' }],
        tools: [{ name: 'weather', input_schema: TOOL_SCHEMA as Anthropic.Tool.InputSchema }],
        tool_choice: { type: 'tool', name: 'weather' },
      })
      .finalMessage();
    expect(message.content[0]).toMatchObject({ type: 'tool_use', input: { city: 'Paris' } });
  });
});

describe('requests that are wrong', () => {
  test.each([
    ['no model', { messages: [{ role: 'user', content: 'x' }] }],
    ['no messages', { model: 'm' }],
    ['not an object', [1]],
    ['a cap of 0', { model: 'm', max_tokens: 0, messages: [{ role: 'user', content: 'x' }] }],
  ])('%s is 400 in the dialect', async (_, body) => {
    const one = await raw('/v1/chat/completions', body);
    expect(one.status).toBe(400);
    expect(await one.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
    const other = await raw('/v1/messages', body, { 'anthropic-version': '2023-06-01' });
    expect(other.status).toBe(400);
    expect(await other.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
  });

  test('Anthropic without a version is 400, as at the provider', async () => {
    const response = await raw('/v1/messages', {
      model: 'm',
      max_tokens: 5,
      messages: [{ role: 'user', content: 'x' }],
    });
    expect(response.status).toBe(400);
  });

  test('an unknown path is 404', async () => {
    expect((await raw('/v1/nothing', {})).status).toBe(404);
  });
});

describe('faults', () => {
  const fault = (content: string, more: object = {}) =>
    raw('/v1/chat/completions', { model: 'gpt-nano', messages: [{ role: 'user', content }], ...more });

  test.each([400, 401, 429, 500, 503, 529])('sandbox:%i is this status, in both dialects', async (status) => {
    const one = await fault(`please sandbox:${status}.`);
    expect(one.status).toBe(status);
    expect(one.headers.get('retry-after')).toBe(status === 429 ? '7' : null);
    expect(await one.json()).toHaveProperty('error.type');
    await expect(askAnthropic(`sandbox:${status}`)).rejects.toMatchObject({ status, error: { type: 'error' } });
  });

  test('quota is a 429 without retry-after', async () => {
    const response = await fault('sandbox:quota');
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, null]);
    expect(await response.json()).toMatchObject({ error: { code: 'insufficient_quota' } });
  });

  test.each([true, false])('truncate cuts the answer off, stream %s', async (stream) => {
    await expect(fault('sandbox:truncate', { stream }).then((response) => response.text())).rejects.toThrow();
  });

  test('reset gives no answer', async () => {
    await expect(fault('sandbox:reset')).rejects.toThrow();
  });

  test.each(['hang', 'stall'])('%s leaves the caller waiting', async (kind) => {
    const late = AbortSignal.timeout(150);
    const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: `sandbox:${kind}` }] });
    const waiting = fetch(`${sandbox.url}/v1/chat/completions`, { method: 'POST', body, signal: late });
    await expect(waiting.then((response) => response.text())).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  test.each([true, false])('garbage is not JSON, stream %s', async (stream) => {
    const response = await fault('sandbox:garbage', { stream });
    expect(response.status).toBe(200);
    const text = await response.text();
    const parts = stream
      ? text
          .split('\n\n')
          .filter((p) => p !== '' && p !== 'data: [DONE]')
          .map((p) => p.slice(6))
      : [text];
    expect(() => parts.map((part) => JSON.parse(part) as unknown)).toThrow(SyntaxError);
  });

  test('a fault with @ strikes only models of that name', async () => {
    expect((await fault('sandbox:503@nano')).status).toBe(503);
    expect((await fault('sandbox:503@other')).status).toBe(200);
    expect((await fault('sandbox:503@other sandbox:500@nano')).status).toBe(500);
  });

  test('an unknown word, or one of an older message, is no fault', async () => {
    expect((await fault('sandbox:nonsense sandbox:300')).status).toBe(200);
    const messages = [
      { role: 'user', content: 'sandbox:500' },
      { role: 'assistant', content: 'x' },
      { role: 'user', content: 'hi' },
    ];
    expect((await fault('', { messages })).status).toBe(200);
  });

  test('docs/sandbox.md lists every fault, and no other', () => {
    const docs = readFileSync(new URL('../../../docs/sandbox.md', import.meta.url), 'utf8');
    const source = readFileSync(new URL('../../../gateway/upstream/sandbox/fault.ts', import.meta.url), 'utf8');
    const listed = [...docs.matchAll(/^\| `sandbox:([a-z]+)`/gm)].map((match) => match[1]);
    const known = /KINDS = \[([^\]]+)\]/.exec(source)![1]!.match(/\w+/g);
    expect(listed.toSorted()).toEqual(known!.toSorted());
  });
});

describe('tokens', () => {
  test('join to the text and are as many as counted, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.lorem()), (text) => {
        const tokens = splitTokens(text);
        expect(tokens.join('')).toBe(text);
        expect(countTokens(text)).toBe(tokens.length);
        expect(tokens.length).toBeLessThanOrEqual(Buffer.byteLength(text));
      }),
      { numRuns: 1000 },
    );
  });
});
