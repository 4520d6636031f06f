import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import { splitEvents } from '../../gateway/protocol/sse.ts';
import { type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { streamedRecordings, wholeRecordings } from '../support/recordings.ts';
import { playMistral } from '../support/strict-mistral.ts';

const MODEL = 'mistral-small-2603';
const wholeOf = (name: string) => wholeRecordings().find((recording) => recording.name.includes(name))!;
const streamOf = (name: string) => streamedRecordings().find((recording) => recording.name.includes(name))!;

let mistral: FakeUpstream;
let gateway: TestGateway;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  mistral = await openFakeUpstream();
  const provider = { name: 'mistral', kind: 'mistral', base_url: `${mistral.url}/v1`, api_key: 'k' } as const;
  const others = ['openai', 'anthropic', 'local'].map((name) => ({ name, kind: 'sandbox' }) as const);
  gateway = await openTestGateway({ upstreams: [provider, ...others] });
  const apiKey = await gateway.key('researcher');
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey, maxRetries: 0 });
});
beforeEach(() => {
  mistral.play = playMistral(wholeOf('mistral-text').parsed[0], splitEvents(streamOf('mistral-text').bytes));
});
afterAll(async () => {
  await gateway.close();
  await mistral.close();
});

const sent = () => JSON.parse(mistral.last().body.toString());
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } } };

describe('a provider that refuses every field it does not know', () => {
  test('answers a conversation with another provider’s calls, sent by the openai client', async () => {
    const answer = await openai.chat.completions.create({
      model: MODEL,
      max_completion_tokens: 50,
      seed: 7,
      user: 'u-1',
      store: false,
      tools: [{ type: 'function', function: { name: 'weather', parameters: PARAMETERS } }],
      tool_choice: 'required',
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', name: 'ann', content: 'The weather in Paris?' },
        {
          role: 'assistant',
          content: null,
          refusal: null,
          tool_calls: [{ id: 'call_0fypS1hVX', type: 'function', function: { name: 'weather', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'call_0fypS1hVX', content: 'rain' },
      ],
    });
    expect(answer.choices[0]!.message.content).toMatch(/\w/);
    expect(sent()).toMatchObject({ max_tokens: 50, random_seed: 7, tool_choice: 'any' });
    expect(sent().messages[3].tool_call_id).toBe(sent().messages[2].tool_calls[0].id);
  });

  test('streams to the openai client, and its usage is what is charged', async () => {
    const { data: stream, response } = await openai.chat.completions
      .create({
        model: MODEL,
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: 'user', content: 'Hello.' }],
      })
      .withResponse();
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect([text.startsWith('Hello'), usage]).toMatchObject([true, { prompt_tokens: 13, completion_tokens: 8 }]);
    const outcome = await gateway.outcomeOf(response);
    expect(outcome).toMatchObject({ outcome: 'ok', usage: { input: 13, output: 8, source: 'provider' } });
  });

  test.each([true, false])(
    'answers messages of the anthropic client, with tools and results, stream %s',
    async (stream) => {
      const body: Anthropic.MessageCreateParamsNonStreaming = {
        model: MODEL,
        max_tokens: 60,
        system: 'Be brief.',
        metadata: { user_id: 'u-1' },
        tools: [{ name: 'weather', input_schema: PARAMETERS as Anthropic.Tool.InputSchema }],
        tool_choice: { type: 'any' },
        messages: [
          { role: 'user', content: 'The weather in Paris?' },
          { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_01A', name: 'weather', input: {} }] },
          { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_01A', content: 'rain' }] },
        ],
      };
      const answer = stream
        ? await anthropic.messages.stream(body).finalMessage()
        : await anthropic.messages.create(body);
      expect(answer).toMatchObject({ type: 'message', stop_reason: 'end_turn', content: [{ type: 'text' }] });
      expect(sent()).toMatchObject({ max_tokens: 60, tool_choice: 'any' });
    },
  );

  test('answers responses of the openai client', async () => {
    const input = [
      { role: 'developer' as const, content: 'Be brief.' },
      { role: 'user' as const, content: 'Hello.' },
    ];
    const answer = await openai.responses.create({ model: MODEL, input, max_output_tokens: 40, store: false });
    expect([answer.status, answer.output_text.length > 0]).toEqual(['completed', true]);
    expect(sent().max_tokens).toBe(40);
  });

  test('is not asked what it cannot say: that is refused naming the field', async () => {
    const before = mistral.requests.length;
    const body = { model: MODEL, logprobs: true, messages: [{ role: 'user' as const, content: 'Hello.' }] };
    await expect(openai.chat.completions.create(body)).rejects.toMatchObject({ status: 400, param: 'logprobs' });
    expect(mistral.requests.length).toBe(before);
  });
});
