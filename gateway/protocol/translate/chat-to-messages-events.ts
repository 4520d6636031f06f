import { usageSoFar } from '../anthropic-messages-usage.ts';
import { isObject, type Json } from '../fields.ts';
import { parsed } from '../openai-chat-usage.ts';
import type { EventTranslation, TranslationContext } from '../translation.ts';
import {
  chatUsage,
  customInput,
  detailId,
  finishReason,
  isReasoning,
  isSigned,
  refusalOf,
} from './chat-to-messages-answer.ts';
import { customToolNames, offersFunctions } from './chat-to-messages-tools.ts';
import { reasoningDetail } from './reasoning-details.ts';

/**
 * A messages stream as chat completion chunks. Text, reasoning and arguments go on as they come. Held until the end:
 * the signed reasoning, which is said in one list (clients that keep the last list of a stream then keep it all), why
 * the answer ended, and the usage.
 */
export const chatToMessagesEvents = (context: TranslationContext): EventTranslation => new ChatEvents(context);

/** A block that is not over, by its index in the message. */
interface Block {
  readonly kind: 'text' | 'reasoning' | 'call' | 'custom' | 'other';
  /** Place among the calls of the answer. */
  readonly call: number;
  /** The block itself: signed reasoning is collected in it. */
  readonly block: Json;
  /** The arguments of a custom call, or whether any were said. */
  text: string;
}

class ChatEvents implements EventTranslation {
  readonly #context: TranslationContext;
  readonly #customs: ReadonlySet<string>;
  readonly #hasFunctions: boolean;
  #id: string;
  #model: unknown;
  #isStarted = false;
  #blocks = new Map<unknown, Block>();
  #calls = 0;
  #details: Json[] = [];
  #usage: Json | null = null;
  #stopReason: unknown;
  #stopDetails: unknown;

  constructor(context: TranslationContext) {
    this.#context = context;
    this.#customs = customToolNames(context.body);
    this.#hasFunctions = offersFunctions(context.body);
    this.#id = `chatcmpl-${context.id}`;
    this.#model = context.body.model;
  }

  push(event: Json): Json[] {
    switch (event.type) {
      case 'content_block_delta':
        return isObject(event.delta) ? this.#delta(event.index, event.delta) : [];
      case 'content_block_start':
        return isObject(event.content_block) ? this.#start(event.index, event.content_block) : [];
      case 'content_block_stop':
        return this.#stop(event.index);
      case 'message_start':
        return isObject(event.message) ? this.#message(event.message) : [];
      case 'message_delta':
        this.#messageDelta(event);
        return [];
      default: // ping, message_stop, and what is newer than this file
        return [];
    }
  }

  end(): Json[] {
    const events: Json[] = [];
    // Blocks that a server did not close.
    for (const index of [...this.#blocks.keys()]) events.push(...this.#stop(index));
    if (this.#details.length > 0) events.push(...this.#say({ reasoning_details: this.#details }));
    const refusal = refusalOf(this.#stopReason, this.#stopDetails);
    if (refusal !== null) events.push(...this.#say({ refusal }));
    events.push(...this.#say({}, finishReason(this.#stopReason, this.#hasFunctions)));
    const usage = this.#context.includeUsage ? chatUsage(this.#usage) : undefined;
    if (usage) events.push({ ...this.#envelope(), choices: [], usage });
    return events;
  }

  /** A second start is a repetition, or of a message that replaces one cut short: what was said stays said. */
  #message(message: Json): Json[] {
    if (this.#isStarted && message.id === this.#id) return [];
    if (typeof message.id === 'string' && !this.#isStarted) this.#id = message.id;
    if (typeof message.model === 'string' && !this.#isStarted) this.#model = message.model;
    if (isObject(message.usage)) this.#usage = { ...message.usage };
    const events = this.#isStarted ? [] : this.#say({});
    this.#blocks.clear();
    this.#details = [];
    this.#stopReason = message.stop_reason;
    this.#stopDetails = message.stop_details;
    // Blocks that the start brings along are whole.
    const content = Array.isArray(message.content) ? message.content : [];
    for (let index = 0; index < content.length; index++) {
      const block: unknown = content[index];
      if (isObject(block)) events.push(...this.#start(index, block), ...this.#stop(index));
    }
    return events;
  }

  #start(index: unknown, block: Json): Json[] {
    const kind = kindOf(block, this.#customs);
    const call = kind === 'call' || kind === 'custom' ? this.#calls++ : -1;
    const open: Block = { kind, call, block: kind === 'reasoning' ? { ...block } : block, text: '' };
    this.#blocks.set(index, open);
    if (kind === 'text')
      return typeof block.text === 'string' && block.text !== '' ? this.#say({ content: block.text }) : [];
    if (kind === 'reasoning') {
      return typeof block.thinking === 'string' && block.thinking !== ''
        ? this.#say({ reasoning_content: block.thinking })
        : [];
    }
    if (kind !== 'call') return [];
    const { id, name, input } = block;
    // Servers that do not stream a call's input bring it along.
    if (isObject(input) && Object.keys(input).length > 0) open.text = JSON.stringify(input);
    if (this.#hasFunctions) return call > 0 ? [] : this.#say({ function_call: { name, arguments: open.text } });
    return this.#say({ tool_calls: [{ index: call, id, type: 'function', function: { name, arguments: open.text } }] });
  }

  #delta(index: unknown, delta: Json): Json[] {
    switch (delta.type) {
      case 'text_delta':
        return typeof delta.text === 'string' && delta.text !== '' ? this.#say({ content: delta.text }) : [];
      case 'thinking_delta': {
        if (typeof delta.thinking !== 'string' || delta.thinking === '') return [];
        this.#collect(index, 'thinking', delta.thinking);
        return this.#say({ reasoning_content: delta.thinking });
      }
      case 'signature_delta':
        if (typeof delta.signature === 'string') this.#collect(index, 'signature', delta.signature);
        return [];
      case 'input_json_delta': {
        const open = this.#blocks.get(index);
        const text = delta.partial_json;
        if (!open || typeof text !== 'string' || text === '') return [];
        if (open.kind === 'custom') open.text += text;
        if (open.kind !== 'call') return [];
        open.text = SAID;
        return this.#arguments(open.call, text);
      }
      default: // citations_delta, compaction_delta, and what is newer than this file
        return [];
    }
  }

  #arguments(call: number, text: string): Json[] {
    if (this.#hasFunctions) return call > 0 ? [] : this.#say({ function_call: { arguments: text } });
    return this.#say({ tool_calls: [{ index: call, function: { arguments: text } }] });
  }

  #collect(index: unknown, key: 'thinking' | 'signature', text: string): void {
    const open = this.#blocks.get(index);
    if (open?.kind !== 'reasoning') return;
    const before = open.block[key];
    open.block[key] = typeof before === 'string' ? before + text : text;
  }

  #stop(index: unknown): Json[] {
    const open = this.#blocks.get(index);
    if (!open) return [];
    this.#blocks.delete(index);
    const { kind, block, call } = open;
    if (kind === 'reasoning' && isSigned(block)) {
      this.#details.push(reasoningDetail(block, detailId(this.#id, Number(index))));
    }
    // A call without arguments says so: its text must be JSON.
    if (kind === 'call' && open.text === '') return this.#arguments(call, '{}');
    if (kind !== 'custom') return [];
    const input = customInput(open.text === '' ? block.input : parsed(open.text));
    const custom = { name: block.name, input };
    return this.#say({ tool_calls: [{ index: call, id: block.id, type: 'custom', custom }] });
  }

  #messageDelta(event: Json): void {
    if (isObject(event.delta) && typeof event.delta.stop_reason === 'string') {
      this.#stopReason = event.delta.stop_reason;
      this.#stopDetails = event.delta.stop_details;
    }
    if (isObject(event.usage)) this.#usage = usageSoFar(this.#usage, event.usage);
  }

  /** A chunk with one delta, after the one that says who speaks. */
  #say(delta: Json, finish: string | null = null): Json[] {
    if (this.#isStarted) return [this.#chunk(delta, finish)];
    this.#isStarted = true;
    const first = this.#chunk({ role: 'assistant', content: '', refusal: null }, null);
    for (const _ in delta) return [first, this.#chunk(delta, finish)];
    return finish === null ? [first] : [first, this.#chunk(delta, finish)];
  }

  #chunk(delta: Json, finish: string | null): Json {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
    // Where usage is asked for, every chunk but the last says null.
    return this.#context.includeUsage
      ? { ...this.#envelope(), choices, usage: null }
      : { ...this.#envelope(), choices };
  }

  #envelope(): Json {
    return { id: this.#id, object: 'chat.completion.chunk', created: this.#context.created, model: this.#model };
  }
}

/** Any text but none: it is not needed again. */
const SAID = ' ';

const kindOf = (block: Json, customs: ReadonlySet<string>): Block['kind'] => {
  if (block.type === 'text') return 'text';
  if (block.type === 'tool_use') return customs.has(block.name as string) ? 'custom' : 'call';
  return isReasoning(block) ? 'reasoning' : 'other';
};
