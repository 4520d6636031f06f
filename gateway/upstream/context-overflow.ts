import { parsedError } from './spend-limit.ts';

/** The codes and types that say it: OpenAI and Azure, llama.cpp, LiteLLM, Anthropic. */
const CODES: ReadonlySet<string> = new Set([
  'context_length_exceeded',
  'exceed_context_size_error',
  'ContextWindowExceededError',
  'request_too_large',
  'string_above_max_length',
]);

/** How the messages of those say it that have no code of their own. */
const MESSAGES: readonly RegExp[] = [
  // Anthropic: "prompt is too long: 210000 tokens > 200000 maximum", "input length and `max_tokens` exceed context limit".
  /\bprompt is too long\b/i,
  /\binput length and `?max_tokens`? exceed context limit\b/i,
  // OpenAI, Azure, vLLM, OpenRouter: "This model's maximum context length is 8192 tokens. However, you requested …".
  /\bmaximum context length (is|of) \d/i,
  /\b(exceeds?|larger than|longer than) the (model'?s )?(maximum|max) (model |context )(length|window)\b/i,
  // Mistral: "Prompt contains 40000 tokens … too large for model with 32768 maximum context length".
  /\btoo large for model with \d+ maximum context length\b/i,
  // Gemini: "The input token count (314175) exceeds the maximum number of tokens allowed (131072)."
  /\binput token count\b.{0,24}\bexceeds? the maximum number of tokens\b/i,
  // llama.cpp ("the request exceeds the available context size") and Ollama ("input length exceeds the context length").
  /\b(request|input|prompt)( length| size| \(\d+ tokens\))? exceeds? the (available |maximum )?context (size|length|window)\b/i,
  /\bexceeds? (the )?context (window|limit)\b/i,
  /\bContextWindowExceededError\b/,
];

/**
 * Whether a refusal says that the call is too long for the model, so that one with a larger context may take it. Each
 * provider has its own words; a caller that makes a provider repeat them gains a try at a larger model it may use anyway.
 */
export const isContextOverflow = (status: number, body: Buffer): boolean => {
  if (status !== 400 && status !== 413 && status !== 422 && status !== 500) return false;
  const error = parsedError(body);
  if (!error) return false;
  // A 500 of Ollama and of older llama.cpp says it in words alone.
  return CODES.has(error.code) || CODES.has(error.type) || MESSAGES.some((words) => words.test(error.message));
};
