import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { ChatCompletionCreateParams } from 'openai/resources/chat/completions';
import { isGatewayError } from '../../../../gateway/errors.ts';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { scanJson } from '../../../../gateway/protocol/json-scan.ts';
import { protocolOf } from '../../../../gateway/protocol/protocols.ts';
import { messagesToChat } from '../../../../gateway/protocol/translate/messages-to-chat.ts';
import { claudeCodeRequest } from '../../../support/claude-code-request.ts';

const request = (body: Json): Json => messagesToChat.request({ model: 'gpt-5.5', max_tokens: 100, ...body });

const refusal = (body: Json): { message: string; param: unknown; hint: unknown } => {
  try {
    request(body);
  } catch (error) {
    if (isGatewayError(error)) return { message: error.message, param: error.detail.param, hint: error.detail.hint };
    throw error;
  }
  throw new Error('it was not refused');
};

describe('a request of Claude Code', () => {
  const body = claudeCodeRequest();
  const size = JSON.stringify(body).length;

  test('goes through whole', () => {
    expect(size).toBeGreaterThan(24_000);
    const chat = messagesToChat.request(body) as unknown as ChatCompletionCreateParams;
    expect(Object.keys(chat).sort()).toEqual([
      'max_completion_tokens',
      'messages',
      'model',
      'reasoning_effort',
      'stream',
      'stream_options',
      'tools',
    ]);
    expect(chat.reasoning_effort).toBe('medium');
    expect(chat.max_completion_tokens).toBe(64_000);
    expect(chat.tools).toHaveLength(10);
    const system = body.system as { text: string }[];
    const [asked] = body.messages as { content: Json[] }[];
    expect(chat.messages.slice(0, 1)).toEqual([
      { role: 'system', content: system.map(({ text }) => text).join('\n\n') },
    ]);
    expect(chat.messages.slice(1)).toEqual([
      { role: 'user', content: asked!.content.map(({ type, text }) => ({ type, text })) },
      {
        role: 'assistant',
        content: 'I look at the log and the sources.',
        tool_calls: [
          { id: 'toolu_01A', type: 'function', function: { name: 'Read', arguments: '{"path":"/repo/build.log"}' } },
          { id: 'toolu_01B', type: 'function', function: { name: 'Bash', arguments: '{"path":"ls"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'toolu_01A', content: 'error: no such module' },
      { role: 'tool', tool_call_id: 'toolu_01B', content: 'Error: Exit code 2' },
      { role: 'user', content: '<system-reminder>\nYour list of tasks is empty.\n</system-reminder>' },
    ]);
  });

  test('is not changed by it, and its translation is a call that the gateway reads', () => {
    const before = structuredClone(body);
    const chat = messagesToChat.request(body);
    expect(body).toEqual(before);
    const raw = Buffer.from(JSON.stringify(chat));
    const call = protocolOf('chat.completions').read(raw, scanJson(raw), chat);
    expect(call).toMatchObject({ stream: true, includeUsage: true, maxOutputTokens: 64_000, serverTools: false });
    expect(call.toolNames).toEqual((body.tools as Json[]).map(({ name }) => name));
  });

  test('takes the reasoning of a chat model back to that model and to no other', () => {
    const answer = messagesToChat.answer(
      { id: 'x', choices: [{ index: 0, message: { reasoning_content: 'Hm.', content: 'Ho' }, finish_reason: 'stop' }] },
      { body: { ...body, model: 'deepseek-v4' }, id: '0a', created: 1, includeUsage: true },
    );
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: answer.content },
      { role: 'user', content: 'So?' },
    ];
    const said = (model: string): unknown => (request({ model, messages }).messages as Json[])[1];
    expect(said('deepseek-v4')).toEqual({ role: 'assistant', content: 'Ho', reasoning_content: 'Hm.' });
    expect(said('gpt-5.5')).toEqual({ role: 'assistant', content: 'Ho' });
  });
});

test('a body of very many blocks goes through', () => {
  const many = <T>(item: T): T[] => new Array(200_000).fill(item) as T[];
  const image = { type: 'image', source: { type: 'url', url: 'https://example.com' } };
  const messages = [
    { role: 'user', content: many({ type: 'text', text: '' }) },
    { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: {} }] },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'a', content: many(image) },
        { type: 'search_result', title: 't', source: 's', content: many({ type: 'text', text: 'x' }) },
        { type: 'document', source: { type: 'content', content: many(image) } },
      ],
    },
  ];
  const said = request({ messages }).messages as { content: unknown[] }[];
  expect(said.map(({ content }) => content?.length)).toEqual([200_000, undefined, 21, 400_002]);
});

describe('a refusal', () => {
  test('names the field and says what cannot be done', () => {
    expect(refusal({ messages: [{ role: 'user', content: 'Hi' }], top_k: 40 })).toMatchObject({
      param: 'top_k',
      message: expect.stringContaining('top_k'),
    });
  });

  test('of a tool that Anthropic runs differs from that of one whose schema only Claude knows', () => {
    const of = (type: string) => refusal({ messages: [{ role: 'user', content: 'Hi' }], tools: [{ type, name: 't' }] });
    expect(of('web_search_20260318').hint).toContain('Only Anthropic runs it');
    expect(of('bash_20250124').hint).toContain('input_schema');
  });

  test('meets a message between calls and their results', () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'f', input: {} }] },
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a' }] },
    ];
    expect(refusal({ messages })).toMatchObject({
      param: 'messages[2]',
      message: expect.stringContaining(': a has none'),
    });
  });

  test.each(['cache_control', 'context_management', 'diagnostics', 'metadata', 'output_config'])(
    'meets %s that is no object',
    (name) => {
      expect(refusal({ messages: [{ role: 'user', content: 'Hi' }], [name]: 'x' }).param).toBe(name);
    },
  );

  test('does not repeat a long value', () => {
    const { message } = refusal({ messages: [{ role: 'user', content: [{ type: 'x'.repeat(5000) }] }] });
    expect(message.length).toBeLessThan(300);
  });
});

describe('the answer to a call', () => {
  const context = (thinking: unknown) => ({
    body: { model: 'm', messages: [], thinking },
    id: '0a',
    created: 1,
    includeUsage: true,
  });
  const body = { choices: [{ message: { reasoning: 'Hm.', content: 'Ho' }, finish_reason: 'stop' }] };
  const kinds = (thinking: unknown): unknown =>
    (messagesToChat.answer(body, context(thinking)).content as Json[]).map(({ type }) => type);

  test('shows reasoning unless the caller switched it off', () => {
    expect(kinds(undefined)).toEqual(['thinking', 'text']);
    expect(kinds({ type: 'adaptive', display: 'summarized' })).toEqual(['thinking', 'text']);
    expect(kinds({ type: 'disabled' })).toEqual(['text']);
    expect(kinds({ type: 'adaptive', display: 'omitted' })).toEqual(['text']);
  });

  test('tells a stop sequence that the server names and the caller sent', () => {
    const answer = messagesToChat.answer(
      { choices: [{ message: { content: 'Ho' }, finish_reason: 'stop', stop_reason: 'END' }] },
      { ...context(undefined), body: { stop_sequences: ['END'] } },
    );
    expect(answer).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: 'END' });
  });

  test.each(['error', 'abort', 'insufficient_system_resource', 'length'])(
    'that ended with %s does not look complete',
    (finish) => {
      const answer = messagesToChat.answer(
        { choices: [{ message: { content: 'H' }, finish_reason: finish }] },
        context(null),
      );
      expect(answer.stop_reason).toBe('max_tokens');
    },
  );

  test.each([[{}], [{ choices: null }], [[]]])('of %j is no answer', (odd) => {
    expect(() => messagesToChat.answer(odd as Json, context(undefined))).toThrow('not a chat completion');
  });

  test.each([[{ choices: [null, 7] }], [{ choices: [{ message: 'x' }], usage: 'y' }]])(
    'of %j is an empty message',
    (odd) => {
      expect(messagesToChat.answer(odd, context(undefined))).toMatchObject({ content: [], stop_reason: 'end_turn' });
    },
  );
});

/** The members of MessageCreateParamsBase, beta included, in @anthropic-ai/sdk 1.12 (resources/beta/messages). */
const FIELDS = [
  ...['max_tokens', 'messages', 'model', 'billing_policy', 'cache_control', 'compaction', 'container'],
  ...['context_management', 'diagnostics', 'fallback_credit_token', 'fallbacks', 'inference_geo', 'mcp_servers'],
  ...['metadata', 'output_config', 'output_format', 'service_tier', 'speed', 'stop_sequences', 'stream', 'system'],
  ...['temperature', 'thinking', 'thread', 'tool_choice', 'tools', 'top_k', 'top_p', 'betas', 'user_profile_id'],
  'workspace_id',
];

describe('docs/translation.md', () => {
  const section = readFileSync('docs/translation.md', 'utf8')
    .split(/^## /m)
    .find((text) => text.startsWith('messages → chat.completions'))!;
  const sent = [...section.matchAll(/^\| `(\{.*?\})` \| (?:`\{|400 )/gm)].map(([, text]) =>
    Object.keys(JSON.parse(text!)),
  );

  test.each(FIELDS)('tells what becomes of %s', (field) => {
    expect(sent.some((keys) => keys.includes(field))).toBe(true);
  });
});
