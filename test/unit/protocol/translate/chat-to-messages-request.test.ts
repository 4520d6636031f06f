import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../../gateway/errors.ts';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { chatToMessages } from '../../../../gateway/protocol/translate/chat-to-messages.ts';

const USER = { role: 'user', content: 'Hi' };
const request = (fields: Json): Json =>
  chatToMessages.request({ model: 'claude-opus-5-5', max_tokens: 1000, messages: [USER], ...fields });
const turns = (...messages: Json[]): { role: string; content: Json[] }[] =>
  request({ messages }).messages as { role: string; content: Json[] }[];

/** The `param` and the message of the refusal of a body. */
const refused = (fields: Json): [string | undefined, string] => {
  try {
    request(fields);
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    expect([error.code, error.status]).toEqual(['invalid_field', 400]);
    return [error.detail.param, error.message];
  }
  throw new Error('it was not refused');
};

const call = (id: string, args = '{}'): Json => ({ id, type: 'function', function: { name: 'f', arguments: args } });
const result = (id: string, content: unknown = 'ok'): Json => ({ role: 'tool', tool_call_id: id, content });
const detail = (block: Json, id = 'msg_1_0'): Json => ({
  type: 'reasoning.encrypted',
  id,
  format: 'aegis.anthropic',
  data: JSON.stringify(block),
});

describe('a request', () => {
  test('is not changed by being translated, and shares nothing that is', () => {
    const body = {
      model: 'claude-opus-5-5',
      max_tokens: 1000,
      messages: [
        { ...USER, cache_control: { type: 'ephemeral' } },
        { role: 'assistant', content: [{ type: 'text', text: 'Ho' }] },
      ],
      tools: [{ type: 'function', function: { name: 'f' }, cache_control: { type: 'ephemeral' } }],
      parallel_tool_calls: false,
    };
    const before = structuredClone(body);
    chatToMessages.request(body);
    expect(body).toEqual(before);
  });

  test('names an unknown field and where mappings are listed', () => {
    const [param, message] = refused({ frobnicate: 1 });
    expect(param).toBe('frobnicate');
    expect(message).toMatch(/frobnicate.*docs\/translation\.md/);
  });

  test('takes no field from an object’s prototype', () => {
    expect(refused({ constructor: 1 })[0]).toBe('constructor');
    expect(refused({ messages: [{ role: 'constructor', content: 'x' }] })[0]).toBe('messages[0].role');
    expect(refused({ reasoning_effort: 'toString' })[0]).toBe('reasoning_effort');
    expect(refused({ service_tier: 'constructor' })[0]).toBe('service_tier');
    expect(refused({ messages: [{ role: 'user', content: [{ type: 'toString' }] }] })[0]).toBe(
      'messages[0].content[0].type',
    );
    expect(
      refused({
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:constructor/x;base64,AA==' } }] },
        ],
      })[0],
    ).toBe('messages[0].content[0].image_url.url');
  });

  test.each([
    ['stop', 7],
    ['stop', ['a', 7]],
    ['temperature', '1'],
    ['temperature', -0.1],
    ['top_p', 'x'],
    ['n', 0],
    ['stream', 'yes'],
    ['user', 7],
    ['response_format', 'json'],
    ['tools', {}],
    ['tool_choice', 'maybe'],
    ['max_tokens', 1.5],
    ['reasoning_effort', 'extreme'],
    ['cache_control', true],
  ])('with a wrong %s (%j) is refused by its name', (name, value) => {
    expect(refused({ tools: [{ function: { name: 'f' } }], [name]: value })[0]).toBe(name);
  });

  test('without any setting says the model, the cap and the conversation alone', () => {
    expect(request({})).toEqual({
      model: 'claude-opus-5-5',
      max_tokens: 1000,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    });
  });
});

describe('what a model takes', () => {
  const thinking = (model: string): unknown =>
    (request({ model, max_tokens: 8000, reasoning_effort: 'medium' }).thinking as Json).type;
  const LATER = [USER, { role: 'assistant', content: 'Ho' }, { role: 'system', content: 'S' }, USER];
  const hasLaterSystem = (model: string): boolean => request({ model, messages: LATER }).system === undefined;

  test.each([
    ['claude-opus-5-5', 'adaptive', true],
    ['claude-opus-4-8', 'adaptive', true],
    ['claude-opus-4-7', 'adaptive', false],
    ['claude-sonnet-4-6', 'adaptive', false],
    ['claude-sonnet-4-5-20250929', 'enabled', false],
    ['claude-opus-4-20250514', 'enabled', false],
    ['claude-3-5-haiku-latest', 'enabled', false],
    ['eu.anthropic.claude-haiku-4-5-20251001-v1:0', 'enabled', false],
    ['claude-opus-5@20260801', 'adaptive', true],
    ['claude-mythos-preview', 'adaptive', true],
    ['qwen3-8b', 'enabled', false],
  ])('is told by the name: %s thinks %s', (model, type, later) => {
    expect([thinking(model), hasLaterSystem(model)]).toEqual([type, later]);
  });
});

describe('a conversation', () => {
  test('has a later system message behind the user’s turn, those in a row as one', () => {
    const said = turns(
      USER,
      { role: 'system', content: 'One.' },
      { role: 'developer', content: 'Two.' },
      { role: 'user', content: 'there' },
      { role: 'assistant', content: 'Ho' },
      USER,
    );
    expect(said.map(({ role, content }) => [role, content.map(({ text }) => text)])).toEqual([
      ['user', ['Hi', 'there']],
      ['system', ['One.', 'Two.']],
      ['assistant', ['Ho']],
      ['user', ['Hi']],
    ]);
  });

  test('has the system message that stands among results behind them', () => {
    const said = turns(
      USER,
      { role: 'assistant', tool_calls: [call('a'), call('b')] },
      result('a'),
      { role: 'system', content: 'S' },
      result('b'),
    );
    expect(said.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'system']);
    expect(said[2]!.content.map(({ type }) => type)).toEqual(['tool_result', 'tool_result']);
  });

  test('keeps integers of arguments that are too long for a number', () => {
    const body = request({
      messages: [
        USER,
        { role: 'assistant', tool_calls: [call('a', '{"id": 123456789012345678901, "n": [1.5, -9007199254740993]}')] },
        result('a'),
      ],
    });
    expect(JSON.stringify(body)).toContain('"input":{"id":123456789012345678901,"n":[1.5,-9007199254740993]}');
  });

  test.each([
    ['a key twice', '{"a":1,"a":2}'],
    ['depth', `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['a number without end', '{"a":1e999}'],
    ['more than JSON', '{} {}'],
    ['a string', '"a"'],
    ['null', 'null'],
  ])('is refused for arguments with %s', (_name, args) => {
    const [param] = refused({ messages: [USER, { role: 'assistant', tool_calls: [call('a', args)] }, result('a')] });
    expect(param).toBe('messages[1].tool_calls[0].function.arguments');
  });

  test('gives each call its own id where a provider counts them anew in every message', () => {
    const said = turns(
      USER,
      { role: 'assistant', tool_calls: [call('call_0')] },
      result('call_0', 'first'),
      { role: 'assistant', tool_calls: [call('call_0'), call('call.0')] },
      result('call.0', 'third'),
      result('call_0', 'second'),
    );
    const ids = said.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_use').map(({ id }) => id));
    expect(new Set(ids).size).toBe(3);
    expect(ids.every((id) => /^[A-Za-z0-9_-]+$/.test(id as string))).toBe(true);
    const results = said.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_result'));
    expect(results.map(({ tool_use_id: id, content }) => [ids.indexOf(id), content])).toEqual([
      [0, 'first'],
      [2, 'third'],
      [1, 'second'],
    ]);
  });

  test('with one id for all its calls takes no longer to translate than any other', () => {
    const body = (idOf: (index: number) => string): Json[] =>
      Array.from({ length: 6000 }, (_, index) => idOf(index)).flatMap((id) => [
        { role: 'assistant', tool_calls: [call(id)] },
        result(id),
      ]);
    const timeOf = (messages: Json[]): number => {
      const started = performance.now();
      turns(USER, ...messages);
      return performance.now() - started;
    };
    timeOf(body(String));
    // Were each id searched for from the start, it would be a hundred times as long.
    expect(timeOf(body(() => 'call'))).toBeLessThan(10 * timeOf(body(String)) + 50);
  });

  test('of hundreds of thousands of parts is translated like one of few', () => {
    const content = Array.from({ length: 150_000 }, () => ({ type: 'text', text: 'a' }));
    const said = request({
      messages: [
        { role: 'system', content },
        { role: 'user', content },
        { role: 'user', content },
        { role: 'assistant', content },
      ],
    });
    expect((said.system as Json[]).length).toBe(150_000);
    expect((said.messages as { content: Json[] }[]).map(({ content }) => content.length)).toEqual([300_000, 150_000]);
  });

  test.each<[string, Json[], string]>([
    ['a call without a result at the end', [USER, { role: 'assistant', tool_calls: [call('a')] }], 'messages[1]'],
    [
      'a result too few',
      [USER, { role: 'assistant', tool_calls: [call('a'), call('b')] }, result('a'), USER],
      'messages[3]',
    ],
    [
      'two results of one call',
      [USER, { role: 'assistant', tool_calls: [call('a')] }, result('a'), result('a')],
      'messages[3].tool_call_id',
    ],
    [
      'one id twice in a message',
      [USER, { role: 'assistant', tool_calls: [call('a'), call('a')] }],
      'messages[1].tool_calls[1].id',
    ],
    ['a result of a function nobody called', [USER, { role: 'function', name: 'f', content: 'x' }], 'messages[1].name'],
    [
      'a system message between two of an assistant',
      [
        USER,
        { role: 'assistant', content: 'a' },
        { role: 'system', content: 'S' },
        { role: 'assistant', content: 'b' },
      ],
      'messages[2]',
    ],
    [
      'an image of the system',
      [{ role: 'system', content: [{ type: 'image_url', image_url: { url: 'https://x/y.png' } }] }, USER],
      'messages[0].content[0].type',
    ],
    ['nothing but empty texts', [{ role: 'user', content: '' }], 'messages'],
    ['no messages', [], 'messages'],
  ])('with %s is refused', (_name, messages, param) => {
    expect(refused({ messages })[0]).toBe(param);
  });

  test('tells which calls have no result', () => {
    expect(
      refused({ messages: [USER, { role: 'assistant', tool_calls: [call('a'), call('b')] }, result('a'), USER] })[1],
    ).toContain('b has none');
  });

  test('pairs a function’s result with the call of that name', () => {
    const said = turns(
      USER,
      { role: 'assistant', function_call: { name: 'f', arguments: '{"x":1}' } },
      { role: 'function', name: 'f', content: 'one' },
      { role: 'assistant', function_call: { name: 'f', arguments: '{}' } },
      { role: 'function', name: 'f', content: 'two' },
    );
    const [first, second] = said.flatMap(({ content }) => content.filter(({ type }) => type === 'tool_use'));
    expect(first!.id).not.toBe(second!.id);
    expect(said[2]!.content).toEqual([{ type: 'tool_result', tool_use_id: first!.id, content: 'one' }]);
    expect(said[4]!.content).toEqual([{ type: 'tool_result', tool_use_id: second!.id, content: 'two' }]);
  });
});

describe('signed reasoning that comes back', () => {
  const THINKING = { type: 'thinking', thinking: 'Zuerst… 語', signature: 'ErUB==', later: { kept: true } };
  const REDACTED = { type: 'redacted_thinking', data: 'Eo0B' };

  test('stands whole and in order in front of what the assistant says and calls', () => {
    const [, assistant] = turns(
      USER,
      {
        role: 'assistant',
        content: 'Let me see.',
        reasoning_content: 'Zuerst… 語',
        reasoning_details: [detail(THINKING), detail(REDACTED, 'msg_1_1')],
        tool_calls: [call('a')],
      },
      result('a'),
    );
    expect(assistant!.content).toEqual([
      THINKING,
      REDACTED,
      { type: 'text', text: 'Let me see.' },
      { type: 'tool_use', id: 'a', name: 'f', input: {} },
    ]);
  });

  test('is said once where a client holds it twice', () => {
    const [, assistant] = turns(USER, {
      role: 'assistant',
      content: 'Ho',
      reasoning_details: [detail(THINKING), detail(THINKING)],
    });
    expect(assistant!.content).toHaveLength(2);
  });

  test.each<[string, Json]>([
    ['a text', { type: 'text', text: 'hidden' }],
    ['an unsigned block', { type: 'thinking', thinking: 'x' }],
    ['a tool call', { type: 'tool_use', id: 'a', name: 'f', input: {} }],
  ])('is refused when it is %s', (_name, block) => {
    expect(
      refused({ messages: [USER, { role: 'assistant', content: 'Ho', reasoning_details: [detail(block)] }] })[0],
    ).toBe('messages[1].reasoning_details[0].data');
  });
});

describe('tools', () => {
  const TOOLS = ['f', 'g', 'h'].map((name) => ({ type: 'function', function: { name } }));

  test('that may not be called are not offered, in the order of the others', () => {
    const allowed = ['h', 'f'].map((name) => ({ type: 'function', function: { name } }));
    const body = request({
      tools: TOOLS,
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: allowed } },
      parallel_tool_calls: false,
    });
    expect((body.tools as Json[]).map(({ name }) => name)).toEqual(['f', 'h']);
    expect(body.tool_choice).toEqual({ type: 'auto', disable_parallel_tool_use: true });
  });

  test('that none may be called of says nothing of parallel calls', () => {
    expect(request({ tools: TOOLS, tool_choice: 'none', parallel_tool_calls: false }).tool_choice).toEqual({
      type: 'none',
    });
  });

  test.each([
    [{ type: 'function' }, 'tool_choice.function'],
    [{ type: 'function', function: {} }, 'tool_choice.function.name'],
    [{ type: 'web_search' }, 'tool_choice.type'],
    [{ type: 'allowed_tools', allowed_tools: { mode: 'none', tools: [] } }, 'tool_choice.allowed_tools.mode'],
    [{ type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [] } }, 'tool_choice.allowed_tools.tools'],
    [
      {
        type: 'allowed_tools',
        allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'x' } }] },
      },
      'tool_choice.allowed_tools.tools[0]',
    ],
  ])('chosen as %j are refused', (choice, param) => {
    expect(refused({ tools: TOOLS, tool_choice: choice })[0]).toBe(param);
  });

  test('keep a cache mark wherever clients put it', () => {
    const mark = { type: 'ephemeral' };
    const body = request({
      tools: [
        { type: 'function', function: { name: 'f', cache_control: mark } },
        { type: 'function', function: { name: 'g' }, cache_control: mark },
        { type: 'custom', custom: { name: 'h' }, cache_control: mark },
      ],
    });
    expect((body.tools as Json[]).map(({ cache_control: control }) => control)).toEqual([mark, mark, mark]);
  });

  test('keep a schema that names no type, as an object', () => {
    const parameters = { properties: { a: {} }, required: ['a'] };
    expect((request({ tools: [{ function: { name: 'f', parameters } }] }).tools as Json[])[0]!.input_schema).toEqual({
      type: 'object',
      ...parameters,
    });
  });
});
