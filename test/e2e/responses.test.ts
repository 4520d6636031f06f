import { createOpenAI } from '@ai-sdk/openai';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { splitEvents } from '../../gateway/protocol/sse.ts';
import { estimateTokens } from '../../gateway/tokens.ts';
import { answerJson, answerStream } from '../support/fake-upstream.ts';
import { CHAT_MODEL, openTestGateway, type Person, type TestGateway } from '../support/gateway.ts';
import { recordingsOf } from '../support/recordings.ts';
import { CODEX } from '../support/responses.ts';

type Json = Record<string, unknown>;

let gateway: TestGateway;
let openai: OpenAI;
beforeAll(async () => {
  gateway = await openTestGateway();
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.key('teacher'), maxRetries: 0 });
});
afterAll(() => gateway.close());

const post = (body: object, as: Person = 'teacher'): Promise<Response> =>
  gateway.post('/v1/responses', { model: CHAT_MODEL, input: 'Hello.', ...body }, { as });
const { whole, streamed } = recordingsOf('responses');

/** Cuts bytes at places that no event knows of. */
const cut = (bytes: Buffer, size: number): Buffer[] => {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
};

const expectUsage = async (answer: Response, response: Json): Promise<void> => {
  const isOver = response.status !== 'failed';
  const outcome = await gateway.outcomeOf(answer);
  expect(outcome).toMatchObject({ outcome: isOver ? 'ok' : 'failed', status: 200, upstream: 'openai' });
  if (!isOver) return;
  const { source, ...tokens } = outcome.usage!;
  // A count of nothing is none.
  if ((response.usage as Json).total_tokens === 0) {
    expect(source).toBe('estimated');
    return;
  }
  expect(source).toBe('provider');
  const sum = Object.values(tokens).reduce((total, count) => total + count, 0);
  expect(sum).toBe((response.usage as Json).total_tokens);
};

describe('a response comes back byte for byte, with its usage in the audit', () => {
  test.each(whole.map((recording) => [recording.name, recording] as const))('%s', async (_, recording) => {
    gateway.openai.play = answerJson(200, recording.bytes);
    const answer = await post({});
    expect(Buffer.from(await answer.arrayBuffer()).equals(recording.bytes)).toBe(true);
    await expectUsage(answer, recording.parsed[0]!);
  });

  test.each(streamed.map((recording) => [recording.name, recording] as const))('%s', async (_, recording) => {
    gateway.openai.play = answerStream(cut(recording.bytes, Math.max(37, Math.ceil(recording.bytes.length / 60))));
    // Whose output cap is larger than every recorded answer: a stream is held to it.
    const answer = await post({ stream: true }, 'service');
    expect(await answer.text()).toBe(recording.bytes.toString());
    await expectUsage(answer, recording.parsed.at(-1)!.response as Json);
  });
});

test('a body of Codex reaches the provider as it was sent', async () => {
  gateway.openai.play = answerStream([streamed[0]!.bytes]);
  const body = JSON.stringify({ ...CODEX, model: CHAT_MODEL });
  const answer = await gateway.post('/v1/responses', body, { as: 'teacher' });
  await answer.text();
  expect(answer.status).toBe(200);
  expect(gateway.openai.last().path).toBe('/v1/responses');
  const sent = gateway.openai.last().body.toString();
  // A cap is the policy's.
  expect(sent.replace(/,"max_output_tokens":\d+\}$/, '}')).toBe(body);
});

const VALUE = 'jane.doe@example.org';

/** What a model says of the placeholder that it was sent. */
const stream = (placeholder: string): Buffer => {
  const text = `Mail ${placeholder}, or not: EMAIL_`;
  const args = JSON.stringify({ to: placeholder });
  const items = [
    {
      id: 'msg_1',
      type: 'message',
      status: 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
    { id: 'fc_1', type: 'function_call', status: 'completed', call_id: 'call_1', name: 'send', arguments: args },
  ];
  const response = {
    id: 'resp_1',
    object: 'response',
    created_at: 1,
    model: 'm',
    status: 'in_progress',
    output: [],
    usage: null,
  };
  const at = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  const pieces = (all: string): string[] => all.match(/.{1,5}/gs) ?? [];
  const events: Json[] = [
    { type: 'response.created', response },
    { type: 'response.output_item.added', output_index: 0, item: { ...items[0], status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', ...at, part: { type: 'output_text', text: '', annotations: [] } },
    ...pieces(text).map((delta) => ({ type: 'response.output_text.delta', ...at, delta, logprobs: [] })),
    { type: 'response.output_text.done', ...at, text, logprobs: [] },
    { type: 'response.content_part.done', ...at, part: (items[0]!.content as Json[])[0] },
    { type: 'response.output_item.done', output_index: 0, item: items[0] },
    {
      type: 'response.output_item.added',
      output_index: 1,
      item: { ...items[1], status: 'in_progress', arguments: '' },
    },
    ...pieces(args).map((delta) => ({
      type: 'response.function_call_arguments.delta',
      item_id: 'fc_1',
      output_index: 1,
      delta,
    })),
    { type: 'response.function_call_arguments.done', item_id: 'fc_1', output_index: 1, name: 'send', arguments: args },
    { type: 'response.output_item.done', output_index: 1, item: items[1] },
    {
      type: 'response.completed',
      response: {
        ...response,
        status: 'completed',
        output: items,
        usage: { input_tokens: 9, output_tokens: 5, total_tokens: 14 },
      },
    },
  ];
  const said = events.map(
    (event, n) => `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: n })}\n\n`,
  );
  return Buffer.from(said.join(''));
};
const placeholderIn = (body: Buffer): string => {
  expect(body.toString()).not.toContain(VALUE);
  return /EMAIL_[0-9A-Z]{13}/.exec(body.toString())![0];
};
const TOOLS = [{ type: 'function' as const, name: 'send', parameters: {}, strict: false }];

describe('a value that the provider must not see', () => {
  test('is back in every event that the official client reads', async () => {
    gateway.openai.play = (request, response) =>
      answerStream(cut(stream(placeholderIn(request.body)), 50))(request, response);
    const events: Json[] = [];
    const reading = openai.responses.stream({ model: CHAT_MODEL, input: `Write to ${VALUE}.`, tools: TOOLS });
    for await (const event of reading) events.push(event as unknown as Json);
    const text = `Mail ${VALUE}, or not: EMAIL_`;
    const final = await reading.finalResponse();
    expect(final.output_text).toBe(text);
    const joined = (type: string): string =>
      events.flatMap((event) => (event.type === type ? [event.delta] : [])).join('');
    expect(joined('response.output_text.delta')).toBe(text);
    // The policy restores texts, and no arguments of tools.
    const args = joined('response.function_call_arguments.delta');
    expect(JSON.parse(args)).toEqual({ to: expect.stringMatching(/^EMAIL_[0-9A-Z]{13}$/) });
    expect(final.output[1]).toMatchObject({ type: 'function_call', arguments: args });
    expect(JSON.stringify(events.filter(({ output_index }) => output_index === 0))).not.toMatch(/EMAIL_[0-9A-Z]{13}/);
    // The delta that carries what was held back comes before what says that the text is over.
    const types = events.map(({ type }) => type);
    expect(types.lastIndexOf('response.output_text.delta')).toBe(types.indexOf('response.output_text.done') - 1);
  });

  test('is back in a whole response', async () => {
    gateway.openai.play = (request, response) => {
      const events = splitEvents(stream(placeholderIn(request.body)));
      const last = JSON.parse(events.at(-1)!.toString().split('\ndata: ')[1]!) as Json;
      return answerJson(200, last.response)(request, response);
    };
    const answer = await openai.responses.create({
      model: CHAT_MODEL,
      input: [{ role: 'user', content: `Write to ${VALUE}.` }],
    });
    expect(answer.output_text).toBe(`Mail ${VALUE}, or not: EMAIL_`);
  });
});

describe('the AI SDK', () => {
  /** The parts that its provider makes of a streamed answer. */
  const partsOf = async (text: string): Promise<Json[]> => {
    const provider = createOpenAI({ baseURL: `${gateway.url}/v1`, apiKey: await gateway.key('teacher') });
    const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text }] }];
    const { stream } = await provider.responses(CHAT_MODEL).doStream({ prompt });
    const parts: Json[] = [];
    for await (const part of stream) parts.push(part as unknown as Json);
    return parts;
  };

  test('reads what is restored, and the events that are written for it', async () => {
    gateway.openai.play = (request, response) =>
      answerStream(cut(stream(placeholderIn(request.body)), 50))(request, response);
    const parts = await partsOf(`Write to ${VALUE}.`);
    const text = parts.flatMap(({ type, delta }) => (type === 'text-delta' ? [delta] : [])).join('');
    expect(text).toBe(`Mail ${VALUE}, or not: EMAIL_`);
    expect(parts.filter(({ type }) => type === 'error')).toEqual([]);
    expect(parts.at(-1)).toMatchObject({
      type: 'finish',
      usage: { inputTokens: { total: 9 }, outputTokens: { total: 5 } },
    });
  });

  test('reads the error of a stream that breaks off', async () => {
    gateway.openai.play = answerStream([stream('you').subarray(0, 900)]);
    const parts = await partsOf('Hello.');
    const errors = parts.filter(({ type }) => type === 'error');
    expect(errors).toHaveLength(1);
    expect(JSON.stringify(errors[0])).toContain('ended the answer before it was complete');
  });
});

describe('what goes wrong', () => {
  const bytes = streamed.find(({ name }) => name.includes('web-search'))!.bytes;

  test('a stream that breaks off ends with an error that the official client throws', async () => {
    gateway.openai.play = answerStream([bytes.subarray(0, bytes.length / 2)]);
    const answer = await post({ stream: true });
    const events = splitEvents(Buffer.from(await answer.text())).map(String);
    expect(events.at(-1)).toMatch(/^event: error\ndata: \{"type":"error","code":"upstream_error",/);
    expect(events.join('')).not.toContain('response.completed');
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'incomplete', error: 'upstream_error' });

    const reading = await openai.responses.create({ model: CHAT_MODEL, input: 'Hello.', stream: true });
    const read = async (): Promise<void> => {
      for await (const _ of reading) void _;
    };
    await expect(read()).rejects.toThrow(/ended the answer before it was complete/);
  });

  test('what a broken stream has said is estimated once, though it was said in pieces and whole', async () => {
    const text = 'Rivers carry water from the mountains to the sea. '.repeat(20);
    const at = { output_index: 0, content_index: 0, item_id: 'm' };
    const part = { type: 'output_text', text };
    const events = [
      ...text.match(/.{1,7}/gs)!.map((delta) => ({ type: 'response.output_text.delta', ...at, delta })),
      { type: 'response.output_text.done', ...at, text },
      { type: 'response.content_part.done', ...at, part },
      { type: 'response.output_item.done', output_index: 0, item: { type: 'message', content: [part] } },
    ];
    gateway.openai.play = answerStream(
      events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`),
    );
    const answer = await post({ stream: true });
    await answer.text();
    const { usage } = await gateway.outcomeOf(answer);
    const once = estimateTokens([text]);
    expect(usage).toMatchObject({ source: 'estimated' });
    expect(usage!.output).toBeGreaterThanOrEqual(once * 0.8);
    expect(usage!.output).toBeLessThan(once * 1.7);
  });

  test('what is stored at the provider is refused, and it is not asked', async () => {
    const asked = gateway.openai.requests.length;
    const refused = openai.responses.create({ model: CHAT_MODEL, input: 'More.', previous_response_id: 'resp_1' });
    await expect(refused).rejects.toMatchObject({
      status: 400,
      code: 'invalid_field',
      param: 'previous_response_id',
      error: { hint: expect.stringContaining('store: false') },
    });
    expect(gateway.openai.requests.length).toBe(asked);
  });
});
