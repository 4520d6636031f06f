import { anthropicMessages } from './anthropic-messages.ts';
import { openaiChat } from './openai-chat.ts';
import { openaiResponses } from './openai-responses.ts';
import type { Dialect, Endpoint, Protocol } from './protocol.ts';

const PROTOCOLS: Partial<Record<Endpoint, Protocol>> = {
  'chat.completions': openaiChat,
  responses: openaiResponses,
  messages: anthropicMessages,
  models: openaiChat,
};

/** The wire format of an endpoint. `models` has no body of its own; its errors are OpenAI's. */
export const protocolOf = (endpoint: Endpoint): Protocol => PROTOCOLS[endpoint] ?? openaiChat;

/** The wire format in whose words a dialect's errors are said. */
export const protocolOfDialect = (dialect: Dialect): Protocol =>
  dialect === 'anthropic' ? anthropicMessages : openaiChat;
