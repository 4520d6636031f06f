import { append } from './append.ts';
import { isObject, type Json } from './fields.ts';
import { added, elementsOf, memberOf, type Nested, nestedAt, renamed, replaced } from './json-nested.ts';
import { notThere } from './mistral-error.ts';
import { mistralMessageEdits } from './openai-chat-mistral-messages.ts';
import type { Call, Splice } from './protocol.ts';

/**
 * Chat completions as Mistral takes them: it refuses every field it does not know. Fields from ChatCompletionRequest of
 * @mistralai/mistralai 2.7 and from what its API answers; docs/translation.md has each. A field that is neither there
 * nor OpenAI's passes as it is.
 */
export interface MistralEdits {
  readonly splices: Splice[];
  /** Top-level fields to leave out. */
  readonly gone: string[];
}

/** What OpenAI's servers are told beside the question: left out. Usage comes in every stream of Mistral's. */
const LEFT_OUT = ['user', 'safety_identifier', 'prompt_cache_options', 'prompt_cache_retention', 'stream_options'];

/** OpenAI's fields that Mistral does not have, and whether a value asks for nothing, so that it can be left out. */
const UNKNOWN: Readonly<Record<string, (value: unknown) => boolean>> = {
  audio: () => false,
  function_call: (value) => value === 'none' || value === 'auto',
  functions: (value) => Array.isArray(value) && value.length === 0,
  logit_bias: (value) => isObject(value) && Object.keys(value).length === 0,
  logprobs: (value) => value === false,
  modalities: (value) => Array.isArray(value) && value.every((item) => item === 'text'),
  moderation: () => false,
  store: (value) => value === false,
  top_logprobs: (value) => value === 0,
  // A wish about style, which Codex sends with each call: no reason to refuse one.
  verbosity: () => true,
  web_search_options: () => false,
};

/** Splices and left out fields for Mistral; `cap` is the output cap to set. Throws GatewayError `invalid_field`. */
export const mistralEdits = (call: Call, cap: number | undefined): MistralEdits => {
  const { body, scan } = call;
  const whole: Nested = { bytes: call.raw, scan, at: 0 };
  const gone: string[] = [];
  const splices: Splice[] = [];
  for (const name of scan.members.keys()) {
    const value = body[name];
    const asksForNothing = Object.hasOwn(UNKNOWN, name) ? UNKNOWN[name] : undefined;
    // Null stands for absent at OpenAI, and for a wrong type in some places here.
    if (value === null || LEFT_OUT.includes(name) || asksForNothing?.(value)) gone.push(name);
    else if (asksForNothing) throw notThere(name);
  }
  setCap(whole, body, cap, splices, gone);
  if (typeof body.seed === 'number') {
    if (isSent(body.random_seed)) throw notThere('seed');
    splices.push(renamed(whole, 'seed', 'random_seed'));
  }
  if (body.tool_choice === 'required') splices.push(replaced(whole, 'tool_choice', '"any"'));
  else if (isObject(body.tool_choice) && !isObject(body.tool_choice.function)) throw notThere('tool_choice');
  // The tier that OpenAI calls default is the one without priority.
  if (body.service_tier === 'default') splices.push(replaced(whole, 'service_tier', '"standard_only"'));
  else if (body.service_tier === 'flex') throw notThere('service_tier');
  if (isObject(body.prediction) && Array.isArray(body.prediction.content)) throw notThere('prediction.content');
  toolEdits(whole, body, splices);
  append(splices, mistralMessageEdits(whole, body.messages as unknown[]));
  return { splices, gone };
};

const isSent = (value: unknown): boolean => value !== undefined && value !== null;

/** Mistral knows the older name alone. Where both were sent the newer counts, as at OpenAI. */
const setCap = (whole: Nested, body: Json, cap: number | undefined, splices: Splice[], gone: string[]): void => {
  const [kept, other] = ['max_completion_tokens', 'max_tokens'].filter((name) => typeof body[name] === 'number');
  if (other !== undefined) gone.push(other);
  if (kept === undefined) {
    if (cap !== undefined) splices.push(added(whole, 'max_tokens', String(cap)));
    return;
  }
  if (kept !== 'max_tokens') splices.push(renamed(whole, kept, 'max_tokens'));
  if (cap !== undefined) splices.push(replaced(whole, kept, String(cap)));
};

const NO_PARAMETERS = '{"type":"object","properties":{}}';

/** Mistral has tools of its own, which pass; a function's parameters must be there. */
const toolEdits = (whole: Nested, { tools }: Json, splices: Splice[]): void => {
  if (!Array.isArray(tools)) return;
  let ranges: ReturnType<typeof elementsOf> | undefined;
  for (const [index, tool] of tools.entries()) {
    if (!isObject(tool)) continue;
    if (tool.type === 'custom') throw notThere(`tools[${index}].type`);
    if (!isObject(tool.function) || isObject(tool.function.parameters)) continue;
    ranges ??= elementsOf(whole, 'tools');
    const fn = memberOf(nestedAt(whole, ranges[index]!), 'function');
    const isNull = fn.scan.members.has('parameters');
    splices.push(isNull ? replaced(fn, 'parameters', NO_PARAMETERS) : added(fn, 'parameters', NO_PARAMETERS));
  }
};
