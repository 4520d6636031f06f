import { splitTokens } from './tokens.ts';
import type { Reply, SandboxTool, Turn } from './turn.ts';
import { BadRequest, listOf, recordOf, type SandboxWire, stringOr, textOf } from './wire.ts';

/** Anthropic's messages: https://docs.anthropic.com/en/api/messages, and its streaming events. */
export const anthropicWire: SandboxWire = {
  requestIdHeader: 'request-id',

  read: (body, headers): Turn => {
    if (headers['anthropic-version'] === undefined) throw new BadRequest('anthropic-version: header is required', null);
    if (typeof body.model !== 'string') throw new BadRequest('model: Field required', null);
    if (!Number.isInteger(body.max_tokens) || (body.max_tokens as number) < 1) {
      throw new BadRequest('max_tokens: Field required', null);
    }
    const messages = listOf(body.messages).map(recordOf);
    if (messages.length === 0) throw new BadRequest('messages: at least one message is required', null);
    const system = textOf(body.system);
    const tools = toolsOf(body.tools);
    const results = listOf(messages.at(-1)!.content)
      .map(recordOf)
      .filter((part) => part.type === 'tool_result');
    return {
      model: body.model,
      prompt: promptOf(messages),
      texts: [...(system === '' ? [] : [system]), ...messages.map((message) => textOf(message.content))],
      toolResult: results.length === 0 ? null : textOf(results.at(-1)!.content),
      maxTokens: body.max_tokens as number,
      stop: listOf(body.stop_sequences).map((stop) => stringOr(stop, '')),
      stream: body.stream === true,
      tools,
      forcedTool: forcedToolOf(recordOf(body.tool_choice), tools),
      jsonSchema: jsonSchemaOf(body),
    };
  },

  whole: (turn, reply, id) => ({
    ...messageOf(turn, id),
    content: [
      reply.toolCall
        ? { ...toolUseOf(reply, id), input: JSON.parse(reply.toolCall.arguments) as unknown }
        : { type: 'text', text: reply.text },
    ],
    stop_reason: stopReasonOf(reply),
    stop_sequence: reply.stopSequence,
    usage: usageOf(reply, reply.outputTokens),
  }),

  events: (turn, reply, id) => {
    const empty = { content: [], stop_reason: null, stop_sequence: null };
    const events = [
      sse({ type: 'message_start', message: { ...messageOf(turn, id), ...empty, usage: usageOf(reply, 1) } }),
    ];
    const block = reply.toolCall ? { ...toolUseOf(reply, id), input: {} } : { type: 'text', text: '' };
    events.push(sse({ type: 'content_block_start', index: 0, content_block: block }), sse({ type: 'ping' }));
    for (const piece of splitTokens(reply.toolCall ? reply.toolCall.arguments : reply.text)) {
      const delta = reply.toolCall
        ? { type: 'input_json_delta', partial_json: piece }
        : { type: 'text_delta', text: piece };
      events.push(sse({ type: 'content_block_delta', index: 0, delta }));
    }
    events.push(
      sse({ type: 'content_block_stop', index: 0 }),
      sse({
        type: 'message_delta',
        delta: { stop_reason: stopReasonOf(reply), stop_sequence: reply.stopSequence },
        usage: usageOf(reply, reply.outputTokens),
      }),
      sse({ type: 'message_stop' }),
    );
    return events;
  },

  error: (status, message, _param, id) => ({
    type: 'error',
    error: { type: typeOf(status), message },
    request_id: `req_sandbox_${id}`,
  }),

  // Anthropic has no type of its own for a spent account: a 429 without a retry-after.
  quotaError: (id) => ({
    type: 'error',
    error: { type: 'rate_limit_error', message: 'This request would exceed your organization’s monthly spend limit.' },
    request_id: `req_sandbox_${id}`,
  }),
};

const sse = (data: { type: string; [field: string]: unknown }): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

const messageOf = (turn: Turn, id: string) => ({
  id: `msg_sandbox_${id}`,
  type: 'message',
  role: 'assistant',
  model: turn.model,
});

const toolUseOf = (reply: Reply, id: string) => ({
  type: 'tool_use',
  id: `toolu_sandbox_${id}`,
  name: reply.toolCall?.name,
});

const usageOf = (reply: Reply, outputTokens: number) => ({
  input_tokens: reply.inputTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: outputTokens,
  service_tier: 'standard',
});

const STOP_REASONS = {
  end: 'end_turn',
  length: 'max_tokens',
  stop_sequence: 'stop_sequence',
  tool: 'tool_use',
} as const;

const stopReasonOf = (reply: Reply): string => STOP_REASONS[reply.finish];

const ERROR_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

const typeOf = (status: number): string =>
  ERROR_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');

/** The newest text a user typed: a message of tool results alone has none. */
const promptOf = (messages: readonly Record<string, unknown>[]): string => {
  for (const message of messages.toReversed()) {
    if (message.role !== 'user') continue;
    const typed =
      typeof message.content === 'string'
        ? message.content
        : textOf(listOf(message.content).filter((part) => recordOf(part).type === 'text'));
    if (typed !== '') return typed;
  }
  return '';
};

const toolsOf = (value: unknown): SandboxTool[] =>
  listOf(value)
    .map(recordOf)
    .filter((tool) => typeof tool.name === 'string')
    .map((tool) => ({ name: tool.name as string, schema: tool.input_schema ?? {} }));

const forcedToolOf = (choice: Record<string, unknown>, tools: readonly SandboxTool[]): SandboxTool | null => {
  if (choice.type === 'any') return tools[0] ?? null;
  if (choice.type !== 'tool') return null;
  const tool = tools.find(({ name }) => name === choice.name);
  if (!tool) throw new BadRequest('tool_choice: the tool is not in tools', null);
  return tool;
};

const jsonSchemaOf = (body: Record<string, unknown>): unknown => {
  const format = recordOf(recordOf(body.output_config).format ?? body.output_format);
  return format.type === 'json_schema' ? (format.schema ?? {}) : null;
};
