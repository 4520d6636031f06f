import { isObject, type Json } from '../protocol/fields.ts';
import { messagesToChatRequest } from '../protocol/translate/messages-to-chat-request.ts';

/** Why a recorded prompt is no task. */
export type Unusable = 'no conversation' | 'tools' | 'parts other than text' | 'not to be said as chat completions';

/**
 * The messages of a recorded prompt, as chat completions have them. A prompt with tools is no task: without them the model
 * would be asked something else.
 */
export const recordedMessages = (content: Buffer): readonly object[] | Unusable => {
  let body: unknown;
  try {
    body = JSON.parse(content.toString('utf8'));
  } catch {
    return 'no conversation';
  }
  if (!isObject(body) || !Array.isArray(body.messages) || body.messages.length === 0) return 'no conversation';
  const hasTools = (Array.isArray(body.tools) && body.tools.length > 0) || body.messages.some(speaksOfTools);
  if (hasTools) return 'tools';
  const messages = chatMessagesOf(body);
  if (messages === undefined) return 'not to be said as chat completions';
  return messages.every(isText) ? messages : 'parts other than text';
};

const speaksOfTools = (message: unknown): boolean =>
  isObject(message) &&
  (message.role === 'tool' ||
    message.role === 'function' ||
    message.tool_calls !== undefined ||
    (Array.isArray(message.content) &&
      message.content.some((part) => isObject(part) && /tool_(?:use|result)$/.test(String(part.type)))));

/** Anthropic's are told by their system prompt, which is no message, or by blocks that only they have. */
const chatMessagesOf = (body: Json): readonly object[] | undefined => {
  const isAnthropic =
    body.system !== undefined ||
    (body.messages as unknown[]).some(
      (message) =>
        isObject(message) &&
        Array.isArray(message.content) &&
        message.content.some(
          (part) => isObject(part) && (part.cache_control !== undefined || part.type === 'thinking'),
        ),
    );
  if (!isAnthropic) return body.messages as object[];
  try {
    const { model, messages, system } = body;
    return messagesToChatRequest({ model, messages, ...(system === undefined ? {} : { system }) }).messages as object[];
  } catch {
    return undefined;
  }
};

const isText = (message: object): boolean => {
  const { content } = message as { content?: unknown };
  if (typeof content === 'string') return true;
  return Array.isArray(content) && content.every((part) => isObject(part) && part.type === 'text');
};
