import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { eventData, splitEvents } from '../../../../gateway/protocol/sse.ts';
import { messagesToChat } from '../../../../gateway/protocol/translate/messages-to-chat.ts';
import { ROOT } from '../../../support/gateway.ts';
import { joinedMessage } from '../../../support/joined-message.ts';
import { fetchOf, translatedEvents, wireText } from '../../../support/translated-stream.ts';

const FOLDER = process.env.AEGIS_RECORDINGS ?? join(ROOT, 'test/fixtures/provider-recordings');
const CHAT = protocolOf('chat.completions');
const MESSAGES = protocolOf('messages');
const CONTEXT = {
  body: { model: 'gpt-asked', max_tokens: 100, messages: [] },
  id: '0a1b2c',
  created: 1_760_000_000,
  includeUsage: true,
};

const FILES = ['mistral', 'openai', 'openai-compatible']
  .flatMap((family) =>
    readdirSync(join(FOLDER, family))
      .sort()
      .map((name) => ({ name, bytes: readFileSync(join(FOLDER, family, name)) })),
  )
  // Responses are not told by choices, and not always one event a line.
  .filter(({ bytes }) => bytes.includes('"choices"'));
const isChat = (body: Json | undefined): body is Json =>
  Array.isArray(body?.choices) && body.object !== 'text_completion';

const WHOLE = FILES.filter(({ name }) => name.endsWith('.json'))
  .map(({ name, bytes }): [string, Json] => [name, JSON.parse(bytes.toString())])
  .filter(([, body]) => isChat(body));

const eventsOf = (name: string, bytes: Buffer): Json[] => {
  const lines = name.endsWith('.sse')
    ? [...splitEvents(bytes)].map((event) => eventData(event).data ?? '')
    : bytes.toString().split('\n');
  return lines.filter((line) => line.trim() !== '' && line !== '[DONE]').map((line) => JSON.parse(line) as Json);
};
const STREAMS = FILES.filter(({ name }) => name.endsWith('.chunks.txt') || name.endsWith('.sse'))
  .map(({ name, bytes }): [string, Json[]] => [name, eventsOf(name, bytes)])
  .filter(([, events]) => events.every(isChat));

/** What a reader made of an answer. */
interface Reading {
  readonly text: string;
  readonly calls: readonly unknown[];
  readonly finish: unknown;
  readonly usage: unknown;
}

type Part = Record<string, unknown>;
type Model = ReturnType<ReturnType<typeof createAnthropic>> | ReturnType<ReturnType<typeof createOpenAI>['chat']>;

const readingOf = (parts: readonly Part[], finish: unknown, usage: unknown): Reading => {
  const { inputTokens, outputTokens } = usage as Record<string, Record<string, number | undefined>>;
  return {
    text: parts
      .map((part) => (part.type === 'text' ? part.text : part.type === 'text-delta' ? part.delta : ''))
      .join(''),
    calls: parts
      .filter((part) => part.type === 'tool-call')
      .map(({ toolCallId, toolName, input }) => [toolCallId, toolName, JSON.parse(input as string)]),
    finish: (finish as { unified: unknown }).unified,
    usage: [inputTokens!.total ?? 0, inputTokens!.cacheRead ?? 0, outputTokens!.total ?? 0],
  };
};

const PROMPT = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];
const anthropic = (fetch: typeof globalThis.fetch) => createAnthropic({ apiKey: 'x', fetch })('claude-opus-5-5');
const openai = (fetch: typeof globalThis.fetch) => createOpenAI({ apiKey: 'x', fetch }).chat('gpt-4o');

const readWhole = async (model: Model): Promise<Reading> => {
  const { content, finishReason, usage } = await model.doGenerate({ prompt: PROMPT });
  return readingOf(content as unknown as Part[], finishReason, usage);
};

const readStream = async (model: Model): Promise<Reading> => {
  const { stream } = await model.doStream({ prompt: PROMPT });
  const parts: Part[] = [];
  for await (const part of stream as unknown as AsyncIterable<Part>) parts.push(part);
  expect(parts.filter(({ type }) => type === 'error')).toEqual([]);
  const finish = parts.find(({ type }) => type === 'finish')!;
  return readingOf(parts, finish.finishReason, finish.usage);
};

/** What the AI SDK's OpenAI provider cannot read: content in parts, and calls without a type. */
const UNREADABLE = /^mistral-(?:reasoning|tool-call)/;
/** Where reasoning is counted on top of the completion, which the gateway bills and the AI SDK leaves out. */
const ON_TOP = /^xai/;

const compare = (name: string, native: Reading, ours: Reading): void => {
  if (!ON_TOP.test(name)) expect(ours).toEqual(native);
  else expect({ ...ours, usage: null }).toEqual({ ...native, usage: null });
};

test('there are recordings of both forms', () => {
  expect(WHOLE.length).toBeGreaterThanOrEqual(6);
  expect(STREAMS.length).toBeGreaterThanOrEqual(8);
});

describe('the AI SDK reads the same', () => {
  test.each(WHOLE.filter(([name]) => !UNREADABLE.test(name)))('in %s as it is and as a message', async (name, body) => {
    const native = await readWhole(openai(fetchOf(JSON.stringify(body), 'application/json')));
    const answer = JSON.stringify(messagesToChat.answer(body, CONTEXT));
    compare(name, native, await readWhole(anthropic(fetchOf(answer, 'application/json'))));
  });

  test.each(STREAMS.filter(([name]) => !UNREADABLE.test(name)))(
    'in the stream %s as it is and as events of a message',
    async (name, events) => {
      const native = await readStream(openai(fetchOf(wireText(CHAT, events), 'text/event-stream')));
      const said = wireText(MESSAGES, translatedEvents(messagesToChat, events, CONTEXT));
      compare(name, native, await readStream(anthropic(fetchOf(said, 'text/event-stream'))));
    },
  );
});

describe('the official client', () => {
  const client = (body: string, type: string): Anthropic =>
    new Anthropic({ apiKey: 'x', maxRetries: 0, fetch: fetchOf(body, type) });
  const ASKED = { model: 'gpt-asked', max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hi' }] };

  test.each(STREAMS)('joins the events of %s to the message they tell', async (_name, events) => {
    const said = translatedEvents(messagesToChat, events, CONTEXT);
    const stream = client(wireText(MESSAGES, said), 'text/event-stream').messages.stream(ASKED);
    const final = JSON.parse(JSON.stringify(await stream.finalMessage())) as Json;
    expect(final).toMatchObject(joinedMessage(said));
  });

  test.each(STREAMS)('joins the events of %s as its beta does', async (_name, events) => {
    const said = translatedEvents(messagesToChat, events, CONTEXT);
    const stream = client(wireText(MESSAGES, said), 'text/event-stream').beta.messages.stream(ASKED);
    const final = JSON.parse(JSON.stringify(await stream.finalMessage())) as Json;
    expect(final).toMatchObject(joinedMessage(said));
  });

  test.each(WHOLE)('reads %s', async (_name, body) => {
    const answer = messagesToChat.answer(body, CONTEXT);
    const final = await client(JSON.stringify(answer), 'application/json').messages.create(ASKED);
    expect(JSON.parse(JSON.stringify(final))).toMatchObject(answer);
  });
});

describe('streamed and whole', () => {
  /** The first choice of a stream as it would come whole. Written apart from the translation: deltas joined by key. */
  const wholeOf = (events: readonly Json[]): Json => {
    const message: Json = { role: 'assistant' };
    const calls: Json[] = [];
    let finish: unknown = null;
    let usage: unknown;
    for (const event of events) {
      usage = event.usage ?? usage;
      for (const choice of event.choices as { index: number; delta: Json; finish_reason?: unknown }[]) {
        if (choice.index !== 0) continue;
        finish = choice.finish_reason ?? finish;
        for (const [key, value] of Object.entries(choice.delta)) {
          if (key === 'tool_calls') {
            for (const piece of value as { index?: number; function: { arguments: string } }[]) {
              const call = calls.find(({ index }) => index === piece.index);
              if (call) (call.function as { arguments: string }).arguments += piece.function.arguments;
              else calls.push(structuredClone(piece));
            }
          } else if (typeof value === 'string' && !Array.isArray(message[key]))
            message[key] = `${(message[key] as string | undefined) ?? ''}${value}`;
          else if (Array.isArray(value)) message[key] = [...((message[key] as unknown[] | undefined) ?? []), ...value];
        }
      }
    }
    if (calls.length > 0) message.tool_calls = calls;
    const first = events.find(({ id }) => id !== '')!;
    return { id: first.id, model: first.model, choices: [{ index: 0, message, finish_reason: finish }], usage };
  };

  test.each(STREAMS)('agree on %s', (_name, events) => {
    const whole = messagesToChat.answer(wholeOf(events), CONTEXT);
    const streamed = joinedMessage(translatedEvents(messagesToChat, events, CONTEXT));
    expect(streamed).toEqual(whole);
  });
});
