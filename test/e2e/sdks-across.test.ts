import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { rejectionOf } from '../support/rejection.ts';

// The official clients with models of the other API, and the endpoints beyond chat and messages.

let gateway: TestGateway;
let openai: OpenAI;
let anthropic: Anthropic;
let researcher: OpenAI;

beforeAll(async () => {
  gateway = await openTestGateway({
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
  });
  const apiKey = await gateway.key('student');
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });
  researcher = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.key('researcher'), maxRetries: 0 });
});
afterAll(() => gateway.close());

const CLAUDE = 'claude-haiku-5-5';
const GPT = 'gpt-5.4-nano';
const MISTRAL = 'mistral-small-2603';
const STORY = 'Write a paragraph about rivers.';
const EMAIL = 'Write to eve.adams@example.org about rivers.';

const weather = { type: 'object' as const, properties: { city: { type: 'string' } } };

describe('chat completions of a Claude model', () => {
  const ask = (content: string) => ({ model: CLAUDE, messages: [{ role: 'user' as const, content }] });
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: weather } }];

  test('come whole and streamed, with usage', async () => {
    const { data, response } = await openai.chat.completions.create(ask(STORY)).withResponse();
    expect(response.headers.get('x-aegis-upstream')).toBe('anthropic');
    expect(data.object).toBe('chat.completion');
    expect(data.choices[0]).toMatchObject({ finish_reason: 'stop', message: { role: 'assistant' } });
    expect(data.choices[0]?.message.content).toContain('rivers');
    expect(data.usage?.completion_tokens).toBeGreaterThan(0);
    const streamed = await openai.chat.completions
      .stream({ ...ask(STORY), stream_options: { include_usage: true } })
      .finalChatCompletion();
    expect(streamed.choices[0]?.message.content).toBe(data.choices[0]?.message.content);
    expect(streamed.usage).toMatchObject({ completion_tokens: data.usage?.completion_tokens });
  });

  test('leave usage out of a stream that did not ask for it', async () => {
    for await (const chunk of await openai.chat.completions.create({ ...ask(STORY), stream: true })) {
      expect(chunk.choices).toHaveLength(1);
      expect(chunk.usage ?? null).toBeNull();
    }
  });

  test('call tools and take their results', async () => {
    const request = { ...ask('Weather in Oslo?'), tools, tool_choice: 'required' as const };
    const answer = await openai.chat.completions.create(request);
    const call = answer.choices[0]?.message.tool_calls?.[0];
    expect(answer.choices[0]?.finish_reason).toBe('tool_calls');
    expect(call?.type === 'function' && JSON.parse(call.function.arguments)).toEqual({ city: expect.any(String) });
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'weather' } });
    const next = await openai.chat.completions.create({
      ...ask('Weather in Oslo?'),
      tools,
      messages: [
        { role: 'user', content: 'Weather in Oslo?' },
        answer.choices[0]!.message,
        { role: 'tool', tool_call_id: call!.id, content: 'Rain.' },
      ],
    });
    expect(next.choices[0]?.message.content).toEqual(expect.any(String));
  });

  test('restore what was masked, whole and streamed', async () => {
    const answer = await openai.chat.completions.create(ask(EMAIL));
    expect(answer.choices[0]?.message.content).toContain('eve.adams@example.org');
    const streamed = await openai.chat.completions.stream(ask(EMAIL)).finalChatCompletion();
    expect(streamed.choices[0]?.message.content).toContain('eve.adams@example.org');
    const [intent] = (await gateway.intents()).slice(-1);
    expect(intent?.masked).toMatchObject({ email: expect.any(Number) });
  });

  test('are refused for what it cannot say, naming the field', async () => {
    const error = await rejectionOf(openai.chat.completions.create({ ...ask('Hi'), logit_bias: { '50256': 5 } }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param: 'logit_bias', code: 'invalid_field' });
  });

  test('raise the provider’s errors as the client’s own', async () => {
    const limited = await rejectionOf(openai.chat.completions.create(ask('sandbox:429')));
    expect(limited).toBeInstanceOf(OpenAI.RateLimitError);
    const broken = openai.chat.completions.stream(ask('Tell me a long story. sandbox:truncate'));
    expect(await rejectionOf(broken.finalChatCompletion())).toBeInstanceOf(OpenAI.APIError);
  });
});

describe.each([GPT, MISTRAL])('messages of %s', (model) => {
  const ask = (content: string) => ({ model, max_tokens: 300, messages: [{ role: 'user' as const, content }] });

  test('come whole and streamed, with usage', async () => {
    const answer = await anthropic.messages.create(ask(STORY));
    expect(answer).toMatchObject({ type: 'message', role: 'assistant', stop_reason: 'end_turn' });
    expect(answer.usage.input_tokens).toBeGreaterThan(0);
    expect(answer.usage.output_tokens).toBeGreaterThan(0);
    const streamed = await anthropic.messages.stream(ask(STORY)).finalMessage();
    expect(streamed.content).toMatchObject(answer.content.map(({ type }) => ({ type })));
    expect(streamed.usage.output_tokens).toBe(answer.usage.output_tokens);
  });

  test('call tools and take their results', async () => {
    const request = {
      ...ask('Weather in Oslo?'),
      tools: [{ name: 'weather', input_schema: weather }],
      tool_choice: { type: 'any' as const },
    };
    const answer = await anthropic.messages.create(request);
    const call = answer.content.find((block) => block.type === 'tool_use');
    expect(answer.stop_reason).toBe('tool_use');
    expect(call).toMatchObject({ name: 'weather', input: { city: expect.any(String) } });
    const streamed = await anthropic.messages.stream(request).finalMessage();
    expect(streamed.content.at(-1)).toMatchObject({ type: 'tool_use', input: { city: expect.any(String) } });
    const next = await anthropic.messages.create({
      ...request,
      tool_choice: { type: 'auto' },
      messages: [
        ...request.messages,
        { role: 'assistant', content: answer.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: call!.id, content: 'Rain.' }] },
      ],
    });
    expect(next.type).toBe('message');
  });

  test('restore what was masked, whole and streamed', async () => {
    const answer = await anthropic.messages.create(ask(EMAIL));
    expect(JSON.stringify(answer.content)).toContain('eve.adams@example.org');
    expect(await anthropic.messages.stream(ask(EMAIL)).finalText()).toContain('eve.adams@example.org');
  });

  test('are counted by estimate', async () => {
    const { input_tokens } = await anthropic.messages.countTokens({ model, messages: ask(STORY).messages });
    expect(input_tokens).toBeGreaterThan(4);
    expect(input_tokens).toBeLessThan(30);
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'messages.count_tokens');
    expect(outcome).toMatchObject({ outcome: 'ok', attempts: [], usage: null, cost: { micro_usd: 0 } });
  });

  test('raise the provider’s errors as the client’s own', async () => {
    const limited = await rejectionOf(anthropic.messages.create(ask('sandbox:429')));
    expect(limited).toBeInstanceOf(Anthropic.RateLimitError);
    const broken = anthropic.messages.stream(ask('Tell me a long story. sandbox:truncate'));
    expect(await rejectionOf(broken.finalMessage())).toBeInstanceOf(Anthropic.APIError);
  });
});

describe.each([GPT, CLAUDE, MISTRAL])('responses of %s', (model) => {
  test('come whole and streamed, with usage', async () => {
    const answer = await openai.responses.create({ model, input: STORY });
    expect(answer).toMatchObject({ object: 'response', status: 'completed' });
    expect(answer.output_text).toContain('rivers');
    expect(answer.usage?.output_tokens).toBeGreaterThan(0);
    const streamed = await openai.responses.stream({ model, input: STORY }).finalResponse();
    expect(streamed.output_text).toBe(answer.output_text);
    expect(streamed.usage?.output_tokens).toBe(answer.usage?.output_tokens);
  });

  test('call tools and take their results', async () => {
    const tools = [{ type: 'function' as const, name: 'weather', parameters: weather, strict: false }];
    const request = { model, input: 'Weather in Oslo?', tools, tool_choice: 'required' as const };
    const answer = await openai.responses.create(request);
    const call = answer.output.find((item) => item.type === 'function_call');
    expect(call && JSON.parse(call.arguments)).toEqual({ city: expect.any(String) });
    const streamed = await openai.responses.stream(request).finalResponse();
    expect(streamed.output.find(({ type }) => type === 'function_call')).toMatchObject({ name: 'weather' });
    const next = await openai.responses.create({
      model,
      tools,
      input: [
        { role: 'user', content: 'Weather in Oslo?' },
        ...answer.output,
        { type: 'function_call_output', call_id: call!.call_id, output: 'Rain.' },
      ] as OpenAI.Responses.ResponseInput,
    });
    expect(next.status).toBe('completed');
  });

  test('restore what was masked in every event that has it', async () => {
    const answer = await openai.responses.create({ model, input: EMAIL });
    expect(answer.output_text).toContain('eve.adams@example.org');
    let deltas = '';
    let done = '';
    let last: OpenAI.Responses.Response | undefined;
    for await (const event of await openai.responses.create({ model, input: EMAIL, stream: true })) {
      expect(JSON.stringify(event)).not.toMatch(/EMAIL_[A-Z0-9]{4,}/);
      if (event.type === 'response.output_text.delta') deltas += event.delta;
      if (event.type === 'response.output_text.done') done = event.text;
      if (event.type === 'response.completed') last = event.response;
    }
    expect(deltas).toContain('eve.adams@example.org');
    expect(done).toBe(deltas);
    expect(JSON.stringify(last?.output)).toContain('eve.adams@example.org');
  });

  test('never look complete when they break', async () => {
    const stream = await openai.responses.create({
      model,
      input: 'Tell me a long story. sandbox:truncate',
      stream: true,
    });
    const types: string[] = [];
    const error = await rejectionOf(
      (async () => {
        for await (const event of stream) types.push(event.type);
      })(),
    ).catch(() => undefined);
    expect(types).not.toContain('response.completed');
    expect(error !== undefined || types.includes('error') || types.includes('response.failed')).toBe(true);
  });

  test('that lie at the provider cannot be gone on with', async () => {
    const error = await rejectionOf(openai.responses.create({ model, input: 'Hi', previous_response_id: 'resp_1' }));
    expect(error).toMatchObject({ status: 400, param: 'previous_response_id' });
  });
});

describe('token counts of a Claude model', () => {
  test('are the provider’s own, and free', async () => {
    const { input_tokens } = await anthropic.messages.countTokens({
      model: CLAUDE,
      messages: [{ role: 'user', content: STORY }],
    });
    expect(input_tokens).toBeGreaterThan(0);
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'messages.count_tokens');
    expect(outcome).toMatchObject({ outcome: 'ok', upstream: 'anthropic', usage: null, cost: { micro_usd: 0 } });
  });
});

describe('embeddings', () => {
  test('come for the model that was named, and are charged by input', async () => {
    const answer = await researcher.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] });
    expect(answer.data).toHaveLength(2);
    expect(answer.data[0]?.embedding.length).toBeGreaterThan(1);
    const outcome = (await gateway.outcomes()).findLast(({ endpoint }) => endpoint === 'embeddings');
    expect(outcome).toMatchObject({ outcome: 'ok', model: 'text-embedding-3-small', usage: { output: 0 } });
    expect(outcome?.usage?.input).toBe(answer.usage.prompt_tokens);
  });

  test('mask what is masked elsewhere', async () => {
    await researcher.embeddings.create({ model: 'text-embedding-3-small', input: 'Ask eve.adams@example.org' });
    expect((await gateway.intents()).at(-1)?.masked).toEqual({ email: 1 });
  });

  test('need a model by name and a role', async () => {
    const auto = await rejectionOf(researcher.embeddings.create({ model: 'auto', input: 'one' }));
    expect(auto).toMatchObject({ status: 403 });
    const student = await rejectionOf(openai.embeddings.create({ model: 'text-embedding-3-small', input: 'one' }));
    expect(student).toMatchObject({ status: 403, code: 'endpoint_not_allowed' });
  });
});

describe('legacy completions', () => {
  test('come whole and streamed from a model that has them', async () => {
    const answer = await researcher.completions.create({ model: 'campus-8b', prompt: STORY, max_tokens: 50 });
    expect(answer.choices[0]?.text).toEqual(expect.any(String));
    let text = '';
    for await (const chunk of await researcher.completions.create({
      model: 'campus-8b',
      prompt: STORY,
      max_tokens: 50,
      stream: true,
    })) {
      text += chunk.choices[0]?.text ?? '';
    }
    expect(text).toBe(answer.choices[0]?.text);
  });

  test('are refused for a model that has not', async () => {
    const error = await rejectionOf(researcher.completions.create({ model: GPT, prompt: STORY }));
    expect(error).toMatchObject({ status: 403 });
  });
});
