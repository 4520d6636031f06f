import { arrayField, type Json, objectField } from '../fields.ts';
import { chatMessages } from './responses-to-chat-input.ts';
import { chatToolChoice } from './responses-to-chat-tool-choice.ts';
import { type CallerTools, callerTools } from './responses-to-chat-tools.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/**
 * A body of responses as one of chat completions. Throws GatewayError `invalid_field` for what cannot be said there.
 */
export const chatRequest = (body: Json): Json => {
  checkFields(body);
  const chat: Json = { model: body.model, messages: chatMessages(body) };
  for (const [key, as] of RENAMED) if (isSaid(body[key])) chat[as] = body[key];
  addReasoning(body, chat);
  addText(body, chat);
  addTools(body, callerTools(body), chat);
  addLogprobs(body, chat);
  if (body.stream === true) chat.stream_options = { include_usage: true };
  return chat;
};

const isSaid = (value: unknown): boolean => value !== undefined && value !== null;

/** What has the same meaning there, with its name there. */
const RENAMED: readonly (readonly [string, string])[] = [
  ['stream', 'stream'],
  ['max_output_tokens', 'max_completion_tokens'],
  ['temperature', 'temperature'],
  ['top_p', 'top_p'],
  ['service_tier', 'service_tier'],
  ['prompt_cache_key', 'prompt_cache_key'],
  ['prompt_cache_retention', 'prompt_cache_retention'],
  ['prompt_cache_options', 'prompt_cache_options'],
  ['safety_identifier', 'safety_identifier'],
  ['user', 'user'],
];

/** What is said elsewhere in the request, or only in the answer, or means nothing to a model. */
const READ = ['model', 'input', 'instructions', 'reasoning', 'text', 'tools', 'tool_choice', 'parallel_tool_calls'];
const ECHOED = ['store', 'metadata', 'include', 'max_tool_calls', 'client_metadata', 'top_logprobs'];
const CHECKED = ['background', 'truncation', 'stream_options'];
const KNOWN: ReadonlySet<string> = new Set([...READ, ...ECHOED, ...CHECKED, ...RENAMED.map(([key]) => key)]);

const STORED: readonly string[] = ['previous_response_id', 'conversation', 'prompt'];

const checkFields = (body: Json): void => {
  for (const key of STORED) {
    if (isSaid(body[key]))
      throw unsaid(key, `'${key}'`, 'Nothing is stored here: send the whole conversation as input.');
  }
  onlyMembers(body, KNOWN, '');
  onlyValues(body, 'background', [false], '');
  onlyValues(body, 'truncation', ['disabled'], '');
  const options = objectField(body, 'stream_options') ?? {};
  onlyMembers(options, STREAM_OPTIONS, 'stream_options');
  onlyValues(options, 'include_obfuscation', [false], 'stream_options');
};

const STREAM_OPTIONS: ReadonlySet<string> = new Set(['include_obfuscation']);
const REASONING: ReadonlySet<string> = new Set(['effort', 'summary', 'generate_summary', 'context', 'mode']);
const TEXT: ReadonlySet<string> = new Set(['format', 'verbosity']);
const FORMAT: ReadonlySet<string> = new Set(['type', 'name', 'schema', 'strict', 'description']);

/** The reasoning that a model says is the summary, whatever summary is asked for. */
const addReasoning = (body: Json, chat: Json): void => {
  const reasoning = objectField(body, 'reasoning') ?? {};
  onlyMembers(reasoning, REASONING, 'reasoning');
  onlyValues(reasoning, 'context', ['auto', 'all_turns'], 'reasoning');
  onlyValues(reasoning, 'mode', ['standard'], 'reasoning');
  if (isSaid(reasoning.effort)) chat.reasoning_effort = reasoning.effort;
};

const addText = (body: Json, chat: Json): void => {
  const text = objectField(body, 'text') ?? {};
  onlyMembers(text, TEXT, 'text');
  if (isSaid(text.verbosity)) chat.verbosity = text.verbosity;
  const format = objectField(text, 'format', 'text.format') ?? { type: 'text' };
  onlyMembers(format, FORMAT, 'text.format');
  switch (format.type) {
    case 'text':
      return;
    case 'json_object':
      chat.response_format = { type: 'json_object' };
      return;
    case 'json_schema': {
      const schema: Json = {};
      for (const key of ['name', 'description', 'schema', 'strict']) if (isSaid(format[key])) schema[key] = format[key];
      chat.response_format = { type: 'json_schema', json_schema: schema };
      return;
    }
    default:
      throw unsaid('text.format.type', `A format of type ${JSON.stringify(format.type)}`);
  }
};

/** Chat completions take neither an empty list of tools, nor a choice among none. */
const addTools = (body: Json, tools: CallerTools, chat: Json): void => {
  const choice = chatToolChoice(body.tool_choice, tools);
  if (tools.functions.length === 0) {
    if (isSaid(choice) && choice !== 'auto' && choice !== 'none') {
      throw unsaid('tool_choice', 'A choice of a tool where none is offered');
    }
    return;
  }
  chat.tools = tools.functions;
  if (choice !== undefined) chat.tool_choice = choice;
  if (isSaid(body.parallel_tool_calls)) chat.parallel_tool_calls = body.parallel_tool_calls;
};

const LOGPROBS = 'message.output_text.logprobs';

/** What else may be included is of tools that the provider runs, or is included in any case. */
const INCLUDES: ReadonlySet<unknown> = new Set([
  LOGPROBS,
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
]);

const addLogprobs = (body: Json, chat: Json): void => {
  const include = arrayField(body, 'include');
  const unknown = include.findIndex((value) => !INCLUDES.has(value));
  if (unknown >= 0) throw unsaid(`include[${unknown}]`, JSON.stringify(include[unknown]) ?? 'This');
  const top = body.top_logprobs ?? 0;
  if (!include.includes(LOGPROBS) && top === 0) return;
  chat.logprobs = true;
  if (top !== 0) chat.top_logprobs = top;
};
