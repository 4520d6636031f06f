import type { SandboxTool, Turn } from './turn.ts';
import { BadRequest, listOf, recordOf, textOf } from './wire.ts';

/** A turn of responses. */
export interface ResponsesTurn extends Turn {
  /** What a response repeats of its request. */
  readonly echoed: Record<string, unknown>;
}

const DEFAULT_MAX_TOKENS = 4096;

/** Reads a request of responses. Throws BadRequest. */
export const readResponses = (body: Record<string, unknown>): ResponsesTurn => {
  if (typeof body.model !== 'string') throw new BadRequest("Missing required parameter: 'model'.", 'model');
  if (body.input === undefined) throw new BadRequest("Missing required parameter: 'input'.", 'input');
  for (const name of ['previous_response_id', 'conversation']) {
    const value = body[name] ?? null;
    if (value !== null) throw new BadRequest(`${name} '${String(value)}' not found: the sandbox stores nothing.`, name);
  }
  const max = body.max_output_tokens ?? DEFAULT_MAX_TOKENS;
  if (!Number.isInteger(max) || (max as number) < 1) {
    throw new BadRequest("Invalid 'max_output_tokens'.", 'max_output_tokens');
  }
  const items =
    typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : listOf(body.input).map(recordOf);
  if (items.length === 0) throw new BadRequest("Invalid 'input': expected a text or items.", 'input');
  const instructions = typeof body.instructions === 'string' ? [body.instructions] : [];
  const tools = toolsOf(body.tools);
  const last = items.at(-1)!;
  return {
    model: body.model,
    prompt: textOf(items.findLast(({ role }) => role === 'user')?.content),
    texts: [...instructions, ...items.map(textOfItem)],
    toolResult: isResult(last) ? textOf(last.output) : null,
    maxTokens: max as number,
    stop: [],
    stream: body.stream === true,
    tools,
    forcedTool: forcedToolOf(body.tool_choice, tools),
    jsonSchema: jsonSchemaOf(recordOf(recordOf(body.text).format)),
    echoed: echoedOf(body),
  };
};

const isResult = ({ type }: Record<string, unknown>): boolean =>
  type === 'function_call_output' || type === 'custom_tool_call_output';

const textOfItem = (item: Record<string, unknown>): string => textOf(isResult(item) ? item.output : item.content);

const toolsOf = (value: unknown): SandboxTool[] =>
  listOf(value)
    .map(recordOf)
    .filter(({ type, name }) => type === 'function' && typeof name === 'string')
    .map(({ name, parameters }) => ({ name: name as string, schema: parameters ?? {} }));

/** `required`, or one by name. */
const forcedToolOf = (choice: unknown, tools: readonly SandboxTool[]): SandboxTool | null => {
  if (choice === 'required') return tools[0] ?? null;
  const { type, name } = recordOf(choice);
  if (type !== 'function') return null;
  const tool = tools.find((offered) => offered.name === name);
  if (!tool) throw new BadRequest("Tool choice 'function' not found in 'tools' parameter.", 'tool_choice');
  return tool;
};

const jsonSchemaOf = ({ type, schema }: Record<string, unknown>): unknown => {
  if (type === 'json_object') return {};
  return type === 'json_schema' ? (schema ?? {}) : null;
};

/** Fields of a response, with what they are when the request does not say. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
};

const echoedOf = (body: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, body[name] ?? value]));
