import { describe, expect, test } from '@jest/globals';
import { openaiResponses } from '../../../gateway/protocol/openai-responses.ts';
import { createDetector } from '../../../gateway/redact/detect.ts';
import { inspect } from '../../../gateway/stages/findings.ts';
import { checkPriced } from '../../../gateway/stages/priced.ts';
import { CODEX, editedResponses, responsesCall } from '../../support/responses.ts';

const call = (body: object) => responsesCall({ model: 'gpt-5.4-nano', input: 'hi', ...body });
const edited = (body: object, removeTools: string[]): Record<string, unknown> =>
  JSON.parse(editedResponses({ model: 'm', input: 'hi', ...body }, { removeTools }));
const paramOf = (body: object): unknown => {
  try {
    call(body);
    return undefined;
  } catch (error) {
    return (error as { detail: { param: string } }).detail.param;
  }
};
const fn = (name: string): object => ({ type: 'function', name, parameters: {} });
const BASE64 = 'A'.repeat(400);
const IMAGE = `data:image/png;base64,${BASE64}`;

describe('reading responses', () => {
  test('a string is what a user says', () => {
    expect(call({ instructions: 'be brief' })).toMatchObject({
      endpoint: 'responses',
      dialect: 'openai',
      model: 'gpt-5.4-nano',
      stream: false,
      includeUsage: true,
      maxOutputTokens: null,
      temperature: null,
      toolNames: [],
      responseFormat: null,
      messages: 2,
      turns: 1,
      texts: [
        { role: 'system', text: 'be brief' },
        { role: 'user', text: 'hi' },
      ],
    });
  });

  test('a call gives what policies ask for', () => {
    const read = call({
      input: [
        { role: 'developer', content: 'be brief' },
        { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'be kind' }] },
        { role: 'user', content: 'hi' },
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          content: [
            { type: 'output_text', text: 'hello', annotations: [] },
            { type: 'refusal', refusal: 'no' },
          ],
        },
        { role: 'critic', content: [{ type: 'a_part_of_tomorrow', text: 'hm' }] },
      ],
      stream: true,
      max_output_tokens: 10,
      temperature: 0.5,
      tools: [fn('f'), { type: 'custom', name: 'c' }],
      text: { format: { type: 'json_schema', name: 's', schema: {} }, verbosity: 'low' },
      a_field_of_tomorrow: { deep: [1] },
    });
    expect(read).toMatchObject({
      stream: true,
      includeUsage: true,
      maxOutputTokens: 10,
      temperature: 0.5,
      toolNames: ['f', 'c'],
      responseFormat: 'json_schema',
      messages: 5,
      turns: 2,
      modalities: ['text'],
      serverTools: false,
    });
    expect(read.texts).toEqual([
      { role: 'system', text: 'be brief' },
      { role: 'system', text: 'be kind' },
      { role: 'user', text: 'hi' },
      { role: 'assistant', text: 'hello' },
      { role: 'assistant', text: 'no' },
      { role: 'user', text: 'hm' },
    ]);
    expect(read.uninspected.size).toBe(0);
  });

  test.each<[object, [string, string][]]>([
    [
      { type: 'function_call', call_id: '1', name: 'f', arguments: '{}' },
      [
        ['assistant', 'f'],
        ['assistant', '{}'],
      ],
    ],
    [{ type: 'function_call_output', call_id: '1', output: 'done' }, [['tool', 'done']]],
    [
      {
        type: 'function_call_output',
        output: [
          { type: 'input_text', text: 'a' },
          { type: 'input_text', text: 'b' },
        ],
      },
      [
        ['tool', 'a'],
        ['tool', 'b'],
      ],
    ],
    [
      { type: 'custom_tool_call', name: 'c', input: 'SELECT 1' },
      [
        ['assistant', 'c'],
        ['assistant', 'SELECT 1'],
      ],
    ],
    [{ type: 'custom_tool_call_output', output: '1' }, [['tool', '1']]],
    [
      {
        type: 'reasoning',
        id: 'r',
        summary: [{ type: 'summary_text', text: 's' }],
        content: [{ type: 'reasoning_text', text: 't' }],
        encrypted_content: 'x',
      },
      [
        ['assistant', 's'],
        ['assistant', 't'],
      ],
    ],
    [{ type: 'reasoning', summary: [] }, []],
    [{ type: 'compaction', id: 'c', encrypted_content: 'gAAAA' }, []],
    [{ type: 'compaction_trigger' }, []],
    [
      { type: 'local_shell_call', action: { command: ['cat', 'x'], env: { A: 'b' } } },
      [
        ['assistant', 'cat'],
        ['assistant', 'x'],
        ['assistant', 'b'],
      ],
    ],
    [{ type: 'local_shell_call_output', output: 'o' }, [['tool', 'o']]],
    [
      { type: 'shell_call', action: { commands: ['ls', 'pwd'] } },
      [
        ['assistant', 'ls'],
        ['assistant', 'pwd'],
      ],
    ],
    [
      { type: 'shell_call_output', output: [{ stdout: 'o', stderr: 'e', outcome: { exit_code: 0 } }] },
      [
        ['tool', 'o'],
        ['tool', 'e'],
      ],
    ],
    [
      { type: 'apply_patch_call', operation: { path: 'p', diff: 'd' } },
      [
        ['assistant', 'p'],
        ['assistant', 'd'],
      ],
    ],
    [{ type: 'apply_patch_call_output', status: 'failed', output: 'e' }, [['tool', 'e']]],
    [{ type: 'computer_call', actions: [{ text: 'typed' }] }, [['assistant', 'typed']]],
    [
      { type: 'mcp_list_tools', server_label: 's', tools: [{ name: 'n', description: 'd' }] },
      [
        ['tool', 'n'],
        ['tool', 'd'],
      ],
    ],
    [
      { type: 'mcp_call', name: 'n', arguments: '{}', output: 'o', error: { message: 'e' } },
      [
        ['assistant', 'n'],
        ['assistant', '{}'],
        ['tool', 'o'],
        ['tool', 'e'],
      ],
    ],
    [
      { type: 'mcp_approval_request', name: 'n', arguments: '{}' },
      [
        ['assistant', 'n'],
        ['assistant', '{}'],
      ],
    ],
    [{ type: 'mcp_approval_response', approve: false, reason: 'no' }, [['user', 'no']]],
    [
      { type: 'web_search_call', action: { query: 'q', queries: ['q2'] } },
      [
        ['assistant', 'q'],
        ['assistant', 'q2'],
      ],
    ],
    [
      { type: 'file_search_call', queries: ['q'], results: [{ text: 'r' }] },
      [
        ['assistant', 'q'],
        ['tool', 'r'],
      ],
    ],
    [
      { type: 'code_interpreter_call', code: '1+1', outputs: [{ logs: '2' }] },
      [
        ['assistant', '1+1'],
        ['tool', '2'],
      ],
    ],
    [{ type: 'program', code: 'run()', fingerprint: 'f' }, [['assistant', 'run()']]],
    [{ type: 'program_output', result: 'r' }, [['tool', 'r']]],
    [{ type: 'tool_search_call', arguments: { q: 'x' } }, [['assistant', 'x']]],
    [{ id: 'msg_1' }, []],
    [{ type: 'item_reference', id: 'msg_1' }, []],
  ])('every text of %j is read', (item, texts) => {
    const read = call({ input: [item] });
    expect(read.texts.map(({ role, text }) => [role, text])).toEqual(texts);
    expect([...read.uninspected]).toEqual([]);
    expect(read).toMatchObject({ messages: 1, turns: 0 });
  });

  test('parts that cannot be read are counted by kind, and only plain base64 is opaque', () => {
    const parts = [
      { type: 'input_image', image_url: IMAGE },
      { type: 'input_image', image_url: 'https://example.com/a.png' },
      { type: 'input_image', file_id: 'file-1' },
      { type: 'input_file', filename: 'a.pdf', file_data: `data:application/pdf;base64,${BASE64}` },
      { type: 'input_file', file_url: 'https://example.com/b.pdf' },
      { type: 'input_audio', input_audio: { data: BASE64, format: 'wav' } },
      { type: 'hologram', shape: 'cube', text: 'h' },
    ];
    const item = { type: 'thing_of_tomorrow', words: 'secret' };
    const read = call({
      input: [
        { role: 'user', content: parts },
        { type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: IMAGE } },
        { type: 'image_generation_call', id: 'i', result: BASE64, revised_prompt: 'a cat' },
        { type: 'code_interpreter_call', code: '', outputs: [{ type: 'image', url: 'https://x/y' }] },
        item,
      ],
    });
    expect([...read.uninspected]).toEqual([
      ['image', IMAGE.length * 2 + 25 + 6 + 400 + 11],
      ['file', 428 + 25],
      ['audio', 400],
      ['unknown', JSON.stringify(parts[6]).length + JSON.stringify(item).length],
    ]);
    expect(read.modalities).toEqual(['image', 'text', 'document', 'audio']);
    expect(read.opaque.size).toBe(5);
    expect(read.texts.map(({ text }) => text)).toEqual(['a.pdf', 'h', 'a cat', '']);
  });

  test('reasoning that the provider would look up by its id is told as unknown', () => {
    const item = { type: 'reasoning', id: 'rs_1', summary: [] };
    expect([...call({ input: [item] }).uninspected]).toEqual([['unknown', JSON.stringify(item).length]]);
  });

  test.each<[object, string]>([
    [{ model: undefined }, 'model'],
    [{ model: 5 }, 'model'],
    [{ input: undefined }, 'input'],
    [{ input: {} }, 'input'],
    [{ input: ['x'] }, 'input[0]'],
    [{ input: [{}] }, 'input[0].type'],
    [{ input: [{ type: 5 }] }, 'input[0].type'],
    [{ input: [{ type: 'message', content: 'x' }] }, 'input[0].role'],
    [{ input: [{ role: 'user' }] }, 'input[0].content'],
    [{ input: [{ role: 'user', content: 5 }] }, 'input[0].content'],
    [{ input: [{ role: 'user', content: ['x'] }] }, 'input[0].content[0]'],
    [{ input: [{ role: 'user', content: [{ type: 'input_text' }] }] }, 'input[0].content[0].text'],
    [{ input: [{ role: 'assistant', content: [{ type: 'refusal' }] }] }, 'input[0].content[0].refusal'],
    [{ input: [{ role: 'user', content: [{ type: 'input_audio' }] }] }, 'input[0].content[0].input_audio'],
    [{ input: [{ type: 'function_call_output', output: 5 }] }, 'input[0].output'],
    [{ input: [{ type: 'reasoning', summary: 5 }] }, 'input[0].summary'],
    [{ input: [{ type: 'additional_tools', tools: {} }] }, 'input[0].tools'],
    [{ input: [{ type: 'additional_tools', tools: [{}] }] }, 'input[0].tools[0].type'],
    [{ instructions: [] }, 'instructions'],
    [{ stream: 'yes' }, 'stream'],
    [{ max_output_tokens: 1.5 }, 'max_output_tokens'],
    [{ temperature: '1' }, 'temperature'],
    [{ tools: {} }, 'tools'],
    [{ tools: ['f'] }, 'tools[0]'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
    [{ tools: [{ type: 'mcp' }] }, 'tools[0].server_label'],
    [{ tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'function' }] }] }, 'tools[0].tools[0].name'],
    [{ text: 'plain' }, 'text'],
    [{ text: { format: 'json' } }, 'text.format'],
    [{ text: { format: {} } }, 'text.format.type'],
  ])('%j is refused naming %s', (body, param) => expect(paramOf(body)).toBe(param));

  test('null stands for absent', () => {
    const nulls = {
      instructions: null,
      stream: null,
      max_output_tokens: null,
      temperature: null,
      tools: null,
      text: null,
    };
    expect(call(nulls)).toMatchObject({ stream: false, maxOutputTokens: null, temperature: null, toolNames: [] });
  });

  test.each<[object, string, boolean]>([
    [fn('f'), 'f', false],
    [{ type: 'custom', name: 'c' }, 'c', false],
    [{ type: 'local_shell' }, 'local_shell', false],
    [{ type: 'shell' }, 'shell', false],
    [{ type: 'shell', environment: { type: 'local' } }, 'shell', false],
    [{ type: 'shell', environment: { type: 'container_auto' } }, 'shell', true],
    [{ type: 'apply_patch' }, 'apply_patch', false],
    [{ type: 'computer' }, 'computer', false],
    [{ type: 'computer_use_preview', display_width: 1 }, 'computer', false],
    [{ type: 'web_search' }, 'web_search', true],
    [{ type: 'web_search_2025_08_26' }, 'web_search', true],
    [{ type: 'web_search_preview' }, 'web_search', true],
    [{ type: 'web_search_preview_2025_03_11' }, 'web_search', true],
    [{ type: 'file_search', vector_store_ids: ['vs'] }, 'file_search', true],
    [{ type: 'mcp', server_label: 'docs', server_url: 'https://x' }, 'mcp:docs', true],
    [{ type: 'code_interpreter', container: { type: 'auto' } }, 'code_interpreter', true],
    [{ type: 'image_generation' }, 'image_generation', true],
    [{ type: 'tool_search' }, 'tool_search', true],
    [{ type: 'tool_search', execution: 'client' }, 'tool_search', false],
    [{ type: 'programmatic_tool_calling' }, 'programmatic_tool_calling', true],
    [{ type: 'tool_of_tomorrow', name: 'harmless' }, 'tool_of_tomorrow', true],
  ])('%j is offered as %s', (tool, name, serverTools) => {
    expect(call({ tools: [tool] })).toMatchObject({ toolNames: [name], serverTools });
    // A tool cannot hide among the items.
    const input = [{ type: 'tool_search_output', execution: 'client', tools: [tool] }];
    expect(call({ input })).toMatchObject({ toolNames: [name], serverTools });
    expect(call({ input: [{ type: 'additional_tools', role: 'developer', tools: [tool] }] }).toolNames).toEqual([name]);
  });

  test('a namespace is offered with all that is in it', () => {
    const tools = [{ type: 'namespace', name: 'crm', tools: [fn('list'), { type: 'custom', name: 'ask' }] }, fn('f')];
    expect(call({ tools })).toMatchObject({ toolNames: ['crm', 'list', 'ask', 'f'], serverTools: false });
  });

  test('the format that an item sets is the one that is told', () => {
    const input = [
      { role: 'user', content: 'x' },
      { type: 'configuration_update', text: { format: { type: 'json_schema', name: 'n', schema: {} } } },
      { type: 'configuration_update', reasoning: { effort: 'low' } },
    ];
    expect(call({ input, text: { format: { type: 'text' } } }).responseFormat).toBe('json_schema');
  });

  test('a body of Codex is read, may be sent, and goes upstream as it came but for the model', () => {
    const read = responsesCall(CODEX);
    expect(read.raw.length).toBeGreaterThan(26_000);
    expect(read).toMatchObject({
      toolNames: ['exec_command', 'apply_patch', 'mcp__docs', 'read_page', 'web_search'],
      serverTools: true,
      messages: 10,
      turns: 2,
      responseFormat: null,
    });
    expect([...read.uninspected]).toEqual([]);
    expect(() => checkPriced(read)).not.toThrow();
    // What is encrypted must reach the provider as it is: nothing in it is taken for a value.
    expect(inspect(read.raw, read.scan, createDetector(), read.opaque).tokens).toEqual([]);
    const text = JSON.stringify(CODEX);
    expect(editedResponses(CODEX, { model: 'gpt-5.4-mini', includeUsage: true })).toBe(
      text.replace('"gpt-5.4-nano"', '"gpt-5.4-mini"'),
    );
  });
});

describe('editing responses', () => {
  test('model and cap are replaced and all else stays byte for byte', () => {
    const text = '{ "input" : "x",\n"mod\\u0065l" : "auto" , "x":1.50 }';
    expect(editedResponses(text, { model: 'a"b' })).toBe('{ "input" : "x",\n"mod\\u0065l" : "a\\"b" , "x":1.50 }');
    expect(editedResponses(text, { maxOutputTokens: 5 })).toBe(
      '{ "input" : "x",\n"mod\\u0065l" : "auto" , "x":1.50 ,"max_output_tokens":5}',
    );
    expect(editedResponses('{"model":"m","input":"x","max_output_tokens":null}', { maxOutputTokens: 5 })).toBe(
      '{"model":"m","input":"x","max_output_tokens":5}',
    );
  });

  const tools = [fn('a'), { type: 'mcp', server_label: 's' }, { type: 'web_search_preview' }];
  test.each<[string[], string[]]>([
    [['a'], ['mcp:s', 'web_search']],
    [['mcp:s'], ['a', 'web_search']],
    [['web_search'], ['a', 'mcp:s']],
    [['a', 'web_search'], ['mcp:s']],
    [['x'], ['a', 'mcp:s', 'web_search']],
  ])('removing %j leaves %j', (removeTools, left) => {
    const body = edited({ tools, tool_choice: 'required' }, removeTools);
    expect(body.tool_choice).toBe('required');
    expect(responsesCall(body).toolNames).toEqual(left);
  });

  test.each([
    ['{"tools":[T],"tool_choice":"required","parallel_tool_calls":true,"model":"m","input":"x"}'],
    ['{"model":"m","parallel_tool_calls":true,"tools":[T],"input":"x","tool_choice":{"type":"function","name":"a"}}'],
    ['{"tool_choice":"auto","tools":[T],"model":"m","input":"x","parallel_tool_calls":false}'],
  ])('when no tool is left the fields that need one go too: %s', (text) => {
    const left = editedResponses(text.replace('T', JSON.stringify(fn('a'))), { removeTools: ['a'] });
    expect(JSON.parse(left)).toEqual({ model: 'm', input: 'x' });
  });

  test.each<[object, string]>([
    [{ type: 'function', name: 'a' }, 'a'],
    [{ type: 'mcp', server_label: 's', name: 'ask' }, 'mcp:s'],
    [{ type: 'web_search_preview_2025_03_11' }, 'web_search'],
  ])('a choice that names a removed tool goes: %j', (tool_choice, name) => {
    const all = [...tools, fn('z')];
    expect(edited({ tool_choice, tools: all }, [name])).not.toHaveProperty('tool_choice');
    expect(edited({ tool_choice, tools: all }, ['z'])).toMatchObject({ tool_choice });
  });

  test('of the tools that a choice allows the removed ones go, and no others become allowed', () => {
    const allowed = (...names: object[]) => ({ type: 'allowed_tools', mode: 'required', tools: names });
    const choice = allowed({ type: 'function', name: 'a' }, { type: 'mcp', server_label: 's' });
    expect(edited({ tools, tool_choice: choice }, ['a'])).toMatchObject({
      tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'mcp', server_label: 's' }] },
    });
    expect(edited({ tools, tool_choice: choice }, ['a', 'mcp:s']).tool_choice).toBe('none');
    expect(edited({ tools, tool_choice: choice }, ['web_search']).tool_choice).toEqual(choice);
  });

  test('tools are taken out of namespaces, and a namespace with nothing left goes', () => {
    const space = (...names: string[]) => ({ type: 'namespace', name: 'crm', tools: names.map(fn) });
    expect(edited({ tools: [fn('crm_'), space('list', 'drop', 'ask')] }, ['drop']).tools).toEqual([
      fn('crm_'),
      space('list', 'ask'),
    ]);
    expect(edited({ tools: [space('drop'), fn('f')] }, ['drop']).tools).toEqual([fn('f')]);
    expect(edited({ tools: [space('drop'), fn('f')] }, ['crm']).tools).toEqual([fn('f')]);
    const choice = { type: 'function', name: 'drop' };
    expect(edited({ tools: [space('drop'), fn('f')], tool_choice: choice }, ['crm'])).not.toHaveProperty('tool_choice');
    expect(edited({ tools: [space('drop'), fn('f')], tool_choice: choice }, ['f'])).toMatchObject({
      tool_choice: choice,
    });
  });

  test('a function that has the name of an emptied namespace stays', () => {
    const tools = [{ type: 'namespace', name: 'x', tools: [fn('drop')] }, fn('x')];
    expect(edited({ tools }, ['drop']).tools).toEqual([fn('x')]);
  });

  test('tools are taken out of the items that bring them', () => {
    const input = [
      { role: 'user', content: 'a, "tools": [x]' },
      { type: 'tool_search_output', tools: [fn('a'), { type: 'namespace', name: 'n', tools: [fn('b'), fn('c')] }] },
      { type: 'additional_tools', role: 'developer', tools: [fn('a')] },
    ];
    const body = edited({ input, tools: [fn('a')], tool_choice: 'auto' }, ['a', 'b']);
    expect(body).toEqual({
      model: 'm',
      input: [
        { role: 'user', content: 'a, "tools": [x]' },
        { type: 'tool_search_output', tools: [{ type: 'namespace', name: 'n', tools: [fn('c')] }] },
        { type: 'additional_tools', role: 'developer', tools: [] },
      ],
      tool_choice: 'auto',
    });
    expect(edited({ input, tools: [fn('a')], tool_choice: 'auto' }, ['a', 'b', 'c'])).not.toHaveProperty('tool_choice');
  });
});

describe('errors of responses', () => {
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

  test('a body is OpenAI’s, and an event is an error event of the API with what we add', () => {
    expect(openaiResponses.errorBody(error)).toEqual({
      error: {
        message: 'm',
        type: 'policy_denied',
        param: null,
        code: 'x',
        hint: 'h',
        decision_id: 'd',
        request_id: 'r',
      },
    });
    const [name, data] = openaiResponses.errorEvent(error).split('\n') as [string, string];
    expect(name).toBe('event: error');
    expect(JSON.parse(data.slice(6))).toEqual({
      type: 'error',
      code: 'x',
      message: 'm',
      param: null,
      sequence_number: 0,
      hint: 'h',
      decision_id: 'd',
      request_id: 'r',
    });
    expect(openaiResponses.errorEvent(error)).toMatch(/\n\n$/);
    expect(openaiResponses.errorEvent({ ...error, hint: null, decisionId: null })).not.toMatch(/hint|decision_id/);
  });
});
