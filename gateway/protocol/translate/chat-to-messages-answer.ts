import { GatewayError } from '../../errors.ts';
import { anthropicUsage } from '../anthropic-messages-usage.ts';
import { isObject, type Json } from '../fields.ts';
import type { TranslationContext } from '../translation.ts';
import { CUSTOM_INPUT, customToolNames, offersFunctions } from './chat-to-messages-tools.ts';
import { reasoningDetail } from './reasoning-details.ts';

/**
 * A messages answer as a chat completion: the answers' section of docs/translation.md. Throws GatewayError
 * `upstream_error` for what is no message.
 */
export const chatToMessagesAnswer = (body: Json, context: TranslationContext): Json => {
  if (!Array.isArray(body.content)) {
    throw new GatewayError('upstream_error', "The model provider's answer is not a message.");
  }
  const id = typeof body.id === 'string' ? body.id : `chatcmpl-${context.id}`;
  const hasFunctions = offersFunctions(context.body);
  const usage = chatUsage(body.usage);
  return {
    id,
    object: 'chat.completion',
    created: context.created,
    model: typeof body.model === 'string' ? body.model : context.body.model,
    choices: [
      {
        index: 0,
        message: messageOf(body, body.content, id, context.body, hasFunctions),
        logprobs: null,
        finish_reason: finishReason(body.stop_reason, hasFunctions),
      },
    ],
    ...(usage ? { usage } : {}),
  };
};

const messageOf = (body: Json, blocks: unknown[], id: string, asked: Json, hasFunctions: boolean): Json => {
  const customs = customToolNames(asked);
  let text: string | null = null;
  let reasoning: string | null = null;
  const details: Json[] = [];
  const calls: Json[] = [];
  for (let index = 0; index < blocks.length; index++) {
    const block: unknown = blocks[index];
    if (!isObject(block)) continue;
    if (block.type === 'text' && typeof block.text === 'string') text = (text ?? '') + block.text;
    else if (block.type === 'tool_use') calls.push(callOf(block, customs));
    else if (isReasoning(block)) {
      if (typeof block.thinking === 'string' && block.thinking !== '') reasoning = (reasoning ?? '') + block.thinking;
      if (isSigned(block)) details.push(reasoningDetail(block, detailId(id, index)));
    }
  }
  return {
    role: 'assistant',
    content: text,
    refusal: refusalOf(body.stop_reason, body.stop_details),
    ...(reasoning === null ? {} : { reasoning_content: reasoning }),
    ...(details.length === 0 ? {} : { reasoning_details: details }),
    ...(calls.length === 0 ? {} : hasFunctions ? { function_call: calls[0]!.function } : { tool_calls: calls }),
  };
};

const callOf = (block: Json, customs: ReadonlySet<string>): Json => {
  const { id, name, input } = block;
  if (customs.has(name as string)) return { id, type: 'custom', custom: { name, input: customInput(input) } };
  return { id, type: 'function', function: { name, arguments: JSON.stringify(input ?? {}) } };
};

/** The plain text that a custom tool is called with; a model that did not keep to the schema is quoted. */
export const customInput = (input: unknown): string =>
  isObject(input) && typeof input[CUSTOM_INPUT] === 'string' ? input[CUSTOM_INPUT] : JSON.stringify(input ?? {});

export const isReasoning = (block: Json): boolean => block.type === 'thinking' || block.type === 'redacted_thinking';

/** Whether Anthropic will take a block of reasoning back. Servers that imitate it may not sign. */
export const isSigned = (block: Json): boolean =>
  block.type === 'thinking'
    ? typeof block.signature === 'string' && block.signature !== ''
    : typeof block.data === 'string';

/** An id for the reasoning in a block of an answer. */
export const detailId = (id: string, index: number): string => `${id}_${index}`;

/** Anthropic's `stop_reason` as OpenAI's `finish_reason`. */
export const finishReason = (stopReason: unknown, hasFunctions: boolean): string => {
  switch (stopReason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length';
    case 'tool_use':
      return hasFunctions ? 'function_call' : 'tool_calls';
    case 'refusal':
      return 'content_filter';
    default: // end_turn, stop_sequence, pause_turn, and those that are newer than this file
      return 'stop';
  }
};

/** Why an answer was refused, where Anthropic says it. */
export const refusalOf = (stopReason: unknown, details: unknown): string | null =>
  stopReason === 'refusal' && isObject(details) && typeof details.explanation === 'string' ? details.explanation : null;

/** Anthropic's usage in OpenAI's words; undefined where there is none. */
export const chatUsage = (usage: unknown): Json | undefined => {
  const told = anthropicUsage({ usage });
  if (!told) return undefined;
  const written = told.cache_write + told.cache_write_1h;
  const prompt = told.input + told.cache_read + written;
  const completion = told.output + told.reasoning;
  const tellsReasoning = isObject(usage) && isObject(usage.output_tokens_details);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: told.cache_read, cache_write_tokens: written },
    ...(tellsReasoning ? { completion_tokens_details: { reasoning_tokens: told.reasoning } } : {}),
  };
};
