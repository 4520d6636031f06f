import { anthropicMessages } from './anthropic-messages.ts';
import { editAnthropicMessages } from './anthropic-messages-edit.ts';
import { NO_TEXTS, NO_USAGE } from './no-texts.ts';
import type { Protocol } from './protocol.ts';

/** Anthropic's count of a message's tokens: the body of messages without a cap, the answer a number, and free. */
export const anthropicCountTokens: Protocol = {
  ...anthropicMessages,
  endpoint: 'messages.count_tokens',
  upstreamPath: '/messages/count_tokens',
  hasOutput: false,
  isBilled: false,
  read: (raw, scan, body) => ({
    ...anthropicMessages.read(raw, scan, body),
    endpoint: 'messages.count_tokens',
    stream: false,
    maxOutputTokens: null,
  }),
  // A field that a count does not know is refused there: a cap is never added.
  edit: (call, { model, removeTools }) =>
    editAnthropicMessages(call, {
      ...(model === undefined ? {} : { model }),
      ...(removeTools === undefined ? {} : { removeTools }),
    }),
  usage: () => null,
  streamUsage: () => NO_USAGE,
  terminalAt: () => -1,
  answerTexts: () => [],
  answerEvents: () => NO_TEXTS,
};
