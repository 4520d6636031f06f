import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOpenAI } from '@ai-sdk/openai';
import { describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { responsesToChat } from '../../../../gateway/protocol/translate/responses-to-chat.ts';
import { ROOT } from '../../../support/gateway.ts';
import { fetchOf, joinedChunks, translatedEvents, wireText } from '../../../support/translated-stream.ts';

const FOLDER = join(ROOT, 'test/fixtures/provider-recordings');
const CHAT = protocolOf('chat.completions');
const CONTEXT = { body: { model: 'm', input: 'Hi' }, id: '0a1b2c', created: 1_760_000_000, includeUsage: true };

const files = ['openai', 'mistral', 'openai-compatible'].flatMap((folder) =>
  readdirSync(join(FOLDER, folder)).map((name) => join(folder, name)),
);
const text = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const WHOLE = files
  .filter((name) => name.endsWith('.json'))
  .map((name): [string, Json] => [name, JSON.parse(text(name)) as Json])
  .filter(([, body]) => Array.isArray(body.choices) && body.object === 'chat.completion');
const STREAMS = files
  .filter((name) => /\.(chunks\.txt|sse)$/.test(name))
  .map((name): [string, Json[]] => {
    const lines = text(name)
      .split('\n')
      .map((line) => line.replace(/^data: /, ''));
    return [name, lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Json)];
  })
  .filter(
    ([, events]) => Array.isArray(events[0]?.choices) && events.every((event) => event.object !== 'text_completion'),
  );

/** Mistral leaves out the type of a tool call, and in a stream its index, which readers of OpenAI's own want. */
const asOpenai = (value: Json): Json => ({
  ...value,
  choices: (value.choices as Json[]).map((choice) => {
    const member = choice.delta === undefined ? 'message' : 'delta';
    const holder = choice[member] as Json;
    const calls = holder.tool_calls as Json[] | null | undefined;
    if (!calls) return choice;
    const typed = calls.map((call, index) => ({ index, type: 'function', ...call }));
    return { ...choice, [member]: { ...holder, tool_calls: typed } };
  }),
});

/** What the wire format says of itself: an event's type is in its data, and named before it. */
const wire = (events: readonly Json[]): string =>
  events.map((event) => `event: ${String(event.type)}\ndata: ${JSON.stringify(event)}\n\n`).join('');

/** A message as a stream of one chunk joins to. */
interface Said {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly unknown[];
}

const partsText = (content: unknown, kind: 'text' | 'thinking'): string => {
  if (typeof content === 'string') return kind === 'text' ? content : '';
  const parts = (content ?? []) as Json[];
  return parts
    .filter(({ type }) => type === kind)
    .map((part) => (kind === 'text' ? String(part.text) : partsText(part.thinking, 'text')))
    .join('');
};

/** What a chat completion says, read by hand. */
const saidInChat = (message: Json, contents: readonly unknown[]): Said => ({
  text: contents.map((content) => partsText(content, 'text')).join(''),
  reasoning:
    ((message.reasoning_content ?? message.reasoning ?? '') as string) +
    contents.map((content) => partsText(content, 'thinking')).join(''),
  calls: ((message.tool_calls ?? []) as { id: string; function: Json }[])
    .filter((call) => call !== undefined)
    .map((call) => [call.id, call.function.name, call.function.arguments === '' ? '{}' : call.function.arguments]),
});

const saidInResponse = (response: Json): Said => {
  const output = response.output as Json[];
  const texts = (type: string, member: string): string =>
    output
      .filter((item) => item.type === type)
      .flatMap((item) => (item[member] as { text: string }[]).map((part) => part.text))
      .join('');
  return {
    text: texts('message', 'content'),
    reasoning: texts('reasoning', 'summary'),
    calls: output
      .filter(({ type }) => type === 'function_call')
      .map((call) => [call.call_id, call.name, call.arguments]),
  };
};

describe('recorded chat completions', () => {
  test.each(WHOLE)('%s says the same as a Response', (_name, body) => {
    const message = (body.choices as [{ message: Json }])[0].message;
    const response = responsesToChat.answer(body, CONTEXT);
    expect(saidInResponse(response)).toEqual(saidInChat(message, [message.content]));
    const usage = body.usage as Json;
    expect(response.usage).toMatchObject({ input_tokens: usage.prompt_tokens, total_tokens: usage.total_tokens });
  });

  test.each(STREAMS)('the stream %s says the same as events', (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const response = events.at(-1)!.response as Json;
    const contents = chunks.flatMap(({ choices }) =>
      (choices as { delta?: Json }[]).map(({ delta }) => delta?.content),
    );
    const joined = joinedChunks(chunks.map(asOpenai)).message as Json;
    expect(saidInResponse(response)).toEqual(saidInChat(joined, contents));
    const deltas = (type: string): string =>
      events
        .filter((event) => event.type === type)
        .map(({ delta }) => delta)
        .join('');
    expect(deltas('response.output_text.delta')).toBe(saidInResponse(response).text);
    expect(deltas('response.reasoning_summary_text.delta')).toBe(saidInResponse(response).reasoning);
  });

  test.each(STREAMS)('the stream %s and its answer whole make the same Response', (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const { message, finish_reason, usage } = joinedChunks(chunks.map(asOpenai)) as { message: Json } & Json;
    const contents = chunks.flatMap(({ choices }) =>
      (choices as { delta?: Json }[]).map(({ delta }) => delta?.content),
    );
    // Parts of one kind in a row, which the whole form has as one.
    if (contents.some(Array.isArray)) {
      const thinking = contents.map((content) => partsText(content, 'thinking')).join('');
      const said = contents.map((content) => partsText(content, 'text')).join('');
      message.content = [
        { type: 'thinking', thinking: [{ type: 'text', text: thinking }] },
        { type: 'text', text: said },
      ];
    }
    const first = chunks.find(({ choices }) => (choices as unknown[]).length > 0)!;
    if (Array.isArray(message.tool_calls)) message.tool_calls = message.tool_calls.filter(Boolean);
    const body = { ...first, usage, choices: [{ index: 0, message, finish_reason }] };
    expect(responsesToChat.answer(body, CONTEXT)).toEqual(events.at(-1)!.response);
  });
});

describe('the protocol of responses', () => {
  const RESPONSES = protocolOf('responses');

  test.each(STREAMS)('finds the end of the events of %s, and the usage that chat completions tell', (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const [said, told] = [CHAT.streamUsage(), RESPONSES.streamUsage()];
    for (const chunk of chunks) said.feed(JSON.stringify(chunk));
    const ends = events.map((event) => {
      const text = RESPONSES.eventText(event);
      if (text.includes('usage')) told.feed(JSON.stringify(event));
      return RESPONSES.terminalAt(Buffer.from(text));
    });
    expect(ends).toEqual([...events.slice(1).map(() => -1), 0]);
    expect(told.result()).toEqual(said.result());
  });

  test.each(STREAMS)('reads every text of %s in the pieces it came in', (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const reader = RESPONSES.answerEvents();
    const texts = new Map<string, string>();
    for (const event of events) {
      for (const piece of reader.read(event).pieces) {
        const isDelta = typeof event.delta === 'string';
        if (isDelta) texts.set(piece.channel, (texts.get(piece.channel) ?? '') + piece.value);
      }
    }
    const response = events.at(-1)!.response as Json;
    const { text, reasoning, calls } = saidInResponse(response);
    const spoken = [text, reasoning, ...calls.map((call) => (call as string[])[2])].filter((said) => said !== '');
    expect([...texts.values()].sort()).toEqual(spoken.sort());
  });
});

/** What the AI SDK made of an answer. */
type Part = Record<string, unknown>;
type Model =
  | ReturnType<ReturnType<typeof createOpenAI>['chat']>
  | ReturnType<ReturnType<typeof createOpenAI>['responses']>;
const PROMPT = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];

const readingOf = (parts: readonly Part[], finish: unknown, usage: unknown): unknown => {
  const { inputTokens, outputTokens } = usage as Record<string, Part>;
  return {
    text: parts
      .map((part) => (part.type === 'text' ? part.text : part.type === 'text-delta' ? part.delta : ''))
      .join(''),
    calls: parts
      .filter(({ type }) => type === 'tool-call')
      .map(({ toolCallId, toolName, input }) => [toolCallId, toolName, JSON.parse(input as string)]),
    finish: (finish as Part).unified,
    usage: [inputTokens!.total, inputTokens!.cacheRead, outputTokens!.total, outputTokens!.reasoning].map(
      (count) => count ?? 0,
    ),
  };
};

const readWhole = async (model: Model): Promise<unknown> => {
  const { content, finishReason, usage } = await model.doGenerate({ prompt: PROMPT });
  return readingOf(content as unknown as Part[], finishReason, usage);
};

const readStream = async (model: Model): Promise<unknown> => {
  const { stream } = await model.doStream({ prompt: PROMPT });
  const parts: Part[] = [];
  for await (const part of stream as unknown as AsyncIterable<Part>) parts.push(part);
  expect(parts.filter(({ type }) => type === 'error')).toEqual([]);
  const finish = parts.find(({ type }) => type === 'finish')!;
  return readingOf(parts, finish.finishReason, finish.usage);
};

const chat = (body: string, type: string) => createOpenAI({ apiKey: 'x', fetch: fetchOf(body, type) }).chat('gpt-4o');
const responses = (body: string, type: string) =>
  createOpenAI({ apiKey: 'x', fetch: fetchOf(body, type) }).responses('gpt-4o');

/** What the AI SDK's reader of OpenAI's own chat completions takes: neither Mistral's parts nor tokens on top (xAI). */
const isForeign = (name: string): boolean => /mistral-reasoning|xai/.test(name);

describe('the AI SDK reads the same', () => {
  test.each(WHOLE.filter(([name]) => !isForeign(name)))('in %s as it is and as a Response', async (_name, body) => {
    const native = await readWhole(chat(JSON.stringify(asOpenai(body)), 'application/json'));
    const response = responsesToChat.answer(body, CONTEXT);
    expect(await readWhole(responses(JSON.stringify(response), 'application/json'))).toEqual(native);
  });

  test.each(STREAMS.filter(([name]) => !isForeign(name)))(
    'in the stream %s as it is and as events',
    async (_name, chunks) => {
      const native = await readStream(chat(wireText(CHAT, chunks.map(asOpenai)), 'text/event-stream'));
      const events = translatedEvents(responsesToChat, chunks, CONTEXT);
      expect(await readStream(responses(wire(events), 'text/event-stream'))).toEqual(native);
    },
  );

  test.each(STREAMS.filter(([name]) => isForeign(name)))('in the stream %s as we do', async (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const said = saidInResponse(events.at(-1)!.response as Json);
    const read = await readStream(responses(wire(events), 'text/event-stream'));
    expect(read).toMatchObject({
      text: said.text,
      calls: said.calls.map((call) => [...(call as [string, string, string]).slice(0, 2), expect.anything()]),
    });
  });
});

describe('the official client', () => {
  const client = (body: string, type: string): OpenAI =>
    new OpenAI({ apiKey: 'x', maxRetries: 0, fetch: fetchOf(body, type) });
  const ASKED = { model: 'gpt-4o', input: 'Hi' };

  test.each(STREAMS)('makes of the events of %s what the last one says', async (_name, chunks) => {
    const events = translatedEvents(responsesToChat, chunks, CONTEXT);
    const last = events.at(-1)!.response as Json;
    const stream = client(wire(events), 'text/event-stream').responses.stream(ASKED);
    const deltas: string[] = [];
    stream.on('response.output_text.delta', ({ delta, snapshot }) => {
      deltas.push(delta);
      expect(snapshot).toBe(deltas.join(''));
    });
    const final = await stream.finalResponse();
    expect(final.output_text).toBe(saidInResponse(last).text);
    expect(deltas.join('')).toBe(final.output_text);
    expect(final.output).toMatchObject(last.output as object[]);
    expect(final.usage).toEqual(last.usage);
  });

  test.each(WHOLE)('reads %s', async (_name, body) => {
    const response = responsesToChat.answer(body, CONTEXT);
    const read = await client(JSON.stringify(response), 'application/json').responses.create(ASKED);
    expect(read).toMatchObject({ ...response, output_text: saidInResponse(response).text });
  });
});
