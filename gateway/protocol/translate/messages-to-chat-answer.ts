import { GatewayError } from '../../errors.ts';
import { isObject, type Json } from '../fields.ts';
import { openaiUsage, parsed } from '../openai-chat-usage.ts';
import type { TranslationContext } from '../translation.ts';
import { callsOf, choiceOf, eachText, isRefusal, type TextKind } from './messages-to-chat-delta.ts';
import { showsThinking, thinkingSignature } from './messages-to-chat-thinking.ts';

/**
 * A whole chat completion as a message: its first choice. What it says beyond text, reasoning and calls is left out.
 * Throws GatewayError `upstream_error` for what is no chat completion.
 */
export const messagesToChatAnswer = (body: Json, context: TranslationContext): Json => {
  if (!Array.isArray(body.choices)) {
    throw new GatewayError('upstream_error', "The model provider's answer is not a chat completion.");
  }
  const choice = choiceOf(body) ?? {};
  const message = isObject(choice.message) ? choice.message : {};
  const content = contentOf(message, context);
  const isRefused = isRefusal(message);
  let hasCalls = false;
  for (const [order, call] of callsOf(message).entries()) {
    const name = isObject(call.function) ? call.function.name : undefined;
    if (typeof name !== 'string' || name === '') continue;
    hasCalls = true;
    const id = typeof call.id === 'string' && call.id !== '' ? call.id : callId(context, order);
    content.push({ type: 'tool_use', id, name, input: inputOf((call.function as Json).arguments) });
  }
  return {
    ...envelope(body, context),
    content,
    ...stopOf({ finish: choice.finish_reason, stop: choice.stop_reason, isRefused, hasCalls }, context.body),
    usage: usageOf(body),
  };
};

/** What a message says of itself. */
export const envelope = (body: Json, { body: asked, id }: TranslationContext): Json => ({
  id: messageId(body.id, id),
  type: 'message',
  role: 'assistant',
  model: typeof body.model === 'string' && body.model !== '' ? body.model : asked.model,
});

const messageId = (given: unknown, own: string): string => {
  const id = typeof given === 'string' && given !== '' ? given : own;
  return id.startsWith('msg_') ? id : `msg_${id}`;
};

/** An id for a call that came without one. */
export const callId = ({ id }: TranslationContext, order: number): string => `toolu_${id}_${order}`;

const contentOf = (message: Json, context: TranslationContext): Json[] => {
  const blocks: Json[] = [];
  const shows = showsThinking(context.body);
  let last: TextKind | null = null;
  eachText(message, (kind, text, field) => {
    if (kind === 'thinking' && !shows) return;
    const key = kind === 'thinking' ? 'thinking' : 'text';
    if (kind === last) {
      const block = blocks.at(-1) as Json;
      block[key] = `${block[key]}${text}`;
    } else if (field !== null) {
      blocks.push({ type: 'thinking', thinking: text, signature: thinkingSignature(context.body.model, field) });
    } else blocks.push({ type: 'text', text });
    last = kind;
  });
  return blocks;
};

/** What arguments say that are no JSON object: the text that the model wrote, under this name. */
const UNPARSED = '_unparsed';

/** The arguments of a call as an input. A model that calls a tool without parameters may write nothing. */
const inputOf = (written: unknown): Json => {
  if (isObject(written)) return written;
  const text = typeof written === 'string' ? written : (JSON.stringify(written) ?? '');
  if (text.trim() === '') return {};
  const value = parsed(text);
  return isObject(value) ? value : { [UNPARSED]: text };
};

/** What is known of an answer's end. */
export interface Ended {
  readonly finish: unknown;
  /** vLLM's: the stop sequence that was met. */
  readonly stop: unknown;
  readonly isRefused: boolean;
  readonly hasCalls: boolean;
}

/** Why an answer ended, in Anthropic's words. Which stop sequence was met, vLLM alone tells. */
export const stopOf = ({ finish, stop, isRefused, hasCalls }: Ended, asked: Json): Json => {
  if (isRefused || finish === 'content_filter') {
    const details = { type: 'refusal', category: null, explanation: null };
    return { stop_reason: 'refusal', stop_sequence: null, stop_details: details };
  }
  const isMet = finish === 'stop' && Array.isArray(asked.stop_sequences) && asked.stop_sequences.includes(stop);
  return {
    stop_reason: isMet ? 'stop_sequence' : reasonOf(finish, hasCalls),
    stop_sequence: isMet ? stop : null,
    stop_details: null,
  };
};

const reasonOf = (finish: unknown, hasCalls: boolean): string => {
  switch (finish) {
    case 'length':
    // Broken off by the provider (Mistral, DeepSeek, vLLM): it must not look complete.
    case 'error':
    case 'insufficient_system_resource':
    case 'abort':
      return 'max_tokens';
    case 'model_length': // Mistral
      return 'model_context_window_exceeded';
    default: // Some say `stop` after calls: OpenAI where a tool was forced, llama.cpp, Ollama.
      return hasCalls ? 'tool_use' : 'end_turn';
  }
};

/** The usage of an answer in Anthropic's words, zeros where the provider told none. */
export const usageOf = (body: unknown): Json => {
  const told = openaiUsage(body);
  if (!told) return { ...NONE };
  return {
    input_tokens: told.input,
    cache_creation_input_tokens: told.cache_write,
    cache_read_input_tokens: told.cache_read,
    output_tokens: told.output + told.reasoning,
    ...(told.reasoning > 0 ? { output_tokens_details: { thinking_tokens: told.reasoning } } : {}),
  };
};

const NONE: Json = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: 0,
};
