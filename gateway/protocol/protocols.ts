import { anthropicCountTokens } from './anthropic-count-tokens.ts';
import { anthropicMessages } from './anthropic-messages.ts';
import { openaiChat } from './openai-chat.ts';
import { openaiCompletions } from './openai-completions.ts';
import { openaiEmbeddings } from './openai-embeddings.ts';
import { openaiResponses } from './openai-responses.ts';
import type { Dialect, Endpoint, Protocol } from './protocol.ts';

const PROTOCOLS: Readonly<Record<Endpoint, Protocol>> = {
  'chat.completions': openaiChat,
  responses: openaiResponses,
  completions: openaiCompletions,
  embeddings: openaiEmbeddings,
  messages: anthropicMessages,
  'messages.count_tokens': anthropicCountTokens,
  models: openaiChat,
  feedback: openaiChat,
};

/** The wire format of an endpoint. `models` and `feedback` go to no model; their errors are OpenAI's. */
export const protocolOf = (endpoint: Endpoint): Protocol => PROTOCOLS[endpoint];

/** The wire format in whose words a dialect's errors are said. */
export const protocolOfDialect = (dialect: Dialect): Protocol =>
  dialect === 'anthropic' ? anthropicMessages : openaiChat;
