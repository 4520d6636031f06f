import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { openSandbox, type Sandbox } from '../../../gateway/upstream/sandbox/sandbox.ts';
import { countTokens } from '../../../gateway/upstream/sandbox/tokens.ts';

let sandbox: Sandbox;
let openai: OpenAI;
let anthropic: Anthropic;
beforeAll(async () => {
  sandbox = await openSandbox();
  openai = new OpenAI({ baseURL: `${sandbox.url}/v1`, apiKey: 'none', maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: sandbox.url, apiKey: 'none', maxRetries: 0 });
});
afterAll(() => sandbox.close());

const raw = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${sandbox.url}/v1${path}`, { method: 'POST', body: JSON.stringify(body), headers });

const WEATHER = {
  type: 'function' as const,
  name: 'weather',
  strict: null,
  parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } },
};

describe('responses', () => {
  const ask = (
    input: string | OpenAI.Responses.ResponseInput,
    more: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming> = {},
  ) => openai.responses.create({ model: 'gpt-x', input, ...more });

  test('a text is answered, and the request repeated', async () => {
    const response = await ask('Write about rivers.', { instructions: 'Be brief.', metadata: { a: 'b' } });
    expect(response.output_text).toMatch(/^This is the sandbox/);
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      error: null,
      incomplete_details: null,
      model: 'gpt-x',
      instructions: 'Be brief.',
      metadata: { a: 'b' },
      tool_choice: 'auto',
      output: [{ type: 'message', role: 'assistant', status: 'completed' }],
    });
    expect(response.id).toMatch(/^resp_sandbox_/);
    expect(response.usage!.output_tokens).toBe(countTokens(response.output_text));
    expect(response.usage!.total_tokens).toBe(response.usage!.input_tokens + response.usage!.output_tokens);
  });

  test('what stands anywhere in the items comes back by name, and a result is repeated', async () => {
    const items: OpenAI.Responses.ResponseInput = [
      { role: 'developer', content: 'The teacher is EMAIL_G4T9QYH02M6KD.' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Write to ada@example.com' }] },
    ];
    const { output_text: text } = await ask(items);
    expect(text).toContain('EMAIL_G4T9QYH02M6KD');
    expect(text).toContain('ada@example.com');
    const call = { type: 'function_call' as const, call_id: 'c', name: 'weather', arguments: '{}' };
    const after = await ask([...items, call, { type: 'function_call_output', call_id: 'c', output: 'It rains.' }]);
    expect(after.output_text).toBe('The tool answered: It rains.');
  });

  test('a forced function is called, whole and streamed, with arguments that fit', async () => {
    const params = { model: 'gpt-x', input: 'Paris', tools: [WEATHER], tool_choice: 'required' as const };
    const { output } = await openai.responses.create(params);
    expect(output).toMatchObject([{ type: 'function_call', name: 'weather', status: 'completed' }]);
    const named = { ...params, tool_choice: { type: 'function' as const, name: 'weather' } };
    const final = await openai.responses.stream(named).finalResponse();
    expect(final.output).toEqual([
      { ...output[0], id: expect.any(String), call_id: expect.any(String), parsed_arguments: null },
    ]);
    const call = final.output[0] as OpenAI.Responses.ResponseFunctionToolCall;
    expect(JSON.parse(call.arguments)).toEqual({ city: 'Paris', days: 1 });
  });

  test('JSON asked for is JSON that fits the schema', async () => {
    const schema = { type: 'object', properties: { answer: { type: 'string' } } };
    const { output_text: text } = await ask('Paris', { text: { format: { type: 'json_schema', name: 'a', schema } } });
    expect(JSON.parse(text)).toEqual({ answer: 'Paris' });
  });

  test('a cap on output tokens makes the response incomplete, whole and streamed', async () => {
    const response = await ask('Write about rivers.', { max_output_tokens: 5 });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      usage: { output_tokens: 5 },
      output: [{ status: 'incomplete' }],
    });
    const text = await (
      await raw('/responses', { model: 'm', input: 'Hi.', max_output_tokens: 5, stream: true })
    ).text();
    expect(text.trimEnd().split('\n\n').at(-1)).toMatch(/^event: response\.incomplete\n/);
  });

  test('a stream has the provider’s sequence of events, numbered, and joins to the whole answer', async () => {
    const whole = await ask('Write about rivers.');
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    const stream = await openai.responses.create({ model: 'gpt-x', input: 'Write about rivers.', stream: true });
    for await (const event of stream) events.push(event);
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
    const types = events.map(({ type }) => type);
    expect(types.filter((type, index) => type !== types[index - 1])).toEqual([
      ...['response.created', 'response.in_progress', 'response.output_item.added', 'response.content_part.added'],
      ...['response.output_text.delta', 'response.output_text.done', 'response.content_part.done'],
      ...['response.output_item.done', 'response.completed'],
    ]);
    const deltas = events.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : []));
    expect(deltas.join('')).toBe(whole.output_text);
    expect(deltas.length).toBe(whole.usage!.output_tokens);
    const added = events.find((event) => event.type === 'response.output_item.added');
    expect(added).toMatchObject({ item: { type: 'message', status: 'in_progress', content: [] } });
    expect(events.at(-1)).toMatchObject({ response: { status: 'completed', usage: whole.usage } });
  });

  test('the official client’s own reader of streams comes to the same response', async () => {
    const whole = await ask('Write about rivers.');
    const final = await openai.responses.stream({ model: 'gpt-x', input: 'Write about rivers.' }).finalResponse();
    expect([final.output_text, final.status, final.usage]).toEqual([whole.output_text, 'completed', whole.usage]);
  });

  test('of a function call bring its arguments in pieces', async () => {
    const stream = await openai.responses.create({
      model: 'gpt-x',
      input: 'Paris',
      tools: [WEATHER],
      tool_choice: 'required',
      stream: true,
    });
    let args = '';
    const types = new Set<string>();
    for await (const event of stream) {
      types.add(event.type);
      if (event.type === 'response.function_call_arguments.delta') args += event.delta;
      if (event.type === 'response.function_call_arguments.done') expect(event.arguments).toBe(args);
    }
    expect(JSON.parse(args)).toEqual({ city: 'Paris', days: 1 });
    expect([...types]).toEqual([
      ...['response.created', 'response.in_progress', 'response.output_item.added'],
      ...['response.function_call_arguments.delta', 'response.function_call_arguments.done'],
      ...['response.output_item.done', 'response.completed'],
    ]);
  });

  test.each<[object, string]>([
    [{ input: 'x' }, 'model'],
    [{ model: 'm' }, 'input'],
    [{ model: 'm', input: [] }, 'input'],
    [{ model: 'm', input: 'x', max_output_tokens: 0 }, 'max_output_tokens'],
    [{ model: 'm', input: 'x', previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ model: 'm', input: 'x', conversation: 'conv_1' }, 'conversation'],
    [{ model: 'm', input: 'x', tool_choice: { type: 'function', name: 'f' } }, 'tool_choice'],
  ])('%j is 400 naming %s', async (body, param) => {
    const response = await raw('/responses', body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param } });
  });
});

describe('embeddings', () => {
  const embed = async (
    input: OpenAI.EmbeddingCreateParams['input'],
    more: Partial<OpenAI.EmbeddingCreateParams> = {},
  ) => openai.embeddings.create({ model: 'text-embedding-3-small', input, ...more });
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);

  test('the official client gets the same numbers in base64, its default, as in floats', async () => {
    const coded = await embed('Rivers run to the sea.');
    const plain = await embed('Rivers run to the sea.', { encoding_format: 'float' });
    expect(coded.data[0]!.embedding).toHaveLength(1536);
    expect([...coded.data[0]!.embedding]).toEqual(plain.data[0]!.embedding.map(Math.fround));
    const body = { model: 'm', input: 'x', encoding_format: 'base64', dimensions: 3 };
    const answer = (await (await raw('/embeddings', body)).json()) as { data: { embedding: string }[] };
    expect(Buffer.from(answer.data[0]!.embedding, 'base64')).toHaveLength(12);
  });

  test('vectors have length one, are the same every time, and nearer for texts that share words', async () => {
    const { data, usage } = await embed(['the cat sat on the mat', 'the cat sat on a mat', 'quarterly tax returns']);
    const [cat, other, tax] = data.map(({ embedding }) => embedding);
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
    for (const vector of [cat!, other!, tax!]) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    expect(dot(cat!, other!)).toBeGreaterThan(0.6);
    expect(dot(cat!, tax!)).toBeLessThan(0.3);
    expect((await embed('the cat sat on the mat')).data[0]!.embedding).toEqual(cat);
    expect(usage).toEqual({
      prompt_tokens: 6 + 6 + countTokens('quarterly tax returns'),
      total_tokens: usage.prompt_tokens,
    });
  });

  test.each([1, 2, 256, 1536])('%i dimensions are kept, of length one', async (dimensions) => {
    const [item] = (await embed('Rivers run.', { dimensions })).data;
    expect(item!.embedding).toHaveLength(dimensions);
    expect(dot(item!.embedding, item!.embedding)).toBeCloseTo(1, 5);
  });

  test('a large model has more dimensions, and token ids are counted', async () => {
    const { data, usage } = await embed([[1, 2, 3], [4]], { model: 'text-embedding-3-large' });
    expect(data.map(({ embedding }) => embedding.length)).toEqual([3072, 3072]);
    expect(usage.prompt_tokens).toBe(4);
    expect((await embed([1, 2])).data).toHaveLength(1);
  });

  test.each<[object, string]>([
    [{ input: 'x' }, 'model'],
    [{ model: 'm' }, 'input'],
    [{ model: 'm', input: '' }, 'input'],
    [{ model: 'm', input: [] }, 'input'],
    [{ model: 'm', input: ['x', 5] }, 'input'],
    [{ model: 'm', input: Array(2049).fill('x') }, 'input'],
    [{ model: 'm', input: 'x', dimensions: 1537 }, 'dimensions'],
    [{ model: 'm', input: 'x', encoding_format: 'int8' }, 'encoding_format'],
  ])('a body %# that is wrong is 400 naming %s', async (body, param) => {
    const response = await raw('/embeddings', body);
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
  });
});

describe('completions', () => {
  const complete = (
    prompt: OpenAI.CompletionCreateParams['prompt'],
    more: Partial<OpenAI.CompletionCreateParamsNonStreaming> = {},
  ) => openai.completions.create({ model: 'instruct', prompt, max_tokens: 500, ...more });

  test('a prompt is completed', async () => {
    const { choices, usage, object, id } = await complete('Write about rivers.');
    expect([object, id.startsWith('cmpl-sandbox-')]).toEqual(['text_completion', true]);
    expect(choices).toMatchObject([{ index: 0, finish_reason: 'stop', logprobs: null }]);
    expect(choices[0]!.text).toMatch(/^This is the sandbox/);
    expect(usage).toMatchObject({ prompt_tokens: 4, completion_tokens: countTokens(choices[0]!.text) });
  });

  test('every prompt has its choices, and usage counts them all', async () => {
    const one = await complete('Is water wet?');
    const { choices, usage } = await complete(['Is water wet?', 'Is fire cold?'], { n: 2, best_of: 3 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(choices.slice(0, 2).map(({ text }) => text)).toEqual(Array(2).fill(one.choices[0]!.text));
    const out = choices.reduce((sum, { text }) => sum + countTokens(text), 0);
    expect(usage).toMatchObject({ prompt_tokens: 2 * one.usage!.prompt_tokens, completion_tokens: out });
    expect((await complete([1, 2, 3])).usage!.prompt_tokens).toBe(3);
  });

  test('caps, OpenAI’s default of 16 and one of 0 for the echo of a prompt, are kept', async () => {
    const { choices, usage } = await complete('Write about rivers.', { max_tokens: null });
    expect([choices[0]!.finish_reason, usage!.completion_tokens]).toEqual(['length', 16]);
    const echoed = await complete('Write about rivers.', { max_tokens: 0, echo: true });
    expect(echoed.choices[0]!.text).toBe('Write about rivers.');
    const stopped = await complete('Write about rivers.', { stop: ' offline' });
    expect(stopped.choices[0]!.text).toBe('This is the sandbox: it answers');
  });

  test('streams join to the whole answer, with usage when it was asked for', async () => {
    const whole = await complete(['Write about rivers.', 'Is water wet?'], { echo: true });
    const stream = await openai.completions.create({
      model: 'instruct',
      prompt: ['Write about rivers.', 'Is water wet?'],
      max_tokens: 500,
      echo: true,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ['', ''];
    const finishes: unknown[] = [];
    let usage: OpenAI.CompletionUsage | undefined;
    for await (const { choices, usage: told } of stream) {
      for (const { index, text, finish_reason: finish } of choices) {
        texts[index] += text;
        if (finish) finishes.push([index, finish]);
      }
      usage = told ?? usage;
    }
    expect(texts).toEqual(whole.choices.map(({ text }) => text));
    expect([finishes, usage]).toEqual([
      [
        [0, 'stop'],
        [1, 'stop'],
      ],
      whole.usage,
    ]);
    const plain = await (await raw('/completions', { model: 'm', prompt: 'Hi.', stream: true })).text();
    expect(plain).not.toContain('usage');
    expect(plain.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test.each<[object, string]>([
    [{ prompt: 'x' }, 'model'],
    [{ model: 'm', prompt: 5 }, 'prompt'],
    [{ model: 'm', prompt: [] }, 'prompt'],
    [{ model: 'm', prompt: 'x', n: 0 }, 'n'],
    [{ model: 'm', prompt: 'x', n: 3, best_of: 2 }, 'best_of'],
    [{ model: 'm', prompt: 'x', max_tokens: -1 }, 'max_tokens'],
  ])('%j is 400 naming %s', async (body, param) => {
    const response = await raw('/completions', body);
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
  });
});

describe('counts of tokens', () => {
  const BODY = { model: 'claude-x', messages: [{ role: 'user' as const, content: 'Write about rivers.' }] };

  test('are what the same message then uses', async () => {
    const { input_tokens: count } = await anthropic.messages.countTokens({ ...BODY, system: 'Be brief.' });
    const message = await anthropic.messages.create({ ...BODY, system: 'Be brief.', max_tokens: 50 });
    expect(count).toBe(message.usage.input_tokens);
  });

  test.each(['max_tokens', 'stream'])('%s is refused, as at the provider', async (name) => {
    const headers = { 'anthropic-version': '2023-06-01' };
    const response = await raw('/messages/count_tokens', { ...BODY, [name]: 1 }, headers);
    expect(response.status).toBe(400);
    const error = { type: 'invalid_request_error', message: `${name}: Extra inputs are not permitted` };
    expect(await response.json()).toMatchObject({ type: 'error', error });
  });

  test('need a version, and messages', async () => {
    expect((await raw('/messages/count_tokens', BODY)).status).toBe(400);
    await expect(anthropic.messages.countTokens({ ...BODY, messages: [] })).rejects.toMatchObject({ status: 400 });
  });
});

describe('faults', () => {
  const ENDPOINTS: readonly [string, (word: string) => object][] = [
    ['/responses', (input) => ({ model: 'nano', input })],
    ['/completions', (prompt) => ({ model: 'nano', prompt: ['Hi.', prompt] })],
    ['/embeddings', (input) => ({ model: 'nano', input: ['Hi.', input] })],
    ['/messages/count_tokens', (content) => ({ model: 'nano', messages: [{ role: 'user', content }] })],
  ];
  const ask = (path: string, body: object) => raw(path, body, { 'anthropic-version': '2023-06-01' });

  describe.each(ENDPOINTS)('of %s', (path, bodyOf) => {
    test.each([429, 503])('sandbox:%i is this status in its dialect', async (status) => {
      const response = await ask(path, bodyOf(`please sandbox:${status}@nano`));
      expect([response.status, response.headers.get('retry-after')]).toEqual([status, status === 429 ? '7' : null]);
      expect(await response.json()).toHaveProperty('error.type');
      expect((await ask(path, bodyOf(`sandbox:${status}@other`))).status).toBe(200);
    });

    test('quota is a 429 without retry-after', async () => {
      const response = await ask(path, bodyOf('sandbox:quota'));
      expect([response.status, response.headers.get('retry-after')]).toEqual([429, null]);
    });

    test('truncate and reset break the connection, garbage is not JSON', async () => {
      await expect(ask(path, bodyOf('sandbox:reset'))).rejects.toThrow();
      await expect(ask(path, bodyOf('sandbox:truncate')).then((response) => response.text())).rejects.toThrow();
      const text = await (await ask(path, bodyOf('sandbox:garbage'))).text();
      expect(() => JSON.parse(text)).toThrow(SyntaxError);
    });
  });

  describe.each(ENDPOINTS.slice(0, 2))('of streams of %s', (path, bodyOf) => {
    test('truncate cuts them off before their end', async () => {
      const response = await ask(path, { ...bodyOf('sandbox:truncate'), stream: true });
      expect(response.status).toBe(200);
      await expect(response.text()).rejects.toThrow();
    });

    test('garbage is an event that is not JSON', async () => {
      const text = await (await ask(path, { ...bodyOf('sandbox:garbage'), stream: true })).text();
      const events = [...text.matchAll(/^data: (.*)$/gm)].map((match) => match[1]!).filter((data) => data !== '[DONE]');
      expect(() => events.map((data) => JSON.parse(data) as unknown)).toThrow(SyntaxError);
    });
  });
});
