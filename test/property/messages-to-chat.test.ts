import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import type { Json } from '../../gateway/protocol/fields.ts';
import { messagesToChat } from '../../gateway/protocol/translate/messages-to-chat.ts';
import { claudeCodeRequest } from '../support/claude-code-request.ts';
import { joinedMessage } from '../support/joined-message.ts';

const text = fc.record({ type: fc.constant('text'), text: fc.string() });
const image = fc.constantFrom(
  { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
  { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
);
const document = fc.constantFrom(
  { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'Rain.' }, title: 'Weather' },
  { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0xLjQ=' } },
);
const userBlock = fc.oneof(text, image, document);
const resultContent = fc.oneof(fc.string(), fc.array(fc.oneof(text, image), { maxLength: 3 }));

/** One exchange: a question, and an answer whose calls get their results in one message or in two. */
const exchange = fc
  .record({
    question: fc.oneof(fc.string(), fc.array(userBlock, { minLength: 1, maxLength: 3 })),
    said: fc.array(fc.oneof(text, fc.constant({ type: 'thinking', thinking: 'Hm.', signature: 'x' })), {
      maxLength: 2,
    }),
    inputs: fc.array(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 2 }), { maxLength: 4 }),
    results: fc.array(resultContent, { minLength: 4, maxLength: 4 }),
    beside: fc.array(userBlock, { maxLength: 2 }),
    split: fc.nat(4),
  })
  .map(({ question, said, inputs, results, beside, split }) => (turn: number): Json[] => {
    const uses = inputs.map((input, at) => ({ type: 'tool_use', id: `toolu_${turn}_${at}`, name: 'f', input }));
    const found = uses.map(({ id }, at) => ({
      type: 'tool_result',
      tool_use_id: id,
      content: results[at],
      is_error: at === 1,
    }));
    const messages: Json[] = [{ role: 'user', content: question }];
    const blocks = [...said, ...uses];
    messages.push({ role: 'assistant', content: blocks.length === 0 ? 'Well.' : blocks });
    for (const part of [found.slice(0, split), [...found.slice(split), ...beside]]) {
      if (part.length > 0) messages.push({ role: 'user', content: part });
    }
    return messages;
  });

const validBody = fc
  .record({
    turns: fc.array(exchange, { maxLength: 4 }),
    system: fc.option(fc.oneof(fc.string(), fc.array(text, { maxLength: 2 })), { nil: undefined }),
    stream: fc.boolean(),
    thinking: fc.constantFrom(
      undefined,
      { type: 'adaptive' },
      { type: 'enabled', budget_tokens: 2048 },
      { type: 'disabled' },
    ),
    tool_choice: fc.constantFrom(undefined, { type: 'auto', disable_parallel_tool_use: true }, { type: 'any' }),
    stop_sequences: fc.array(fc.string(), { maxLength: 4 }),
  })
  .map(
    ({ turns, ...rest }): Json => ({
      model: 'gpt-5.5',
      max_tokens: 100,
      messages: [...turns.flatMap((of, index) => of(index)), { role: 'user', content: 'Go on.' }],
      tools: [{ name: 'f', input_schema: { type: 'object' } }],
      ...JSON.parse(JSON.stringify(rest)),
    }),
  );

interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly tool_calls?: readonly { readonly id: string }[];
  readonly tool_call_id?: string;
}

/** What OpenAI refuses of a conversation. */
const faultsOf = (messages: readonly ChatMessage[]): string[] => {
  const faults: string[] = [];
  const open = new Set<string>();
  for (const [index, message] of messages.entries()) {
    const { role, content, tool_calls: calls, tool_call_id: id } = message;
    if (role === 'tool') {
      if (!open.delete(id!)) faults.push(`${index} answers no call`);
      if (typeof content !== 'string') faults.push(`${index} is no text`);
      continue;
    }
    if (open.size > 0) faults.push(`${index} stands before the result of a call`);
    if (role === 'assistant') {
      if (!calls && (content === null || content === '')) faults.push(`${index} says nothing`);
      for (const call of calls ?? []) open.add(call.id);
      if (open.size !== (calls ?? []).length) faults.push(`${index} has two calls with one id`);
    } else if (role === 'user') {
      const isText = typeof content === 'string' || (Array.isArray(content) && content.length > 0);
      if (!isText) faults.push(`${index} has no content`);
    } else if (role !== 'system') faults.push(`${index} has role ${role}`);
  }
  if (messages.length === 0) faults.push('no messages');
  if (open.size > 0) faults.push('a call without a result');
  return faults;
};

/** A body with one value anywhere in it replaced or taken out. */
const mutate = (body: Json, at: number, value: unknown): Json => {
  const copy = structuredClone(body);
  const places: [Json, string][] = [];
  const walk = (holder: unknown): void => {
    if (typeof holder !== 'object' || holder === null) return;
    for (const key of Object.keys(holder)) {
      places.push([holder as Json, key]);
      walk((holder as Json)[key]);
    }
  };
  walk(copy);
  const place = places[at % Math.max(1, places.length)];
  if (!place) return copy;
  const [holder, key] = place;
  if (value !== undefined) holder[key] = value;
  else if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
  return copy;
};

describe('a messages body as a chat completion', () => {
  test('keeps each call with its result, whatever a caller rightly sends', () => {
    fc.assert(
      fc.property(validBody, (body) => {
        const before = structuredClone(body);
        const { messages } = messagesToChat.request(body) as unknown as { messages: ChatMessage[] };
        expect(faultsOf(messages)).toEqual([]);
        expect(body).toEqual(before);
        const said = JSON.stringify(body.messages);
        const results = messages.filter(({ role }) => role === 'tool').length;
        expect(results).toBe(said.split('"tool_use_id"').length - 1);
      }),
      { numRuns: 300 },
    );
  });

  const value = fc.oneof(
    fc.constantFrom<unknown>(
      undefined,
      null,
      '',
      0,
      -1,
      1.5,
      true,
      [],
      {},
      [null],
      [{}],
      { type: 'text' },
      'user',
      'tool_use',
    ),
    fc.jsonValue(),
  );

  test.each([
    ['a made-up body', validBody],
    ['a body of Claude Code', fc.constant(null).map(claudeCodeRequest)],
  ])('is sound or refused with the field at fault, however %s is broken', (_name, bodies) => {
    fc.assert(
      fc.property(bodies, fc.array(fc.tuple(fc.nat(), value), { minLength: 1, maxLength: 3 }), (body, changes) => {
        const broken = changes.reduce((so, [at, changed]) => mutate(so, at, changed), body);
        try {
          const chat = messagesToChat.request(broken) as unknown as { messages: ChatMessage[] };
          expect(faultsOf(chat.messages)).toEqual([]);
          JSON.stringify(chat);
        } catch (error) {
          if (!isGatewayError(error)) throw error;
          expect([error.code, typeof error.detail.param]).toEqual(['invalid_field', 'string']);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a chat stream as a message', () => {
  const inputs = fc.array(fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }), { minLength: 1, maxLength: 4 });

  test('tells calls whole however their pieces are cut and mixed', () => {
    fc.assert(
      fc.property(inputs, fc.infiniteStream(fc.nat(1000)), (given, random) => {
        const next = (below: number): number => (random.next().value as number) % below;
        const left = given.map((input) => JSON.stringify(input));
        const reader = messagesToChat.events({ body: {}, id: 'x', created: 1, includeUsage: true });
        const events: Json[] = [];
        const push = (index: number, call: Json): void => {
          events.push(...reader.push({ choices: [{ index: 0, delta: { tool_calls: [{ index, ...call }] } }] }));
        };
        for (const index of given.keys()) push(index, { id: `call_${index}`, function: { name: 'f', arguments: '' } });
        while (left.some((rest) => rest !== '')) {
          const index = next(left.length);
          const length = 1 + next(8);
          push(index, { function: { arguments: left[index]!.slice(0, length) } });
          left[index] = left[index]!.slice(length);
        }
        events.push(
          ...reader.push({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] }),
          ...reader.end(),
        );
        const message = joinedMessage(events);
        expect(message.stop_reason).toBe('tool_use');
        expect(message.content).toEqual(
          given.map((input, index) => ({
            type: 'tool_use',
            id: `call_${index}`,
            name: 'f',
            input: JSON.parse(JSON.stringify(input)),
          })),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('keeps the order of events, whatever a provider sends', () => {
    const part = fc.oneof(
      fc.constantFrom<unknown>('', 'a', null, 0, [], '{"a":1}', '{'),
      fc.jsonValue({ maxDepth: 1 }),
    );
    const call = fc.record(
      { index: part, id: part, function: fc.record({ name: part, arguments: part }, { requiredKeys: [] }) },
      { requiredKeys: [] },
    );
    const delta = fc.record(
      {
        content: fc.oneof(part, fc.array(fc.record({ type: part, text: part, thinking: part }))),
        reasoning_content: part,
        refusal: part,
        tool_calls: fc.oneof(part, fc.array(call, { maxLength: 3 })),
        function_call: fc.oneof(part, fc.record({ name: part, arguments: part })),
      },
      { requiredKeys: [] },
    );
    const choice = fc.record({ index: fc.constantFrom(0, 1), delta: fc.oneof(part, delta), finish_reason: part });
    const event = fc.record({
      id: part,
      model: part,
      choices: fc.oneof(part, fc.array(choice, { maxLength: 2 })),
      usage: part,
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (stream) => {
        const reader = messagesToChat.events({ body: {}, id: 'x', created: 1, includeUsage: true });
        const events = [...stream.flatMap((given) => reader.push(given as Json)), ...reader.end()];
        // The arguments of made-up calls are no JSON: order is what is looked at.
        const ordered = events.filter(({ delta }) => (delta as Json | undefined)?.type !== 'input_json_delta');
        expect(joinedMessage(ordered)).toMatchObject({ type: 'message', role: 'assistant' });
        expect(() =>
          messagesToChat.answer({ choices: stream } as Json, { body: {}, id: 'x', created: 1, includeUsage: true }),
        ).not.toThrow();
      }),
      { numRuns: 1000 },
    );
  });
});
