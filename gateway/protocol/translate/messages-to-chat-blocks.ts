import { GatewayError } from '../../errors.ts';
import type { Json } from '../fields.ts';
import { JsonObjectEnd } from './json-object-end.ts';
import type { TextKind } from './messages-to-chat-delta.ts';

/** A block of a streamed message that is not over. */
export interface Block {
  readonly kind: TextKind | 'call';
  /** Of a call: whether its arguments are whole. */
  readonly end: JsonObjectEnd | null;
  /** Said last, of reasoning; empty for none. */
  readonly signature: string;
  /** Of a call. One without a name waits for it, and is left out in the end. */
  id: string;
  /** Whether the id is the provider's. */
  hasGivenId: boolean;
  name: string;
  /** What came before its turn. */
  held: string;
  /** Its place among the blocks of the message; -1 before its turn. */
  index: number;
}

/** A block of which nothing is told yet. */
export const newBlock = (kind: Block['kind'], signature = ''): Block => ({
  kind,
  end: kind === 'call' ? new JsonObjectEnd() : null,
  signature,
  id: '',
  hasGivenId: false,
  name: '',
  held: '',
  index: -1,
});

/** In characters. A provider that mixes calls sends small ones. */
const MOST_HELD = 1024 * 1024;

/**
 * Tells blocks one after the other, as Anthropic does. The first that is not over is told as it comes, and the ones
 * behind it wait: text and reasoning are over when something else comes, a call when its arguments are a whole object
 * or all is over.
 */
export class BlockQueue {
  /** Blocks in the order of their first piece. */
  readonly #blocks: Block[] = [];
  #told = 0;
  #held = 0;

  last(): Block | undefined {
    return this.#blocks.at(-1);
  }

  /** A new block, behind those that are not over. */
  add(block: Block, out: Json[]): void {
    this.#blocks.push(block);
    this.#advance(out);
  }

  /**
   * A piece of a block: told when it is its turn, kept when it is not, left out when it is over. Throws GatewayError
   * `upstream_error` when more than a megabyte is kept.
   */
  append(block: Block, text: string, out: Json[]): void {
    block.end?.feed(text);
    if (block.index >= 0) {
      if (block !== this.#blocks[0]) return;
      out.push(deltaOf(block, text));
    } else {
      block.held += text;
      this.#held += text.length;
      if (this.#held > MOST_HELD) throw mixed();
      this.begin(block, out);
    }
    if (this.#blocks.length > 1) this.#advance(out);
  }

  /** Tells what is known of a block, if it is its turn, it has a name, and there is something to tell. */
  begin(block: Block, out: Json[]): void {
    if (block === this.#blocks[0] && block.index < 0 && block.held !== '') this.#open(block, out);
  }

  /** Ends all blocks. */
  closeAll(out: Json[]): void {
    for (const block of this.#blocks) this.#close(block, out);
    this.#blocks.length = 0;
  }

  #advance(out: Json[]): void {
    while (this.#blocks.length > 1 && this.#blocks[0]!.end?.isWhole !== false) {
      this.#close(this.#blocks.shift()!, out);
      this.begin(this.#blocks[0]!, out);
    }
  }

  #open(block: Block, out: Json[]): void {
    if (block.kind === 'call' && block.name === '') return;
    block.index = this.#told++;
    out.push({ type: 'content_block_start', index: block.index, content_block: startOf(block) });
    if (block.held !== '') out.push(deltaOf(block, block.held));
    this.#held -= block.held.length;
    block.held = '';
  }

  #close(block: Block, out: Json[]): void {
    if (block.index < 0) this.#open(block, out);
    if (block.index < 0) return;
    const { index, signature } = block;
    if (signature !== '') {
      out.push({ type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } });
    }
    out.push({ type: 'content_block_stop', index });
  }
}

/** The error of a stream that would fill the memory. */
export const mixed = (): GatewayError =>
  new GatewayError('upstream_error', 'The model provider mixes more tool calls than can be told one after the other.');

const startOf = ({ kind, id, name }: Block): Json => {
  if (kind === 'call') return { type: 'tool_use', id, name, input: {} };
  return kind === 'thinking' ? { type: 'thinking', thinking: '', signature: '' } : { type: 'text', text: '' };
};

const deltaOf = ({ kind, index }: Block, text: string): Json => {
  if (kind === 'call') {
    return { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: text } };
  }
  const delta = kind === 'thinking' ? { type: 'thinking_delta', thinking: text } : { type: 'text_delta', text };
  return { type: 'content_block_delta', index, delta };
};
