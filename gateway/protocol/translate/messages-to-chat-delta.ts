import { isObject, type Json } from '../fields.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';

/** The choice that is told; undefined in an event that has none. A call asks for one. */
export const choiceOf = ({ choices }: Json): Json | undefined => {
  if (!Array.isArray(choices)) return undefined;
  for (const choice of choices) if (isObject(choice) && (choice.index ?? 0) === 0) return choice;
  return undefined;
};

/** The kinds of text in an answer. */
export type TextKind = 'text' | 'refusal' | 'thinking';

/** Gives each piece of text in a message or a delta, in the order in which it is to be read. */
export const eachText = (
  holder: Json,
  say: (kind: TextKind, text: string, field: ReasoningField | null) => void,
): void => {
  // vLLM says the same under both names.
  const field = isText(holder.reasoning_content) ? 'reasoning_content' : 'reasoning';
  const { content, refusal } = holder;
  if (isText(holder[field])) say('thinking', holder[field], field);
  if (isText(content)) say('text', content, null);
  else if (Array.isArray(content)) {
    for (const part of content) {
      if (!isObject(part)) continue;
      if (isText(part.text)) say('text', part.text, null);
      const thought = thoughtOf(part.thinking);
      if (thought !== '') say('thinking', thought, 'thinking');
    }
  }
  if (isText(refusal)) say('refusal', refusal, null);
};

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** Mistral's reasoning: a list of text parts. */
const thoughtOf = (thinking: unknown): string => {
  if (typeof thinking === 'string') return thinking;
  if (!Array.isArray(thinking)) return '';
  return thinking.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : '')).join('');
};

/** Whether a message or a delta refuses. */
export const isRefusal = ({ refusal }: Json): boolean => isText(refusal);

/** The calls in a message or a delta, the older form of one among them. */
export const callsOf = ({ tool_calls: calls, function_call: call }: Json): Json[] => {
  if (Array.isArray(calls)) return calls.filter(isObject);
  return isObject(call) ? [{ index: 0, function: call }] : [];
};
