import { describe, expect, test } from '@jest/globals';
import { checkPriced } from '../../../gateway/stages/priced.ts';
import { callOf } from '../../support/calls.ts';
import { responsesCall } from '../../support/responses.ts';

const CALL = { model: 'm', input: 'hi' };
const checkResponses = (more: object): void => checkPriced(responsesCall({ ...CALL, ...more }));
const checkMessages = (more: object): void =>
  checkPriced(callOf('messages', { model: 'm', messages: [{ role: 'user', content: 'hi' }], ...more }));
const refused = (param: string) =>
  expect.objectContaining({
    code: 'invalid_field',
    detail: expect.objectContaining({ param, hint: expect.stringMatching(/\w{3}/) }),
  });
const shell = (environment: object): object => ({ tools: [{ type: 'shell', environment }] });
const item = (one: object): object => ({ input: [{ role: 'user', content: 'x' }, one] });

describe('what is stored at the provider', () => {
  test('is not reached by what Gemini has cached', () => {
    const check = (google: object) => () =>
      checkPriced(callOf('chat.completions', { model: 'm', messages: [], extra_body: { google } }));
    expect(check({ cached_content: 'cachedContents/1' })).toThrow(refused('extra_body.google.cached_content'));
    expect(check({ thinking_config: { include_thoughts: true } })).not.toThrow();
  });

  test.each([{ type: 'continue', previous_message_id: 'msg_1' }, { type: 'create' }, 'thread_1'])(
    'is not reached by the thread %j of a message',
    (thread) => expect(() => checkMessages({ thread })).toThrow(refused('thread')),
  );

  test.each<[string, object]>([
    ['previous_response_id', { previous_response_id: 'resp_1' }],
    ['conversation', { conversation: 'conv_1' }],
    ['conversation', { conversation: { id: 'conv_1' } }],
    ['prompt', { prompt: { id: 'pmpt_1', variables: {} } }],
    ['background', { background: true }],
    ['background', { background: 'yes' }],
    ['prompt_cache_options.comparison_response_id', { prompt_cache_options: { comparison_response_id: 'resp_1' } }],
    ['input[1]', item({ type: 'item_reference', id: 'msg_1' })],
    ['input[1]', item({ type: 'item_reference', id: 'msg_1', content: 'x' })],
    ['input[1]', item({ id: 'msg_1' })],
    ['input[1]', item({ type: null, id: 'msg_1' })],
    ['input[1]', item({ id: 'msg_1', content: 'x' })],
    ['input[1]', item({ type: 'image_generation_call', id: 'ig_1' })],
    ['input[1]', item({ type: 'image_generation_call', id: 'ig_1', status: 'completed', result: null })],
    ['input[1]', item({ type: 'reasoning', id: 'rs_1' })],
    ['input[1].container_id', item({ type: 'code_interpreter_call', id: 'ci', code: '1', container_id: 'cntr_1' })],
    [
      'input[1].environment',
      item({ type: 'shell_call', action: {}, environment: { type: 'container_reference', container_id: 'cntr_1' } }),
    ],
    ['tools[0].container', { tools: [{ type: 'code_interpreter', container: 'cntr_1' }] }],
    ['tools[0].environment', shell({ type: 'container_reference', container_id: 'cntr_1' })],
    ['tools[0].environment', shell({ type: 'container_of_tomorrow', container_id: 'cntr_1' })],
    [
      'tools[0].environment.skills[1]',
      shell({ type: 'container_auto', skills: [{ type: 'inline' }, { skill_id: 'skill_1' }] }),
    ],
    ['tools[0].vector_store_ids', { tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] }],
    ['tools[0].tunnel_id', { tools: [{ type: 'mcp', server_label: 's', tunnel_id: 't_1' }] }],
    [
      'input[1].tools[0].vector_store_ids',
      item({ type: 'additional_tools', tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] }),
    ],
    [
      'input[1].tools[0].container',
      item({ type: 'tool_search_output', tools: [{ type: 'code_interpreter', container: 'cntr_1' }] }),
    ],
    [
      'input[1].tools[0].model',
      item({ type: 'additional_tools', tools: [{ type: 'image_generation', model: 'dear' }] }),
    ],
    ['tools[0].model', { tools: [{ type: 'image_generation', model: 'dear' }] }],
    ['service_tier', { service_tier: 'priority' }],
  ])('is refused in a response, naming %s: %j', (param, more) => {
    expect(() => checkResponses(more)).toThrow(refused(param));
  });

  test.each<[object]>([
    [{ previous_response_id: null, conversation: null, prompt: null, background: false, store: true }],
    [{ prompt_cache_options: { mode: 'explicit', ttl: '30m' }, prompt_cache_key: 'k' }],
    [item({ type: 'function_call', id: 'fc_1', call_id: 'c', name: 'f', arguments: '' })],
    [item({ type: 'message', id: 'msg_1', role: 'assistant', content: [] })],
    [item({ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAA' })],
    [item({ type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAA' })],
    [item({ type: 'compaction_trigger', id: 'ct_1' })],
    [item({ type: 'shell_call', action: {}, environment: { type: 'local' } })],
    [{ tools: [{ type: 'code_interpreter', container: { type: 'auto' } }] }],
    [shell({ type: 'local', skills: [{ name: 'n', path: '/p' }] })],
    [shell({ type: 'container_auto', skills: [{ type: 'skill_reference', skill_id: 'openai-spreadsheets' }] })],
    [{ tools: [{ type: 'mcp', server_label: 's', server_url: 'https://x' }] }],
  ])('is not what stands in the request itself: %j', (more) => {
    expect(() => checkResponses(more)).not.toThrow();
  });

  test('is refused in a message when it is a container', () => {
    expect(() => checkMessages({ container: 'container_1' })).toThrow(refused('container'));
    expect(() => checkMessages({ container: { id: 'container_1' } })).toThrow(refused('container.id'));
    const skills = (type: string) => ({ container: { skills: [{ type, skill_id: 's' }] } });
    expect(() => checkMessages(skills('custom'))).toThrow(refused('container.skills[0]'));
    expect(() => checkMessages(skills('anthropic'))).not.toThrow();
    expect(() => checkMessages({ container: null })).not.toThrow();
    // A field of another API says nothing here.
    expect(() => checkMessages({ prompt: 'x', conversation: 'x' })).not.toThrow();
  });
});
