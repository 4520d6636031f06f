import { nowS, openAiWire } from './openai.ts';
import { type ResponsesTurn, readResponses } from './responses-read.ts';
import { splitTokens } from './tokens.ts';
import type { Reply, Turn } from './turn.ts';
import type { SandboxWire } from './wire.ts';

/**
 * OpenAI's responses and their streaming events: https://platform.openai.com/docs/api-reference/responses. Nothing is
 * stored, so that nothing can be continued by its id.
 */
export const responsesWire: SandboxWire = {
  ...openAiWire,

  read: readResponses,

  whole: (turn, reply, id) => {
    const item = itemOf(reply, id, statusOf(reply));
    return responseOf(turn, id, { ...endOf(reply), output: [item], usage: usageOf(reply) });
  },

  events: (turn, reply, id) => {
    const events: string[] = [];
    const say = (type: string, more: Record<string, unknown>): void => {
      events.push(`event: ${type}\ndata: ${JSON.stringify({ type, ...more, sequence_number: events.length })}\n\n`);
    };
    const response = responseOf(turn, id, { status: 'in_progress', output: [], usage: null });
    say('response.created', { response });
    say('response.in_progress', { response });
    const start = itemOf({ ...reply, text: '', toolCall: reply.toolCall && { ...reply.toolCall, arguments: '' } }, id);
    say('response.output_item.added', { output_index: 0, item: { ...start, ...(reply.toolCall ? {} : EMPTY) } });
    if (reply.toolCall) sayArguments(say, reply.toolCall.arguments, start.id);
    else sayText(say, reply.text, start.id);
    const item = itemOf(reply, id, statusOf(reply));
    say('response.output_item.done', { output_index: 0, item });
    const end = responseOf(turn, id, { ...endOf(reply), output: [item], usage: usageOf(reply) });
    say(`response.${statusOf(reply)}`, { response: end });
    return events;
  },
};

type Say = (type: string, more: Record<string, unknown>) => void;

const EMPTY = { content: [] };

const sayText = (say: Say, text: string, itemId: string): void => {
  const at = { item_id: itemId, output_index: 0, content_index: 0 };
  say('response.content_part.added', { ...at, part: partOf('') });
  for (const delta of splitTokens(text)) say('response.output_text.delta', { ...at, delta, logprobs: [] });
  say('response.output_text.done', { ...at, text, logprobs: [] });
  say('response.content_part.done', { ...at, part: partOf(text) });
};

const sayArguments = (say: Say, args: string, itemId: string): void => {
  const at = { item_id: itemId, output_index: 0 };
  for (const delta of splitTokens(args)) say('response.function_call_arguments.delta', { ...at, delta });
  say('response.function_call_arguments.done', { ...at, arguments: args });
};

const partOf = (text: string) => ({ type: 'output_text', annotations: [], logprobs: [], text });

type Status = 'in_progress' | 'completed' | 'incomplete';

/** The one item of an answer: a function call or a message. */
const itemOf = (reply: Pick<Reply, 'text' | 'toolCall'>, id: string, status: Status = 'in_progress') =>
  reply.toolCall
    ? {
        id: `fc_sandbox_${id}`,
        type: 'function_call',
        status,
        call_id: `call_sandbox_${id}`,
        name: reply.toolCall.name,
        arguments: reply.toolCall.arguments,
      }
    : { id: `msg_sandbox_${id}`, type: 'message', status, role: 'assistant', content: [partOf(reply.text)] };

const statusOf = (reply: Reply): Status => (reply.finish === 'length' ? 'incomplete' : 'completed');

const endOf = (reply: Reply) => {
  const status = statusOf(reply);
  return status === 'completed'
    ? { status, completed_at: nowS() }
    : { status, incomplete_details: { reason: 'max_output_tokens' } };
};

/** A response repeats what was asked. */
const responseOf = (turn: Turn, id: string, more: Record<string, unknown>) => ({
  id: `resp_sandbox_${id}`,
  object: 'response',
  created_at: nowS(),
  completed_at: null,
  background: false,
  error: null,
  incomplete_details: null,
  model: turn.model,
  previous_response_id: null,
  service_tier: 'default',
  store: false,
  ...(turn as ResponsesTurn).echoed,
  ...more,
});

const usageOf = (reply: Reply) => ({
  input_tokens: reply.inputTokens,
  input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  output_tokens: reply.outputTokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: reply.inputTokens + reply.outputTokens,
});
