import type { Translation } from '../translation.ts';
import { chatToMessagesAnswer } from './chat-to-messages-answer.ts';
import { chatToMessagesEvents } from './chat-to-messages-events.ts';
import { chatToMessagesRequest } from './chat-to-messages-request.ts';

/** For a caller of OpenAI's chat completions whose model speaks Anthropic's messages. */
export const chatToMessages: Translation = {
  from: 'chat.completions',
  to: 'messages',
  request: chatToMessagesRequest,
  answer: chatToMessagesAnswer,
  events: chatToMessagesEvents,
};
