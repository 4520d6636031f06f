import { invalidField, isObject, type Json } from '../fields.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';
import { onlyMembers, unsaid } from './unsaid.ts';

/**
 * `thinking` and `output_config.effort` as `reasoning_effort`; null for the model's own default. Effort says it
 * outright, a budget in steps. What is left to the model, and thinking switched off, is not said: many models know no
 * `reasoning_effort` at all and few know `none`.
 */
export const reasoningEffort = (thinking: unknown, effort: unknown): string | null => {
  const said = effortOf(effort);
  if (thinking === undefined || thinking === null) return said;
  if (!isObject(thinking)) throw invalidField('thinking', 'an object');
  onlyMembers(thinking, THINKING, 'thinking');
  switch (thinking.type) {
    case 'adaptive':
      return said;
    case 'disabled':
      return null;
    case 'enabled':
      return said ?? stepOf(budgetOf(thinking));
    default:
      throw unsaid('thinking.type', `thinking of type ${JSON.stringify(thinking.type)?.slice(0, 80)}`);
  }
};

const THINKING: ReadonlySet<string> = new Set(['type', 'budget_tokens', 'display', 'block_binding']);

/** The words are the same in both. */
const EFFORTS: readonly unknown[] = ['low', 'medium', 'high', 'xhigh', 'max'];

const effortOf = (effort: unknown): string | null => {
  if (effort === undefined || effort === null) return null;
  if (!EFFORTS.includes(effort)) throw invalidField('output_config.effort', `one of ${EFFORTS.join(', ')}`);
  return effort as string;
};

const budgetOf = ({ budget_tokens: budget }: Json): number => {
  if (!Number.isSafeInteger(budget)) throw invalidField('thinking.budget_tokens', 'an integer');
  return budget as number;
};

/** Largest budget in tokens that still is low, and medium. */
const LOW = 4096;
const MEDIUM = 16_384;
const stepOf = (budget: number): string => (budget <= LOW ? 'low' : budget <= MEDIUM ? 'medium' : 'high');

/** Whether the caller of `body` sees the model's reasoning: not when it switched thinking off, or its display. */
export const showsThinking = ({ thinking }: Json): boolean =>
  !isObject(thinking) || (thinking.type !== 'disabled' && thinking.display !== 'omitted');

/**
 * How the signature of a thinking block begins that holds a chat model's reasoning. No provider made it: Anthropic
 * refuses such a block.
 */
export const CHAT_SIGNATURE = 'aegis:chat-1:';

/** That signature: where the reasoning was said, and by which model, so that it can go back there and nowhere else. */
export const thinkingSignature = (model: unknown, field: ReasoningField): string =>
  `${CHAT_SIGNATURE}${field}:${typeof model === 'string' ? model : ''}`;

/** The field in which `model` takes a thinking block back; null for the reasoning of other models. */
export const reasoningFieldOf = ({ signature }: Json, model: string): ReasoningField | null =>
  FIELDS.find((field) => signature === thinkingSignature(model, field)) ?? null;

const FIELDS: readonly ReasoningField[] = ['reasoning_content', 'reasoning', 'thinking'];
