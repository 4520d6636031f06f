import { isObject, type Json } from './fields.ts';
import { parsed, tokens } from './openai-chat-usage.ts';
import type { ReportedUsage, StreamUsage } from './protocol.ts';

/** The `usage` of a messages answer in disjoint classes; null when there is none. */
export const anthropicUsage = (body: unknown): ReportedUsage | null =>
  isObject(body) && isObject(body.usage) ? classes(body.usage) : null;

/**
 * Anthropic's classes are disjoint but for thinking, which output_tokens includes. Its `iterations` (compaction,
 * advisor, fallback) are billed each, and the totals leave some out: so each class is the larger of total and sum.
 */
const classes = (usage: Json): ReportedUsage | null => {
  const total = single(usage);
  if (!Array.isArray(usage.iterations)) return total;
  const sum = { ...NONE };
  for (const iteration of usage.iterations) {
    const part = isObject(iteration) ? single(iteration) : null;
    if (part) for (const name of CLASSES) sum[name] += part[name];
  }
  const result = { ...(total ?? NONE) };
  for (const name of CLASSES) result[name] = Math.max(result[name], sum[name]);
  return result;
};

const NONE: ReportedUsage = { input: 0, cache_read: 0, cache_write: 0, cache_write_1h: 0, output: 0, reasoning: 0 };
const CLASSES = ['input', 'cache_read', 'cache_write', 'cache_write_1h', 'output', 'reasoning'] as const;

const single = (usage: Json): ReportedUsage | null => {
  if (typeof usage.input_tokens !== 'number' && typeof usage.output_tokens !== 'number') return null;
  const written: Json = isObject(usage.cache_creation) ? usage.cache_creation : {};
  const hour = tokens(written.ephemeral_1h_input_tokens);
  const minutes = tokens(written.ephemeral_5m_input_tokens);
  const output = tokens(usage.output_tokens);
  const details: Json = isObject(usage.output_tokens_details) ? usage.output_tokens_details : {};
  const thinking = Math.min(tokens(details.thinking_tokens), output);
  return {
    input: tokens(usage.input_tokens),
    cache_read: tokens(usage.cache_read_input_tokens),
    // Written tokens whose kind is not told are of the kind that is the default.
    cache_write: Math.max(minutes, tokens(usage.cache_creation_input_tokens) - hour),
    cache_write_1h: hour,
    output: output - thinking,
    reasoning: thinking,
  };
};

/**
 * A reader of the usage of a messages stream. message_start has the input's side and message_delta totals so far, in
 * whole or in part: each field counts as it was said last. A stream that starts a second message starts anew.
 */
export const anthropicStreamUsage = (): StreamUsage => {
  let usage: Json | null = null;
  return {
    feed(data) {
      const event = parsed(data);
      if (!isObject(event)) return;
      if (event.type === 'message_start' && isObject(event.message) && isObject(event.message.usage)) {
        usage = { ...event.message.usage };
      } else if (event.type === 'message_delta' && isObject(event.usage)) {
        usage = usageSoFar(usage, event.usage);
      }
    },
    result: () => (usage ? classes(usage) : null),
  };
};

/** The usage of a stream after a `message_delta` that says `said`: each field counts as it was said last. */
export const usageSoFar = (usage: Json | null, said: Json): Json => {
  const sum: Json = usage ?? {};
  for (const [key, value] of Object.entries(said)) if (value !== null) sum[key] = value;
  // A total that changed without its parts: the parts are no longer its own.
  if ('cache_creation_input_tokens' in said && !('cache_creation' in said)) keepParts(sum);
  return sum;
};

/** Drops the split of written tokens where it adds up to more than their total. */
const keepParts = (usage: Json): void => {
  const { cache_creation: parts, cache_creation_input_tokens: total } = usage;
  if (!isObject(parts)) return;
  const sum = tokens(parts.ephemeral_1h_input_tokens) + tokens(parts.ephemeral_5m_input_tokens);
  if (sum > tokens(total)) delete usage.cache_creation;
};
