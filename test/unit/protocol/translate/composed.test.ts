import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { chatToMessages } from '../../../../gateway/protocol/translate/chat-to-messages.ts';
import { composed } from '../../../../gateway/protocol/translate/composed.ts';
import { responsesToChat } from '../../../../gateway/protocol/translate/responses-to-chat.ts';
import type { Translation, TranslationContext } from '../../../../gateway/protocol/translation.ts';
import { ROOT } from '../../../support/gateway.ts';
import { fetchOf, streamsOf, translatedEvents, wireText } from '../../../support/translated-stream.ts';

const CONTEXT = { body: { said: 'by the caller' }, id: 'x', created: 1, includeUsage: false };

/** A translation that writes down what it is asked, and says of each event what it was and where it has been. */
const traced = (name: string, from: Translation['from'], to: Translation['to'], log: unknown[]): Translation => ({
  from,
  to,
  request: (body) => ({ ...body, [name]: true }),
  answer(body, context) {
    log.push([name, context]);
    return { ...body, [name]: true };
  },
  events(context) {
    log.push([name, context]);
    return {
      push: (event) => [1, 2].map((copy) => ({ ...event, [name]: copy })),
      end: () => [{ end: name }],
    };
  },
});

describe('two translations as one', () => {
  const log: [string, TranslationContext][] = [];
  const both = composed(
    traced('first', 'responses', 'chat.completions', log),
    traced('second', 'chat.completions', 'messages', log),
  );

  test('go from where the first comes to where the second goes', () => {
    expect([both.from, both.to]).toEqual(['responses', 'messages']);
    expect(both.request({ a: 1 })).toEqual({ a: 1, first: true, second: true });
  });

  test('tell each what its own caller said', () => {
    for (const ask of [() => both.answer({ b: 1 }, CONTEXT), () => both.events(CONTEXT)]) {
      log.length = 0;
      ask();
      const contexts = Object.fromEntries(log);
      expect(contexts.first).toEqual(CONTEXT);
      expect(contexts.second).toEqual({ ...CONTEXT, body: { ...CONTEXT.body, first: true }, includeUsage: true });
    }
    expect(both.answer({ b: 1 }, CONTEXT)).toEqual({ b: 1, first: true, second: true });
  });

  test('pass every event of the second through the first, those of its end before the first’s own', () => {
    const events = both.events(CONTEXT);
    expect(events.push({ e: 1 })).toEqual([
      { e: 1, second: 1, first: 1 },
      { e: 1, second: 1, first: 2 },
      { e: 1, second: 2, first: 1 },
      { e: 1, second: 2, first: 2 },
    ]);
    expect(events.end()).toEqual([{ end: 'second', first: 1 }, { end: 'second', first: 2 }, { end: 'first' }]);
  });

  test('that do not meet are refused', () => {
    expect(() => composed(chatToMessages, responsesToChat)).toThrow(TypeError);
  });
});

const responsesToMessages = composed(responsesToChat, chatToMessages);
const FOLDER = join(ROOT, 'test/fixtures/provider-recordings/anthropic');
const text = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const names = readdirSync(FOLDER).sort();
const WHOLE = names
  .filter((name) => name.endsWith('.json'))
  .map((name): [string, Json] => [name, JSON.parse(text(name)) as Json])
  .filter(([, body]) => body.type === 'message');
const STREAMS = names
  .filter((name) => name.endsWith('.chunks.txt') && !name.startsWith('spliced'))
  .flatMap((name) => {
    const lines = text(name).split('\n').filter(Boolean);
    const streams = streamsOf(lines.map((line) => JSON.parse(line) as Json));
    return streams.map((events, index): [string, Json[]] => [`${name} ${index}`, events]);
  });
const ASKED = {
  body: { model: 'claude', max_output_tokens: 9, input: 'Hi' },
  id: '0a1b2c',
  created: 1,
  includeUsage: true,
};
const MESSAGES = protocolOf('messages');
const wire = (events: readonly Json[]): string =>
  events.map((event) => `event: ${String(event.type)}\ndata: ${JSON.stringify(event)}\n\n`).join('');

type Part = Record<string, unknown>;
type Model = ReturnType<ReturnType<typeof createAnthropic>> | ReturnType<ReturnType<typeof createOpenAI>['responses']>;

/** Texts, reasoning and calls as the AI SDK reads them. A compacted context is a text to it, marked as one. */
const readingOf = (parts: readonly Part[]): unknown => {
  const isCompaction = ({ providerMetadata }: Part): boolean =>
    ((providerMetadata as Json | undefined)?.anthropic as Json | undefined)?.type === 'compaction';
  const compacted = new Set(parts.filter(isCompaction).map(({ id }) => id));
  const joined = (...types: string[]): string =>
    parts
      .filter((part) => types.includes(part.type as string) && !isCompaction(part))
      .filter(({ id }) => id === undefined || !compacted.has(id))
      .map((part) => part.text ?? part.delta)
      .join('');
  return {
    text: joined('text', 'text-delta'),
    reasoning: joined('reasoning', 'reasoning-delta'),
    calls: parts
      .filter(({ type, providerExecuted }) => type === 'tool-call' && providerExecuted !== true)
      .map(({ toolCallId, toolName, input }) => [toolCallId, toolName, JSON.parse(input as string)]),
  };
};
const PROMPT = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];
const readWhole = async (model: Model): Promise<unknown> =>
  readingOf((await model.doGenerate({ prompt: PROMPT })).content as unknown as Part[]);
const readStream = async (model: Model): Promise<unknown> => {
  const parts: Part[] = [];
  const { stream } = await model.doStream({ prompt: PROMPT });
  for await (const part of stream as unknown as AsyncIterable<Part>) parts.push(part);
  expect(parts.filter(({ type }) => type === 'error')).toEqual([]);
  return readingOf(parts);
};
const anthropic = (body: string, type: string) =>
  createAnthropic({ apiKey: 'x', fetch: fetchOf(body, type) })('claude-opus-5-5');
const openai = (body: string, type: string) =>
  createOpenAI({ apiKey: 'x', fetch: fetchOf(body, type) }).responses('gpt-4o');
/** Anthropic's explanation of a refusal is a text to OpenAI's callers and is not shown to Anthropic's. */
const isRefusal = (name: string): boolean => /refusal/.test(name);

describe('responses for a model that speaks messages', () => {
  test.each(WHOLE)('the AI SDK reads the same in %s as it is and as a Response', async (name, body) => {
    const response = responsesToMessages.answer(body, ASKED);
    const ours = await readWhole(openai(JSON.stringify(response), 'application/json'));
    const native = await readWhole(anthropic(JSON.stringify(body), 'application/json'));
    if (isRefusal(name)) expect(response).toMatchObject({ incomplete_details: { reason: 'content_filter' } });
    else expect(ours).toEqual(native);
  });

  test.each(STREAMS)('the AI SDK reads the same in the stream %s as it is and as events', async (name, events) => {
    const said = translatedEvents(responsesToMessages, events, ASKED);
    const ours = await readStream(openai(wire(said), 'text/event-stream'));
    const native = await readStream(anthropic(wireText(MESSAGES, events), 'text/event-stream'));
    if (isRefusal(name)) expect(said.at(-1)!.type).toBe('response.incomplete');
    else expect(ours).toEqual(native);
  });

  test('signed reasoning goes back as it came, with the calls behind it', () => {
    const thinking = { type: 'thinking', thinking: 'Hm.', signature: 'ErUB' };
    const content = [thinking, { type: 'tool_use', id: 'toolu_1', name: 'f', input: { x: 1 } }];
    const answer = { type: 'message', role: 'assistant', model: 'claude', content, stop_reason: 'tool_use' };
    const { output } = responsesToMessages.answer(answer, ASKED);
    const result = { type: 'function_call_output', call_id: 'toolu_1', output: 'done' };
    const tools = [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: false }];
    const next = { ...ASKED.body, tools, input: [{ role: 'user', content: 'Hi' }, ...(output as Json[]), result] };
    expect(responsesToMessages.request(next)).toMatchObject({
      messages: [
        { role: 'user' },
        { role: 'assistant', content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1' }] },
      ],
    });
  });

  test('Codex goes through', () => {
    const codex = JSON.parse(readFileSync(join(ROOT, 'test/fixtures/codex-request.json'), 'utf8')) as Json;
    // It says how wordy a model should be to models of OpenAI's alone.
    const said = responsesToMessages.request({
      ...codex,
      model: 'claude-opus-5-5',
      max_output_tokens: 9000,
      text: null,
    });
    expect((said.messages as Json[]).map(({ role }) => role)).toEqual([
      'user',
      ...['assistant', 'user', 'assistant', 'user', 'assistant', 'user'],
    ]);
    expect(said.tools).toHaveLength(14);
  });
});
