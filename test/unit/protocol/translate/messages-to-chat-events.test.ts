import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../../gateway/errors.ts';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { messagesToChat } from '../../../../gateway/protocol/translate/messages-to-chat.ts';
import { joinedMessage } from '../../../support/joined-message.ts';
import { translatedEvents } from '../../../support/translated-stream.ts';

const CONTEXT = { body: { model: 'gpt-asked' }, id: '0a1b2c', created: 1, includeUsage: true };

const chunk = (delta: Json, finish: string | null = null): Json => ({
  id: 'chatcmpl-1',
  model: 'gpt-5.5',
  choices: [{ index: 0, delta, finish_reason: finish }],
});
const calls = (...tool_calls: Json[]): Json => chunk({ tool_calls });
const piece = (index: number, text: string): Json => ({ index, function: { arguments: text } });
const begin = (index: number, name: string, text = ''): Json => ({
  index,
  id: `call_${index}`,
  type: 'function',
  function: { name, arguments: text },
});

const events = (...stream: Json[]): Json[] => translatedEvents(messagesToChat, stream, CONTEXT);
const content = (...stream: Json[]): Json[] => joinedMessage(events(...stream)).content as Json[];
const types = (said: readonly Json[]): unknown[] => said.map(({ type }) => type);

describe('a chat stream as a message', () => {
  test('is text as it comes, its end held back', () => {
    const reader = messagesToChat.events(CONTEXT);
    expect(reader.push(chunk({ role: 'assistant', content: '' }))).toEqual([
      {
        type: 'message_start',
        message: {
          id: 'msg_chatcmpl-1',
          type: 'message',
          role: 'assistant',
          model: 'gpt-5.5',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
        },
      },
    ]);
    expect(reader.push(chunk({ content: 'H' }))).toEqual([
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'H' } },
    ]);
    expect(reader.push(chunk({ content: 'o' }))).toEqual([
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'o' } },
    ]);
    expect(reader.push(chunk({}, 'stop'))).toEqual([{ type: 'content_block_stop', index: 0 }]);
    expect(reader.push({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 2 } })).toEqual([]);
    expect(reader.end()).toEqual([
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null, stop_details: null },
        usage: { input_tokens: 9, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 2 },
      },
      { type: 'message_stop' },
    ]);
  });

  test('without anything is an empty message', () => {
    expect(types(events())).toEqual(['message_start', 'message_delta', 'message_stop']);
    expect(joinedMessage(events({ choices: [] }, {}, { choices: 'x' }))).toMatchObject({
      id: 'msg_0a1b2c',
      model: 'gpt-asked',
      content: [],
      stop_reason: 'end_turn',
    });
  });

  test('takes its id and model from the first event with a choice', () => {
    const azure = { choices: [], id: '', model: '', prompt_filter_results: [] };
    expect(joinedMessage(events(azure, chunk({ content: 'Ho' }, 'stop')))).toMatchObject({
      id: 'msg_chatcmpl-1',
      model: 'gpt-5.5',
    });
  });

  test('tells the first choice alone', () => {
    const both = { id: 'x', choices: [1, 0].map((index) => ({ index, delta: { content: `${index}` } })) };
    const other = { id: 'x', choices: [{ index: 1, delta: { content: 'no' }, finish_reason: 'length' }] };
    expect(joinedMessage(events(both, other))).toMatchObject({
      content: [{ type: 'text', text: '0' }],
      stop_reason: 'end_turn',
    });
  });

  test('begins a block anew when reasoning and text alternate', () => {
    const said = content(
      chunk({ reasoning: 'a' }),
      chunk({ content: 'b' }),
      chunk({ reasoning: 'c' }),
      chunk({ content: 'd' }),
    );
    expect(said.map(({ type, text, thinking }) => [type, text ?? thinking])).toEqual([
      ['thinking', 'a'],
      ['text', 'b'],
      ['thinking', 'c'],
      ['text', 'd'],
    ]);
  });

  test('signs its reasoning last, so that clients send it back', () => {
    const said = events(chunk({ reasoning_content: 'a' }), chunk({ content: 'b' }, 'stop'));
    const end = said.findIndex(({ type }) => type === 'content_block_stop');
    expect(said[end - 1]).toMatchObject({
      delta: { type: 'signature_delta', signature: expect.stringMatching(/^aegis/) },
    });
  });

  test('leaves reasoning out where the caller switched thinking off', () => {
    const reader = messagesToChat.events({ ...CONTEXT, body: { thinking: { type: 'disabled' } } });
    expect(types(reader.push(chunk({ reasoning: 'a', content: 'b' })))).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
    ]);
  });

  test('is a refusal with its text', () => {
    const said = joinedMessage(events(chunk({ refusal: 'N' }), chunk({ refusal: 'o.' }), chunk({}, 'stop')));
    expect(said).toMatchObject({ content: [{ type: 'text', text: 'No.' }], stop_reason: 'refusal' });
    expect(said.stop_details).toEqual({ type: 'refusal', category: null, explanation: null });
  });

  test('takes an empty finish_reason for none', () => {
    const first = { choices: [{ index: 0, delta: { content: 'H' }, finish_reason: '' }] };
    expect(content(first, chunk({ content: 'o' }, 'stop'))).toEqual([{ type: 'text', text: 'Ho' }]);
  });

  test('without a finish_reason ends as what it was', () => {
    expect(joinedMessage(events(calls(begin(0, 'f', '{}'))))).toMatchObject({ stop_reason: 'tool_use' });
  });
});

describe('calls in a stream', () => {
  test('one behind the other go on as they come', () => {
    const reader = messagesToChat.events(CONTEXT);
    reader.push(calls(begin(0, 'f')));
    expect(types(reader.push(calls(piece(0, '{"a":'))))).toEqual(['content_block_start', 'content_block_delta']);
    expect(types(reader.push(calls(piece(0, '"}"}'))))).toEqual(['content_block_delta']);
    expect(types(reader.push(calls(begin(1, 'g'))))).toEqual(['content_block_stop']);
    expect(types(reader.push(calls(piece(1, '{"b":1}'))))).toEqual(['content_block_start', 'content_block_delta']);
    expect(types(reader.push(chunk({}, 'tool_calls')))).toEqual(['content_block_stop']);
  });

  test('whose pieces are mixed are told one after the other', () => {
    expect(
      content(
        chunk({ content: 'Well.' }),
        calls(begin(0, 'f'), begin(1, 'g')),
        calls(piece(0, '{"a":['), piece(1, '{"b":"')),
        calls(piece(1, '}\\"')),
        calls(piece(0, '1]}')),
        calls(piece(1, '"}')),
        chunk({}, 'tool_calls'),
      ),
    ).toEqual([
      { type: 'text', text: 'Well.' },
      { type: 'tool_use', id: 'call_0', name: 'f', input: { a: [1] } },
      { type: 'tool_use', id: 'call_1', name: 'g', input: { b: '}"' } },
    ]);
  });

  test('without an index are told apart by their ids (Mistral)', () => {
    const call = (id: string, name: string): Json => ({ id, function: { name, arguments: '{}' } });
    expect(
      content(calls(call('a', 'f'), call('b', 'g')), calls(call('c', 'f')), chunk({}, 'tool_calls')),
    ).toMatchObject([
      { id: 'a', name: 'f' },
      { id: 'b', name: 'g' },
      { id: 'c', name: 'f' },
    ]);
  });

  test('that are all counted as the first are told apart by their ids (Gemini)', () => {
    const call = (id: string): Json => ({ ...begin(0, 'f', '{"x":1}'), id });
    expect(content(calls(call('a')), calls(call('b')), chunk({}, 'stop'))).toEqual([
      { type: 'tool_use', id: 'a', name: 'f', input: { x: 1 } },
      { type: 'tool_use', id: 'b', name: 'f', input: { x: 1 } },
    ]);
  });

  test('may say their name again, in pieces, after their id, or after arguments', () => {
    const named = (name: string, text = ''): Json => ({ index: 0, function: { name, arguments: text } });
    const want = [{ type: 'tool_use', id: 'call_0', name: 'search', input: { q: 1 } }];
    const rest = [calls(piece(0, ':1}')), chunk({}, 'tool_calls')];
    expect(content(calls(begin(0, 'search')), calls(named('search', '{"q"')), ...rest)).toEqual(want);
    expect(content(calls(begin(0, 'sea')), calls(named('rch', '{"q"')), ...rest)).toEqual(want);
    expect(content(calls({ index: 0, id: 'call_0', function: {} }), calls(named('search', '{"q"')), ...rest)).toEqual(
      want,
    );
    expect(
      content(calls({ index: 0, id: 'call_0', function: { arguments: '{"q"' } }), calls(named('search')), ...rest),
    ).toEqual(want);
    expect(content(calls(begin(0, 'search', '{"q"')), calls(named('search', ':1}')), chunk({}, 'stop'))).toEqual(want);
  });

  test('get an id where none is given, and none of them one where it comes late', () => {
    expect(content(calls({ index: 0, function: { name: 'f', arguments: '{}' } }))).toMatchObject([
      { id: 'toolu_0a1b2c_0' },
    ]);
    expect(content(calls({ index: 0, function: { name: 'f' } }), calls(begin(0, '', '{}')))).toMatchObject([
      { id: 'call_0' },
    ]);
  });

  test('without arguments have an empty input, and the call behind them is not lost', () => {
    expect(content(calls(begin(0, 'f')), calls(begin(1, 'g', '{}')), chunk({}, 'tool_calls'))).toEqual([
      { type: 'tool_use', id: 'call_0', name: 'f', input: {} },
      { type: 'tool_use', id: 'call_1', name: 'g', input: {} },
    ]);
  });

  test('in the older form are calls', () => {
    const said = events(
      chunk({ function_call: { name: 'f', arguments: '' } }),
      chunk({ function_call: { arguments: '{"a":1}' } }),
    );
    expect(joinedMessage(said).content).toEqual([
      { type: 'tool_use', id: 'toolu_0a1b2c_0', name: 'f', input: { a: 1 } },
    ]);
  });

  test('without a name, or of a kind that nobody offered, are left out', () => {
    const custom = { index: 0, id: 'a', type: 'custom', custom: { name: 'f', input: 'x' } };
    expect(joinedMessage(events(calls(custom), calls(piece(1, '{}')), chunk({}, 'stop')))).toMatchObject({
      content: [],
      stop_reason: 'end_turn',
    });
  });

  test('keep text behind a call that is not over until it is', () => {
    const reader = messagesToChat.events(CONTEXT);
    reader.push(calls(begin(0, 'f', '{"a":')));
    expect(reader.push(chunk({ content: 'Ho' }))).toEqual([]);
    expect(types(reader.push(calls(piece(0, '1}'))))).toEqual([
      'content_block_delta',
      'content_block_stop',
      'content_block_start',
      'content_block_delta',
    ]);
  });

  test('that are over take no late pieces', () => {
    const want = [
      { type: 'tool_use', id: 'call_0', name: 'f', input: {} },
      { type: 'tool_use', id: 'call_1', name: 'g', input: { a: 1 } },
    ];
    const late = calls(piece(0, 'late'));
    expect(content(calls(begin(0, 'f', '{}')), calls(begin(1, 'g', '{"a"')), late, calls(piece(1, ':1}')))).toEqual(
      want,
    );
  });

  test('are one where the id comes with the name again, or changes without a name', () => {
    const want = [{ type: 'tool_use', id: 'call_0', name: 'f', input: { a: 1 } }];
    const rest = calls(piece(0, ':1}'));
    expect(content(calls({ index: 0, function: { name: 'f' } }), calls(begin(0, 'f', '{"a"')), rest)).toEqual(want);
    expect(content(calls(begin(0, 'f', '{"a"')), calls({ ...piece(0, ':1}'), id: 'call_x' }))).toEqual(want);
    expect(content(calls(begin(0, 'f')), calls({ ...piece(0, '{"a"'), id: 'call_x' }), rest)).toEqual(want);
  });

  test('without end break the stream', () => {
    const reader = messagesToChat.events(CONTEXT);
    expect(() => {
      for (let index = 0; index < 5000; index++) reader.push(calls(begin(index, 'f', '{}')));
    }).toThrow('mixes more tool calls');
  });

  test('that are mixed beyond all measure break the stream instead of filling the memory', () => {
    const reader = messagesToChat.events(CONTEXT);
    reader.push(calls(begin(0, 'f', '{')));
    const flood = (): void => {
      for (let count = 0; count < 20; count++) reader.push(calls(begin(1, 'g', 'x'.repeat(100_000))));
    };
    let thrown: unknown;
    try {
      flood();
    } catch (error) {
      thrown = error;
    }
    expect(isGatewayError(thrown) && thrown.code).toBe('upstream_error');
  });

  test('may be long: what is told is not counted among what waits', () => {
    const reader = messagesToChat.events(CONTEXT);
    reader.push(calls(begin(0, 'f', '{"a":"')));
    for (let count = 0; count < 20; count++) reader.push(calls(piece(0, 'x'.repeat(100_000))));
    for (let index = 1; index < 20; index++) {
      reader.push(calls(begin(index, 'g', `{"a":"${'x'.repeat(40_000)}"}`)));
    }
    expect(types(reader.push(calls(piece(0, '"}'))))).toHaveLength(2 + 18 * 3 + 2);
    reader.push(calls(begin(20, 'f', '{"a":"')));
    for (let index = 21; index < 40; index++) {
      reader.push(calls(begin(index, 'g', `{"a":"${'x'.repeat(40_000)}"}`)));
    }
    expect(types(reader.push(calls(piece(20, '"}'))))).toHaveLength(2 + 18 * 3 + 2);
  });
});
