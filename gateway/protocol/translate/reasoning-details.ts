import { invalidField, isObject, type Json } from '../fields.ts';
import { objectOf, stringAt } from './chat-to-messages-fields.ts';

/** Marks the details that this gateway made. Those of other formats mean nothing to an upstream of another kind. */
export const DETAIL_FORMAT = 'aegis.anthropic';

/**
 * A signed block of Anthropic's reasoning (`thinking`, `redacted_thinking`) as an entry of `reasoning_details`, the
 * list that chat clients keep on a message and send back: the whole block, so that its signature stays valid. As JSON,
 * not base64: what a caller sends back is inspected like every other string.
 */
export const reasoningDetail = (block: Json, id: string): Json => ({
  type: 'reasoning.encrypted',
  id,
  format: DETAIL_FORMAT,
  data: JSON.stringify(block),
});

/**
 * The blocks that a caller sends back in `reasoning_details`, exactly as they came; entries of other formats are left
 * out. Throws GatewayError `invalid_field` for an entry of ours that was changed into something else.
 */
export const reasoningBlocks = (details: unknown, param: string): Json[] => {
  if (details === null || details === undefined) return [];
  if (!Array.isArray(details)) throw invalidField(param, 'an array');
  const blocks: Json[] = [];
  const seen = new Set<string>();
  for (let index = 0; index < details.length; index++) {
    const detail: unknown = details[index];
    if (!isObject(detail)) throw invalidField(`${param}[${index}]`, 'an object');
    if (detail.format !== DETAIL_FORMAT) continue;
    const data = stringAt(detail, 'data', `${param}[${index}]`);
    // A client that merges the pieces of a stream may hold one twice.
    if (seen.has(data)) continue;
    seen.add(data);
    blocks.push(blockOf(data, `${param}[${index}].data`));
  }
  return blocks;
};

const blockOf = (data: string, param: string): Json => {
  const block = objectOf(data, param);
  const isThinking =
    block.type === 'thinking' && typeof block.thinking === 'string' && typeof block.signature === 'string';
  const isRedacted = block.type === 'redacted_thinking' && typeof block.data === 'string';
  if (!isThinking && !isRedacted) throw invalidField(param, 'the data of a reasoning detail as it came');
  return block;
};
