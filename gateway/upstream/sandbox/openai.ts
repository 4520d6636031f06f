import { splitTokens } from './tokens.ts';
import type { Reply, SandboxTool, Turn } from './turn.ts';
import { BadRequest, listOf, recordOf, type SandboxWire, stringOr, textOf } from './wire.ts';

interface OpenAiTurn extends Turn {
  readonly includeUsage: boolean;
}

const DEFAULT_MAX_TOKENS = 4096;

/** OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat. One choice, whatever `n`. */
export const openAiWire: SandboxWire = {
  requestIdHeader: 'x-request-id',

  read: (body): OpenAiTurn => {
    if (typeof body.model !== 'string') throw new BadRequest('you must provide a model parameter', 'model');
    const messages = listOf(body.messages).map(recordOf);
    if (messages.length === 0) throw new BadRequest("Missing required parameter: 'messages'.", 'messages');
    const max = body.max_completion_tokens ?? body.max_tokens ?? DEFAULT_MAX_TOKENS;
    if (!Number.isInteger(max) || (max as number) < 1) throw new BadRequest("Invalid 'max_tokens'.", 'max_tokens');
    const last = messages.at(-1)!;
    const tools = toolsOf(body.tools);
    return {
      model: body.model,
      prompt: textOf(messages.findLast((message) => message.role === 'user')?.content),
      texts: messages.map((message) => textOf(message.content)),
      toolResult: last.role === 'tool' ? textOf(last.content) : null,
      maxTokens: max as number,
      stop: typeof body.stop === 'string' ? [body.stop] : listOf(body.stop).map((stop) => stringOr(stop, '')),
      stream: body.stream === true,
      includeUsage: recordOf(body.stream_options).include_usage === true,
      tools,
      forcedTool: forcedToolOf(body.tool_choice, tools),
      jsonSchema: jsonSchemaOf(body.response_format),
    };
  },

  whole: (turn, reply, id) => ({
    id: `chatcmpl-sandbox-${id}`,
    object: 'chat.completion',
    created: nowS(),
    model: turn.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: reply.toolCall ? null : reply.text,
          refusal: null,
          ...(reply.toolCall
            ? { tool_calls: [{ id: `call_sandbox_${id}`, type: 'function', function: reply.toolCall }] }
            : {}),
        },
        logprobs: null,
        finish_reason: finishOf(reply),
      },
    ],
    usage: usageOf(reply),
    service_tier: 'default',
    system_fingerprint: 'sandbox',
  }),

  events: (turn, reply, id) => {
    const { includeUsage } = turn as OpenAiTurn;
    const head = {
      id: `chatcmpl-sandbox-${id}`,
      object: 'chat.completion.chunk',
      created: nowS(),
      model: turn.model,
      service_tier: 'default',
      system_fingerprint: 'sandbox',
    };
    const usage = includeUsage ? { usage: null } : {};
    const event = (delta: unknown, finish: string | null): string =>
      dataEvent({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...usage });
    const events: string[] = [];
    if (reply.toolCall) {
      const { name, arguments: args } = reply.toolCall;
      const call = { index: 0, id: `call_sandbox_${id}`, type: 'function', function: { name, arguments: '' } };
      events.push(event({ role: 'assistant', content: null, tool_calls: [call], refusal: null }, null));
      for (const piece of splitTokens(args))
        events.push(event({ tool_calls: [{ index: 0, function: { arguments: piece } }] }, null));
    } else {
      events.push(event({ role: 'assistant', content: '', refusal: null }, null));
      for (const piece of splitTokens(reply.text)) events.push(event({ content: piece }, null));
    }
    events.push(event({}, finishOf(reply)));
    if (includeUsage) events.push(dataEvent({ ...head, choices: [], usage: usageOf(reply) }));
    events.push('data: [DONE]\n\n');
    return events;
  },

  error: (status, message, param) => ({
    error: { message, type: typeOf(status), param, code: status === 429 ? 'rate_limit_exceeded' : null },
  }),

  quotaError: () => ({
    error: {
      message: 'You exceeded your current quota, please check your plan and billing details.',
      type: 'insufficient_quota',
      param: null,
      code: 'insufficient_quota',
    },
  }),
};

/** An event of OpenAI's streams that have no names. */
export const dataEvent = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`;

/** Seconds since 1970. */
export const nowS = (): number => Math.floor(Date.now() / 1000);

const typeOf = (status: number): string =>
  status === 429 ? 'requests' : status >= 500 ? 'server_error' : 'invalid_request_error';

const finishOf = (reply: Reply): string =>
  reply.finish === 'tool' ? 'tool_calls' : reply.finish === 'length' ? 'length' : 'stop';

/** Usage as OpenAI's completions tell it. */
export const usageOf = (reply: Pick<Reply, 'inputTokens' | 'outputTokens'>) => ({
  prompt_tokens: reply.inputTokens,
  completion_tokens: reply.outputTokens,
  total_tokens: reply.inputTokens + reply.outputTokens,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 0,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
});

const toolsOf = (value: unknown): SandboxTool[] =>
  listOf(value)
    .map((tool) => recordOf(recordOf(tool).function))
    .filter((tool) => typeof tool.name === 'string')
    .map((tool) => ({ name: tool.name as string, schema: tool.parameters ?? {} }));

/** `required`, Mistral's `any`, or one by name. */
const forcedToolOf = (choice: unknown, tools: readonly SandboxTool[]): SandboxTool | null => {
  if (choice === 'required' || choice === 'any') return tools[0] ?? null;
  const name = recordOf(recordOf(choice).function).name;
  if (name === undefined) return null;
  const tool = tools.find((offered) => offered.name === name);
  if (!tool) throw new BadRequest("Invalid value: 'tool_choice'. The tool is not in 'tools'.", 'tool_choice');
  return tool;
};

const jsonSchemaOf = (format: unknown): unknown => {
  const { type, json_schema } = recordOf(format);
  if (type === 'json_object') return {};
  return type === 'json_schema' ? (recordOf(json_schema).schema ?? {}) : null;
};
