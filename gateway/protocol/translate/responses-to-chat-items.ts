import type { Json } from '../fields.ts';
import { createInputReader, type InputReader } from './input-member.ts';
import type { CallPiece, ReasoningPiece } from './responses-to-chat-delta.ts';
import { addDetails, packReasoning, type ReasoningField } from './responses-to-chat-reasoning.ts';
import type { CallerTool } from './responses-to-chat-tools.ts';

/** Says an event: its type, and its members without the sequence number. */
export type Emit = (type: string, members: Json) => void;

type ItemStatus = 'completed' | 'incomplete';

/** An item of the output that is being said. */
export interface OpenItem {
  /** Its place in the output. */
  readonly index: number;
  /** Says that it has ended and gives the whole item. */
  close(status: ItemStatus): Json;
}

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

/** A call of one of the caller's tools. */
export class CallItem implements OpenItem {
  readonly index: number;
  readonly callId: string;
  readonly #tool: CallerTool;
  readonly #id: string;
  readonly #emit: Emit;
  readonly #reader: InputReader | null;
  #text = '';

  constructor(index: number, id: string, first: CallPiece, tool: CallerTool | undefined, emit: Emit) {
    this.index = index;
    this.callId = first.id === '' ? `call_${id}_${index}` : first.id;
    this.#tool = tool ?? { kind: first.isCustom ? 'custom' : 'function', name: first.name };
    this.#id = `${PREFIX[this.#tool.kind]}_${id}_${index}`;
    this.#emit = emit;
    this.#reader = this.#tool.kind === 'custom' && !first.isCustom ? createInputReader() : null;
    emit('response.output_item.added', { output_index: index, item: this.#item('in_progress') });
  }

  push(piece: string): void {
    this.#say(this.#reader && piece !== '' ? this.#reader.push(piece) : piece);
  }

  close(status: ItemStatus): Json {
    if (this.#reader) this.#say(this.#reader.end());
    // No arguments are an object without members, which clients parse.
    else if (this.#text === '' && this.#tool.kind === 'function') this.#say('{}');
    const at = { item_id: this.#id, output_index: this.index };
    if (this.#tool.kind === 'function') {
      this.#emit('response.function_call_arguments.done', { ...at, arguments: this.#text });
    }
    if (this.#tool.kind === 'custom') {
      this.#emit('response.custom_tool_call_input.done', { ...at, input: this.#text });
    }
    const item = this.#item(status);
    this.#emit('response.output_item.done', { output_index: this.index, item });
    return item;
  }

  #say(delta: string): void {
    if (delta === '') return;
    this.#text += delta;
    const event = DELTAS[this.#tool.kind];
    if (event) this.#emit(event, { item_id: this.#id, output_index: this.index, delta });
  }

  #item(status: ItemStatus | 'in_progress'): Json {
    const { kind, name, namespace } = this.#tool;
    const called = { id: this.#id, call_id: this.callId, status };
    if (kind === 'tool_search') {
      return { ...called, type: 'tool_search_call', execution: 'client', arguments: argumentsOf(this.#text) };
    }
    const named = { ...called, name, ...(namespace === undefined ? {} : { namespace }) };
    if (kind === 'custom') return { ...named, type: 'custom_tool_call', input: this.#text };
    return { ...named, type: 'function_call', arguments: this.#text };
  }
}

const PREFIX = { function: 'fc', custom: 'ctc', tool_search: 'tsc' } as const;

const DELTAS: Readonly<Record<CallerTool['kind'], string | null>> = {
  function: 'response.function_call_arguments.delta',
  custom: 'response.custom_tool_call_input.delta',
  // Its arguments come whole, with the item.
  tool_search: null,
};

const argumentsOf = (text: string): unknown => {
  try {
    return text === '' ? {} : (JSON.parse(text) as unknown);
  } catch {
    return text;
  }
};
