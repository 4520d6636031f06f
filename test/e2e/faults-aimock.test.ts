import Anthropic from '@anthropic-ai/sdk';
import { LLMock } from '@copilotkit/aimock';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { type Books, openBooks } from '../support/books.ts';
import { freshUpstreams } from '../support/fresh-upstreams.ts';
import { openTestGateway, PROVIDER_KEY, type TestGateway, type UpstreamSketch } from '../support/gateway.ts';

// The official clients, the gateway, and providers that are not of this project: what one of ours got wrong on both
// sides would show here.

const GPT = 'gpt-5.4-nano';
const CLAUDE = 'claude-haiku-5-5';
const STORY = 'Rivers run to the sea, “slowly” and 🐟 with them.';

let mock: LLMock;
let gateway: TestGateway;
let books: Books;
let openai: OpenAI;
let anthropic: Anthropic;
let key: string;

const sketches = (): UpstreamSketch[] => [
  {
    name: 'openai',
    kind: 'openai',
    base_url: `${mock.url}/v1`,
    api_key: PROVIDER_KEY,
    third_party: true,
  },
  {
    name: 'anthropic',
    kind: 'anthropic',
    base_url: mock.url,
    api_key: PROVIDER_KEY,
    third_party: true,
  },
];

beforeAll(async () => {
  mock = new LLMock({ port: 0, logLevel: 'silent' });
  await mock.start();
  gateway = await openTestGateway({ upstreams: sketches() });
  books = openBooks(gateway);
  key = await gateway.key('service');
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey: key, maxRetries: 0 });
});
afterAll(async () => {
  await gateway.close();
  await mock.stop();
});

beforeEach(async () => {
  await freshUpstreams(gateway, sketches());
  mock.clearChaos().reset();
});

/** What a client reads of an answer, whichever client it is. */
interface Read {
  readonly text: string;
  readonly call: { readonly name: string; readonly arguments: unknown } | null;
  readonly finish: string | null;
  readonly outputTokens: number;
}

interface Way {
  readonly way: string;
  readonly model: string;
  /** The path that the provider is asked at. */
  readonly path: string;
  ask(prompt: string, isStream: boolean, hasTool: boolean): Promise<Read>;
}

const CITY = { type: 'object' as const, properties: { city: { type: 'string' } } };
const calling = (name: string, json: string): Read['call'] => ({ name, arguments: JSON.parse(json) as unknown });

const chat = async (model: string, prompt: string, isStream: boolean, hasTool: boolean): Promise<Read> => {
  const request = {
    model,
    messages: [{ role: 'user' as const, content: prompt }],
    ...(hasTool ? { tools: [{ type: 'function' as const, function: { name: 'weather', parameters: CITY } }] } : {}),
  };
  const answer = isStream
    ? await openai.chat.completions
        .stream({ ...request, stream_options: { include_usage: true } })
        .finalChatCompletion()
    : await openai.chat.completions.create(request);
  const [choice] = answer.choices;
  const call = choice?.message.tool_calls?.[0];
  return {
    text: choice?.message.content ?? '',
    call: call?.type === 'function' ? calling(call.function.name, call.function.arguments) : null,
    finish: choice?.finish_reason ?? null,
    outputTokens: answer.usage?.completion_tokens ?? 0,
  };
};

const messages = async (model: string, prompt: string, isStream: boolean, hasTool: boolean): Promise<Read> => {
  const request = {
    model,
    max_tokens: 200,
    messages: [{ role: 'user' as const, content: prompt }],
    ...(hasTool ? { tools: [{ name: 'weather', input_schema: CITY }] } : {}),
  };
  const answer = isStream
    ? await anthropic.messages.stream(request).finalMessage()
    : await anthropic.messages.create(request);
  const call = answer.content.find((block) => block.type === 'tool_use');
  return {
    text: answer.content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    call: call ? { name: call.name, arguments: call.input } : null,
    finish: answer.stop_reason,
    outputTokens: answer.usage.output_tokens,
  };
};

const responses = async (model: string, prompt: string, isStream: boolean, hasTool: boolean): Promise<Read> => {
  const request = {
    model,
    input: prompt,
    ...(hasTool ? { tools: [{ type: 'function' as const, name: 'weather', parameters: CITY, strict: false }] } : {}),
  };
  const answer = isStream
    ? await openai.responses.stream(request).finalResponse()
    : await openai.responses.create(request);
  const call = answer.output.flatMap((item) => (item.type === 'function_call' ? [item] : []))[0];
  return {
    text: answer.output_text,
    call: call ? calling(call.name, call.arguments) : null,
    finish: answer.status ?? null,
    outputTokens: answer.usage?.output_tokens ?? 0,
  };
};

const OPENAI_PATH = '/v1/chat/completions';
const WAYS: readonly Way[] = [
  { way: 'chat completions of OpenAI', model: GPT, path: OPENAI_PATH, ask: (...how) => chat(GPT, ...how) },
  { way: 'messages of Anthropic', model: CLAUDE, path: '/v1/messages', ask: (...how) => messages(CLAUDE, ...how) },
  { way: 'responses of OpenAI', model: GPT, path: '/v1/responses', ask: (...how) => responses(GPT, ...how) },
  { way: 'chat completions of Anthropic', model: CLAUDE, path: '/v1/messages', ask: (...how) => chat(CLAUDE, ...how) },
  { way: 'messages of OpenAI', model: GPT, path: OPENAI_PATH, ask: (...how) => messages(GPT, ...how) },
  { way: 'responses of Anthropic', model: CLAUDE, path: '/v1/messages', ask: (...how) => responses(CLAUDE, ...how) },
];

const lastOutcome = async () => {
  const all = [...(await books.outcomes()).values()];
  const last = all.at(-1);
  if (last?.length !== 1) throw new Error(`${last?.length} outcomes of one request`);
  return last[0]!;
};

const failureOf = async (promise: Promise<unknown>): Promise<{ status?: number; message: string }> =>
  promise.then(
    (answer) => {
      throw new Error(`it did not fail: ${JSON.stringify(answer)}`);
    },
    (error: unknown) => error as { status?: number; message: string },
  );

describe.each(WAYS)('$way', ({ model, path, ask }) => {
  describe.each([false, true])('(streamed: %s)', (isStream) => {
    test('says what the provider said, and is charged what it counted', async () => {
      mock.onMessage('river', {
        content: STORY,
        usage: { prompt_tokens: 11, completion_tokens: 13, total_tokens: 24 },
      });
      const answer = await ask('Tell me of a river.', isStream, false);
      expect(answer.text).toBe(STORY);
      expect(answer.finish).toMatch(/^(stop|end_turn|completed)$/);
      const outcome = await lastOutcome();
      expect(outcome).toMatchObject({ outcome: 'ok', model, usage: { source: 'provider' } });
      expect(outcome.usage?.output).toBe(answer.outputTokens);
      const [seen, ...others] = mock.getRequests();
      expect(others).toEqual([]);
      expect(seen).toMatchObject({ method: 'POST', path });
      expect(JSON.stringify(seen)).not.toContain(key);
      expect(Object.keys(seen?.headers ?? {}).filter((name) => name.startsWith('x-aegis'))).toEqual([]);
    });

    test('calls a tool', async () => {
      mock.onMessage('Oslo', { toolCalls: [{ name: 'weather', arguments: '{"city":"Oslo \\"Ø\\""}' }] });
      const answer = await ask('Weather in Oslo?', isStream, true);
      expect(answer.call).toEqual({ name: 'weather', arguments: { city: 'Oslo "Ø"' } });
      expect(await lastOutcome()).toMatchObject({ outcome: 'ok' });
    });

    test.each([
      [400, 400, 'rejected', 1],
      [401, 502, 'failed', 1],
      [404, 404, 'rejected', 1],
      [429, 429, 'failed', 1],
      [500, 502, 'failed', 2],
      [503, 503, 'failed', 2],
      [529, 529, 'failed', 2],
    ] as const)('tells a %s as %s, by the client’s own error', async (status, told, ending, sends) => {
      const error = { message: 'said by the provider', type: 'server_error', code: 'some_code' };
      mock.onMessage('river', { error, status, ...(status === 429 ? { retryAfter: 9 } : {}) });
      const failure = await failureOf(ask('Tell me of a river.', isStream, false));
      expect(failure.status).toBe(told);
      expect(failure.message.includes('said by the provider')).toBe(ending === 'rejected');
      if (status === 429) {
        expect((failure as unknown as { headers: Headers }).headers.get('retry-after')).toBe('9');
      }
      expect(await lastOutcome()).toMatchObject({ outcome: ending, status: told, cost: { micro_usd: 0 } });
      expect(mock.getRequests()).toHaveLength(sends);
    });

    test.each([
      ['drops it', { dropRate: 1 }, 502],
      ['limits it', { rateLimitRate: 1 }, 429],
      ['disconnects', { disconnectRate: 1 }, 502],
    ] as const)('fails when the provider %s', async (_, chaos, told) => {
      mock.onMessage('river', { content: STORY });
      mock.setChaos(chaos);
      const failure = await failureOf(ask('Tell me of a river.', isStream, false));
      expect(failure.status).toBe(told);
      expect(await lastOutcome()).toMatchObject({ outcome: 'failed', status: told });
    });

    test('fails when the provider answers what cannot be read', async () => {
      mock.onMessage('river', { content: STORY });
      mock.setChaos({ malformedRate: 1 });
      expect((await failureOf(ask('Tell me of a river.', isStream, false))).message).toMatch(/\S/);
      const outcome = await lastOutcome();
      expect(outcome.outcome).toMatch(/^(failed|incomplete)$/);
      expect(outcome.cost.micro_usd).toBeGreaterThan(0);
    });

    test('waits for a provider that is slow', async () => {
      mock.onMessage('river', { content: STORY }, { latency: 10, chunkSize: 10, chaos: { latencyMs: 100 } });
      expect((await ask('Tell me of a river.', isStream, false)).text).toBe(STORY);
      expect(await lastOutcome()).toMatchObject({ outcome: 'ok' });
    });
  });

  test.each([
    ['ends too early', { truncateAfterChunks: 3, chunkSize: 5 }],
    ['is cut off', { disconnectAfterMs: 60, latency: 20, chunkSize: 5 }],
  ])('of a stream that %s are an error to the client, never an answer', async (_, how) => {
    mock.onMessage('river', { content: STORY }, how);
    expect((await failureOf(ask('Tell me of a river.', true, false))).message).toMatch(/\S/);
    const outcome = await lastOutcome();
    expect(outcome.outcome).toMatch(/^(incomplete|failed)$/);
    expect(outcome.cost.micro_usd).toBeGreaterThan(0);
    expect(books.reserved()).toBe(0);
  });
});

test('after all of it each intent has one outcome and nothing is reserved', async () => {
  const outcomes = await books.outcomes();
  for (const id of (await books.intents()).keys()) expect(outcomes.get(id)).toHaveLength(1);
  await books.settled();
});
