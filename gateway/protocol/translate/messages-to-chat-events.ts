import { isObject, type Json } from '../fields.ts';
import type { EventTranslation, TranslationContext } from '../translation.ts';
import { callId, envelope, stopOf, usageOf } from './messages-to-chat-answer.ts';
import { type Block, BlockQueue, mixed, newBlock } from './messages-to-chat-blocks.ts';
import { callsOf, choiceOf, eachText, type TextKind } from './messages-to-chat-delta.ts';
import { showsThinking, thinkingSignature } from './messages-to-chat-thinking.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';

/**
 * A chat stream as a messages stream. `push` throws GatewayError `upstream_error` when a provider mixes the pieces of
 * more calls than can be kept apart (docs/translation.md).
 */
export const messagesToChatEvents = (context: TranslationContext): EventTranslation => new MessageEvents(context);

const MOST_CALLS = 4096;

class MessageEvents implements EventTranslation {
  readonly #context: TranslationContext;
  readonly #showsThinking: boolean;
  readonly #blocks = new BlockQueue();
  /** Calls by the index or the id that the provider knows them by. */
  readonly #calls = new Map<unknown, Block>();
  #lastCall: Block | undefined;
  #callCount = 0;
  #isStarted = false;
  #isRefused = false;
  #hasCalls = false;
  #finish: unknown = null;
  #stop: unknown = null;
  #usage: Json | null = null;
  /** What the event at hand comes to. */
  #out: Json[] = [];

  constructor(context: TranslationContext) {
    this.#context = context;
    this.#showsThinking = showsThinking(context.body);
  }

  push(event: Json): Json[] {
    this.#out = [];
    if (isObject(event.usage)) this.#usage = event.usage;
    const choice = choiceOf(event);
    if (choice) {
      this.#start(event);
      if (isObject(choice.delta)) this.#read(choice.delta);
      const { finish_reason: finish } = choice;
      // Some servers send an empty one with every piece.
      if (typeof finish === 'string' && finish !== '') {
        this.#finish = finish;
        this.#stop = choice.stop_reason;
        this.#blocks.closeAll(this.#out);
      }
    }
    return this.#out;
  }

  end(): Json[] {
    this.#out = [];
    this.#start({});
    this.#blocks.closeAll(this.#out);
    const end = { finish: this.#finish, stop: this.#stop, isRefused: this.#isRefused, hasCalls: this.#hasCalls };
    this.#out.push(
      { type: 'message_delta', delta: stopOf(end, this.#context.body), usage: usageOf({ usage: this.#usage }) },
      { type: 'message_stop' },
    );
    return this.#out;
  }

  #start(event: Json): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const message = {
      ...envelope(event, this.#context),
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: usageOf(null),
    };
    this.#out.push({ type: 'message_start', message });
  }

  #read(delta: Json): void {
    eachText(delta, (kind, text, field) => this.#say(kind, text, field));
    if (!delta.tool_calls && !delta.function_call) return;
    for (const call of callsOf(delta)) this.#call(call);
  }

  #say(kind: TextKind, text: string, field: ReasoningField | null): void {
    if (kind === 'thinking' && !this.#showsThinking) return;
    if (kind === 'refusal') this.#isRefused = true;
    let block = this.#blocks.last();
    if (block?.kind !== kind) {
      block = newBlock(kind, field === null ? '' : thinkingSignature(this.#context.body.model, field));
      this.#blocks.add(block, this.#out);
    }
    this.#blocks.append(block, text, this.#out);
  }

  #call(call: Json): void {
    if (!isObject(call.function)) return;
    const id = typeof call.id === 'string' ? call.id : '';
    const name = typeof call.function.name === 'string' ? call.function.name : '';
    const block = this.#callBlock(call.index, id, name);
    if (block.index < 0) {
      if (id !== '' && !block.hasGivenId) {
        block.id = id;
        block.hasGivenId = true;
      }
      // A name may come in pieces, or again with every piece, until there are arguments.
      if ((block.held === '' || block.name === '') && name !== block.name) block.name += name;
      if (block.name !== '') this.#hasCalls = true;
      this.#blocks.begin(block, this.#out);
    }
    const written = call.function.arguments;
    const text = typeof written === 'string' ? written : isObject(written) ? JSON.stringify(written) : '';
    if (text !== '') this.#blocks.append(block, text, this.#out);
  }

  /** The call that a piece belongs to. Some count no calls (Mistral), some count each as the first (Gemini). */
  #callBlock(index: unknown, id: string, name: string): Block {
    const key = Number.isSafeInteger(index) ? index : id;
    const known = key === '' ? this.#lastCall : this.#calls.get(key);
    if (known && !isOther(known, id, name)) return known;
    if (this.#callCount >= MOST_CALLS) throw mixed();
    const block = newBlock('call');
    block.id = callId(this.#context, this.#callCount++);
    this.#calls.set(key, block);
    this.#lastCall = block;
    this.#blocks.add(block, this.#out);
    return block;
  }
}

/**
 * Whether a piece begins another call under the index of a known one: it has a name, and an id that is not the known
 * one's.
 */
const isOther = (known: Block, id: string, name: string): boolean =>
  id !== '' && name !== '' && known.hasGivenId && known.id !== id;
