import { type Content, jsonBytes } from './content.ts';
import { invalidField, isObject } from './fields.ts';

/** What a field of prompts holds. */
export interface Prompts {
  /** How many there are: each is answered on its own. */
  readonly prompts: number;
  /** Tokens that were sent as ids, where nothing else is beside them that cannot be read. */
  readonly tokenIds?: number;
}

/**
 * Reads OpenAI's `prompt` and `input`: a text, token ids, or a list of either. Ids cannot be inspected, and neither can
 * the objects that some servers take (images to embed): both count as `unknown`. Throws GatewayError `invalid_field`.
 */
export const readPrompts = (content: Content, value: unknown, param: string): Prompts => {
  if (typeof value === 'string') {
    content.text('user', value);
    return ONE;
  }
  if (!Array.isArray(value)) throw invalidField(param, 'a string, an array of strings, or token ids');
  if (typeof value[0] === 'number') {
    readIds(content, value, param);
    return { prompts: 1, tokenIds: value.length };
  }
  let tokenIds = 0;
  let hasObjects = false;
  for (let index = 0; index < value.length; index++) {
    const item: unknown = value[index];
    if (typeof item === 'string') content.text('user', item);
    else if (Array.isArray(item)) {
      readIds(content, item, `${param}[${index}]`);
      tokenIds += item.length;
    } else if (isObject(item)) {
      content.unread('unknown', jsonBytes(item));
      hasObjects = true;
    } else throw invalidField(`${param}[${index}]`, 'a string or token ids');
  }
  // What an object comes to cannot be told from its bytes.
  return tokenIds === 0 || hasObjects ? { prompts: value.length } : { prompts: value.length, tokenIds };
};

const ONE: Prompts = { prompts: 1 };

const readIds = (content: Content, ids: readonly unknown[], param: string): void => {
  for (let index = 0; index < ids.length; index++) {
    if (!Number.isSafeInteger(ids[index]) || (ids[index] as number) < 0) {
      throw invalidField(`${param}[${index}]`, 'a token id');
    }
  }
  if (ids.length === 0) return;
  content.modality('text');
  content.unread('unknown', jsonBytes(ids));
};
