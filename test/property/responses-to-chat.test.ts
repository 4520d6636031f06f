import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import type { Json } from '../../gateway/protocol/fields.ts';
import { responsesToChat } from '../../gateway/protocol/translate/responses-to-chat.ts';
import { ROOT } from '../support/gateway.ts';

const CODEX = JSON.parse(readFileSync(join(ROOT, 'test/fixtures/codex-request.json'), 'utf8')) as Json;
const FULL: Json = {
  model: 'm',
  instructions: 'Be brief.',
  reasoning: { effort: 'low', summary: 'auto' },
  text: { format: { type: 'json_schema', name: 'n', schema: {}, strict: true }, verbosity: 'low' },
  include: ['reasoning.encrypted_content'],
  tools: [
    { type: 'function', name: 'f', parameters: {}, strict: false },
    { type: 'custom', name: 'c', format: { type: 'grammar', syntax: 'lark', definition: 'x' } },
    { type: 'namespace', name: 'n', description: '', tools: [{ type: 'function', name: 'f' }] },
  ],
  tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
  input: [
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'a' },
        { type: 'input_image', image_url: 'u' },
      ],
    },
    { type: 'reasoning', id: 'rs', summary: [{ type: 'summary_text', text: 't' }], encrypted_content: 'e' },
    { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'b', annotations: [] }] },
    { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
    { type: 'custom_tool_call', call_id: 'c2', name: 'c', input: 'x' },
    { type: 'function_call_output', call_id: 'c1', output: [{ type: 'input_file', file_id: 'f' }] },
    { type: 'custom_tool_call_output', call_id: 'c2', output: 'o' },
  ],
};

/** Every place in a JSON value, as a path of keys. */
const paths = (value: unknown, path: readonly string[] = []): string[][] =>
  typeof value === 'object' && value !== null
    ? Object.keys(value).flatMap((key) => [[...path, key], ...paths((value as Json)[key], [...path, key])])
    : [];

/** What may stand in a place instead; undefined takes the member away. */
const VALUES = [undefined, null, true, 0, -1, 1e99, '', 'c1', 'function', [], [null], ['x'], {}, { type: 'x' }, [[{}]]];
const KEYS = ['type', 'call_id', '__proto__', 'role', 'content', 'x', '0'];

const change = (body: Json, path: readonly string[], value: unknown, key: string): void => {
  let holder = body as Json | undefined;
  for (const step of path.slice(0, -1)) {
    const next = holder?.[step];
    holder = typeof next === 'object' && next !== null ? (next as Json) : undefined;
  }
  if (!holder) return;
  const at = path.at(-1)!;
  if (value === undefined && Array.isArray(holder)) holder.splice(Number(at), 1);
  else if (value === undefined) delete holder[at];
  else if (key === '') holder[at] = value;
  else Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
};

const mutated = (base: Json): fc.Arbitrary<Json> => {
  const places = paths(base);
  const mutation = fc.record({
    path: fc.constantFrom(...places),
    value: fc.oneof(fc.constantFrom(...VALUES), fc.jsonValue({ maxDepth: 3 })),
    key: fc.constantFrom('', '', '', ...KEYS),
  });
  return fc.array(mutation, { minLength: 1, maxLength: 4 }).map((mutations) => {
    const body = structuredClone(base);
    for (const { path, value, key } of mutations) change(body, path, structuredClone(value), key);
    return body;
  });
};

/** The calls of messages that no tool message answers right behind them, and tool messages without a call. */
const unanswered = (messages: readonly Json[]): unknown[] => {
  const wrong: unknown[] = [];
  let open: unknown[] = [];
  for (const message of messages) {
    if (message.role === 'tool') {
      if (open[0] !== message.tool_call_id) wrong.push(message);
      open = open.slice(1);
      continue;
    }
    wrong.push(...open);
    open = ((message.tool_calls ?? []) as Json[]).map(({ id }) => id);
  }
  return [...wrong, ...open];
};

describe('a responses body, whatever was done to it', () => {
  test.each([
    ['a full one', FULL],
    ['Codex’s', CODEX],
  ])('is translated or refused with its place, and is not changed: %s', (_name, base) => {
    let translated = 0;
    let refused = 0;
    fc.assert(
      fc.property(mutated(base), (body) => {
        const before = JSON.stringify(body);
        try {
          const { messages } = responsesToChat.request(body);
          translated++;
          expect(unanswered(messages as Json[])).toEqual([]);
        } catch (error) {
          if (!isGatewayError(error)) throw error;
          refused++;
          expect(error.code).toBe('invalid_field');
          expect(error.detail.param).toEqual(expect.any(String));
        }
        expect(JSON.stringify(body)).toBe(before);
      }),
      { numRuns: 500 },
    );
    expect(translated).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  });

  test('has the outputs of its calls right behind them, in whatever order they were sent', () => {
    const items = fc
      .array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 8 })
      .chain((ids) =>
        fc.shuffledSubarray(
          [
            ...ids.map((call_id) => ({ type: 'function_call', call_id, name: 'f', arguments: '{}' })),
            ...ids.map((call_id) => ({ type: 'function_call_output', call_id, output: call_id })),
            { role: 'user', content: 'u' },
            { role: 'assistant', content: 't' },
          ],
          { minLength: ids.length * 2 },
        ),
      );
    let translated = 0;
    fc.assert(
      fc.property(items, (input) => {
        try {
          const messages = responsesToChat.request({ model: 'm', input }).messages as Json[];
          translated++;
          expect(unanswered(messages)).toEqual([]);
          expect(messages.filter(({ role }) => role === 'tool')).toHaveLength(
            input.filter((item) => 'output' in item).length,
          );
        } catch (error) {
          if (!isGatewayError(error)) throw error;
        }
      }),
      { numRuns: 400 },
    );
    expect(translated).toBeGreaterThan(20);
  });
});

describe('a chat completions stream, whatever was done to its chunks', () => {
  const CONTEXT = { body: { model: 'm', input: 'Hi' }, id: 'x', created: 1, includeUsage: true };
  const CHUNK: Json = {
    created: 1,
    model: 'm',
    usage: { prompt_tokens: 1, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 1 } },
    choices: [
      {
        index: 0,
        delta: {
          content: [
            { type: 'thinking', thinking: [{ type: 'text', text: 'a' }] },
            { type: 'text', text: 'b' },
          ],
          reasoning: 'c',
          reasoning_details: [{ type: 'reasoning.text', text: 'c', index: 0 }],
          refusal: 'd',
          annotations: [{ type: 'url_citation', url_citation: { url: 'u' } }],
          tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '{' } }],
        },
        logprobs: { content: [{ token: 'a' }] },
        finish_reason: 'stop',
      },
    ],
  };

  test('is translated into numbered events, each item from its beginning to its end', () => {
    fc.assert(
      fc.property(fc.array(mutated(CHUNK), { minLength: 1, maxLength: 5 }), (chunks) => {
        const reader = responsesToChat.events(CONTEXT);
        const events = [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.end()];
        expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_event, index) => index));
        const added = events.filter(({ type }) => type === 'response.output_item.added');
        const done = events.filter(({ type }) => type === 'response.output_item.done');
        expect(done).toHaveLength(added.length);
        const response = events.at(-1)!.response as { output: Json[] };
        expect(response.output.map(({ id }) => id)).toEqual(added.map(({ item }) => (item as Json).id));
      }),
      { numRuns: 400 },
    );
  });
});
