import type { Json } from '../fields.ts';
import type { Emit, ItemStatus, OpenItem } from './responses-to-chat-item.ts';

interface Part {
  readonly kind: 'output_text' | 'refusal';
  text: string;
  readonly annotations: Json[];
  readonly logprobs: unknown[];
}

/** A message of texts and refusals. */
export class MessageItem implements OpenItem {
  readonly index: number;
  readonly #id: string;
  readonly #emit: Emit;
  readonly #content: Json[] = [];
  #part: Part | null = null;

  constructor(index: number, id: string, emit: Emit) {
    this.index = index;
    this.#id = `msg_${id}_${index}`;
    this.#emit = emit;
    const item = { id: this.#id, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
    emit('response.output_item.added', { output_index: index, item });
  }

  text(delta: string, logprobs: readonly unknown[]): void {
    const part = this.#open('output_text');
    part.text += delta;
    if (logprobs.length > 0) part.logprobs.push(...logprobs);
    this.#emit('response.output_text.delta', {
      item_id: this.#id,
      output_index: this.index,
      content_index: this.#content.length,
      delta,
      logprobs,
    });
  }

  refusal(delta: string): void {
    this.#open('refusal').text += delta;
    this.#emit('response.refusal.delta', { ...this.#at(), delta });
  }

  annotation(annotation: Json): void {
    const { annotations } = this.#open('output_text');
    annotations.push(annotation);
    const at = { ...this.#at(), annotation_index: annotations.length - 1, annotation };
    this.#emit('response.output_text.annotation.added', at);
  }

  close(status: ItemStatus): Json {
    this.#closePart();
    const item = { id: this.#id, type: 'message', status, role: 'assistant', content: this.#content };
    this.#emit('response.output_item.done', { output_index: this.index, item });
    return item;
  }

  #at(): Json {
    return { item_id: this.#id, output_index: this.index, content_index: this.#content.length };
  }

  #open(kind: Part['kind']): Part {
    if (this.#part?.kind === kind) return this.#part;
    this.#closePart();
    this.#part = { kind, text: '', annotations: [], logprobs: [] };
    this.#emit('response.content_part.added', { ...this.#at(), part: partJson(this.#part) });
    return this.#part;
  }

  #closePart(): void {
    const part = this.#part;
    if (!part) return;
    this.#part = null;
    const said = partJson(part);
    if (part.kind === 'refusal') this.#emit('response.refusal.done', { ...this.#at(), refusal: part.text });
    else this.#emit('response.output_text.done', { ...this.#at(), text: part.text, logprobs: part.logprobs });
    this.#emit('response.content_part.done', { ...this.#at(), part: said });
    this.#content.push(said);
  }
}

const partJson = ({ kind, text, annotations, logprobs }: Part): Json =>
  kind === 'refusal'
    ? { type: kind, refusal: text }
    : { type: kind, text, annotations: [...annotations], logprobs: [...logprobs] };
