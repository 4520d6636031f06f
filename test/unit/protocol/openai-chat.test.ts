import { describe, expect, test } from '@jest/globals';
import { openaiChat } from '../../../gateway/protocol/openai-chat.ts';
import type { Edits } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { callOf } from '../../support/calls.ts';

const call = (body: object | string) =>
  callOf('chat.completions', typeof body === 'string' ? body : { model: 'gpt-4o', messages: [], ...body });
const edited = (body: object | string, edits: Edits): string => {
  const read = call(body);
  return splice(read.raw, openaiChat.edit(read, edits)).toString();
};
const paramOf = (body: object): unknown => {
  try {
    call(body);
    return undefined;
  } catch (error) {
    return (error as { detail: { param: string } }).detail.param;
  }
};
const fn = (name: string): object => ({ type: 'function', function: { name } });
const IMAGE = `data:image/png;base64,${'iVBORw0KGgo='.padStart(400, 'A')}`;

describe('reading chat completions', () => {
  test('a call gives what policies ask for', () => {
    const read = call({
      messages: [
        { role: 'developer', content: 'be brief' },
        { role: 'user', content: [{ type: 'text', text: 'hi' }] },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: '1', content: 'done' },
        { role: 'user', content: 'more', name: 'ann' },
      ],
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 10,
      temperature: 0.5,
      tools: [fn('f'), { type: 'custom', custom: { name: 'c' } }],
      functions: [{ name: 'old' }],
      response_format: { type: 'json_schema', json_schema: {} },
      a_field_of_tomorrow: { deep: [1] },
    });
    expect(read).toMatchObject({
      model: 'gpt-4o',
      stream: true,
      includeUsage: true,
      maxOutputTokens: 10,
      temperature: 0.5,
      toolNames: ['f', 'c', 'old'],
      responseFormat: 'json_schema',
      messages: 5,
      turns: 2,
      modalities: ['text'],
      serverTools: false,
    });
    expect(read.texts).toEqual([
      { role: 'system', text: 'be brief' },
      { role: 'user', text: 'hi' },
      { role: 'assistant', text: 'f' },
      { role: 'assistant', text: '{}' },
      { role: 'tool', text: 'done' },
      { role: 'user', text: 'more' },
    ]);
  });

  test.each<[object, string]>([
    [{ model: undefined }, 'model'],
    [{ model: '' }, 'model'],
    [{ model: 5 }, 'model'],
    [{ messages: undefined }, 'messages'],
    [{ messages: {} }, 'messages'],
    [{ messages: ['x'] }, 'messages[0]'],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [5] }] }, 'messages[0].content[0]'],
    [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages[0].content[0].text'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0].image_url'],
    [{ messages: [{ role: 'assistant', tool_calls: {} }] }, 'messages[0].tool_calls'],
    [{ stream: 'yes' }, 'stream'],
    [{ stream_options: [] }, 'stream_options'],
    [{ max_tokens: 1.5 }, 'max_tokens'],
    [{ max_completion_tokens: -1 }, 'max_completion_tokens'],
    [{ temperature: '1' }, 'temperature'],
    [{ tools: {} }, 'tools'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].function.name'],
    [{ functions: [{}] }, 'functions[0].name'],
    [{ response_format: 'json' }, 'response_format'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(body)).toBe(param));

  test('null stands for absent', () => {
    const read = call({ stream: null, max_tokens: null, temperature: null, tools: null, response_format: null });
    expect(read).toMatchObject({ stream: false, maxOutputTokens: null, temperature: null, toolNames: [] });
  });

  test('parts that cannot be read are counted by kind, and only plain base64 is opaque', () => {
    const parts = [
      { type: 'image_url', image_url: { url: IMAGE } },
      { type: 'image_url', image_url: 'https://example.com/a@b.png' },
      { type: 'image_url', image_url: { url: `${IMAGE} jane@example.com` } },
      { type: 'input_audio', input_audio: { data: 'A'.repeat(300), format: 'wav' } },
      { type: 'file', file: { file_id: 'file-1' } },
      { type: 'hologram', shape: 'cube' },
      // vLLM goes by the type, and where there is none by the members.
      { type: 'video_url', text: 'v', video_url: { url: 'https://example.com/v.mp4' } },
      { text: 'i', image_url: 'https://example.com/i.png' },
    ];
    const read = call({ messages: [{ role: 'user', content: parts }] });
    expect([...read.uninspected]).toEqual([
      ['image', IMAGE.length * 2 + 17 + 27],
      ['audio', 300],
      ['file', 6],
      ['unknown', parts.slice(5).reduce((bytes, part) => bytes + JSON.stringify(part).length, 0)],
    ]);
    expect(read.modalities).toEqual(['image', 'audio', 'document', 'text']);
    const opaque = [...read.opaque].map((token) => read.scan.ends[token]! - read.scan.starts[token]!);
    expect(opaque).toEqual([IMAGE.length, 300]);
  });

  test('a text that is sent as a file is not opaque, though the policy must allow it as one', () => {
    const file = { file_data: `data:Text/Markdown;charset=utf-8;base64,${'QUJD'.repeat(100)}` };
    const read = call({ messages: [{ role: 'user', content: [{ type: 'file', file }] }] });
    expect([read.opaque.size, [...read.uninspected]]).toEqual([0, [['file', file.file_data.length]]]);
  });

  test('a text that equals an image’s base64 is not opaque, and keys that look like numbers do not confuse', () => {
    const data = 'A'.repeat(300);
    const body = `{"model":"m","x":{"2":"a","1":"${data}"},"messages":[{"role":"user","content":[{"type":"text","text":"${data}"},{"type":"image_url","image_url":{"9":"z","url":"${data}","1":"${data}"}}]}]}`;
    const read = call(body);
    const starts = [...read.opaque].map((token) => read.scan.starts[token]);
    expect(starts).toEqual([body.indexOf(`"url":"${data}`) + 7]);
  });

  test('web search and tools that the provider runs are told', () => {
    expect(call({ web_search_options: {} })).toMatchObject({ toolNames: ['web_search'], serverTools: true });
    expect(call({ tools: [{ type: 'code_interpreter' }] })).toMatchObject({
      toolNames: ['code_interpreter'],
      serverTools: true,
    });
  });
});

describe('editing chat completions', () => {
  test('a model is replaced and all else stays byte for byte', () => {
    const text = '{ "messages" : [ ],\n"mod\\u0065l" : "auto" , "x":1.50 }';
    expect(edited(text, { model: 'a"b' })).toBe('{ "messages" : [ ],\n"mod\\u0065l" : "a\\"b" , "x":1.50 }');
  });

  test('an edit counts where a value was masked too', () => {
    const read = call({ model: 'a@example.com', max_tokens: 4111111111111111 });
    const masks = ['model', 'max_tokens'].map((name) => ({ ...read.scan.members.get(name)!, text: '"<x>"' }));
    const out = splice(read.raw, [...masks, ...openaiChat.edit(read, { model: 'm', maxOutputTokens: 5 })]);
    expect(JSON.parse(out.toString())).toEqual({ model: 'm', messages: [], max_tokens: 5 });
  });

  test('an output cap is set under the name the caller used', () => {
    expect(JSON.parse(edited({ max_tokens: 9 }, { maxOutputTokens: 5 }))).toMatchObject({ max_tokens: 5 });
    expect(JSON.parse(edited({ max_tokens: 9, max_completion_tokens: null }, { maxOutputTokens: 5 }))).toMatchObject({
      max_tokens: 5,
      max_completion_tokens: 5,
    });
    expect(JSON.parse(edited({}, { maxOutputTokens: 5 }))).toEqual({
      model: 'gpt-4o',
      messages: [],
      max_completion_tokens: 5,
    });
    expect(JSON.parse(edited({}, { maxOutputTokens: 5, kind: 'mistral' }))).toMatchObject({ max_tokens: 5 });
  });

  test.each([
    [undefined, { include_usage: true }],
    [null, { include_usage: true }],
    [{}, { include_usage: true }],
    [{ x: 1 }, { include_usage: true, x: 1 }],
    [
      { include_usage: false, x: 1 },
      { include_usage: true, x: 1 },
    ],
  ])('usage is asked for in a stream with options %j', (options, expected) => {
    const body = { stream: true, ...(options === undefined ? {} : { stream_options: options }) };
    expect(JSON.parse(edited(body, { includeUsage: true })).stream_options).toEqual(expected);
  });

  test('usage is not asked for without a stream', () => {
    expect(edited({ x: 1 }, { includeUsage: true })).not.toContain('include_usage');
  });

  const tools = [fn('a'), fn('b'), { type: 'custom', custom: { name: 'c' } }];
  test.each([
    [['a'], ['b', 'c']],
    [['b'], ['a', 'c']],
    [['c'], ['a', 'b']],
    [['a', 'b'], ['c']],
    [['b', 'c'], ['a']],
    [['a', 'c'], ['b']],
    [['x'], ['a', 'b', 'c']],
  ])('removing %j leaves %j', (removeTools, left) => {
    const body = JSON.parse(edited({ tools, tool_choice: 'auto' }, { removeTools }));
    expect(body.tool_choice).toBe('auto');
    expect(callOf('chat.completions', body).toolNames).toEqual(left);
  });

  test('when no tool is left the fields that need one go too', () => {
    const body = { tools, tool_choice: 'required', parallel_tool_calls: true, web_search_options: {}, user: 'u' };
    const left = JSON.parse(edited(body, { removeTools: ['a', 'b', 'c', 'web_search'] }));
    expect(left).toEqual({ model: 'gpt-4o', messages: [], user: 'u' });
  });

  test.each([
    [{ type: 'function', function: { name: 'a' } }],
    [{ type: 'custom', custom: { name: 'a' } }],
    [{ type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [fn('b'), fn('a')] } }],
  ])('a choice that names a removed tool goes: %j', (tool_choice) => {
    expect(JSON.parse(edited({ tools, tool_choice }, { removeTools: ['a'] }))).not.toHaveProperty('tool_choice');
    expect(JSON.parse(edited({ tools, tool_choice }, { removeTools: ['c'] }))).toHaveProperty('tool_choice');
  });

  test('the older functions are removed alike', () => {
    const body = { functions: [{ name: 'a' }, { name: 'b' }], function_call: { name: 'a' } };
    const left = JSON.parse(edited(body, { removeTools: ['a'] }));
    expect(left).toEqual({ model: 'gpt-4o', messages: [], functions: [{ name: 'b' }] });
  });

  test('elements with brackets, quotes and long numbers in strings are cut where they end', () => {
    const text =
      '{"model":"m","messages":[],"tools":[ {"type":"function","function":{"name":"a","d":"]},{\\"\\\\","n":[123456789012]}} , {"type":"function","function":{"name":"b"}} ]}';
    expect(edited(text, { removeTools: ['a'] })).toBe(
      '{"model":"m","messages":[],"tools":[ {"type":"function","function":{"name":"b"}} ]}',
    );
    expect(edited(text, { removeTools: ['b'] })).toContain('"n":[123456789012]}} ]}');
  });
});

describe('answers of chat completions', () => {
  test('usage is in disjoint classes', () => {
    const usage = (value: object) => openaiChat.usage({ usage: value });
    const details = {
      prompt_tokens_details: { cached_tokens: 30 },
      completion_tokens_details: { reasoning_tokens: 15 },
    };
    expect(usage({ prompt_tokens: 100, completion_tokens: 20, total_tokens: 120, ...details })).toEqual({
      input: 70,
      cache_read: 30,
      cache_write: 0,
      cache_write_1h: 0,
      output: 5,
      reasoning: 15,
    });
    expect(
      usage({ prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 99 } }),
    ).toMatchObject({ input: 0, cache_read: 10 });
    expect(usage({ prompt_tokens: -4, completion_tokens: 5 })).toMatchObject({ input: 0, output: 5 });
    expect(
      usage({ prompt_tokens: 4, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 50 } }),
    ).toMatchObject({ output: 0, reasoning: 5 });
    expect(usage({})).toBeNull();
    expect(openaiChat.usage({ usage: null })).toBeNull();
    expect(openaiChat.usage(null)).toBeNull();
  });

  test('the last usage of a stream counts', () => {
    const stream = openaiChat.streamUsage();
    stream.feed('{"usage":null}');
    expect(stream.result()).toBeNull();
    stream.feed('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
    stream.feed('{"usage":{"prompt_tokens":1,"completion_tokens":7}}');
    stream.feed('[DONE]');
    expect(stream.result()).toMatchObject({ input: 1, output: 7 });
  });

  test('texts of an answer can be changed in place', () => {
    const body = {
      choices: [
        {
          index: 0,
          message: {
            content: 'a',
            refusal: null,
            reasoning_content: 'r',
            tool_calls: [{ function: { name: 'f', arguments: '{}' } }],
          },
        },
        {
          index: 1,
          message: {
            content: [
              { type: 'thinking', thinking: [{ type: 'text', text: 't' }] },
              { type: 'text', text: 'p' },
            ],
          },
        },
      ],
    };
    const texts = openaiChat.answerTexts(body);
    expect(texts.map(({ value, place, json }) => [value, place, json])).toEqual([
      ['a', 'text', false],
      ['r', 'text', false],
      ['{}', 'tool_arguments', true],
      ['t', 'text', false],
      ['p', 'text', false],
    ]);
    for (const text of texts) text.set(`${text.value}!`);
    expect(JSON.stringify(body)).toBe(
      '{"choices":[{"index":0,"message":{"content":"a!","refusal":null,"reasoning_content":"r!","tool_calls":[{"function":{"name":"f","arguments":"{}!"}}]}},{"index":1,"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t!"}]},{"type":"text","text":"p!"}]}}]}',
    );
  });

  test('a stream tells pieces by channel and ends a choice with its finish reason', () => {
    const events = openaiChat.answerEvents();
    const event = (index: number, delta: object, finish: string | null = null) =>
      events.read({ id: 'c', object: 'o', created: 1, model: 'm', choices: [{ index, delta, finish_reason: finish }] });
    expect(event(0, { content: 'a' }).pieces[0]).toMatchObject({ channel: 'choice 0 content', value: 'a' });
    const tool = event(0, { tool_calls: [{ index: 2, function: { arguments: '{"' } }] }).pieces[0]!;
    event(1, { content: 'x' });
    expect(event(0, { content: 'z' }, 'stop')).toMatchObject({
      pieces: [{ value: 'z' }],
      ended: ['choice 0 content', tool.channel],
    });
    expect(events.open()).toEqual(['choice 1 content']);
    const written = JSON.parse(events.write(tool.channel, 'v"').slice(6));
    expect(written).toEqual({
      id: 'c',
      object: 'o',
      created: 1,
      model: 'm',
      choices: [
        { index: 0, delta: { tool_calls: [{ index: 2, function: { arguments: 'v"' } }] }, finish_reason: null },
      ],
    });
  });

  test.each([
    { content: 'x' },
    { refusal: 'x' },
    { reasoning_content: 'x' },
    { content: [{ type: 'text', text: 'x' }] },
    { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'x' }] }] },
    { function_call: { arguments: 'x' } },
    { tool_calls: [{ index: 3, custom: { input: 'x' } }] },
  ])('what is written for a channel is read as the same channel: %j', (delta) => {
    const events = openaiChat.answerEvents();
    const { channel } = events.read({ choices: [{ index: 4, delta }] }).pieces[0]!;
    const again = openaiChat.answerEvents().read(JSON.parse(events.write(channel, 'rest').slice(6)));
    expect(again.pieces).toMatchObject([{ channel, value: 'rest' }]);
  });

  test('an error has OpenAI’s shape, whole and as an event', () => {
    const error = {
      status: 403,
      type: 'policy_denied',
      code: 'x',
      message: 'm',
      param: null,
      hint: 'h',
      decisionId: 'd',
      requestId: 'r',
    };
    const body = {
      error: {
        message: 'm',
        type: 'policy_denied',
        param: null,
        code: 'x',
        hint: 'h',
        decision_id: 'd',
        request_id: 'r',
      },
    };
    expect(openaiChat.errorBody(error)).toEqual(body);
    expect(openaiChat.errorEvent(error)).toBe(`data: ${JSON.stringify(body)}\n\n`);
    expect(openaiChat.isUsageOnly({ choices: [], usage: {} })).toBe(true);
    expect(openaiChat.isUsageOnly({ choices: [{}], usage: {} })).toBe(false);
  });
});
