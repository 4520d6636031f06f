import {
  arrayField,
  booleanField,
  integerField,
  invalidField,
  isObject,
  type Json,
  numberField,
  objectField,
  requiredArray,
  requiredString,
} from '../fields.ts';
import { chatMessages } from './messages-to-chat-conversation.ts';
import { systemText } from './messages-to-chat-parts.ts';
import { reasoningEffort } from './messages-to-chat-thinking.ts';
import { sayTools } from './messages-to-chat-tools.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/**
 * A messages body as chat completions. Every field is in docs/translation.md. Throws GatewayError `invalid_field` for
 * what chat completions cannot say.
 */
export const messagesToChatRequest = (body: Json): Json => {
  onlyMembers(body, KNOWN, '');
  for (const [name, values] of REQUIRED_VALUES) onlyValues(body, name, values, '');
  for (const name of ['context_management', 'diagnostics', 'cache_control']) objectField(body, name);
  checkServers(body);
  const model = requiredString(body, 'model');
  const chat: Json = { model, messages: messagesOf(body, model) };
  const cap = integerField(body, 'max_tokens');
  if (cap !== null) chat.max_completion_tokens = cap;
  for (const name of ['temperature', 'top_p']) {
    const value = numberField(body, name);
    if (value !== null) chat[name] = value;
  }
  const stop = stopOf(body);
  if (stop.length > 0) chat.stop = stop;
  sayTools(body, chat);
  sayOutput(body, chat);
  if (body.service_tier === 'standard_only') chat.service_tier = 'default';
  checkMetadata(body);
  if (booleanField(body, 'stream')) {
    chat.stream = true;
    chat.stream_options = { include_usage: true };
  } else if (body.stream === false) chat.stream = false;
  return chat;
};

const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'system', 'max_tokens', 'stream', 'temperature', 'top_p', 'stop_sequences'],
  ...['tools', 'tool_choice', 'mcp_servers', 'thinking', 'output_config', 'output_format', 'metadata'],
  ...['service_tier', 'speed', 'inference_geo', 'betas', 'cache_control', 'context_management', 'diagnostics'],
]);

/** Fields of which only the value that changes nothing can be said. */
const REQUIRED_VALUES: readonly [string, readonly unknown[]][] = [
  ['service_tier', ['auto', 'standard_only']],
  ['speed', ['standard']],
  ['inference_geo', ['global']],
];

const checkServers = (body: Json): void => {
  if (arrayField(body, 'mcp_servers').length === 0) return;
  throw unsaid('mcp_servers', 'An MCP server', 'Connect to it yourself and offer its tools as tools of your own.');
};

const messagesOf = (body: Json, model: string): Json[] => {
  const messages = chatMessages(requiredArray(body, 'messages'), model);
  const system = systemText(body.system ?? '', 'system');
  if (system !== '') messages.unshift({ role: 'system', content: system });
  return messages;
};

/** OpenAI takes four. */
const MOST_STOPS = 4;

const stopOf = (body: Json): unknown[] => {
  const stop = arrayField(body, 'stop_sequences');
  if (!stop.every((text) => typeof text === 'string')) throw invalidField('stop_sequences', 'an array of strings');
  if (stop.length > MOST_STOPS) throw unsaid('stop_sequences', `More than ${MOST_STOPS} stop sequences`);
  return stop;
};

/** What the answer is to look like, and how much the model is to reason about it. */
const sayOutput = (body: Json, chat: Json): void => {
  const config = objectField(body, 'output_config') ?? {};
  onlyMembers(config, OUTPUT, 'output_config');
  const format = objectField(config, 'format', 'output_config.format');
  const older = objectField(body, 'output_format');
  if (format && older) throw unsaid('output_format', 'A format beside output_config.format');
  if (format) chat.response_format = responseFormat(format, 'output_config.format');
  else if (older) chat.response_format = responseFormat(older, 'output_format');
  const effort = reasoningEffort(body.thinking, config.effort);
  if (effort !== null) chat.reasoning_effort = effort;
};

const OUTPUT: ReadonlySet<string> = new Set(['effort', 'format']);
const FORMAT: ReadonlySet<string> = new Set(['type', 'schema']);

/** The schema is a promise in both, so it is strict; OpenAI wants a name, which Anthropic's has not. */
const responseFormat = (format: Json, param: string): Json => {
  onlyMembers(format, FORMAT, param);
  if (format.type !== 'json_schema') throw unsaid(`${param}.type`, `An output format other than json_schema`);
  if (!isObject(format.schema)) throw invalidField(`${param}.schema`, 'an object');
  return { type: 'json_schema', json_schema: { name: 'output', schema: format.schema, strict: true } };
};

/** The caller's user is known to Anthropic by it: agents put their account and device in it. It stays behind. */
const checkMetadata = (body: Json): void => {
  const metadata = objectField(body, 'metadata');
  if (metadata) onlyMembers(metadata, METADATA, 'metadata');
};

const METADATA: ReadonlySet<string> = new Set(['user_id']);
