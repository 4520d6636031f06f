import type { Json } from '../fields.ts';
import { createInputReader, type InputReader } from './input-member.ts';
import type { CallPiece } from './responses-to-chat-delta.ts';
import type { Emit, ItemStatus, OpenItem } from './responses-to-chat-item.ts';
import type { CallerTool } from './responses-to-chat-tools.ts';

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
