import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { responsesToChat } from '../../../../gateway/protocol/translate/responses-to-chat.ts';
import { translatedEvents } from '../../../support/translated-stream.ts';

const context = (body: Json = {}) => ({
  body: { model: 'm', input: 'Hi', ...body },
  id: '0a1b2c',
  created: 1_760_000_000,
  includeUsage: true,
});
const chunk = (delta: Json, finish: string | null = null): Json => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 5,
  model: 'm-2026',
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const stream = (deltas: readonly Json[], finish = 'stop', body: Json = {}): Json[] =>
  translatedEvents(responsesToChat, [...deltas.map((delta) => chunk(delta)), chunk({}, finish)], context(body));
const responseOf = (events: readonly Json[]): Json => events.at(-1)!.response as Json;
const outputOf = (deltas: readonly Json[], finish = 'stop', body: Json = {}): unknown =>
  responseOf(stream(deltas, finish, body)).output;
const whole = (message: Json, rest: Json = {}, body: Json = {}): Json =>
  responsesToChat.answer(
    { model: 'm-2026', created: 5, choices: [{ index: 0, message, finish_reason: 'stop', ...rest }] },
    context(body),
  );
const piece = (index: number | undefined, called: Json, id?: string): Json => ({
  tool_calls: [{ ...(index === undefined ? {} : { index }), ...(id === undefined ? {} : { id }), function: called }],
});

describe('the events of a stream', () => {
  test('tell an answer with reasoning, a text and a call from its beginning to its end', () => {
    const events = stream([
      { role: 'assistant', content: '' },
      { reasoning_content: 'H' },
      { reasoning_content: 'm' },
      { content: 'a' },
      { content: 'b' },
      piece(0, { name: 'f', arguments: '' }, 'c1'),
      piece(0, { arguments: '{"x"' }),
      piece(0, { arguments: ':1}' }),
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_event, index) => index));
    const said = events.map(({ type, delta, output_index: at }) => [type, ...(at === undefined ? [] : [at]), delta]);
    expect(said.map((parts) => parts.filter((part) => part !== undefined).join(' '))).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added 0',
      'response.reasoning_summary_part.added 0',
      'response.reasoning_summary_text.delta 0 H',
      'response.reasoning_summary_text.delta 0 m',
      'response.reasoning_summary_text.done 0',
      'response.reasoning_summary_part.done 0',
      'response.output_item.done 0',
      'response.output_item.added 1',
      'response.content_part.added 1',
      'response.output_text.delta 1 a',
      'response.output_text.delta 1 b',
      'response.output_text.done 1',
      'response.content_part.done 1',
      'response.output_item.done 1',
      'response.output_item.added 2',
      'response.function_call_arguments.delta 2 {"x"',
      'response.function_call_arguments.delta 2 :1}',
      'response.function_call_arguments.done 2',
      'response.output_item.done 2',
      'response.completed',
    ]);
    const done = events.filter(({ type }) => type === 'response.output_item.done').map(({ item }) => item);
    expect(responseOf(events).output).toEqual(done);
    expect(done).toMatchObject([
      { id: 'rs_0a1b2c_0', type: 'reasoning', summary: [{ type: 'summary_text', text: 'Hm' }] },
      { id: 'msg_0a1b2c_1', status: 'completed', content: [{ type: 'output_text', text: 'ab', annotations: [] }] },
      { id: 'fc_0a1b2c_2', call_id: 'c1', name: 'f', arguments: '{"x":1}', status: 'completed' },
    ]);
    expect(events[0]!.response).toMatchObject({ status: 'in_progress', output: [], usage: null, model: 'm-2026' });
    expect(events[2]!.item).toEqual({ id: 'rs_0a1b2c_0', type: 'reasoning', summary: [] });
  });

  test('name the same item from its first to its last', () => {
    const events = stream([{ refusal: 'N' }, { refusal: 'o' }, { content: 'But.' }]);
    const ids = events.map((event) => event.item_id ?? (event.item as Json | undefined)?.id ?? 'msg_0a1b2c_0');
    expect(new Set(ids)).toEqual(new Set(['msg_0a1b2c_0']));
    const parts = events.filter(({ content_index }) => content_index !== undefined);
    expect(parts.map(({ type, content_index }) => `${String(type).slice(9)} ${content_index}`)).toEqual([
      'content_part.added 0',
      'refusal.delta 0',
      'refusal.delta 0',
      'refusal.done 0',
      'content_part.done 0',
      'content_part.added 1',
      'output_text.delta 1',
      'output_text.done 1',
      'content_part.done 1',
    ]);
  });

  test('begin with the first chunk that says something, and come at the end of a stream that says nothing', () => {
    const events = responsesToChat.events(context());
    expect(events.push({ choices: [], created: 0, id: '', model: '', prompt_filter_results: [] })).toEqual([]);
    expect(events.push(chunk({ role: 'assistant' })).map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
    ]);
    const silent = translatedEvents(responsesToChat, [{}, { choices: 'x' }, { object: 'ping' }], context());
    expect(silent.map(({ type }) => type)).toEqual(['response.created', 'response.in_progress', 'response.completed']);
    expect(responseOf(silent)).toMatchObject({ output: [], usage: null, model: 'm', created_at: 1_760_000_000 });
  });

  test('are not changed by those that come after', () => {
    const reader = responsesToChat.events(context());
    const chunks = [{ reasoning: 'a' }, { content: 'b' }, { annotations: [citation] }, piece(0, { name: 'f' }, 'c')];
    const events = chunks.flatMap((delta) => reader.push(chunk(delta)));
    const before = JSON.stringify(events);
    reader.end();
    expect(JSON.stringify(events)).toBe(before);
  });

  const citation = { type: 'url_citation', url_citation: { start_index: 0, end_index: 1, title: 't', url: 'u' } };

  test('tell citations of a text as they come', () => {
    const events = stream([{ content: 'b' }, { annotations: [citation, { type: 'other' }] }]);
    expect(events.find(({ type }) => type === 'response.output_text.annotation.added')).toMatchObject({
      item_id: 'msg_0a1b2c_0',
      annotation_index: 0,
      annotation: { type: 'url_citation', url: 'u' },
    });
    expect(responseOf(events).output).toMatchObject([{ content: [{ text: 'b', annotations: [{ url: 'u' }] }] }]);
  });

  test('keep log probabilities with the text', () => {
    const token = { token: 'b', logprob: -1, bytes: [98], top_logprobs: [] };
    const choice = { index: 0, delta: { content: 'b' }, logprobs: { content: [token], refusal: null } };
    const events = translatedEvents(responsesToChat, [{ choices: [choice] }, { choices: [choice] }], context());
    expect(events.find(({ type }) => type === 'response.output_text.delta')).toMatchObject({ logprobs: [token] });
    expect(events.find(({ type }) => type === 'response.output_text.done')).toMatchObject({ logprobs: [token, token] });
    expect(responseOf(events).output).toMatchObject([{ content: [{ text: 'bb', logprobs: [token, token] }] }]);
  });
});

describe('how an answer ends', () => {
  test.each([
    ['stop', 'completed', null, 'completed'],
    ['tool_calls', 'completed', null, 'completed'],
    ['something_new', 'completed', null, 'completed'],
    ['length', 'incomplete', { reason: 'max_output_tokens' }, 'incomplete'],
    ['model_length', 'incomplete', { reason: 'max_output_tokens' }, 'incomplete'],
    ['content_filter', 'incomplete', { reason: 'content_filter' }, 'incomplete'],
    ['insufficient_system_resource', 'failed', null, 'incomplete'],
  ])('%s is %s', (finish, status, details, itemStatus) => {
    const events = stream([{ content: 'a' }, piece(0, { name: 'f', arguments: '{' }, 'c1')], finish);
    expect(events.at(-1)!.type).toBe(`response.${status}`);
    expect(responseOf(events)).toMatchObject({ status, incomplete_details: details });
    expect(responseOf(events).error === null).toBe(status !== 'failed');
    expect(responseOf(events).output).toMatchObject([{ status: 'completed' }, { status: itemStatus }]);
  });

  test('usage that comes after the end is told', () => {
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
    const events = translatedEvents(
      responsesToChat,
      [chunk({ content: 'a' }), chunk({}, 'stop'), { choices: [], usage }],
      context(),
    );
    expect(responseOf(events).usage).toMatchObject({ input_tokens: 10, output_tokens: 5, total_tokens: 15 });
  });
});

describe('the calls of an answer', () => {
  test.each<[string, Json[]]>([
    [
      'at once',
      [{ tool_calls: [0, 1].map((index) => ({ index, id: `c${index}`, function: { name: 'f', arguments: '{}' } })) }],
    ],
    [
      'piece by piece, in turns',
      [
        piece(0, { name: 'f', arguments: '' }, 'c0'),
        piece(1, { name: 'f', arguments: '{' }, 'c1'),
        piece(0, { arguments: '{}' }),
        piece(1, { arguments: '}' }),
      ],
    ],
    [
      'all with one index, as Gemini says them',
      [piece(0, { name: 'f', arguments: '{}' }, 'c0'), piece(0, { name: 'f', arguments: '{}' }, 'c1')],
    ],
    [
      'without an index',
      [piece(undefined, { name: 'f', arguments: '{}' }, 'c0'), piece(undefined, { name: 'f', arguments: '{}' }, 'c1')],
    ],
    [
      'with ids and names in every piece',
      [
        piece(0, { name: 'f', arguments: '{' }, 'c0'),
        piece(0, { name: 'f', arguments: '}' }, 'c0'),
        piece(1, { name: 'f', arguments: '{}' }, 'c1'),
      ],
    ],
    [
      'with the arguments as an object',
      [piece(0, { name: 'f', arguments: {} }, 'c0'), piece(1, { name: 'f', arguments: {} }, 'c1')],
    ],
    [
      'with the name after the first piece',
      [piece(0, { arguments: '{' }, 'c0'), piece(0, { name: 'f', arguments: '}' }), piece(1, { name: 'f' }, 'c1')],
    ],
  ])('are told whole where they come %s', (_name, deltas) => {
    expect(outputOf(deltas, 'tool_calls')).toMatchObject([
      { type: 'function_call', call_id: 'c0', name: 'f', arguments: '{}' },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' },
    ]);
  });

  test('without an id get one, and the older form is told like the newer', () => {
    expect(outputOf([piece(0, { name: 'f', arguments: '{}' })])).toMatchObject([{ call_id: 'call_0a1b2c_0' }]);
    const older = [{ function_call: { name: 'f', arguments: '{' } }, { function_call: { arguments: '}' } }];
    expect(outputOf(older)).toMatchObject([{ type: 'function_call', name: 'f', arguments: '{}' }]);
  });

  test('of a whole answer may share an id', () => {
    const calls = [1, 2].map((x) => ({ id: 'c', type: 'function', function: { name: 'f', arguments: `${x}` } }));
    expect(whole({ tool_calls: calls }).output).toMatchObject([{ arguments: '1' }, { arguments: '2' }]);
  });

  test('are of the tools that the caller knows', () => {
    const tools = [
      { type: 'custom', name: 'apply_patch' },
      { type: 'namespace', name: 'agents', tools: [{ type: 'function', name: 'close' }] },
      { type: 'tool_search', execution: 'client' },
    ];
    const events = stream(
      [
        piece(0, { name: 'apply_patch', arguments: '{"input":"a' }, 'c0'),
        piece(0, { arguments: '\\nb"}' }),
        piece(1, { name: 'agents__close', arguments: '{}' }, 'c1'),
        piece(2, { name: 'tool_search', arguments: '{"query":"q"}' }, 'c2'),
      ],
      'tool_calls',
      { tools },
    );
    expect(responseOf(events).output).toMatchObject([
      { type: 'custom_tool_call', id: 'ctc_0a1b2c_0', call_id: 'c0', name: 'apply_patch', input: 'a\nb' },
      { type: 'function_call', call_id: 'c1', name: 'close', namespace: 'agents', arguments: '{}' },
      { type: 'tool_search_call', call_id: 'c2', execution: 'client', arguments: { query: 'q' }, status: 'completed' },
    ]);
    const deltas = events.filter(({ delta }) => delta !== undefined).map(({ type, delta }) => [type, delta]);
    expect(deltas).toEqual([
      ['response.custom_tool_call_input.delta', 'a'],
      ['response.custom_tool_call_input.delta', '\nb'],
      ['response.function_call_arguments.delta', '{}'],
    ]);
  });
});

describe('reasoning', () => {
  const backOf = (output: unknown, model = 'm'): unknown => {
    const { messages } = responsesToChat.request({ model, input: output });
    return messages;
  };

  test.each<[string, Json[], Json]>([
    ['reasoning_content', [{ reasoning_content: 'H' }, { reasoning_content: 'm' }], { reasoning_content: 'Hm' }],
    ['reasoning', [{ reasoning: 'Hm' }], { reasoning: 'Hm' }],
    [
      'reasoning and reasoning_details',
      [
        { reasoning: 'H', reasoning_details: [{ type: 'reasoning.text', text: 'H', index: 0 }] },
        { reasoning: 'm', reasoning_details: [{ type: 'reasoning.text', text: 'm', index: 0 }] },
        { reasoning_details: [{ type: 'reasoning.text', signature: 's', index: 0 }] },
      ],
      { reasoning_details: [{ type: 'reasoning.text', text: 'Hm', signature: 's', index: 0 }] },
    ],
    [
      'reasoning_details alone',
      [
        {
          reasoning_details: [
            { type: 'reasoning.summary', summary: 'Hm' },
            { type: 'reasoning.encrypted', data: 'x' },
          ],
        },
      ],
      {
        reasoning_details: [
          { type: 'reasoning.summary', summary: 'Hm' },
          { type: 'reasoning.encrypted', data: 'x' },
        ],
      },
    ],
  ])('said in %s goes back to its model as it came', (_name, deltas, member) => {
    const output = outputOf([...deltas, { content: 'Ho' }]);
    expect(output).toMatchObject([{ type: 'reasoning', summary: [{ text: 'Hm' }] }, { content: [{ text: 'Ho' }] }]);
    expect(backOf(output)).toEqual([{ role: 'assistant', content: 'Ho', ...member }]);
    expect(backOf(output, 'another')).toEqual([{ role: 'assistant', content: 'Ho' }]);
  });

  test('in Mistral’s content goes back in front of the text', () => {
    const thinking = { type: 'thinking', thinking: [{ type: 'text', text: 'Hm' }] };
    const output = outputOf([{ content: [thinking] }, { content: [{ type: 'text', text: 'Ho' }] }]);
    expect(backOf(output)).toEqual([{ role: 'assistant', content: [thinking, { type: 'text', text: 'Ho' }] }]);
    expect(whole({ content: [thinking, { type: 'text', text: 'Ho' }] }).output).toEqual(output);
  });

  test('signed blocks that have no text to show are kept', () => {
    const details = [
      { type: 'reasoning.encrypted', format: 'x', data: 'a' },
      { type: 'reasoning.encrypted', data: 'b' },
    ];
    const output = whole({ content: 'Ho', reasoning_details: details }).output;
    expect(output).toMatchObject([{ type: 'reasoning', summary: [] }, { type: 'message' }]);
    expect(backOf(output)).toMatchObject([{ reasoning_details: details }]);
  });

  test.each([
    'gAAAAABo',
    '{"aegis":"chat-1",',
    '{"aegis":"chat-1"}',
    '{"aegis":"chat-1",}',
    '{"aegis":"chat-1","model":5}',
    '',
    5,
  ])('encrypted as %j is left out', (encrypted_content) => {
    const item = {
      type: 'reasoning',
      id: 'rs_1',
      summary: [{ type: 'summary_text', text: 'Hm' }],
      encrypted_content,
    };
    expect(backOf([item, { role: 'assistant', content: 'Ho' }])).toEqual([{ role: 'assistant', content: 'Ho' }]);
  });
});

describe('a whole answer', () => {
  test('says what was asked for, and the defaults of the API for what was not', () => {
    const asked = {
      instructions: 'Be brief.',
      tools: [{ type: 'function', name: 'f', parameters: {}, strict: true }],
      tool_choice: 'required',
      parallel_tool_calls: false,
      temperature: 0.5,
      max_output_tokens: 9,
      metadata: { a: 'b' },
      reasoning: { effort: 'low', summary: 'auto' },
      text: { verbosity: 'low' },
    };
    const { reasoning, text, ...echoed } = asked;
    expect(whole({ content: 'Ho' }, {}, asked)).toMatchObject({
      ...echoed,
      reasoning: { effort: 'low' },
      text: { format: { type: 'text' }, verbosity: 'low' },
    });
    expect(whole({ content: 'Ho' })).toMatchObject({
      id: 'resp_0a1b2c',
      object: 'response',
      instructions: null,
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      temperature: null,
      top_p: null,
      metadata: {},
      previous_response_id: null,
      truncation: 'disabled',
      store: false,
    });
  });

  test('that is no chat completion is an error of the upstream', () => {
    expect(() => responsesToChat.answer({ object: 'list', data: [] }, context())).toThrow(
      expect.objectContaining({ code: 'upstream_error' }),
    );
  });
});
