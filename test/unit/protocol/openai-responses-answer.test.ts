import { describe, expect, test } from '@jest/globals';
import { openaiResponses } from '../../../gateway/protocol/openai-responses.ts';
import type { AnswerEvents } from '../../../gateway/protocol/protocol.ts';

const NONE = { input: 0, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };

describe('usage of responses', () => {
  const usage = (value: unknown) => openaiResponses.usage({ usage: value });

  test('is in disjoint classes', () => {
    const details = {
      input_tokens_details: { cached_tokens: 30, cache_write_tokens: 20 },
      output_tokens_details: { reasoning_tokens: 15 },
    };
    expect(usage({ input_tokens: 100, output_tokens: 20, total_tokens: 120, ...details })).toEqual({
      input: 50,
      cache_read: 30,
      cache_write: 20,
      cache_write_1h: 0,
      output: 5,
      reasoning: 15,
    });
    expect(usage({ input_tokens: 10, output_tokens: 5 })).toEqual({ ...NONE, input: 10, output: 5 });
    expect(usage({ input_tokens: 10, output_tokens: 5, input_tokens_details: { cached_tokens: 99 } })).toMatchObject({
      input: 0,
      cache_read: 10,
    });
    expect(usage({})).toBeNull();
    expect(usage(null)).toBeNull();
    expect(openaiResponses.usage(null)).toBeNull();
    // Usage of another API is none of this one.
    expect(usage({ prompt_tokens: 1, completion_tokens: 1 })).toBeNull();
  });

  test.each(['response.completed', 'response.incomplete', 'response.failed'])('of a stream is in %s', (type) => {
    const stream = openaiResponses.streamUsage();
    stream.feed('{"type":"response.created","response":{"usage":null}}');
    stream.feed('{"type":"response.output_text.delta","delta":"\\"usage\\": {\\"input_tokens\\": 7}"}');
    expect(stream.result()).toBeNull();
    stream.feed(JSON.stringify({ type, response: { usage: { input_tokens: 3, output_tokens: 4 } } }));
    stream.feed('{"type":"x","response":{"usage":{"input_tokens":');
    expect(stream.result()).toEqual({ ...NONE, input: 3, output: 4 });
  });
});

describe('the end of a responses stream', () => {
  const before = 'event: response.in_progress\ndata: {"type":"response.in_progress"}\n\n: ping\n\n';
  test.each([
    ['event: response.completed\ndata: {"type":"response.completed"}\n\n'],
    ['event: response.incomplete\r\ndata: {"type":"response.incomplete"}\r\n\r\n'],
    ['event:response.failed\ndata:{"type":"response.failed"}\n\n'],
    ['id: 7\nevent: response.completed\ndata: {}\n\n'],
    ['data: {"type":"response.completed","response":{}}\n\n'],
    ['data: { "sequence_number" : 4, "response": {}, "type" : "response.incomplete" }\n\n'],
    ['data: {\ndata: "type": "response.failed"}\n\n'],
  ])('is found at the start of its event: %j', (event) => {
    expect(openaiResponses.terminalAt(Buffer.from(event))).toBe(0);
    expect(openaiResponses.terminalAt(Buffer.from(`${before}${event}data: [DONE]\n\n`))).toBe(before.length);
  });

  test.each([
    [before],
    [delta('response.completed')],
    [delta('event: response.completed\ndata: {"type":"response.completed"}\n\n')],
    [
      'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":{"type":"response.failed"}}\n\n',
    ],
    [': event: response.completed\n\n'],
    ['event: response.completed\n\n'],
    ['event: response.completed.soon\ndata: {"type":"response.completed.soon"}\n\n'],
    ['event: response.web_search_call.completed\ndata: {"type":"response.web_search_call.completed"}\n\n'],
    ['data: "response.completed"\n\n'],
    ['data: {"type":"response.completed"\n\n'],
    ['event: error\ndata: {"type":"error","message":"response.failed"}\n\n'],
  ])('is not what only says so: %j', (event) => {
    expect(openaiResponses.terminalAt(Buffer.from(event))).toBe(-1);
  });

  test('is named on the wire, and nothing comes after it', () => {
    expect(openaiResponses.eventText({ type: 'response.completed', n: 1 })).toBe(
      'event: response.completed\ndata: {"type":"response.completed","n":1}\n\n',
    );
    expect(openaiResponses.terminal).toBe('');
    expect(openaiResponses.isUsageOnly({ type: 'response.completed', response: { usage: {} } })).toBe(false);
  });
});

const OUTPUT = [
  {
    type: 'reasoning',
    id: 'rs_1',
    summary: [{ type: 'summary_text', text: 'summary' }],
    content: [{ type: 'reasoning_text', text: 'thought' }],
    encrypted_content: 'gAAA',
  },
  {
    type: 'message',
    content: [
      { type: 'output_text', text: 'said', annotations: [] },
      { type: 'refusal', refusal: 'no' },
    ],
  },
  { type: 'function_call', name: 'f', arguments: '{"a":1}' },
  { type: 'custom_tool_call', name: 'c', input: 'SELECT 1' },
  { type: 'apply_patch_call', operation: { type: 'update_file', path: 'p', diff: '+x' } },
  { type: 'shell_call', action: { commands: ['ls', 'pwd'] } },
  { type: 'local_shell_call', action: { type: 'exec', command: ['cat'], env: { A: 'b' } } },
  { type: 'computer_call', actions: [{ type: 'type', text: 'typed' }] },
  { type: 'tool_search_call', execution: 'client', arguments: { q: 'x' } },
  // What the provider runs.
  { type: 'tool_search_call', execution: 'server', arguments: { q: 'y' } },
  { type: 'mcp_call', name: 'n', arguments: '{}', output: 'o' },
  { type: 'code_interpreter_call', code: '1', outputs: [{ logs: '1' }] },
  { type: 'web_search_call', action: { query: 'q' } },
  { type: 'item_of_tomorrow', text: 'z' },
];

describe('texts of a whole response', () => {
  test('are what the model says and wants the caller to run, each a text of its own, changed in place', () => {
    const body = { object: 'response', instructions: 'be brief', output: structuredClone(OUTPUT) };
    const texts = openaiResponses.answerTexts(body);
    expect(texts.map(({ value, place, json, isRepeat }) => [value, place, json, isRepeat ?? false])).toEqual([
      ['be brief', 'text', false, true],
      ['summary', 'text', false, false],
      ['thought', 'text', false, false],
      ['said', 'text', false, false],
      ['no', 'text', false, false],
      ['{"a":1}', 'tool_arguments', true, false],
      ['SELECT 1', 'tool_arguments', false, false],
      ['+x', 'tool_arguments', false, false],
      ['p', 'tool_arguments', false, false],
      ['ls', 'tool_arguments', false, false],
      ['pwd', 'tool_arguments', false, false],
      ['exec', 'tool_arguments', false, false],
      ['cat', 'tool_arguments', false, false],
      ['b', 'tool_arguments', false, false],
      ['type', 'tool_arguments', false, false],
      ['typed', 'tool_arguments', false, false],
      ['x', 'tool_arguments', false, false],
    ]);
    expect(new Set(texts.map(({ channel }) => channel)).size).toBe(texts.length);
    for (const text of texts) text.set(`${text.value}!`);
    const changed = JSON.stringify(body);
    for (const { value } of texts) expect(changed).toContain(`${JSON.stringify(value).slice(0, -1)}!"`);
    expect(changed.match(/!/g)).toHaveLength(texts.length);
  });

  test.each([[null], [5], [[]], [{}], [{ output: {} }], [{ output: [null, 5, {}, { type: 'message', content: 5 }] }]])(
    'are none in %j',
    (body) => expect(openaiResponses.answerTexts(body)).toEqual([]),
  );
});

const DELTAS: [name: string, index: string | null, whole: string, place: string, json: boolean][] = [
  ['output_text', 'content_index', 'text', 'text', false],
  ['refusal', 'content_index', 'refusal', 'text', false],
  ['reasoning_text', 'content_index', 'text', 'text', false],
  ['reasoning_summary_text', 'summary_index', 'text', 'text', false],
  ['function_call_arguments', null, 'arguments', 'tool_arguments', true],
  ['custom_tool_call_input', null, 'input', 'tool_arguments', false],
  ['apply_patch_call_operation_diff', null, 'diff', 'tool_arguments', false],
  ['shell_call_command', 'command_index', 'command', 'tool_arguments', false],
];

describe('texts of a responses stream', () => {
  test.each(DELTAS)('%s comes in pieces and again whole, as a text of its own', (name, index, whole, place, json) => {
    const events = openaiResponses.answerEvents();
    const at = { item_id: 'i', output_index: 2, ...(index === null ? {} : { [index]: 1 }) };
    const piece = events.read({ type: `response.${name}.delta`, sequence_number: 8, delta: 'a', ...at });
    expect(piece).toMatchObject({ pieces: [{ value: 'a', place, json }], ended: [] });
    const { channel } = piece.pieces[0]!;
    expect(events.open()).toEqual([channel]);

    // What is written for a channel is an event of the API that is read as the same channel.
    const [head, data] = events.write(channel, 'rest').split('\n') as [string, string];
    expect(head).toBe(`event: response.${name}.delta`);
    const written = JSON.parse(data.slice(6)) as Record<string, unknown>;
    expect(written).toEqual({
      type: `response.${name}.delta`,
      sequence_number: 8,
      ...at,
      delta: 'rest',
      ...(name === 'output_text' ? { logprobs: [] } : {}),
    });
    expect(openaiResponses.answerEvents().read(written).pieces).toMatchObject([{ channel, value: 'rest' }]);

    const done: Record<string, unknown> = { type: `response.${name}.done`, sequence_number: 9, ...at, [whole]: 'ab' };
    const end = events.read(done);
    expect(end.pieces).toMatchObject([{ value: 'ab', place, json, isRepeat: true }]);
    expect(end.pieces[0]!.channel).not.toBe(channel);
    expect(end.ended).toEqual([channel, end.pieces[0]!.channel]);
    end.pieces[0]!.set('abc');
    expect(done[whole]).toBe('abc');
    // What was held back goes out before it, under the same id.
    expect(JSON.parse(events.write(channel, 'b').split('\ndata: ')[1]!)).toMatchObject({ ...at, sequence_number: 9 });
    expect(events.open()).toEqual([]);
  });

  const types = (name: string, ...steps: string[]): string[] => steps.map((step) => `response.${name}.${step}`);
  test.each([
    ...types('mcp_call_arguments', 'delta', 'done'),
    ...types('code_interpreter_call_code', 'delta', 'done'),
    ...types('shell_call_output_content', 'delta', 'done'),
    ...types('a_thing_of_tomorrow', 'delta', 'done'),
    'response.',
    'response',
    'error',
    'keepalive',
    '',
  ])('an event %p, of what the provider runs or of none, has none', (type) => {
    const event = { type, output_index: 0, delta: 'x', arguments: 'x', code: 'x', text: 'x', error: {} };
    expect(openaiResponses.answerEvents().read(event)).toEqual({ pieces: [], ended: [] });
  });

  test.each([[null], [5], ['x'], [[]], [{}], [{ type: 5 }], [{ type: 'response.output_text.delta', delta: 5 }]])(
    'an event of no form has none: %j',
    (event) => expect(openaiResponses.answerEvents().read(event)).toEqual({ pieces: [], ended: [] }),
  );

  const said = (events: AnswerEvents, event: object): unknown => {
    const { pieces, ended } = events.read(event);
    return { said: pieces.map(({ value, isRepeat }) => [value, isRepeat ?? false]), ended: ended.length };
  };

  test('a part that starts with text starts its channel', () => {
    const events = openaiResponses.answerEvents();
    const at = { output_index: 0, content_index: 0, item_id: 'm' };
    const added = { type: 'response.content_part.added', ...at };
    expect(said(events, { ...added, part: { type: 'output_text', text: '' } })).toEqual({ said: [], ended: 0 });
    expect(said(events, { ...added, part: { type: 'output_text', text: 'a' } })).toEqual({
      said: [['a', false]],
      ended: 0,
    });
    events.read({ type: 'response.output_text.delta', ...at, delta: 'b' });
    const done = { type: 'response.content_part.done', ...at, part: { type: 'output_text', text: 'ab' } };
    expect(said(events, done)).toEqual({ said: [['ab', true]], ended: 2 });
  });

  test('a whole item ends what is open of it and nothing else; the end of the response ends all', () => {
    const events = openaiResponses.answerEvents();
    for (const output_index of [0, 1, 11]) {
      events.read({ type: 'response.function_call_arguments.delta', output_index, item_id: 'i', delta: '{' });
    }
    const item = { type: 'function_call', arguments: '{}' };
    expect(said(events, { type: 'response.output_item.done', output_index: 1, item })).toEqual({
      said: [['{}', true]],
      ended: 2,
    });
    expect(events.open()).toEqual(['function_call_arguments 0 -', 'function_call_arguments 11 -']);
    const response = { instructions: 'be brief', output: OUTPUT.slice(1, 3) };
    expect(said(events, { type: 'response.incomplete', response })).toEqual({
      said: [
        ['be brief', true],
        ['said', false],
        ['no', false],
        ['{"a":1}', true],
      ],
      ended: 6,
    });
    expect(events.open()).toEqual([]);
  });

  test('what comes only whole is said once, however often it is repeated', () => {
    const events = openaiResponses.answerEvents();
    const item = { type: 'local_shell_call', action: { command: ['ls'] } };
    expect(said(events, { type: 'response.output_item.added', output_index: 0, item })).toMatchObject({
      said: [['ls', false]],
    });
    expect(said(events, { type: 'response.output_item.done', output_index: 0, item })).toMatchObject({
      said: [['ls', true]],
    });
    expect(said(events, { type: 'response.completed', response: { output: [item] } })).toMatchObject({
      said: [['ls', true]],
    });
  });

  test('ids that change from event to event do not part a text', () => {
    const events = openaiResponses.answerEvents();
    const delta = (item_id: string) => ({
      type: 'response.output_text.delta',
      output_index: 0,
      content_index: 0,
      item_id,
      delta: 'x',
    });
    events.read(delta('one'));
    events.read(delta('two'));
    expect(events.open()).toHaveLength(1);
    expect(events.write(events.open()[0]!, 'x')).toContain('"item_id":"two"');
  });
});

function delta(text: string): string {
  const event = { type: 'response.output_text.delta', delta: text };
  return `event: response.output_text.delta\ndata: ${JSON.stringify(event)}\n\n`;
}
