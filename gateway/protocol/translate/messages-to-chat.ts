import type { Translation } from '../translation.ts';
import { messagesToChatAnswer } from './messages-to-chat-answer.ts';
import { messagesToChatEvents } from './messages-to-chat-events.ts';
import { messagesToChatRequest } from './messages-to-chat-request.ts';

/** Anthropic's messages asked of a model that speaks chat completions. */
export const messagesToChat: Translation = {
  from: 'messages',
  to: 'chat.completions',
  request: messagesToChatRequest,
  answer: messagesToChatAnswer,
  events: messagesToChatEvents,
};
