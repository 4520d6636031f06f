import { GatewayError } from '../../errors.ts';
import { isObject, type Json } from '../fields.ts';
import { blocksIn, stringAt, textOf, textPart, typeOf } from './messages-to-chat-parts.ts';
import { reasoningFieldOf } from './messages-to-chat-thinking.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/** What the assistant said in one turn, to be said to `model`: its texts joined, as citations split sentences. */
export class AssistantTurn {
  /** The ids of its calls. */
  readonly ids = new Set<string>();
  readonly #model: string;
  readonly #calls: Json[] = [];
  #text = '';
  #reasoning = '';
  #field: ReasoningField | null = null;

  constructor(model: string) {
    this.#model = model;
  }

  /** Adds a message's content. Throws GatewayError `invalid_field` for what cannot be said. */
  add(content: unknown, param: string): void {
    if (typeof content === 'string') {
      this.#text += content;
      return;
    }
    for (const [block, at] of blocksIn(content, param)) {
      switch (block.type) {
        case 'text':
          this.#text += textOf(block, at);
          break;
        case 'tool_use':
          this.#call(block, at);
          break;
        case 'thinking':
          this.#recall(block);
          break;
        case 'redacted_thinking':
          break;
        default:
          throw unsaid(at, `A block of type ${typeOf(block)}`);
      }
    }
  }

  /** The turn as a chat message; undefined when nothing of it can be said. */
  message(): Json | undefined {
    if (this.#text === '' && this.#calls.length === 0) return undefined;
    const message: Json = { role: 'assistant', content: this.#text === '' ? null : this.#text };
    if (this.#field === 'thinking') {
      const thinking = { type: 'thinking', thinking: [textPart(this.#reasoning)] };
      message.content = this.#text === '' ? [thinking] : [thinking, textPart(this.#text)];
    } else if (this.#field !== null) message[this.#field] = this.#reasoning;
    if (this.#calls.length > 0) message.tool_calls = this.#calls;
    return message;
  }

  #call(block: Json, param: string): void {
    onlyMembers(block, USE, param);
    if (isObject(block.caller)) onlyValues(block.caller, 'type', ['direct'], `${param}.caller`);
    const id = stringAt(block, 'id', param);
    const name = stringAt(block, 'name', param);
    if (this.ids.has(id)) throw twice(`${param}.id`);
    this.ids.add(id);
    this.#calls.push({ id, type: 'function', function: { name, arguments: JSON.stringify(block.input ?? {}) } });
  }

  /** Reasoning goes back to the model that made it, in the field where it was; that of others means nothing to it. */
  #recall(block: Json): void {
    const field = reasoningFieldOf(block, this.#model);
    if (field === null || typeof block.thinking !== 'string') return;
    this.#field = field;
    this.#reasoning += block.thinking;
  }
}

const USE: ReadonlySet<string> = new Set(['type', 'id', 'name', 'input', 'cache_control', 'caller']);

const twice = (param: string): GatewayError =>
  new GatewayError('invalid_field', `Invalid value for '${param}': two calls of one turn have the same id.`, { param });
