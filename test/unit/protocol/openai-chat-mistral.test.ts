import { describe, expect, test } from '@jest/globals';
import { openaiChat } from '../../../gateway/protocol/openai-chat.ts';
import type { Edits, UpstreamKind } from '../../../gateway/protocol/protocol.ts';
import { splice } from '../../../gateway/protocol/splice.ts';
import { callOf } from '../../support/calls.ts';

const BODY = { model: 'mistral-large', messages: [{ role: 'user', content: 'Hi' }] };
const edited = (body: object | string, edits: Edits = {}): string => {
  const call = callOf('chat.completions', typeof body === 'string' ? body : { ...BODY, ...body });
  return splice(call.raw, openaiChat.edit(call, { kind: 'mistral', ...edits })).toString();
};
const said = (body: object, edits: Edits = {}) => JSON.parse(edited(body, edits));
const messagesOf = (...messages: object[]) => said({ messages }).messages;
const paramOf = (body: object): unknown => {
  try {
    edited(body);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_field', status: 400 });
    return (error as { detail: { param: string } }).detail.param;
  }
};
const fn = (name: string): object => ({ type: 'function', function: { name, parameters: {} } });

describe('chat completions at Mistral', () => {
  test('what Mistral knows stays byte for byte', () => {
    const body =
      '{ "model":"m", "temperature" : 0.50,\n"messages":[ {"role" : "user","content":"Hi \\u00e9"} ], "safe_prompt":true,' +
      '"max_tokens":7, "random_seed":1, "tool_choice":"auto", "metadata":{"a":1}, "prompt_cache_key":"k", "n":2,' +
      '"reasoning_effort":"high", "parallel_tool_calls":false, "stop":["x"], "response_format":{"type":"json_object"}}';
    expect(edited(body)).toBe(body);
  });

  test('names change as bytes, beside values that stay as they were written', () => {
    const body = '{"s\\u0065ed" : 1 ,"user":"u","max_completion_tokens" : 1000, "model":"m","messages":[]}';
    expect(edited(body, { model: 'x' })).toBe('{"random_seed" : 1,"max_tokens" : 1000, "model":"x","messages":[]}');
  });

  test.each<[object, number | undefined, object]>([
    [{}, undefined, {}],
    [{}, 5, { max_tokens: 5 }],
    [{ max_tokens: 9 }, undefined, { max_tokens: 9 }],
    [{ max_tokens: 9 }, 5, { max_tokens: 5 }],
    [{ max_completion_tokens: 9 }, undefined, { max_tokens: 9 }],
    [{ max_completion_tokens: 9 }, 5, { max_tokens: 5 }],
    [{ max_completion_tokens: 8, max_tokens: 9 }, undefined, { max_tokens: 8 }],
    [{ max_completion_tokens: 8, max_tokens: 9 }, 5, { max_tokens: 5 }],
    [{ max_completion_tokens: null, max_tokens: 9 }, 5, { max_tokens: 5 }],
    [{ max_completion_tokens: 8, max_tokens: null }, undefined, { max_tokens: 8 }],
    [{ max_completion_tokens: null, max_tokens: null }, 5, { max_tokens: 5 }],
    [{ max_completion_tokens: null }, undefined, {}],
  ])('caps %j with an edit of %j arrive as %j', (caps, cap, expected) => {
    const edits = cap === undefined ? {} : { maxOutputTokens: cap };
    expect(said(caps, edits)).toEqual({ ...BODY, ...expected });
  });

  test('usage is not asked for, since it always comes', () => {
    expect(said({ stream: true, stream_options: { include_usage: true } }, { includeUsage: true })).toEqual({
      ...BODY,
      stream: true,
    });
    expect(said({ stream: true }, { includeUsage: true })).toEqual({ ...BODY, stream: true });
  });

  test('fields that are left out, renamed and removed with tools do not get in each other’s way', () => {
    const body = {
      user: 'u',
      tools: [fn('a'), { type: 'function', function: { name: 'b' } }],
      tool_choice: 'required',
      seed: 1,
      max_completion_tokens: 9,
      store: false,
    };
    const { user: _, tools: __, tool_choice: ___, seed, max_completion_tokens, store, ...rest } = { ...BODY, ...body };
    expect([seed, max_completion_tokens, store]).toEqual([1, 9, false]);
    const kept = { ...rest, random_seed: 1, max_tokens: 5 };
    const edits = { model: 'm', maxOutputTokens: 5, includeUsage: true };
    expect(said(body, { ...edits, removeTools: ['a', 'b'] })).toEqual({ ...kept, model: 'm' });
    const b = { type: 'function', function: { name: 'b', parameters: { type: 'object', properties: {} } } };
    expect(said(body, { ...edits, removeTools: ['a'] })).toEqual({
      ...kept,
      model: 'm',
      tools: [b],
      tool_choice: 'any',
    });
    expect(said(body, { ...edits, removeTools: ['b'] })).toMatchObject({ tools: [fn('a')], tool_choice: 'any' });
  });

  test('an id of a tool call is nine letters and digits, the same in call and result', () => {
    const calls = ['call_abc', 'D681PevKs', 'toolu_01A', ''].map((id) => ({ id, ...fn('f') }));
    const messages = messagesOf(
      { role: 'assistant', content: null, tool_calls: calls, refusal: null, annotations: [], audio: null },
      ...calls.map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'x', name: 'f' })),
    );
    const ids = messages[0].tool_calls.map(({ id }: { id: string }) => id);
    expect(ids).toEqual(messages.slice(1).map((message: { tool_call_id: string }) => message.tool_call_id));
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9]{9}$/);
    expect([new Set(ids).size, ids[1]]).toEqual([4, 'D681PevKs']);
    expect(Object.keys(messages[0])).toEqual(['role', 'content', 'tool_calls']);
    expect(messages[1]).toMatchObject({ role: 'tool', content: 'x', name: 'f' });
  });

  test('what is masked within a message stays masked when the message is said otherwise', () => {
    const audio = { data: 'a@example.com', format: 'wav' };
    const body = {
      ...BODY,
      messages: [
        { role: 'developer', content: 'a@example.com', name: 'a@example.com' },
        { role: 'user', content: [{ type: 'input_audio', input_audio: audio }] },
        { role: 'assistant', refusal: 'a@example.com', content: '' },
        { role: 'assistant', content: [{ type: 'refusal', refusal: 'a@example.com' }] },
      ],
    };
    const call = callOf('chat.completions', body);
    const masks = [...call.raw.toString().matchAll(/a@example\.com/g)].map(({ index }) => ({
      start: index,
      end: index + 13,
      text: '<MAIL>',
    }));
    const out = splice(call.raw, [...masks, ...openaiChat.edit(call, { kind: 'mistral' })]).toString();
    expect(JSON.parse(out).messages).toEqual([
      { role: 'system', content: '<MAIL>' },
      { role: 'user', content: [{ type: 'input_audio', input_audio: '<MAIL>' }] },
      { role: 'assistant', content: '<MAIL>' },
      { role: 'assistant', content: [{ type: 'text', text: '<MAIL>' }] },
    ]);
  });

  test('parts that Mistral takes pass as they are', () => {
    const content = [
      { type: 'text', text: 'x' },
      { type: 'image_url', image_url: { url: 'https://x/y', detail: 'low' } },
      { type: 'input_audio', input_audio: 'QUJD' },
      { type: 'document_url', document_url: 'https://x/y.pdf' },
      { type: 'file', file_id: 'f' },
      { type: 'thinking', thinking: [{ type: 'text', text: 'x' }] },
    ];
    expect(messagesOf({ role: 'user', content })).toEqual([{ role: 'user', content }]);
  });

  test('null stands for absent', () => {
    const nulls = { seed: null, tools: null, tool_choice: null, logprobs: null, user: null, audio: null, stream: null };
    expect(said(nulls)).toEqual(BODY);
  });

  test.each<[object, string]>([
    [{ seed: 1, random_seed: 1 }, 'seed'],
    [{ seed: 1, random_seed: 'x' }, 'seed'],
    [
      { messages: [{ role: 'assistant', content: [{ type: 'refusal', refusal: 'x', text: 'y' }] }] },
      'messages[0].content[0].text',
    ],
    [{ messages: [{ role: 'assistant', content: 'x', refusal: 'y' }] }, 'messages[0].refusal'],
    [
      { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] },
      'messages[0].content[0].input_audio',
    ],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ function_call: { name: 'f' } }, 'function_call'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(body)).toBe(param));
});

describe('other kinds of providers', () => {
  test.each<[UpstreamKind, string]>([
    ['openai', 'max_completion_tokens'],
    ['openai_compatible', 'max_tokens'],
    ['litellm', 'max_tokens'],
  ])('at %s a cap that the caller did not send is %s', (kind, name) => {
    expect(said({}, { kind, maxOutputTokens: 5 })).toEqual({ ...BODY, [name]: 5 });
  });

  test.each<UpstreamKind>(['openai', 'openai_compatible', 'litellm'])('at %s what was sent keeps its name', (kind) => {
    const body = { max_completion_tokens: 9, seed: 1, tool_choice: 'required', user: 'u', store: true };
    expect(said(body, { kind, maxOutputTokens: 5 })).toEqual({ ...BODY, ...body, max_completion_tokens: 5 });
  });
});
