import { describe, expect, test } from '@jest/globals';
import { anthropicMessages } from '../../../gateway/protocol/anthropic-messages.ts';
import type { Edits } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { callOf } from '../../support/calls.ts';

const call = (body: object) => callOf('messages', { model: 'claude', messages: [], max_tokens: 9, ...body });
const user = (...content: object[]): object => ({ messages: [{ role: 'user', content }] });
const edited = (body: object, edits: Edits) => {
  const read = call(body);
  return JSON.parse(splice(read.raw, anthropicMessages.edit(read, edits)).toString());
};
const paramOf = (body: object): unknown => {
  try {
    call(body);
    return undefined;
  } catch (error) {
    return (error as { detail: { param: string } }).detail.param;
  }
};
const BASE64 = 'QUJD'.repeat(100);

describe('reading messages', () => {
  test('a call gives what policies ask for', () => {
    const read = call({
      system: [{ type: 'text', text: 'be brief', cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'user', content: 'hi' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 's' },
            { type: 'redacted_thinking', data: 'xx' },
            { type: 'tool_use', id: '1', name: 'f', input: { q: ['a', { r: 'b' }] } },
          ],
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: '1', content: [{ type: 'text', text: 'res' }] }],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: '1' },
            { type: 'text', text: 'go on' },
          ],
        },
      ],
      stream: true,
      thinking: { type: 'adaptive' },
      tools: [
        { name: 'f', input_schema: {} },
        { type: 'web_search_20250305', name: 'web_search' },
      ],
      output_config: { format: { type: 'json_schema' } },
    });
    expect(read).toMatchObject({
      stream: true,
      includeUsage: true,
      maxOutputTokens: 9,
      toolNames: ['f', 'web_search'],
      responseFormat: 'json_schema',
      messages: 5,
      turns: 2,
      serverTools: true,
      modalities: ['text'],
    });
    expect(read.texts.map(({ role, text }) => `${role}: ${text}`)).toEqual([
      'system: be brief',
      'user: hi',
      'assistant: hm',
      'assistant: f',
      'assistant: a',
      'assistant: b',
      'tool: res',
      'user: go on',
    ]);
    expect(read.uninspected.size).toBe(0);
  });

  test('images, documents and files are counted by kind; text documents are read', () => {
    const read = call(
      user(
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: BASE64 } },
        { type: 'image', source: { type: 'url', url: 'https://example.com/x' } },
        { type: 'document', title: 'T', source: { type: 'base64', media_type: 'application/pdf', data: BASE64 } },
        { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'plain' } },
        { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'inner' }] } },
        { type: 'document', source: { type: 'file', file_id: 'f1' } },
        { type: 'container_upload', file_id: 'f22' },
        {
          type: 'tool_result',
          tool_use_id: '1',
          content: [{ type: 'image', source: { type: 'base64', data: BASE64 } }],
        },
      ),
    );
    expect([...read.uninspected]).toEqual([
      ['image', 400 + 21 + 400],
      ['document', 400 + 2],
      ['file', 3],
    ]);
    expect(read.texts.map(({ text }) => text)).toEqual(['T', 'plain', 'inner']);
    expect(read.opaque.size).toBe(3);
  });

  test('a block of an unknown type is unknown unless it has text alone', () => {
    const hologram = { type: 'hologram', shape: 'x' };
    const film = { type: 'film', text: 'f', source: { type: 'url', url: 'https://x.test' }, cache_control: null };
    const read = call(user(hologram, film, { type: 'note', text: 'n', cache_control: { type: 'ephemeral' } }));
    expect([...read.uninspected]).toEqual([['unknown', JSON.stringify(hologram).length + JSON.stringify(film).length]]);
    expect(read.texts.map(({ text }) => text)).toEqual(['f', 'n']);
  });

  test('a compaction is read, and tools that it brings are unknown', () => {
    const changes = [{ type: 'tool_addition', tool: { type: 'tool_definition', name: 'shell' } }];
    const read = call(user({ type: 'compaction', content: 'c', encrypted_content: BASE64, tool_changes: changes }));
    expect([...read.uninspected]).toEqual([['unknown', JSON.stringify(changes).length]]);
    expect(read.texts.map(({ text }) => text)).toEqual(['c']);
    expect(call(user({ type: 'compaction', content: null, tool_changes: null })).uninspected.size).toBe(0);
  });

  test('the tools that a client’s search has found are text: their names', () => {
    const content = [{ type: 'tool_reference', tool_name: 'get_weather' }];
    const read = call(user({ type: 'tool_result', tool_use_id: '1', content }));
    expect([read.uninspected.size, read.modalities, read.texts]).toEqual([
      0,
      ['text'],
      [{ role: 'tool', text: 'get_weather' }],
    ]);
  });

  test('results of server tools are measured, what the provider encrypted is not', () => {
    const content = [{ type: 'web_search_result', title: 'T', url: 'u', encrypted_content: BASE64 }];
    const read = call({ messages: [{ role: 'assistant', content: [{ type: 'web_search_tool_result', content }] }] });
    expect(read.texts.map(({ text }) => text)).toEqual(['web_search_result', 'T', 'u']);
  });

  test('MCP servers, however many, are read like tools', () => {
    const names = Array.from({ length: 15_000 }, (_, index) => `s${index}`);
    const timeOf = (body: object): number => {
      const started = performance.now();
      expect(call(body).toolNames.length).toBe(names.length);
      return performance.now() - started;
    };
    const tools = names.map((name) => ({ name, input_schema: {} }));
    timeOf({ tools });
    // Were each name searched for among those before it, it would be a hundred times as long.
    expect(timeOf({ mcp_servers: names.map((name) => ({ name, url: 'u' })) })).toBeLessThan(
      10 * timeOf({ tools }) + 50,
    );
  });

  test('what a server tool fetched is counted, wherever it lies', () => {
    const content = [
      { type: 'web_fetch_result', content: { type: 'document', source: { type: 'base64', data: BASE64 } } },
      { type: 'image', source: { type: 'url', url: 'https://x.test' } },
      { type: 'image', source: { type: 'file', file_id: 'f1' } },
    ];
    const read = call({ messages: [{ role: 'assistant', content: [{ type: 'some_tool_result', content }] }] });
    expect([...read.uninspected]).toEqual([['document', 400 + 14 + 2]]);
    expect(read.opaque.size).toBe(1);
  });

  test.each<[object, string]>([
    [{ model: null }, 'model'],
    [{ messages: 'x' }, 'messages'],
    [{ system: 5 }, 'system'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: [{ text: 'x' }] }] }, 'messages[0].content[0].type'],
    [user({ type: 'image' }), 'messages[0].content[0].source'],
    [{ max_tokens: 'many' }, 'max_tokens'],
    [{ tools: [{}] }, 'tools[0].name'],
    [{ mcp_servers: [{}] }, 'mcp_servers[0].name'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(body)).toBe(param));
});

describe('editing messages', () => {
  test('model and cap are set', () => {
    expect(edited({}, { model: 'm', maxOutputTokens: 3, includeUsage: true })).toEqual({
      model: 'm',
      messages: [],
      max_tokens: 3,
    });
    const read = callOf('messages', '{"model":"c","messages":[]}');
    expect(splice(read.raw, anthropicMessages.edit(read, { maxOutputTokens: 3 })).toString()).toBe(
      '{"model":"c","messages":[],"max_tokens":3}',
    );
  });

  const tools = [{ name: 'a' }, { name: 'b' }, { type: 'mcp_toolset', mcp_server_name: 's' }];
  test('tools go, with the choice that names one', () => {
    const left = edited({ tools, tool_choice: { type: 'tool', name: 'a' } }, { removeTools: ['a'] });
    expect(left).toEqual({ model: 'claude', messages: [], max_tokens: 9, tools: tools.slice(1) });
    const all = edited({ tools: tools.slice(0, 2), tool_choice: { type: 'auto' } }, { removeTools: ['a', 'b'] });
    expect(all).toEqual({ model: 'claude', messages: [], max_tokens: 9 });
  });

  test('an MCP server is one tool, removed with its toolset', () => {
    const body = {
      tools,
      mcp_servers: [
        { type: 'url', name: 's', url: 'https://x' },
        { type: 'url', name: 't', url: 'https://y' },
      ],
    };
    expect(call(body).toolNames).toEqual(['a', 'b', 'mcp:s', 'mcp:t']);
    const left = edited(body, { removeTools: ['mcp:s'] });
    expect(left.tools).toEqual(tools.slice(0, 2));
    expect(left.mcp_servers).toEqual([body.mcp_servers[1]]);
  });
});

describe('answers of messages', () => {
  const usage = (value: object) => anthropicMessages.usage({ usage: value });

  test('usage is in disjoint classes', () => {
    const written = {
      cache_creation_input_tokens: 70,
      cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 50 },
    };
    expect(usage({ input_tokens: 5, cache_read_input_tokens: 6, output_tokens: 7, ...written })).toEqual({
      input: 5,
      cache_read: 6,
      cache_write: 20,
      cache_write_1h: 50,
      output: 7,
      reasoning: 0,
    });
    expect(usage({ input_tokens: 5, cache_creation_input_tokens: 70, output_tokens: 7 })).toMatchObject({
      cache_write: 70,
      cache_write_1h: 0,
    });
    expect(usage({ input_tokens: -5, output_tokens: null })).toMatchObject({ input: 0, output: 0 });
    expect(usage({})).toBeNull();
  });

  test('each of the iterations is billed', () => {
    const iterations = [
      { type: 'compaction', input_tokens: 60_385, output_tokens: 522 },
      { type: 'message', input_tokens: 612, output_tokens: 2819 },
    ];
    expect(usage({ input_tokens: 612, output_tokens: 2819, iterations })).toMatchObject({
      input: 60_997,
      output: 3341,
    });
  });

  test('a stream’s usage is what was said last of each field', () => {
    const stream = anthropicMessages.streamUsage();
    const feed = (event: object): void => stream.feed(JSON.stringify(event));
    feed({
      type: 'message_start',
      message: { usage: { input_tokens: 43, cache_read_input_tokens: 4, output_tokens: 1 } },
    });
    feed({ type: 'message_delta', usage: { output_tokens: 9 } });
    expect(stream.result()).toMatchObject({ input: 43, cache_read: 4, output: 9 });
    feed({ type: 'message_delta', usage: { input_tokens: 61, output_tokens: 12 } });
    expect(stream.result()).toMatchObject({ input: 61, cache_read: 4, output: 12 });
  });

  test('text and tool input are restored, signed thinking is not', () => {
    const body = {
      content: [
        { type: 'thinking', thinking: 'secret', signature: 's' },
        { type: 'text', text: 'a' },
        { type: 'tool_use', input: { q: ['b', 1, { r: 'c' }] } },
        { type: 'web_search_tool_result', content: [{ title: 'd' }] },
      ],
    };
    const texts = anthropicMessages.answerTexts(body);
    expect(texts.map(({ value, place, json }) => [value, place, json])).toEqual([
      ['a', 'text', false],
      ['b', 'tool_arguments', false],
      ['c', 'tool_arguments', false],
    ]);
    for (const text of texts) text.set(text.value.toUpperCase());
    expect(JSON.stringify(body)).toContain('"text":"A"},{"type":"tool_use","input":{"q":["B",1,{"r":"C"}]}}');
  });

  test('a stream tells pieces by block and ends a block when it stops', () => {
    const events = anthropicMessages.answerEvents();
    const delta = (index: number, value: object) => events.read({ type: 'content_block_delta', index, delta: value });
    expect(delta(0, { type: 'thinking_delta', thinking: 'x' }).pieces).toEqual([]);
    expect(delta(1, { type: 'text_delta', text: 'x' }).pieces).toMatchObject([
      { channel: 'block 1 text', place: 'text' },
    ]);
    expect(delta(11, { type: 'input_json_delta', partial_json: '{' }).pieces).toMatchObject([
      { place: 'tool_arguments', json: true },
    ]);
    expect(events.read({ type: 'content_block_stop', index: 1 }).ended).toEqual(['block 1 text']);
    expect(events.open()).toEqual(['block 11 input']);
    expect(events.write('block 11 input', '"')).toBe(
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":11,"delta":{"type":"input_json_delta","partial_json":"\\""}}\n\n',
    );
    expect(events.read({ type: 'message_delta', delta: {} }).ended).toEqual(['block 11 input']);
  });

  test('an error has Anthropic’s shape, whole and as an event', () => {
    const error = {
      status: 429,
      type: 'rate_limit_error',
      code: 'rate_limited',
      message: 'm',
      param: null,
      hint: null,
      decisionId: null,
      requestId: 'r',
    };
    const body = {
      type: 'error',
      error: { type: 'rate_limit_error', message: 'm', code: 'rate_limited' },
      request_id: 'r',
    };
    expect(anthropicMessages.errorBody(error)).toEqual(body);
    expect(anthropicMessages.errorEvent(error)).toBe(`event: error\ndata: ${JSON.stringify(body)}\n\n`);
  });
});
