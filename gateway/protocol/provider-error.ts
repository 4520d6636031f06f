import { isObject, type Json } from './fields.ts';

/** What a provider says went wrong, whatever its dialect. */
export interface ProviderError {
  readonly message: string;
  /** Its type or, where it has none, its code; empty where it says neither. */
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
}

/**
 * Reads an error out of an answer's body or a stream's event: `{error: {…}}` (OpenAI, Anthropic, llama.cpp, Gemini), an
 * error on its own (Mistral, vLLM, the `error` event of responses), `response.failed`, `{detail}` (FastAPI). Null when
 * it tells of none.
 */
export const providerErrorOf = (body: unknown): ProviderError | null => {
  // Gemini's OpenAI surface wraps it in a list.
  const value: unknown = Array.isArray(body) ? body[0] : body;
  if (!isObject(value)) return null;
  if (isObject(value.error)) return errorOf(value.error);
  if (typeof value.error === 'string') return { message: value.error, type: '', code: '', param: null };
  if (isObject(value.response) && isObject(value.response.error)) return errorOf(value.response.error);
  if (value.object === 'error' || value.type === 'error') return errorOf(value);
  if (value.detail !== undefined) return { message: detailOf(value.detail), type: '', code: '', param: null };
  return null;
};

const errorOf = (error: Json): ProviderError => ({
  message: typeof error.message === 'string' ? error.message : detailOf(error.message),
  type: textOf(error.type) || textOf(error.status) || textOf(error.code),
  code: textOf(error.code),
  param: typeof error.param === 'string' ? error.param : null,
});

const textOf = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : '';

/** FastAPI's validation errors, and Mistral's, which puts them into `message`. */
const detailOf = (detail: unknown): string => {
  if (typeof detail === 'string') return detail;
  if (isObject(detail) && detail.detail !== undefined) return detailOf(detail.detail);
  if (!Array.isArray(detail)) return 'The model provider did not say why.';
  return detail
    .map((item) => {
      if (!isObject(item)) return String(item);
      const where = Array.isArray(item.loc) ? item.loc.slice(1).join('.') : '';
      return where === '' ? textOf(item.msg) : `${where}: ${textOf(item.msg)}`;
    })
    .join('; ');
};
