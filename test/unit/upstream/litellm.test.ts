import { describe, expect, test } from '@jest/globals';
import { litellmCostMicroUsd, steersLitellm } from '../../../gateway/upstream/litellm.ts';

const BODY = { model: 'm', messages: [{ role: 'user', content: 'api_base' }] };

describe('a body steers LiteLLM', () => {
  test.each([
    ...['api_base', 'base_url', 'api_key', 'api_version', 'user_config', 'model_list', 'fallbacks'],
    ...['context_window_fallbacks', 'content_policy_fallbacks', 'custom_llm_provider', 'extra_headers', 'extra_body'],
    ...['mock_response', 'mock_testing_fallbacks', 'litellm_metadata', 'litellm_credential_name', 'litellm_session_id'],
    ...['aws_region_name', 'aws_access_key_id', 'vertex_project', 'vertex_credentials', 'guardrails', 'num_retries'],
    ...['proxy_server_request', 'cache', 'caching', 'ttl', 's-maxage', 'no-cache', 'no-store', 'tags', 'no-log'],
    ...['prompt_id', 'timeout', 'organization', 'region_name', 'max_retries', 'input_cost_per_token', 'drop_params'],
  ])('with %s', (field) => {
    expect(steersLitellm({ ...BODY, [field]: 'x' })).toBe(field);
    expect(steersLitellm({ ...BODY, [field]: false })).toBe(field);
    expect(steersLitellm({ ...BODY, [field]: null })).toBeNull();
  });

  test.each(['tags', 'guardrails', 'model_group', 'user_api_key_team_id', 'litellm_parent_otel_span', 'headers'])(
    'with metadata.%s',
    (field) => {
      expect(steersLitellm({ ...BODY, metadata: { user_id: 'u', [field]: ['x'] } })).toBe(`metadata.${field}`);
    },
  );

  test('with metadata in a string, which it would parse', () => {
    expect(steersLitellm({ ...BODY, metadata: '{"tags":["x"]}' })).toBe('metadata');
  });

  test('with a tool that stands for its own MCP servers', () => {
    const tools = [{ type: 'function' }, { type: 'mcp', server_url: 'litellm_proxy/mcp/zapier' }];
    expect(steersLitellm({ ...BODY, tools })).toBe('tools[1].server_url');
  });
});

test('what OpenAI and Anthropic have themselves does not steer it', () => {
  const chat = {
    ...BODY,
    ...{
      stream: true,
      stream_options: {},
      temperature: 1,
      top_p: 1,
      n: 1,
      seed: 1,
      stop: ['x'],
      user: 'u',
      store: true,
    },
    ...{
      max_tokens: 1,
      max_completion_tokens: 1,
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      logprobs: true,
    },
    ...{
      response_format: {},
      reasoning_effort: 'low',
      service_tier: 'auto',
      metadata: { purpose: 'x' },
      modalities: [],
    },
    ...{
      prompt_cache_key: 'k',
      safety_identifier: 's',
      verbosity: 'low',
      prediction: {},
      web_search_options: {},
      logit_bias: {},
    },
  };
  const messages = {
    ...BODY,
    ...{ system: 'x', max_tokens: 1, thinking: {}, cache_control: {}, top_k: 1, stop_sequences: [], mcp_servers: [] },
    ...{ metadata: { user_id: 'u' }, context_management: {}, container: 'c', output_config: {} },
  };
  const responses = {
    ...{
      model: 'm',
      input: 'x',
      instructions: 'i',
      previous_response_id: 'r',
      reasoning: {},
      text: {},
      truncation: 'auto',
    },
    ...{ include: [], background: false, conversation: 'c', prompt: { id: 'p' }, max_tool_calls: 1 },
  };
  for (const body of [chat, messages, responses]) expect(steersLitellm(body)).toBeNull();
});

describe('the cost that LiteLLM tells', () => {
  test.each([
    ['0.000123', 123],
    ['1e-05', 10],
    ['3.1e-07', 1],
    ['0.0000031', 4],
    ['0.1', 100_000],
    ['12', 12_000_000],
    ['0', 0],
    ['0.0', 0],
    ['-1', null],
    ['NaN', null],
    ['None', null],
    ['Infinity', null],
    ['1e99', null],
    ['9999999', null],
    ['', null],
    [undefined, null],
  ])('of %s is %s micro-dollars', (said, microUsd) => {
    expect(litellmCostMicroUsd({ 'x-litellm-response-cost': said })).toBe(microUsd);
  });
});
