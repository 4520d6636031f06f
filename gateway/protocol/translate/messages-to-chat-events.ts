import { GatewayError } from '../../errors.ts';
import { isObject, type Json } from '../fields.ts';
import type { EventTranslation, TranslationContext } from '../translation.ts';
import { JsonObjectEnd } from './json-object-end.ts';
import {
  callId,
  callsOf,
  choiceOf,
  eachText,
  envelope,
  stopOf,
  type TextKind,
  usageOf,
} from './messages-to-chat-answer.ts';
import { showsThinking, thinkingSignature } from './messages-to-chat-thinking.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';

/**
 * A chat stream as a messages stream. Anthropic's blocks come one after the other, so the first block that is not over
 * goes on as it comes and the ones behind it wait: text and reasoning are over when something else comes, a call when
 * its arguments are a whole object or the answer ends. `push` throws GatewayError `upstream_error` when what waits is
 * more than a megabyte.
 */
export const messagesToChatEvents = (context: TranslationContext): EventTranslation => new MessageEvents(context);

/** A block of the answer that is not over. */
interface Block {
  readonly kind: TextKind | 'call';
  /** Of reasoning: where it was said. */
  readonly field: ReasoningField | null;
  /** Place among the calls, for an id where the provider gives none. */
  readonly order: number;
  id: string;
  name: string;
  /** Of a call: whether its arguments are whole. */
  readonly end: JsonObjectEnd | null;
  /** What came before its turn. */
  held: string;
  /** Its place among the blocks of the message; -1 before its turn. */
  index: number;
}

/** In characters. A provider that mixes calls sends small ones. */
const MOST_HELD = 1024 * 1024;
const MOST_CALLS = 4096;

class MessageEvents implements EventTranslation {
  readonly #context: TranslationContext;
  readonly #showsThinking: boolean;
  #isStarted = false;
  /** Blocks in the order of their first piece; the first is the one that is told. */
  readonly #blocks: Block[] = [];
  #blockCount = 0;
  #held = 0;
  /** Calls by the index or the id that the provider knows them by. */
  readonly #calls = new Map<unknown, Block>();
  #lastCall: Block | undefined;
  #callCount = 0;
  #hasCalls = false;
  #isRefused = false;
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
      const { delta } = choice;
      if (isObject(delta)) this.#read(delta);
      if (typeof choice.finish_reason === 'string' && choice.finish_reason !== '') {
        this.#finish = choice.finish_reason;
        this.#stop = choice.stop_reason;
        this.#closeAll();
      }
    }
    return this.#out;
  }

  end(): Json[] {
    this.#out = [];
    this.#start({});
    this.#closeAll();
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
    let block = this.#blocks.at(-1);
    if (block?.kind !== kind)
      block = this.#add({ kind, field, order: 0, id: '', name: '', end: null, held: '', index: -1 });
    this.#append(block, text);
  }

  #call(call: Json): void {
    if (!isObject(call.function)) return;
    const id = typeof call.id === 'string' ? call.id : '';
    const name = typeof call.function.name === 'string' ? call.function.name : '';
    const block = this.#callBlock(call.index, id, name);
    if (block.index < 0) {
      if (block.id === '') block.id = id;
      // A name may come in pieces, or again with every piece, until there are arguments.
      if ((block.held === '' || block.name === '') && name !== block.name) block.name += name;
      if (block === this.#blocks[0] && block.held !== '') this.#open(block);
    }
    const written = call.function.arguments;
    const text = typeof written === 'string' ? written : isObject(written) ? JSON.stringify(written) : '';
    if (text !== '') this.#append(block, text);
  }

  /** The call that a piece belongs to. Some count no calls (Mistral), some count each as the first (Gemini). */
  #callBlock(index: unknown, id: string, name: string): Block {
    const key = Number.isSafeInteger(index) ? index : id;
    const known = key === '' ? this.#lastCall : this.#calls.get(key);
    const isOther = known !== undefined && id !== '' && known.id !== '' && known.id !== id && name !== '';
    if (known && !isOther) return known;
    if (this.#callCount >= MOST_CALLS) throw mixed();
    const order = this.#callCount++;
    const block: Block = {
      kind: 'call',
      field: null,
      order,
      id,
      name: '',
      end: new JsonObjectEnd(),
      held: '',
      index: -1,
    };
    this.#calls.set(key, block);
    this.#lastCall = block;
    return this.#add(block);
  }

  #add(block: Block): Block {
    this.#blocks.push(block);
    this.#advance();
    return block;
  }

  /** A piece of a block: said when it is its turn, kept when it is not, left out when it is over. */
  #append(block: Block, text: string): void {
    block.end?.feed(text);
    if (block !== this.#blocks[0]) {
      if (block.index >= 0) return;
      block.held += text;
      this.#held += text.length;
      if (this.#held > MOST_HELD) throw mixed();
      return;
    }
    if (block.index >= 0) this.#out.push(deltaOf(block, text));
    else {
      block.held += text;
      this.#held += text.length;
      this.#open(block);
    }
    if (this.#blocks.length > 1) this.#advance();
  }

  /** Ends the first block where it is over and another waits. */
  #advance(): void {
    while (this.#blocks.length > 1 && this.#blocks[0]!.end?.isWhole !== false) {
      this.#close(this.#blocks.shift()!);
      const next = this.#blocks[0]!;
      if (next.held !== '') this.#open(next);
    }
  }

  #closeAll(): void {
    for (const block of this.#blocks) this.#close(block);
    this.#blocks.length = 0;
  }

  /** Begins a block with what is known of it. A call without a name waits for it. */
  #open(block: Block): void {
    if (block.kind === 'call') {
      if (block.name === '') return;
      if (block.id === '') block.id = callId(this.#context, block.order);
      this.#hasCalls = true;
    }
    block.index = this.#blockCount++;
    this.#out.push({ type: 'content_block_start', index: block.index, content_block: startOf(block) });
    if (block.held === '') return;
    this.#out.push(deltaOf(block, block.held));
    this.#held -= block.held.length;
    block.held = '';
  }

  #close(block: Block): void {
    if (block.index < 0) this.#open(block);
    // A call without a name can be told to nobody.
    if (block.index < 0) return;
    const { index, field } = block;
    if (field !== null) {
      const signature = thinkingSignature(this.#context.body.model, field);
      this.#out.push({ type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } });
    }
    this.#out.push({ type: 'content_block_stop', index });
  }
}

const mixed = (): GatewayError =>
  new GatewayError('upstream_error', 'The model provider mixes more tool calls than can be told one after the other.');

const startOf = ({ kind, id, name }: Block): Json => {
  if (kind === 'call') return { type: 'tool_use', id, name, input: {} };
  return kind === 'thinking' ? { type: 'thinking', thinking: '', signature: '' } : { type: 'text', text: '' };
};

const deltaOf = ({ kind, index }: Block, text: string): Json => ({
  type: 'content_block_delta',
  index,
  delta:
    kind === 'call'
      ? { type: 'input_json_delta', partial_json: text }
      : kind === 'thinking'
        ? { type: 'thinking_delta', thinking: text }
        : { type: 'text_delta', text },
});
