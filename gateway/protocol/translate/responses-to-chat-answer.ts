import { isObject, type Json } from '../fields.ts';
import { openaiUsage } from '../openai-chat-usage.ts';
import type { TranslationContext } from '../translation.ts';

/** What a Response says of its request, and of its answer as long as there is none. */
export const responseShell = ({ body, id, created }: TranslationContext): Json => ({
  id: `resp_${id}`,
  object: 'response',
  created_at: created,
  status: 'in_progress',
  background: false,
  error: null,
  incomplete_details: null,
  instructions: body.instructions ?? null,
  max_output_tokens: body.max_output_tokens ?? null,
  max_tool_calls: body.max_tool_calls ?? null,
  model: body.model,
  output: [],
  parallel_tool_calls: body.parallel_tool_calls ?? true,
  previous_response_id: null,
  prompt_cache_key: body.prompt_cache_key ?? null,
  reasoning: { effort: isObject(body.reasoning) ? (body.reasoning.effort ?? null) : null, summary: null },
  safety_identifier: body.safety_identifier ?? null,
  service_tier: body.service_tier ?? 'default',
  store: false,
  temperature: body.temperature ?? null,
  text: { format: { type: 'text' }, ...(isObject(body.text) ? body.text : {}) },
  tool_choice: body.tool_choice ?? 'auto',
  tools: body.tools ?? [],
  top_logprobs: body.top_logprobs ?? 0,
  top_p: body.top_p ?? null,
  truncation: 'disabled',
  usage: null,
  user: body.user ?? null,
  metadata: body.metadata ?? {},
});

/** How a Response ends. */
export interface ResponseEnd {
  readonly status: 'completed' | 'incomplete' | 'failed';
  readonly incomplete_details: { readonly reason: string } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** What a choice's finish_reason means; one that is missing or unknown ended by itself. */
export const responseEnd = (finishReason: string | null): ResponseEnd => {
  switch (finishReason) {
    case 'length':
    case 'model_length': // Mistral's
      return { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, error: null };
    case 'content_filter':
      return { status: 'incomplete', incomplete_details: { reason: 'content_filter' }, error: null };
    case 'error': // Mistral's
    case 'insufficient_system_resource': // DeepSeek's
      return {
        status: 'failed',
        incomplete_details: null,
        error: { code: 'server_error', message: `The model provider stopped the answer: ${finishReason}.` },
      };
    default:
      return { status: 'completed', incomplete_details: null, error: null };
  }
};

/** The usage of a Response from that of a chat completion; null where there is none. */
export const responseUsage = (usage: unknown): Json | null => {
  const read = openaiUsage({ usage });
  if (!read) return null;
  const input = read.input + read.cache_read + read.cache_write;
  const output = read.output + read.reasoning;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: read.cache_read, cache_write_tokens: read.cache_write },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: read.reasoning },
    total_tokens: input + output,
  };
};
