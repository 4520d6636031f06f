import { isObject } from './fields.ts';
import { openaiChat } from './openai-chat.ts';
import { parsed } from './openai-chat-usage.ts';
import { responsesAnswerTexts } from './openai-responses-answer.ts';
import { editOpenaiResponses } from './openai-responses-edit.ts';
import { responsesAnswerEvents } from './openai-responses-events.ts';
import { readOpenaiResponses } from './openai-responses-read.ts';
import { responsesStreamUsage, responsesUsage } from './openai-responses-usage.ts';
import type { Protocol, WireError } from './protocol.ts';
import { eventData, splitEvents } from './sse.ts';

/** OpenAI's responses, as OpenAI, Azure, vLLM and llama.cpp speak them. */
export const openaiResponses: Protocol = {
  endpoint: 'responses',
  dialect: 'openai',
  upstreamPath: '/responses',
  hasOutput: true,
  isBilled: true,
  read: readOpenaiResponses,
  edit: editOpenaiResponses,
  usage: responsesUsage,
  streamUsage: responsesStreamUsage,
  terminalAt,
  eventText: (event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
  terminal: '',
  isUsageOnly: () => false,
  answerTexts: responsesAnswerTexts,
  answerEvents: responsesAnswerEvents,
  errorBody: openaiChat.errorBody,
  errorEvent,
};

/** A stream ends with the response: as it should be, cut short (a cap, a filter), or with an error in it. */
const TERMINAL = ['response.completed', 'response.incomplete', 'response.failed'] as const;
const NEEDLES = TERMINAL.map((type) => Buffer.from(type));
const TYPES: ReadonlySet<unknown> = new Set(TERMINAL);

/** Only events that mention one of the names are looked into. */
function terminalAt(events: Buffer): number {
  if (!NEEDLES.some((needle) => events.includes(needle))) return -1;
  let at = 0;
  for (const bytes of splitEvents(events)) {
    if (NEEDLES.some((needle) => bytes.includes(needle)) && isTerminal(bytes)) return at;
    at += bytes.length;
  }
  return -1;
}

/** By the event's name; some servers leave it out, and clients go by the type. */
const isTerminal = (bytes: Buffer): boolean => {
  const { event, data } = eventData(bytes);
  if (data === null) return false;
  if (TYPES.has(event)) return true;
  const value = parsed(data);
  return isObject(value) && TYPES.has(value.type);
};

/** In the form of the API's reference. A client knows that nothing comes after it, so its number is not told. */
function errorEvent(error: WireError): string {
  const event = {
    type: 'error',
    code: error.code,
    message: error.message,
    param: error.param,
    sequence_number: 0,
    ...(error.hint === null ? {} : { hint: error.hint }),
    ...(error.decisionId === null ? {} : { decision_id: error.decisionId }),
    request_id: error.requestId,
  };
  return openaiResponses.eventText(event);
}
