import { GatewayError } from '../../errors.ts';
import { isObject, type Json } from '../fields.ts';
import type { Translation } from '../translation.ts';
import { createResponseEvents } from './responses-to-chat-events.ts';
import { chatRequest } from './responses-to-chat-request.ts';

/** OpenAI's responses for a model that speaks chat completions. docs/translation.md has every mapping. */
export const responsesToChat: Translation = {
  from: 'responses',
  to: 'chat.completions',
  request: chatRequest,
  answer(body, context) {
    if (!Array.isArray(body.choices)) {
      throw new GatewayError('upstream_error', "The model provider's answer is not a chat completion.");
    }
    // A whole answer is a stream of one chunk: so both say the same.
    const events = createResponseEvents(context);
    events.push({ ...body, choices: body.choices.filter(isObject).map(asChunk) });
    return events.response();
  },
  events: createResponseEvents,
};

const asChunk = (choice: Json): Json => {
  const message = isObject(choice.message) ? choice.message : {};
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls.filter(isObject) : [];
  return { ...choice, delta: { ...message, tool_calls: calls.map((call, index) => ({ ...call, index })) } };
};
