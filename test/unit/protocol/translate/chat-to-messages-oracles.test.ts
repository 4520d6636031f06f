import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { chatToMessages } from '../../../../gateway/protocol/translate/chat-to-messages.ts';
import { ROOT } from '../../../support/gateway.ts';
import { fetchOf, joinedChunks, streamsOf, translatedEvents, wireText } from '../../../support/translated-stream.ts';

const ANTHROPIC = join(ROOT, 'test/fixtures/provider-recordings/anthropic');
const CHAT = protocolOf('chat.completions');
const MESSAGES = protocolOf('messages');
const CONTEXT = {
  body: { model: 'claude-asked', messages: [] },
  id: '0a1b2c',
  created: 1_760_000_000,
  includeUsage: true,
};

const names = readdirSync(ANTHROPIC).sort();
const text = (name: string): string => readFileSync(join(ANTHROPIC, name), 'utf8');
const WHOLE = names
  .filter((name) => name.endsWith('.json'))
  .map((name): [string, Json] => [name, JSON.parse(text(name))]);
const STREAMS = names
  .filter((name) => name.endsWith('.chunks.txt'))
  .flatMap((name) => {
    const events = text(name)
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Json);
    return streamsOf(events).map((stream, index): [string, Json[]] => [`${name} ${index}`, stream]);
  });

/** What a reader made of an answer. */
interface Reading {
  readonly text: string;
  readonly calls: readonly unknown[];
  readonly finish: unknown;
  readonly usage: unknown;
}

type Part = Record<string, unknown>;
type Usage = { inputTokens: Record<string, unknown>; outputTokens: Record<string, unknown> };

const readingOf = (parts: readonly Part[], finish: unknown, usage: unknown): Reading => {
  const { inputTokens, outputTokens } = usage as Usage;
  const compacted = new Set(parts.filter(isCompaction).map(({ id }) => id));
  return {
    text: parts
      .filter((part) => !isCompaction(part) && (part.id === undefined || !compacted.has(part.id)))
      .map((part) => (part.type === 'text' ? part.text : part.type === 'text-delta' ? part.delta : ''))
      .join(''),
    calls: parts
      .filter((part) => part.type === 'tool-call' && part.providerExecuted !== true)
      .map(({ toolCallId, toolName, input }) => [toolCallId, toolName, JSON.parse(input as string)]),
    finish: (finish as { unified: unknown }).unified,
    usage: { input: inputTokens, output: { total: outputTokens.total, reasoning: outputTokens.reasoning ?? 0 } },
  };
};

/** The AI SDK shows a compacted context as a text, marked as one. */
const isCompaction = ({ providerMetadata }: Part): boolean =>
  ((providerMetadata as Json | undefined)?.anthropic as Json | undefined)?.type === 'compaction';

const PROMPT = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];
const anthropic = (fetch: typeof globalThis.fetch) => createAnthropic({ apiKey: 'x', fetch })('claude-opus-5-5');
const openai = (fetch: typeof globalThis.fetch) => createOpenAI({ apiKey: 'x', fetch }).chat('gpt-4o');

const readWhole = async (model: ReturnType<typeof anthropic | typeof openai>): Promise<Reading> => {
  const { content, finishReason, usage } = await model.doGenerate({ prompt: PROMPT });
  return readingOf(content as unknown as Part[], finishReason, usage);
};

const readStream = async (model: ReturnType<typeof anthropic | typeof openai>): Promise<Reading> => {
  const { stream } = await model.doStream({ prompt: PROMPT });
  const parts: Part[] = [];
  for await (const part of stream as unknown as AsyncIterable<Part>) parts.push(part);
  expect(parts.filter(({ type }) => type === 'error')).toEqual([]);
  const finish = parts.find(({ type }) => type === 'finish')!;
  return readingOf(parts, finish.finishReason, finish.usage);
};

/** Recordings whose iterations are billed beyond the totals; the caller is told what is billed, the AI SDK less. */
const BILLED_BEYOND = /advisor|compaction|fallback/;

/** The AI SDK shows OpenAI's `refusal` as a text, and Anthropic's explanation not at all. */
const compare = (name: string, native: Reading, ours: Reading, refusal: unknown): void => {
  const usage = BILLED_BEYOND.test(name) ? ours.usage : native.usage;
  expect(ours).toEqual({ ...native, text: native.text + (refusal ?? ''), usage });
};

describe('the AI SDK reads the same', () => {
  test.each(WHOLE)('in %s as it is and as a chat completion', async (name, body) => {
    const native = await readWhole(anthropic(fetchOf(JSON.stringify(body), 'application/json')));
    const answer = chatToMessages.answer(body, CONTEXT);
    const ours = await readWhole(openai(fetchOf(JSON.stringify(answer), 'application/json')));
    compare(name, native, ours, (answer.choices as [{ message: Json }])[0].message.refusal);
  });

  // A message that starts inside of another one is an error to the AI SDK.
  test.each(STREAMS.filter(([name]) => !name.startsWith('spliced')))(
    'in the stream %s as it is and as chunks',
    async (name, events) => {
      const native = await readStream(anthropic(fetchOf(wireText(MESSAGES, events), 'text/event-stream')));
      const chunks = translatedEvents(chatToMessages, events, CONTEXT);
      const ours = await readStream(openai(fetchOf(wireText(CHAT, chunks), 'text/event-stream')));
      compare(name, native, ours, (joinedChunks(chunks).message as Json).refusal);
    },
  );
});

describe('the official client', () => {
  const client = (body: string, type: string): OpenAI =>
    new OpenAI({ apiKey: 'x', maxRetries: 0, fetch: fetchOf(body, type) });
  const ASKED = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'Hi' }] };

  test.each(STREAMS)('joins the chunks of %s to what they say', async (_name, events) => {
    const chunks = translatedEvents(chatToMessages, events, CONTEXT);
    const said = joinedChunks(chunks);
    const stream = client(wireText(CHAT, chunks), 'text/event-stream').chat.completions.stream({
      ...ASKED,
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    const message = said.message as Json;
    expect(final.choices[0]!.message.content ?? '').toBe(message.content);
    expect(final.choices[0]!.finish_reason).toBe(said.finish_reason);
    expect(final.choices[0]!.message.tool_calls ?? []).toMatchObject(
      (message.tool_calls as object[] | undefined) ?? [],
    );
    expect(final.usage).toEqual(said.usage);
    expect((final.choices[0]!.message as unknown as Json).reasoning_details).toEqual(message.reasoning_details);
  });

  test.each(WHOLE)('reads %s', async (_name, body) => {
    const answer = chatToMessages.answer(body, CONTEXT);
    const final = await client(JSON.stringify(answer), 'application/json').chat.completions.create(ASKED);
    expect(final).toMatchObject(answer);
  });
});

describe('streamed and whole', () => {
  /** The message that a stream tells, as it would come whole. */
  const wholeOf = (events: readonly Json[]): Json => {
    let message: Json = {};
    let content: Json[] = [];
    const inputs: string[] = [];
    for (const event of events) {
      const index = event.index as number;
      const delta = (event.delta ?? {}) as Json;
      if (event.type === 'message_start') {
        message = { ...(event.message as Json) };
        content = [...(message.content as Json[])];
        inputs.length = 0;
      } else if (event.type === 'content_block_start') content[index] = { ...(event.content_block as Json) };
      else if (event.type === 'content_block_delta') {
        const block = content[index]!;
        if (delta.type === 'input_json_delta') inputs[index] = (inputs[index] ?? '') + delta.partial_json;
        for (const key of ['text', 'thinking', 'signature']) {
          if (key in delta) block[key] = ((block[key] as string | undefined) ?? '') + delta[key];
        }
      } else if (event.type === 'message_delta') {
        message = { ...message, ...delta, usage: { ...(message.usage as Json), ...(event.usage as Json) } };
      }
    }
    inputs.forEach((input, index) => {
      if (input !== '') content[index]!.input = JSON.parse(input);
    });
    return { ...message, content };
  };

  test.each(STREAMS.filter(([name]) => !name.startsWith('spliced')))('agree on %s', (_name, events) => {
    const said = joinedChunks(translatedEvents(chatToMessages, events, CONTEXT));
    const answer = chatToMessages.answer(wholeOf(events), CONTEXT);
    const [choice] = answer.choices as { message: Json; finish_reason: unknown }[];
    const { content, refusal, tool_calls: calls, ...rest } = choice!.message;
    const parsed = (list: unknown): unknown =>
      ((list ?? []) as { function: Json }[]).map(({ function: said, ...call }) => ({
        ...call,
        function: { ...said, arguments: JSON.parse(said.arguments as string) },
      }));
    const { content: chunks, tool_calls: callChunks, refusal: refusalChunks, ...others } = said.message as Json;
    expect(chunks).toBe(content ?? '');
    expect(refusalChunks ?? null).toBe(refusal);
    expect(parsed(callChunks)).toEqual(parsed(calls));
    expect(others).toEqual(rest);
    expect(said.finish_reason).toBe(choice!.finish_reason);
    expect(said.usage).toEqual(answer.usage);
  });
});

describe('the AI SDK asks the same', () => {
  type Options = Parameters<ReturnType<typeof anthropic>['doGenerate']>[0];
  const file = (mediaType: string, data: string) =>
    ({ type: 'file', mediaType, filename: 'a.pdf', data: { type: 'data', data } }) as const;
  const PLAIN: Options = {
    maxOutputTokens: 500,
    stopSequences: ['END'],
    prompt: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'See' },
          file('image/png', 'iVBORw0KGgo='),
          file('application/pdf', 'JVBERi0xLjQ='),
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'Well' },
          { type: 'tool-call', toolCallId: 'a', toolName: 'f', input: { x: 1 } },
          { type: 'tool-call', toolCallId: 'b', toolName: 'f', input: {} },
        ],
      },
      {
        role: 'tool',
        content: [
          { type: 'tool-result', toolCallId: 'a', toolName: 'f', output: { type: 'text', value: 'one' } },
          { type: 'tool-result', toolCallId: 'b', toolName: 'f', output: { type: 'json', value: { y: 2 } } },
        ],
      },
      { role: 'user', content: [{ type: 'text', text: 'So?' }] },
    ],
  };
  const SCHEMA = { type: 'object', properties: { x: { type: 'number' } }, additionalProperties: false } as const;
  const TOOLS: Options = {
    ...PLAIN,
    tools: [{ type: 'function', name: 'f', description: 'd', inputSchema: SCHEMA, strict: true }],
  };

  /** The body that a model of the AI SDK sends. */
  const bodyOf = async (
    make: (fetch: typeof globalThis.fetch) => ReturnType<typeof anthropic | typeof openai>,
    options: Options,
  ): Promise<Json> => {
    let sent: Json | undefined;
    const model = make(async (_url, init) => {
      sent = JSON.parse(init?.body as string) as Json;
      return new Response('{}', { status: 500 });
    });
    await expect(model.doGenerate(options)).rejects.toBeDefined();
    return sent!;
  };

  test.each<[string, Options]>([
    ['texts, files, calls and results', PLAIN],
    ['a tool that may be called', { ...TOOLS, toolChoice: { type: 'auto' } }],
    ['a tool that must be called', { ...TOOLS, toolChoice: { type: 'required' } }],
    ['a tool that is named', { ...TOOLS, toolChoice: { type: 'tool', toolName: 'f' } }],
    ['an output format', { ...PLAIN, responseFormat: { type: 'json', name: 'x', schema: SCHEMA } }],
    ['a temperature', { ...PLAIN, temperature: 0.25 }],
  ])('for %s of Anthropic, and of OpenAI translated', async (_name, options) => {
    const model = 'claude-haiku-4-5';
    const native = await bodyOf((fetch) => createAnthropic({ apiKey: 'x', fetch })(model), options);
    const asked = await bodyOf(openai, options);
    expect(chatToMessages.request({ ...asked, model })).toEqual(native);
  });
});
