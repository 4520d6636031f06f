import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { chatToMessages } from '../../../../gateway/protocol/translate/chat-to-messages.ts';
import { ROOT } from '../../../support/gateway.ts';
import { joinedChunks, translatedEvents } from '../../../support/translated-stream.ts';

const CONTEXT = { body: { model: 'claude-asked' } as Json, id: '0a1b2c', created: 7, includeUsage: false };
const START = {
  type: 'message_start',
  message: { id: 'msg_1', model: 'claude-said', content: [], usage: { input_tokens: 3, output_tokens: 1 } },
};
const STOP = { type: 'message_stop' };
const start = (index: number, block: Json): Json => ({ type: 'content_block_start', index, content_block: block });
const delta = (index: number, said: Json): Json => ({ type: 'content_block_delta', index, delta: said });
const stop = (index: number): Json => ({ type: 'content_block_stop', index });
const text = (index: number, said: string): Json => delta(index, { type: 'text_delta', text: said });
const input = (index: number, json: string): Json => delta(index, { type: 'input_json_delta', partial_json: json });
const over = (reason: string, more: Json = {}): Json => ({
  type: 'message_delta',
  delta: { stop_reason: reason, ...more },
  usage: { output_tokens: 9 },
});

const run = (events: readonly Json[], context: Partial<typeof CONTEXT> = {}): Json[] =>
  translatedEvents(chatToMessages, events, { ...CONTEXT, ...context });
const deltas = (chunks: readonly Json[]): Json[] =>
  chunks.flatMap(({ choices }) => (choices as { delta: Json }[]).map((choice) => choice.delta));
const recording = (name: string): Json[] =>
  readFileSync(join(ROOT, 'test/fixtures/provider-recordings/anthropic', name), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Json);

describe('a stream', () => {
  test('begins with who speaks, and ends with why it ended', () => {
    const chunks = run([
      START,
      { type: 'ping' },
      start(0, { type: 'text', text: '' }),
      text(0, 'Hi'),
      stop(0),
      over('end_turn'),
      STOP,
    ]);
    const envelope = { id: 'msg_1', object: 'chat.completion.chunk', created: 7, model: 'claude-said' };
    const choice = (said: Json, finish: string | null): Json => ({
      index: 0,
      delta: said,
      logprobs: null,
      finish_reason: finish,
    });
    expect(chunks).toEqual([
      { ...envelope, choices: [choice({ role: 'assistant', content: '', refusal: null }, null)] },
      { ...envelope, choices: [choice({ content: 'Hi' }, null)] },
      { ...envelope, choices: [choice({}, 'stop')] },
    ]);
  });

  test('says each piece as soon as it comes, and why it ended only at the end', () => {
    const reader = chatToMessages.events(CONTEXT);
    expect(reader.push(START)).toHaveLength(1);
    expect(reader.push(start(0, { type: 'text', text: '' }))).toEqual([]);
    expect(deltas(reader.push(text(0, 'Hi')))).toEqual([{ content: 'Hi' }]);
    expect(reader.push(over('end_turn'))).toEqual([]);
    expect(reader.push(STOP)).toEqual([]);
    expect(reader.end()).toMatchObject([{ choices: [{ finish_reason: 'stop' }] }]);
  });

  test('has usage in a chunk of its own where it is asked for, and null in the others', () => {
    const chunks = run([START, text(0, 'lost'), over('end_turn'), STOP], { includeUsage: true });
    const last = chunks.pop()!;
    expect(last).toMatchObject({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 9, total_tokens: 12 } });
    expect(protocolOf('chat.completions').isUsageOnly(last)).toBe(true);
    expect(chunks.map(({ usage }) => usage)).toEqual(chunks.map(() => null));
    for (const chunk of run([START, over('end_turn'), STOP])) expect(chunk).not.toHaveProperty('usage');
  });

  test('tells calls side by side under their own indexes, whatever else the message has', () => {
    const chunks = run([
      START,
      start(0, { type: 'text', text: 'Well' }),
      stop(0),
      start(1, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} }),
      input(1, '{"query":"x"}'),
      stop(1),
      start(2, { type: 'tool_use', id: 'a', name: 'f', input: {} }),
      start(3, { type: 'tool_use', id: 'b', name: 'g', input: {} }),
      input(3, ''),
      input(2, '{"x"'),
      input(3, '{"y":2}'),
      input(2, ':1}'),
      stop(3),
      stop(2),
      start(4, { type: 'tool_use', id: 'c', name: 'h', input: {} }),
      stop(4),
      start(5, { type: 'tool_use', id: 'd', name: 'i', input: { whole: true } }),
      stop(5),
      over('tool_use'),
      STOP,
    ]);
    expect(joinedChunks(chunks)).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'Well',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
          { id: 'b', type: 'function', function: { name: 'g', arguments: '{"y":2}' } },
          { id: 'c', type: 'function', function: { name: 'h', arguments: '{}' } },
          { id: 'd', type: 'function', function: { name: 'i', arguments: '{"whole":true}' } },
        ],
      },
    });
  });

  test('gives signed reasoning as text and, in one list, as blocks that come back whole', () => {
    const chunks = run([
      START,
      start(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Hm' }),
      delta(0, { type: 'thinking_delta', thinking: '…' }),
      delta(0, { type: 'signature_delta', signature: 'Er' }),
      delta(0, { type: 'signature_delta', signature: 'UB' }),
      stop(0),
      start(1, { type: 'redacted_thinking', data: 'Eo0B' }),
      stop(1),
      start(2, { type: 'thinking', thinking: '', signature: '' }),
      delta(2, { type: 'signature_delta', signature: 'omitted' }),
      stop(2),
      start(3, { type: 'tool_use', id: 'a', name: 'f', input: {} }),
      stop(3),
      over('tool_use'),
      STOP,
    ]);
    const { message } = joinedChunks(chunks) as { message: Json };
    expect(message.reasoning_content).toBe('Hm…');
    expect(deltas(chunks).filter((said) => 'reasoning_details' in said)).toHaveLength(1);
    const back = chatToMessages.request({
      model: 'claude-opus-5-5',
      max_tokens: 10,
      messages: [{ role: 'user', content: 'Hi' }, message, { role: 'tool', tool_call_id: 'a', content: '1' }],
    });
    expect((back.messages as { content: Json[] }[])[1]!.content).toEqual([
      { type: 'thinking', thinking: 'Hm…', signature: 'ErUB' },
      { type: 'redacted_thinking', data: 'Eo0B' },
      { type: 'thinking', thinking: '', signature: 'omitted' },
      { type: 'tool_use', id: 'a', name: 'f', input: {} },
    ]);
  });

  test('keeps reasoning that nobody signed as text alone', () => {
    const chunks = run([
      START,
      start(0, { type: 'thinking', thinking: 'Hm' }),
      delta(0, { type: 'thinking_delta', thinking: '.' }),
      stop(0),
      over('end_turn'),
      STOP,
    ]);
    expect(joinedChunks(chunks)).toMatchObject({ message: { reasoning_content: 'Hm.' } });
    expect(deltas(chunks).some((said) => 'reasoning_details' in said)).toBe(false);
  });

  test('says why it was refused', () => {
    const details = { type: 'refusal', category: 'cyber', explanation: 'Not this.' };
    const chunks = run([START, over('refusal', { stop_details: details }), STOP]);
    expect(joinedChunks(chunks)).toMatchObject({ finish_reason: 'content_filter', message: { refusal: 'Not this.' } });
  });

  test('without a start has an id and a model all the same', () => {
    const chunks = run([start(0, { type: 'text', text: 'Hi' }), stop(0), over('end_turn'), STOP]);
    expect(chunks[0]).toMatchObject({
      id: 'chatcmpl-0a1b2c',
      model: 'claude-asked',
      choices: [{ delta: { role: 'assistant' } }],
    });
    expect(joinedChunks(chunks)).toMatchObject({ message: { content: 'Hi' }, finish_reason: 'stop' });
  });

  test('leaves out what it does not know, and never throws for it', () => {
    const odd: Json[] = [
      {},
      { type: 7 },
      { type: 'content_block_start' },
      { type: 'content_block_start', index: 'x', content_block: { type: 'tool_use' } },
      { type: 'content_block_delta', index: 99, delta: { type: 'input_json_delta', partial_json: 5 } },
      { type: 'content_block_delta', delta: null },
      { type: 'content_block_delta', index: 3, delta: { type: 'new_delta', data: 'x' } },
      { type: 'content_block_stop' },
      { type: 'message_start', message: null },
      { type: 'message_start', message: { content: 'x', usage: [] } },
      { type: 'message_delta', delta: 5, usage: 'x' },
      { type: 'brand_new' },
    ];
    const chunks = run([START, ...odd, over('brand_new_reason'), STOP]);
    expect(joinedChunks(chunks)).toMatchObject({ finish_reason: 'stop' });
  });
});

describe('a stream that starts twice', () => {
  test('is one message where the start is a repetition', () => {
    const chunks = run(recording('duplicate-message-start.chunks.txt'));
    expect(deltas(chunks).filter(({ role }) => role === 'assistant')).toHaveLength(1);
    expect(joinedChunks(chunks)).toMatchObject({ finish_reason: 'stop', message: { content: 'Hello, World!' } });
  });

  test('goes on with its blocks where the start is said again among them', () => {
    const chunks = run([
      START,
      start(0, { type: 'tool_use', id: 'a', name: 'f', input: {} }),
      input(0, '{"x"'),
      START,
      input(0, ':1}'),
      stop(0),
      over('tool_use'),
      STOP,
    ]);
    expect(joinedChunks(chunks)).toMatchObject({ message: { tool_calls: [{ function: { arguments: '{"x":1}' } }] } });
  });

  test('counts calls on for another message, and keeps that one’s reasoning alone', () => {
    const chunks = run(recording('spliced-message-start.chunks.txt'));
    const { message, finish_reason: finish } = joinedChunks(chunks) as { message: Json; finish_reason: string };
    expect(finish).toBe('tool_calls');
    expect(message.tool_calls).toMatchObject([
      { id: 'toolu_first', function: { arguments: '{"value":"Spark' } },
      { id: 'toolu_second', function: { arguments: '{"value":"Sparkle Day"}' } },
    ]);
    const [only, ...rest] = message.reasoning_details as { data: string }[];
    expect(rest).toEqual([]);
    expect(JSON.parse(only!.data)).toEqual({
      type: 'thinking',
      thinking: 'Let me call the tool.',
      signature: 'sig-second',
    });
    expect(new Set(chunks.map(({ id }) => id))).toEqual(new Set(['msg_first']));
  });
});

describe('older and custom tools', () => {
  const CALLS = [
    START,
    start(0, { type: 'tool_use', id: 'a', name: 'run', input: {} }),
    input(0, '{"input":"ls '),
    input(0, '-l\\n"}'),
    stop(0),
    over('tool_use'),
    STOP,
  ];

  test('a custom call comes in one piece, as its plain text', () => {
    const body = { model: 'claude-asked', tools: [{ type: 'custom', custom: { name: 'run' } }] };
    expect(deltas(run(CALLS, { body }))[1]).toEqual({
      tool_calls: [{ index: 0, id: 'a', type: 'custom', custom: { name: 'run', input: 'ls -l\n' } }],
    });
    const whole = chatToMessages.answer(
      { content: [{ type: 'tool_use', id: 'a', name: 'run', input: { input: 'ls' } }], stop_reason: 'tool_use' },
      { ...CONTEXT, body },
    );
    expect(whole).toMatchObject({
      id: 'chatcmpl-0a1b2c',
      choices: [{ message: { tool_calls: [{ id: 'a', type: 'custom', custom: { name: 'run', input: 'ls' } }] } }],
    });
  });

  test('a caller of functions reads one function_call', () => {
    const body = { model: 'claude-asked', functions: [{ name: 'run' }] };
    const { message, finish_reason: finish } = joinedChunks(run(CALLS, { body })) as {
      message: Json;
      finish_reason: string;
    };
    expect([message.function_call, finish]).toEqual([
      { name: 'run', arguments: '{"input":"ls -l\\n"}' },
      'function_call',
    ]);
    const whole = chatToMessages.answer(
      { content: [{ type: 'tool_use', id: 'a', name: 'run', input: {} }], stop_reason: 'tool_use' },
      { ...CONTEXT, body },
    );
    const [choice] = whole.choices as [{ message: Json; finish_reason: string }];
    expect(choice.message.function_call).toEqual({ name: 'run', arguments: '{}' });
    expect(choice.message).not.toHaveProperty('tool_calls');
    expect(choice.finish_reason).toBe('function_call');
  });
});

test.each([[{}], [{ type: 'message', content: null }], [[]]])('the answer %j is no message', (odd) => {
  expect(() => chatToMessages.answer(odd as Json, CONTEXT)).toThrow('not a message');
});
