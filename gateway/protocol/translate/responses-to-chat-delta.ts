import { isObject, type Json } from '../fields.ts';
import { detailsText, type ReasoningField } from './responses-to-chat-reasoning.ts';

/** A piece of reasoning: its text, where it was said, and its entries of `reasoning_details`. */
export interface ReasoningPiece {
  readonly text: string;
  readonly field: ReasoningField | null;
  readonly details: readonly unknown[];
}

/** The reasoning of a delta; null where there is none. Its text counts once where it is said in two fields. */
export const reasoningOf = (delta: Json): ReasoningPiece | null => {
  const details = Array.isArray(delta.reasoning_details) ? delta.reasoning_details : NONE;
  const { reasoning_content: content, reasoning } = delta;
  if (typeof content === 'string' && content !== '') return { text: content, field: 'reasoning_content', details };
  if (typeof reasoning === 'string' && reasoning !== '') return { text: reasoning, field: 'reasoning', details };
  return details.length === 0 ? null : { text: detailsText(details), field: null, details };
};

const NONE: readonly unknown[] = [];

/** A piece of Mistral's content. */
export interface ContentPiece {
  readonly kind: 'text' | 'thinking';
  readonly text: string;
}

/** Mistral's parts of a content in order: text, and thinking that holds text parts. Others mean nothing here. */
export const partsOf = (content: readonly unknown[]): ContentPiece[] =>
  content.flatMap((part): ContentPiece[] => {
    if (!isObject(part)) return [];
    if (Array.isArray(part.thinking)) {
      const texts = partsOf(part.thinking).map(({ text }) => text);
      return [{ kind: 'thinking', text: texts.join('') }];
    }
    return typeof part.text === 'string' ? [{ kind: 'text', text: part.text }] : [];
  });

/** The citations of a delta as annotations of a text. */
export const annotationsOf = (annotations: unknown): Json[] => {
  if (!Array.isArray(annotations)) return [];
  return annotations.flatMap((annotation: unknown) =>
    isObject(annotation) && annotation.type === 'url_citation' && isObject(annotation.url_citation)
      ? [{ type: 'url_citation', ...annotation.url_citation }]
      : [],
  );
};

/** A piece of a tool call. `index` tells which, where the server says it. */
export interface CallPiece {
  readonly index: number | null;
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  /** Whether it is a call of a custom tool, whose arguments are plain text. */
  readonly isCustom: boolean;
}

/** The pieces of tool calls in a delta, in order. */
export const callPieces = (delta: Json): CallPiece[] => {
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  const pieces = calls.filter(isObject).map((call): CallPiece => {
    const isCustom = isObject(call.custom);
    const said: Json = isObject(call.custom) ? call.custom : isObject(call.function) ? call.function : {};
    return {
      index: Number.isSafeInteger(call.index) ? (call.index as number) : null,
      id: textOf(call.id),
      name: textOf(said.name),
      arguments: textOf(isCustom ? said.input : said.arguments),
      isCustom,
    };
  });
  // The older form, which has one call.
  if (pieces.length === 0 && isObject(delta.function_call)) {
    const { name, arguments: args } = delta.function_call;
    return [{ index: 0, id: '', name: textOf(name), arguments: textOf(args), isCustom: false }];
  }
  return pieces;
};

/** Some servers say arguments as the object itself. */
const textOf = (value: unknown): string => {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : '';
};
