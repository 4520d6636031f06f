import type { CallItem } from './responses-to-chat-call-item.ts';
import type { CallPiece } from './responses-to-chat-delta.ts';

/** A tool call that the model is saying: an item of the output as soon as its name is known. */
export interface OpenCall {
  readonly index: number | null;
  id: string;
  first: CallPiece | null;
  item: CallItem | null;
}

/**
 * The call that a piece belongs to, added to `calls` where it is new. Its index tells, but Gemini's surface gives all
 * calls the same, with ids of their own, and others give none: then a name with a new id begins a call.
 */
export const callOf = (calls: OpenCall[], { index, id, name }: CallPiece): OpenCall => {
  const known = index === null ? undefined : calls.findLast((call) => call.index === index);
  const candidate = index === null ? (calls.findLast((call) => id !== '' && call.id === id) ?? calls.at(-1)) : known;
  const isNew = candidate === undefined || (name !== '' && candidate.item !== null && isOther(candidate, id));
  if (!isNew) {
    candidate.id ||= id;
    return candidate;
  }
  const call: OpenCall = { index, id, first: null, item: null };
  calls.push(call);
  return call;
};

const isOther = (call: OpenCall, id: string): boolean => (id === '' ? call.index === null : call.id !== id);
