import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../../gateway/errors.ts';
import type { Json } from '../../../../gateway/protocol/fields.ts';
import { responsesToChat } from '../../../../gateway/protocol/translate/responses-to-chat.ts';
import { ROOT } from '../../../support/gateway.ts';

const FIXTURES = join(ROOT, 'test/fixtures');
const request = (body: Json): Json => responsesToChat.request({ model: 'm', input: 'Hi', ...body });
const messages = (input: unknown, rest: Json = {}): unknown => request({ input, ...rest }).messages;
const paramOf = (body: Json): unknown => {
  try {
    return request(body);
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    expect(error).toMatchObject({ code: 'invalid_field', status: 400 });
    return error.detail.param;
  }
};
const call = (id: string, name = 'f'): Json => ({ type: 'function_call', call_id: id, name, arguments: '{}' });
const output = (id: string, text = 'o'): Json => ({ type: 'function_call_output', call_id: id, output: text });
const called = (...ids: string[]): unknown =>
  expect.objectContaining({ role: 'assistant', tool_calls: ids.map((id) => expect.objectContaining({ id })) });
const told = (id: string, content = 'o'): Json => ({ role: 'tool', tool_call_id: id, content });

describe('the calls of a conversation', () => {
  test('of one turn are together, and those after an output are another turn', () => {
    expect(messages([call('a'), call('b'), output('a'), output('b'), call('c'), output('c')])).toEqual([
      called('a', 'b'),
      told('a'),
      told('b'),
      called('c'),
      told('c'),
    ]);
  });

  test('have their outputs right behind them, whatever came between', () => {
    const said = messages([
      call('a'),
      { role: 'user', content: 'And?' },
      call('b'),
      output('b', '2'),
      output('a', '1'),
    ]);
    expect(said).toEqual([called('a'), told('a', '1'), { role: 'user', content: 'And?' }, called('b'), told('b', '2')]);
  });

  test('may share an id with an earlier one, as weak servers number them', () => {
    expect(messages([call('a'), output('a', '1'), call('a'), output('a', '2')])).toEqual([
      called('a'),
      told('a', '1'),
      called('a'),
      told('a', '2'),
    ]);
  });

  test.each<[string, Json[], string]>([
    ['a call without an output', [call('a')], 'input[0]'],
    ['the second of two calls with one output', [call('a'), output('a'), call('a')], 'input[2]'],
    ['an output without a call', [call('a'), output('a'), output('b')], 'input[2].call_id'],
    ['a second output', [call('a'), output('a'), output('a')], 'input[2].call_id'],
    ['an output before its call', [output('a'), call('a')], 'input[0].call_id'],
    ['a call without an id', [{ ...call('a'), call_id: '' }], 'input[0].call_id'],
    ['arguments that are no text', [{ ...call('a'), arguments: {} }, output('a')], 'input[0].arguments'],
    ['a call that a program made', [{ ...call('a'), caller: { type: 'program' } }], 'input[0].caller.type'],
    ['an output of no known shape', [call('a'), { ...output('a'), output: 5 }], 'input[1].output'],
  ])('%s is refused', (_name, input, param) => expect(paramOf({ input })).toBe(param));

  test('give the files of their outputs in a message of the user behind them all', () => {
    const image = { type: 'input_image', image_url: 'data:image/png;base64,AAAA', detail: 'auto' };
    const file = { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AAAA' };
    const seen = { ...output('a'), output: [{ type: 'input_text', text: 'seen' }, image] };
    expect(messages([call('a'), call('b'), seen, { ...output('b'), output: [file] }])).toEqual([
      called('a', 'b'),
      told('a', 'seen'),
      told('b', 'The output follows in the next message.'),
      {
        role: 'user',
        content: [
          { type: 'text', text: 'The files of the output of tool call a:' },
          { type: 'image_url', image_url: { url: image.image_url, detail: 'auto' } },
          { type: 'text', text: 'The files of the output of tool call b:' },
          { type: 'file', file: { filename: 'a.pdf', file_data: file.file_data } },
        ],
      },
    ]);
  });
});

test('a namespace is described once, so that its tools do not multiply the request', () => {
  const tools = Array.from({ length: 128 }, (_, index) => ({ type: 'function', name: `f${index}` }));
  const body = { tools: [{ type: 'namespace', name: 'n', description: 'd'.repeat(100_000), tools }] };
  expect(JSON.stringify(request(body)).length).toBeLessThan(2 * JSON.stringify(body).length);
});

test('hundreds of thousands of parts are translated like one', () => {
  const many = (part: Json): Json[] => Array.from({ length: 150_000 }, () => part);
  const said = messages([
    { role: 'system', content: many({ type: 'input_text', text: 's' }) },
    { role: 'user', content: 'u' },
    {
      role: 'assistant',
      content: [...many({ type: 'output_text', text: 'a' }), ...many({ type: 'refusal', refusal: 'r' })],
    },
    call('a'),
    { ...output('a'), output: many({ type: 'input_image', image_url: 'https://x.test/i.png' }) },
  ]) as Json[];
  expect(said.map(({ content }) => (Array.isArray(content) ? content.length : content))).toEqual([
    150_000,
    'u',
    150_000,
    'The output follows in the next message.',
    150_001,
  ]);
});

describe('what a caller may not send', () => {
  test.each<[Json, string]>([
    [{ input: 5 }, 'input'],
    [{ input: ['Hi'] }, 'input[0]'],
    [{ input: [{ content: 'Hi' }] }, 'input[0].role'],
    [{ input: [{ role: 'tool', content: 'Hi' }] }, 'input[0].role'],
    [{ input: [{ role: 'user', content: 'Hi', mood: 'good' }] }, 'input[0].mood'],
    [{ input: [{ role: 'user', content: null }] }, 'input[0].content'],
    [{ input: [{ role: 'user', content: [{ type: 'output_text', text: 'a' }] }] }, 'input[0].content[0].type'],
    [{ input: [{ role: 'user', content: [{ type: 'input_text' }] }] }, 'input[0].content[0].text'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].image_url'],
    [{ input: [{ role: 'user', content: [{ type: 'input_file' }] }] }, 'input[0].content[0].file_data'],
    [{ input: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'input[0].content[0].input_audio'],
    [{ input: [{ role: 'system', content: [{ type: 'input_image', image_url: 'x' }] }] }, 'input[0].content[0].type'],
    [
      { input: [{ role: 'assistant', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input[0].content[0].type',
    ],
    [{ input: [{ type: 'local_shell_call', call_id: 'a', action: {} }] }, 'input[0]'],
    [{ instructions: [] }, 'instructions'],
    [{ text: 'json' }, 'text'],
    [{ text: { format: { type: 'python' } } }, 'text.format.type'],
    [{ text: { format: { type: 'json_object', colour: 1 } } }, 'text.format.colour'],
    [{ reasoning: { depth: 1 } }, 'reasoning.depth'],
    [{ stream_options: { fast: true } }, 'stream_options.fast'],
    [{ tools: {} }, 'tools'],
    [{ tools: ['f'] }, 'tools[0]'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
    [{ tools: [{ type: 'function', name: 'f', async: true }] }, 'tools[0].async'],
    [{ tools: [{ type: 'function', name: 'f', colour: 1 }] }, 'tools[0].colour'],
    [{ tools: [{ type: 'custom', name: 'f', format: { type: 'json' } }] }, 'tools[0].format'],
    [{ tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'mcp' }] }] }, 'tools[0].tools[0]'],
    [{ tools: [{ type: 'namespace', name: 'n', tools: [{ name: 'f' }] }] }, 'tools[0].tools[0]'],
    [{ tools: [{ type: 'namespace', tools: [{ type: 'function', name: 'f' }] }] }, 'tools[0].name'],
    [{ tool_choice: 5 }, 'tool_choice'],
    [{ tool_choice: { type: 'function' } }, 'tool_choice.name'],
    [{ tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'mcp' }] } }, 'tool_choice.tools[0].type'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(body)).toBe(param));

  test.each(['shell', 'apply_patch', 'computer', 'computer_use_preview', 'programmatic_tool_calling', 'mcp'])(
    'a tool of type %s is refused with a hint',
    (type) => {
      const tools = [{ type: 'function', name: 'f' }, { type }];
      expect(() => request({ tools })).toThrow(
        expect.objectContaining({ detail: { param: 'tools[1]', hint: expect.stringContaining('function') } }),
      );
    },
  );

  test('null stands for absent', () => {
    const nothing = { reasoning: null, text: null, tools: null, include: null, stream: null, prompt: null, mood: null };
    expect(request(nothing)).toEqual({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] });
  });
});

/** The members of ResponseCreateParams in openai 7.57 (resources/responses/responses.d.ts). */
const FIELDS = [
  ...['access_programs', 'background', 'context_management', 'conversation', 'image', 'include', 'input'],
  ...['instructions', 'max_output_tokens', 'max_tool_calls', 'metadata', 'model', 'moderation', 'parallel_tool_calls'],
  ...['previous_response_id', 'prompt', 'prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention'],
  ...['reasoning', 'safety_identifier', 'service_tier', 'store', 'stream', 'stream_options', 'temperature', 'text'],
  ...['tool_choice', 'tools', 'top_logprobs', 'top_p', 'truncation', 'user'],
];

test.each(FIELDS)('docs/translation.md tells what becomes of %s', (field) => {
  const docs = readFileSync(join(ROOT, 'docs/translation.md'), 'utf8');
  const section = docs.split('\n## ').find((text) => text.startsWith('responses → chat.completions\n'));
  const sent = section?.split('\n').map((line) => /^\| `(\{.*?\})` \| (?:`|400)/.exec(line)?.[1]) ?? [];
  expect(sent.filter((json) => json !== undefined && field in (JSON.parse(json) as Json))).not.toEqual([]);
});

describe('Codex', () => {
  const body = JSON.parse(readFileSync(join(FIXTURES, 'codex-request.json'), 'utf8')) as Json;
  const said = responsesToChat.request(body);

  test('goes through with all its tools, and those that its search has found', () => {
    const names = (said.tools as { function: { name: string } }[]).map((tool) => tool.function.name);
    expect(names.slice(0, 4)).toEqual(['exec_command', 'write_stdin', 'request_user_input', 'apply_patch']);
    expect(names).toContain('tool_search');
    expect(names).toContain('multi_agent_v1__close_agent');
    expect(names).not.toContain('web_search');
    expect(said).toMatchObject({
      model: 'gpt-5.5',
      stream: true,
      stream_options: { include_usage: true },
      reasoning_effort: 'medium',
      verbosity: 'low',
      tool_choice: 'auto',
      parallel_tool_calls: true,
      prompt_cache_key: expect.any(String),
    });
  });

  test('keeps its conversation: one system message, and each turn of the model with its reasoning and calls', () => {
    const roles = (said.messages as Json[]).map(({ role }) => role);
    expect(roles).toEqual(['system', 'user', 'user', ...['assistant', 'tool', 'tool'], ...TURN, ...TURN]);
    expect(said.messages).toMatchObject({
      3: {
        content: 'Creating it.',
        reasoning_content: 'I should patch.',
        tool_calls: [
          {
            id: 'call_p',
            function: { name: 'apply_patch', arguments: expect.stringMatching(/^\{"input":"\*\*\* Begin/) },
          },
          { id: 'call_e', function: { name: 'exec_command' } },
        ],
      },
      4: { tool_call_id: 'call_p' },
      6: { content: null, tool_calls: [{ function: { name: 'tool_search', arguments: '{"query":"agent"}' } }] },
      8: { tool_calls: [{ function: { name: 'multi_agent_v1__close_agent' } }] },
    });
  });

  const TURN = ['assistant', 'tool'];
});

/** What an OpenAI model once answered, fed back with outputs for its calls. */
describe('recorded output as input', () => {
  const FOLDER = join(FIXTURES, 'provider-recordings/openai-responses');
  const OUTPUTS: Readonly<Record<string, string>> = {
    function_call: 'function_call_output',
    custom_tool_call: 'custom_tool_call_output',
    tool_search_call: 'tool_search_output',
  };
  const recordings = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .map((name): [string, Json] => [name, JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Json])
    .filter(([, body]) => Array.isArray(body.output));
  const fedBack = (body: Json): Json[] =>
    (body.output as Json[]).flatMap((item) => {
      const type = OUTPUTS[item.type as string];
      if (type === undefined) return [item];
      const result = type === 'tool_search_output' ? { execution: 'client', tools: [] } : { output: 'done' };
      return [item, { type, call_id: item.call_id, ...result }];
    });
  /** Items of tools that the provider runs, but for searches of the web. */
  const isRefused = (item: Json): boolean =>
    !['message', 'reasoning', 'function_call', 'custom_tool_call', 'web_search_call'].includes(item.type as string) &&
    !(item.type === 'tool_search_call' && item.execution === 'client');
  const refuses = (body: Json): boolean =>
    (body.output as Json[]).some((item) => isRefused(item) || (item.caller as Json | undefined)?.type === 'program');

  test.each(recordings)('%s', (_name, body) => {
    const input = [...fedBack(body), { role: 'user', content: 'Go on.' }];
    if (refuses(body)) {
      expect(paramOf({ input })).toMatch(/^input\[\d+\]/);
      return;
    }
    const said = messages(input) as Json[];
    expect(said.at(-1)).toEqual({ role: 'user', content: 'Go on.' });
    const texts = (body.output as Json[])
      .flatMap((item) => (item.type === 'message' ? (item.content as { text: string }[]) : []))
      .map(({ text }) => text);
    const contents = said.slice(0, -1).flatMap(({ role, content }) => {
      if (role !== 'assistant' || content === null) return [];
      return typeof content === 'string' ? [content] : (content as { text: string }[]).map(({ text }) => text);
    });
    expect(contents).toEqual(texts);
  });

  test('some translate and some are refused', () => {
    const refused = recordings.filter(([, body]) => refuses(body)).length;
    expect(refused).toBeGreaterThan(3);
    expect(recordings.length - refused).toBeGreaterThan(3);
  });
});
