import { anthropicMessages } from './anthropic-messages.ts';
import { openaiChat } from './openai-chat.ts';
import type { Dialect, Endpoint, Protocol } from './protocol.ts';

/** The wire format of an endpoint. `models` has no body of its own; its errors are OpenAI's. */
export const protocolOf = (endpoint: Endpoint): Protocol => (endpoint === 'messages' ? anthropicMessages : openaiChat);

/** The wire format in whose words a dialect's errors are said. */
export const protocolOfDialect = (dialect: Dialect): Protocol =>
  dialect === 'anthropic' ? anthropicMessages : openaiChat;
