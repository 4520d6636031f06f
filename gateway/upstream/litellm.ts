import { isObject } from '../protocol/fields.ts';
import type { ResponseHeaders } from './upstream.ts';

const words = (...lists: string[]): ReadonlySet<string> => new Set(lists.flatMap((list) => list.trim().split(/\s+/)));

/**
 * Fields of a body that LiteLLM reads for itself: where a call goes and with which credential, what it costs, which
 * models stand in, what is cached, logged or guarded. Sources: LiteLLM's proxy/litellm_pre_call_utils.py, types/router.py
 * (GenericLiteLLMParams), and the pages on clientside_auth, reliability, caching, tag_routing, guardrails and prompts.
 */
const STEERING = words(
  // where it goes, and as whom
  `api_base base_url api_key api_version api_type user_config model_list model_info custom_llm_provider deployment_id
  specific_deployment organization region_name tenant_id client_id client_secret azure_ad_token azure_username
  azure_password use_in_pass_through extra_headers headers extra_body extra_query proxies ssl_verify client shared_session
  proxy_server_request secret_fields router_settings_override hf_model_name configurable_clientside_auth_params`,
  // which models stand in, and how often
  `fallbacks context_window_fallbacks content_policy_fallbacks disable_fallbacks num_retries max_retries retry_policy
  retry_strategy timeout stream_timeout request_timeout force_timeout rpm tpm weight order`,
  // what it costs, and who pays
  `input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second max_budget budget_duration
  tags team`,
  // what is answered from elsewhere
  `cache caching ttl s-maxage no-cache no-store mock_response mock_tool_calls prompt_id prompt_label prompt_version
  prompt_variables vector_store_ids`,
  // what is guarded, logged and dropped
  `guardrails guardrail_config disable_global_guardrails disable_global_guardrail policies no-log callbacks
  success_callback failure_callback logger_fn turn_off_message_logging verbose enforced_params drop_params
  additional_drop_params allowed_openai_params`,
);

const PREFIXES = [
  ...words(`litellm aws_ vertex_ gcs_ s3_ sagemaker_ watsonx_ oci_ langfuse_ langsmith_ mock_testing_`),
];

/** What LiteLLM reads inside `metadata`, which OpenAI and Anthropic have too. */
const IN_METADATA = words(
  `tags guardrails guardrail_config disable_global_guardrails policies model_group model_info deployment api_base
  caching_groups headers requester_metadata spend_logs_metadata global_max_parallel_requests previous_models
  mock_response prompt_id fallbacks priority`,
);

/**
 * The first field of a caller's body with which it would steer a LiteLLM behind the gateway past what the policy
 * judged; null when there is none. A field that is null says nothing. Tools that name LiteLLM's own MCP servers are such
 * fields too.
 */
export const steersLitellm = (body: Readonly<Record<string, unknown>>): string | null => {
  for (const name in body) {
    const value = body[name];
    if (value !== null && value !== undefined && isSteering(name)) return name;
  }
  return inMetadata(body.metadata) ?? inTools(body.tools);
};

const isSteering = (name: string): boolean => STEERING.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));

const inMetadata = (metadata: unknown): string | null => {
  // It reads JSON in a string too.
  if (typeof metadata === 'string') return 'metadata';
  if (!isObject(metadata)) return null;
  for (const name in metadata) {
    const isMeant = metadata[name] !== null && metadata[name] !== undefined;
    if (isMeant && (IN_METADATA.has(name) || isPrefixed(name))) return `metadata.${name}`;
  }
  return null;
};

/** Keys and users are LiteLLM's to name. */
const isPrefixed = (name: string): boolean =>
  name.startsWith('user_api_key') || PREFIXES.some((prefix) => name.startsWith(prefix));

const inTools = (tools: unknown): string | null => {
  if (!Array.isArray(tools)) return null;
  for (let index = 0; index < tools.length; index++) {
    const tool: unknown = tools[index];
    if (isObject(tool) && typeof tool.server_url === 'string' && tool.server_url.startsWith('litellm_proxy')) {
      return `tools[${index}].server_url`;
    }
  }
  return null;
};

const MAX_USD = 1_000_000;

/**
 * What LiteLLM says an answer cost, whole micro-dollars, rounded up; null where it does not say, as in streams, whose
 * headers go out first.
 */
export const litellmCostMicroUsd = (headers: ResponseHeaders): number | null => {
  const value = headers['x-litellm-response-cost'];
  if (typeof value !== 'string' || !/^\d{1,12}(\.\d{1,24})?(e[+-]?\d{1,2})?$/i.test(value)) return null;
  const usd = Number(value);
  if (!(usd >= 0 && usd <= MAX_USD)) return null;
  // A price of six decimals is a whole number already, but for the last bit of its double.
  return Math.ceil(Number((usd * 1e6).toFixed(6)));
};
