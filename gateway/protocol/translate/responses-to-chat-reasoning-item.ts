import type { Json } from '../fields.ts';
import type { ReasoningPiece } from './responses-to-chat-delta.ts';
import type { Emit, OpenItem } from './responses-to-chat-item.ts';
import { addDetails, packReasoning, type ReasoningField } from './responses-to-chat-reasoning.ts';

/** The reasoning before a text or a call. Its summary is all that the model said of it. */
export class ReasoningItem implements OpenItem {
  readonly index: number;
  readonly #id: string;
  readonly #emit: Emit;
  readonly #model: string;
  readonly #details: Json[] = [];
  #field: ReasoningField | null = null;
  #text = '';

  constructor(index: number, id: string, model: string, emit: Emit) {
    this.index = index;
    this.#id = `rs_${id}_${index}`;
    this.#model = model;
    this.#emit = emit;
    emit('response.output_item.added', { output_index: index, item: { id: this.#id, type: 'reasoning', summary: [] } });
  }

  push({ text, field, details }: ReasoningPiece): void {
    addDetails(this.#details, details);
    this.#field ??= field;
    if (text === '') return;
    const at = { item_id: this.#id, output_index: this.index, summary_index: 0 };
    if (this.#text === '') {
      this.#emit('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } });
    }
    this.#text += text;
    this.#emit('response.reasoning_summary_text.delta', { ...at, delta: text });
  }

  close(): Json {
    const at = { item_id: this.#id, output_index: this.index, summary_index: 0 };
    const text = this.#text;
    if (text !== '') {
      this.#emit('response.reasoning_summary_text.done', { ...at, text });
      this.#emit('response.reasoning_summary_part.done', { ...at, part: { type: 'summary_text', text } });
    }
    const item = {
      id: this.#id,
      type: 'reasoning',
      summary: text === '' ? [] : [{ type: 'summary_text', text }],
      encrypted_content: packReasoning({ model: this.#model, field: this.#field, details: this.#details }),
    };
    this.#emit('response.output_item.done', { output_index: this.index, item });
    return item;
  }
}
