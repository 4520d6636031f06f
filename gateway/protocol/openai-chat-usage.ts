import { isObject, type Json } from './fields.ts';
import type { ReportedUsage, StreamUsage } from './protocol.ts';

/** Tokens as a provider may send them: anything but a positive number is none. */
export const tokens = (value: unknown): number =>
  typeof value === 'number' && value > 0 ? Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER) : 0;

/**
 * The `usage` of a chat completions answer in disjoint classes; null when there is none. prompt_tokens includes what
 * was read from the cache. completion_tokens includes reasoning at OpenAI, and does not at xAI, where the total tells.
 */
export const openaiUsage = (body: unknown): ReportedUsage | null => {
  const usage = isObject(body) ? body.usage : undefined;
  if (!isObject(usage)) return null;
  if (typeof usage.prompt_tokens !== 'number' && typeof usage.completion_tokens !== 'number') return null;
  const prompt = tokens(usage.prompt_tokens);
  const promptDetails: Json = isObject(usage.prompt_tokens_details) ? usage.prompt_tokens_details : {};
  const read = Math.min(tokens(promptDetails.cached_tokens ?? usage.prompt_cache_hit_tokens), prompt);
  const written = Math.min(tokens(promptDetails.cache_write_tokens), prompt - read);
  const completion = tokens(usage.completion_tokens);
  const details: Json = isObject(usage.completion_tokens_details) ? usage.completion_tokens_details : {};
  const reasoning = tokens(details.reasoning_tokens);
  const isOnTop = reasoning > 0 && tokens(usage.total_tokens) >= prompt + completion + reasoning;
  return {
    input: prompt - read - written,
    cache_read: read,
    cache_write: written,
    cache_write_1h: 0,
    output: isOnTop ? completion : Math.max(0, completion - reasoning),
    reasoning: isOnTop ? reasoning : Math.min(reasoning, completion),
  };
};

/** A reader of the usage of a chat completions stream: the last one sent counts. */
export const openaiStreamUsage = (): StreamUsage => {
  let last: ReportedUsage | null = null;
  return {
    feed(data) {
      last = openaiUsage(parsed(data)) ?? last;
    },
    result: () => last,
  };
};

/** The value of a `data` payload; undefined for one that is not JSON, such as `[DONE]`. */
export const parsed = (data: string): unknown => {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return undefined;
  }
};
