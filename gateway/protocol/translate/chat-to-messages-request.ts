import { GatewayError } from '../../errors.ts';
import {
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
import { conversationOf } from './chat-to-messages-conversation.ts';
import { cannotSay, objectAt } from './chat-to-messages-fields.ts';
import { type MessagesModel, messagesModel } from './chat-to-messages-models.ts';
import { addTools } from './chat-to-messages-tools.ts';

/** A chat completions body as a messages body: the section `chat.completions → messages` of docs/translation.md. */
export const chatToMessagesRequest = (body: Json): Json => {
  const model = requiredString(body, 'model');
  const ability = messagesModel(model);
  const conversation = conversationOf(requiredArray(body, 'messages'), ability.takesLaterSystem);
  const out: Json = { model, max_tokens: capOf(body), messages: conversation.messages };
  if (conversation.system.length > 0) out.system = conversation.system;
  addTools(body, out);
  for (const name in body) {
    const value = body[name] ?? undefined;
    if (value === undefined || TAKEN.has(name) || LEFT_OUT.has(name)) continue;
    if (!Object.hasOwn(FIELDS, name)) throw unknownField(name);
    FIELDS[name]!(body, out, ability);
  }
  return out;
};

/** Read above, or by addTools. */
const TAKEN: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'max_tokens', 'max_completion_tokens'],
  ...['tools', 'tool_choice', 'parallel_tool_calls', 'functions', 'function_call'],
]);

/**
 * Fields that change nothing in the answer: hints for OpenAI's cache, labels of stored answers, and what the gateway
 * itself does with a stream.
 */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...['prompt_cache_key', 'prompt_cache_options', 'prompt_cache_retention', 'prediction', 'metadata', 'stream_options'],
]);

type Field = (body: Json, out: Json, ability: MessagesModel) => void;

/** A field that only its neutral value may have. */
const neutral =
  (isNeutral: (value: unknown) => boolean, why: string): ((name: string) => Field) =>
  (name) =>
  (body) => {
    if (!isNeutral(body[name])) throw cannotSay(name, why);
  };

const zero = neutral((value) => value === 0, 'it has no such setting');
const off = neutral((value) => value === false, 'it has no such setting');
const never = neutral(() => false, 'it has no such setting');

const FIELDS: Readonly<Record<string, Field>> = {
  stream: (body, out) => {
    out.stream = booleanField(body, 'stream');
  },
  temperature: (body, out) => {
    const value = numberField(body, 'temperature')!;
    if (value < 0 || value > 1) throw cannotSay('temperature', 'its temperatures go from 0 to 1');
    out.temperature = value;
  },
  top_p: (body, out) => {
    out.top_p = numberField(body, 'top_p');
  },
  stop: (body, out) => {
    const stops = typeof body.stop === 'string' ? [body.stop] : body.stop;
    if (!Array.isArray(stops) || stops.some((stop) => typeof stop !== 'string')) {
      throw invalidField('stop', 'a string or an array of strings');
    }
    if (stops.length > 0) out.stop_sequences = stops;
  },
  reasoning_effort: addThinking,
  response_format: addFormat,
  service_tier: (body, out) => {
    const tier = SERVICE_TIERS.get(body.service_tier);
    if (tier === undefined) throw cannotSay('service_tier', 'it has the tiers auto and default');
    out.service_tier = tier;
  },
  cache_control: (body, out) => {
    out.cache_control = objectField(body, 'cache_control');
  },
  user: addUser,
  safety_identifier: addUser,
  n: neutral((value) => value === 1, 'it gives one answer a request')('n'),
  logit_bias: neutral(
    (value) => isObject(value) && Object.keys(value).length === 0,
    'it has no such setting',
  )('logit_bias'),
  modalities: neutral(
    (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text',
    'it answers in text alone',
  )('modalities'),
  // A wish about style, which Codex sends with each call: no reason to refuse one.
  verbosity: () => {},
  frequency_penalty: zero('frequency_penalty'),
  presence_penalty: zero('presence_penalty'),
  top_logprobs: zero('top_logprobs'),
  logprobs: off('logprobs'),
  store: off('store'),
  seed: never('seed'),
  audio: never('audio'),
  moderation: never('moderation'),
  web_search_options: never('web_search_options'),
};

const SERVICE_TIERS: ReadonlyMap<unknown, string> = new Map([
  ['auto', 'auto'],
  ['default', 'standard_only'],
]);

const unknownField = (name: string): GatewayError =>
  new GatewayError(
    'invalid_field',
    `Unknown parameter: '${name}'. This model speaks another API, and docs/translation.md does not map it.`,
    { param: name },
  );

/** Anthropic must be told a cap. The gateway always sends one; the newer name counts where both are said. */
const capOf = (body: Json): number => {
  const cap = integerField(body, 'max_completion_tokens') ?? integerField(body, 'max_tokens');
  if (cap === null) throw cannotSay('max_completion_tokens', 'it must be told how long an answer may be');
  return cap;
};

/** Of the two names for an end user, the newer counts. */
function addUser(body: Json, out: Json): void {
  const name = (body.safety_identifier ?? undefined) === undefined ? 'user' : 'safety_identifier';
  if (typeof body[name] !== 'string') throw invalidField(name, 'a string');
  out.metadata = { user_id: body[name] };
}

const EFFORTS: Readonly<Record<string, string>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'xhigh',
  max: 'max',
};

/** Shares of the output cap that a model without efforts may think, and the least that Anthropic takes. */
const SHARES: Readonly<Record<string, number>> = { low: 0.2, medium: 0.5, high: 0.8, xhigh: 0.95, max: 0.95 };
const LEAST_BUDGET = 1024;

function addThinking(body: Json, out: Json, { isAdaptive }: MessagesModel): void {
  const said = body.reasoning_effort;
  if (said === 'none') {
    out.thinking = { type: 'disabled' };
    return;
  }
  const effort = typeof said === 'string' && Object.hasOwn(EFFORTS, said) ? EFFORTS[said]! : undefined;
  if (effort === undefined) throw invalidField('reasoning_effort', `none or one of ${Object.keys(EFFORTS).join(', ')}`);
  if (isAdaptive) {
    // Newer models would think without a word of it.
    out.thinking = { type: 'adaptive', display: 'summarized' };
    out.output_config = { ...(out.output_config as Json | undefined), effort };
    return;
  }
  const cap = out.max_tokens as number;
  if (cap <= LEAST_BUDGET) {
    throw cannotSay('reasoning_effort', `this model thinks ${LEAST_BUDGET} tokens at least, and ${cap} are allowed`);
  }
  const budget = Math.max(LEAST_BUDGET, Math.floor(cap * SHARES[effort]!));
  out.thinking = { type: 'enabled', budget_tokens: budget };
}

function addFormat(body: Json, out: Json): void {
  const format = objectField(body, 'response_format')!;
  if (format.type === 'text') return;
  if (format.type !== 'json_schema') {
    throw cannotSay('response_format.type', 'it takes the formats text and json_schema; name a schema');
  }
  const { schema } = objectAt(format, 'json_schema', 'response_format');
  if (!isObject(schema)) throw invalidField('response_format.json_schema.schema', 'an object');
  out.output_config = { ...(out.output_config as Json | undefined), format: { type: 'json_schema', schema } };
}
