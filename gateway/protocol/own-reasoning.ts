import { append } from './append.ts';
import { isObject, type Json } from './fields.ts';
import { elementsOf, type Nested, nestedAt } from './json-nested.ts';
import { removals } from './json-ranges.ts';
import type { Call, Splice } from './protocol.ts';
import { CHAT_SIGNATURE } from './translate/messages-to-chat-thinking.ts';
import { DETAIL_FORMAT } from './translate/reasoning-details.ts';
import { unpackReasoning } from './translate/responses-to-chat-reasoning.ts';

/*
 * Reasoning that a translation gave a caller comes back in its history. Where the conversation goes on at a model that
 * speaks the caller's own API, nobody there made it: it is refused as forged. So it is left out (docs/translation.md).
 */

/** The splices that take translated reasoning out of a chat completions, messages or responses body. */
export const withoutOwnReasoning = (call: Call): Splice[] => {
  if (!call.raw.includes('aegis')) return [];
  const body: Nested = { bytes: call.raw, scan: call.scan, at: 0 };
  const list = call.endpoint === 'responses' ? 'input' : 'messages';
  const items = call.body[list];
  if (!Array.isArray(items)) return [];
  if (call.endpoint === 'responses') return without(body, 'input', items, isOwnItem);
  const [inner, isOwn] =
    call.endpoint === 'messages'
      ? (['content', isOwnThinking] as const)
      : (['reasoning_details', isOwnDetail] as const);
  const splices: Splice[] = [];
  let ranges: ReturnType<typeof elementsOf> | undefined;
  for (const [index, message] of items.entries()) {
    const parts: unknown = isObject(message) ? message[inner] : undefined;
    if (!Array.isArray(parts) || !parts.some(isOwn)) continue;
    ranges ??= elementsOf(body, list);
    append(splices, without(nestedAt(body, ranges[index]!), inner, parts, isOwn));
  }
  return splices;
};

const without = (
  holder: Nested,
  name: string,
  list: readonly unknown[],
  isGone: (item: unknown) => boolean,
): Splice[] => {
  if (!list.some(isGone)) return [];
  return removals(elementsOf(holder, name), (index) => isGone(list[index])).map(({ start, end, text }) => ({
    start: holder.at + start,
    end: holder.at + end,
    text,
  }));
};

const isOwnItem = (item: unknown): boolean =>
  isObject(item) && item.type === 'reasoning' && unpackReasoning(item.encrypted_content) !== null;

const isOwnThinking = (block: unknown): boolean =>
  isObject(block) && block.type === 'thinking' && startsWith(block, 'signature', CHAT_SIGNATURE);

const isOwnDetail = (detail: unknown): boolean => isObject(detail) && detail.format === DETAIL_FORMAT;

const startsWith = (holder: Json, key: string, prefix: string): boolean => {
  const value = holder[key];
  return typeof value === 'string' && value.startsWith(prefix);
};
