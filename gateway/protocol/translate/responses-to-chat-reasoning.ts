import { isObject, type Json } from '../fields.ts';

/** The field of a chat message in which a provider says its reasoning; `thinking` is Mistral's content part. */
export type ReasoningField = 'reasoning_content' | 'reasoning' | 'thinking';

/**
 * What an answer's reasoning needs to go back to the model that made it: where its text was, or its `reasoning_details`
 * whole, with signatures. The text of the first kind is not in here: it comes back in the item's summary, where it is
 * inspected.
 */
export interface KeptReasoning {
  readonly model: string;
  readonly field: ReasoningField | null;
  readonly details: readonly unknown[];
}

/** How the JSON begins by which we know our own. */
const MARKER = '{"aegis":"chat-1",';

/**
 * As `encrypted_content` of a reasoning item. It is plain JSON: there is nothing secret in it, and what a caller sends
 * back is inspected like every other string.
 */
export const packReasoning = (kept: KeptReasoning): string => MARKER + JSON.stringify(kept).slice(1);

/** What packReasoning was given; null for the encrypted reasoning of others. */
export const unpackReasoning = (encrypted: unknown): KeptReasoning | null => {
  if (typeof encrypted !== 'string' || !encrypted.startsWith(MARKER)) return null;
  try {
    const kept: unknown = JSON.parse(encrypted);
    if (!isObject(kept) || typeof kept.model !== 'string' || !Array.isArray(kept.details)) return null;
    const field = FIELDS.find((name) => name === kept.field) ?? null;
    return { model: kept.model, field, details: kept.details.filter(isObject) };
  } catch {
    return null;
  }
};

const FIELDS: readonly ReasoningField[] = ['reasoning_content', 'reasoning', 'thinking'];

/**
 * Adds pieces of `reasoning_details` to those before, as OpenRouter streams them: texts come in pieces with one index,
 * their signature last.
 */
export const addDetails = (details: Json[], pieces: readonly unknown[]): void => {
  for (const piece of pieces) {
    if (!isObject(piece)) continue;
    const last = details.at(-1);
    if (last && continues(last, piece)) join(last, piece);
    else details.push({ ...piece });
  }
};

const continues = (last: Json, piece: Json): boolean =>
  last.type === piece.type &&
  last.index === piece.index &&
  (last.type === 'reasoning.text' || last.type === 'reasoning.summary') &&
  !last.signature;

const join = (last: Json, piece: Json): void => {
  for (const key in piece) {
    const value = piece[key];
    if (value === null || value === undefined) continue;
    const isText = (key === 'text' || key === 'summary') && typeof last[key] === 'string';
    last[key] = isText ? `${last[key]}${String(value)}` : value;
  }
};

/** The readable text of pieces of `reasoning_details`. */
export const detailsText = (pieces: readonly unknown[]): string => {
  let text = '';
  for (const piece of pieces) {
    if (!isObject(piece)) continue;
    if (piece.type === 'reasoning.text' && typeof piece.text === 'string') text += piece.text;
    if (piece.type === 'reasoning.summary' && typeof piece.summary === 'string') text += piece.summary;
  }
  return text;
};
