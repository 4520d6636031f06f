import { GatewayError } from '../../errors.ts';
import { invalidField, isObject, type Json } from '../fields.ts';
import {
  blocksIn,
  stringAt,
  systemText,
  textOf,
  textPart,
  toolOutput,
  typeOf,
  userParts,
} from './messages-to-chat-parts.ts';
import { reasoningFieldOf } from './messages-to-chat-thinking.ts';
import type { ReasoningField } from './responses-to-chat-reasoning.ts';
import { onlyMembers, onlyValues, unsaid } from './responses-to-chat-refusal.ts';

/**
 * A conversation as chat messages to `model`. Messages of the assistant in a row are one turn, as they are to
 * Anthropic. Results of tools follow the calls at once, what a user says beside them comes after all of them. Throws
 * GatewayError `invalid_field` for what cannot be said, and for calls and results that do not belong together.
 */
export const chatMessages = (messages: readonly unknown[], model: string): Json[] => {
  if (messages.length === 0) throw invalidField('messages', 'an array that is not empty');
  const conversation = new Conversation(model);
  for (let index = 0; index < messages.length; index++) conversation.add(messages[index], `messages[${index}]`);
  return conversation.end(`messages[${messages.length - 1}]`);
};

/** What the assistant said in one turn. */
interface Turn {
  text: string;
  reasoning: string;
  field: ReasoningField | null;
  readonly calls: Json[];
  readonly ids: Set<unknown>;
}

class Conversation {
  readonly #model: string;
  readonly #said: Json[] = [];
  /** The assistant's turn while it lasts. */
  #turn: Turn | null = null;
  /** Calls without a result yet. */
  readonly #open = new Set<string>();
  /** What a user said beside results while others were still to come. */
  #waiting: Json[] = [];

  constructor(model: string) {
    this.#model = model;
  }

  add(message: unknown, param: string): void {
    if (!isObject(message)) throw invalidField(param, 'an object');
    onlyMembers(message, MESSAGE, param);
    const { role, content } = message;
    if (role === 'user') {
      this.#endTurn();
      this.#user(content, `${param}.content`);
      return;
    }
    if (role === 'assistant') {
      this.#settle(param);
      this.#assistant(content, `${param}.content`);
    } else if (role === 'system') {
      this.#endTurn();
      this.#settle(param);
      const text = systemText(content, `${param}.content`);
      if (text !== '') this.#said.push({ role: 'system', content: text });
    } else throw invalidField(`${param}.role`, 'one of user, assistant, system');
  }

  end(param: string): Json[] {
    if (this.#turn) throw unsaid(param, 'The beginning of an answer', 'End with a message of the user.');
    this.#settle(param);
    return this.#said;
  }

  #user(content: unknown, param: string): void {
    const parts: Json[] = [];
    if (typeof content === 'string') parts.push(textPart(content));
    else {
      const blocks = blocksIn(content, param);
      if (blocks.length === 0) throw invalidField(param, 'a string or an array of blocks that is not empty');
      for (const [block, at] of blocks) {
        if (block.type === 'tool_result') parts.push(...this.#result(block, at));
        else parts.push(...userParts(block, at));
      }
    }
    if (parts.length > 0) this.#waiting.push({ role: 'user', content: plain(parts) });
    if (this.#open.size === 0) this.#flush();
  }

  /** A tool message, and what of the result goes into the user's message behind it. */
  #result(block: Json, param: string): Json[] {
    onlyMembers(block, RESULT, param);
    const id = stringAt(block, 'tool_use_id', param);
    if (!this.#open.delete(id)) {
      throw new GatewayError(
        'invalid_field',
        `Invalid value for '${param}': it is not the first result of a tool_use in the assistant's message before it.`,
        { param: `${param}.tool_use_id` },
      );
    }
    const { text, media } = toolOutput(block.content, `${param}.content`);
    const said = text === '' && media.length > 0 ? IN_NEXT_MESSAGE : text;
    const isError = block.is_error ?? false;
    if (typeof isError !== 'boolean') throw invalidField(`${param}.is_error`, 'a boolean');
    this.#said.push({ role: 'tool', tool_call_id: id, content: isError ? `Error: ${said}` : said });
    return media.length === 0 ? [] : [textPart(`Result of tool call ${id}:`), ...media];
  }

  #assistant(content: unknown, param: string): void {
    this.#turn ??= { text: '', reasoning: '', field: null, calls: [], ids: new Set() };
    const turn = this.#turn;
    if (typeof content === 'string') {
      turn.text += content;
      return;
    }
    for (const [block, at] of blocksIn(content, param)) {
      switch (block.type) {
        case 'text':
          turn.text += textOf(block, at);
          break;
        case 'tool_use':
          if (turn.ids.has(block.id)) throw twice(at);
          turn.ids.add(block.id);
          turn.calls.push(callOf(block, at));
          break;
        case 'thinking':
          this.#recall(turn, block);
          break;
        case 'redacted_thinking':
          break;
        default:
          throw unsaid(at, `A block of type ${typeOf(block)}`);
      }
    }
  }

  /** Reasoning goes back to the model that made it, in the field where it was; that of others means nothing to it. */
  #recall(turn: Turn, block: Json): void {
    const field = reasoningFieldOf(block, this.#model);
    if (field === null || typeof block.thinking !== 'string') return;
    turn.field = field;
    turn.reasoning += block.thinking;
  }

  #endTurn(): void {
    const turn = this.#turn;
    this.#turn = null;
    if (!turn || (turn.text === '' && turn.calls.length === 0)) return;
    for (const id of turn.ids) this.#open.add(id as string);
    this.#said.push(turnMessage(turn));
  }

  /** Every call has its result before the conversation goes on. */
  #settle(param: string): void {
    if (this.#open.size > 0) {
      throw new GatewayError(
        'invalid_field',
        `Each tool_use must have a tool_result in the next message: ${[...this.#open].join(', ').slice(0, 200)} has none.`,
        { param },
      );
    }
  }

  #flush(): void {
    this.#said.push(...this.#waiting);
    this.#waiting = [];
  }
}

const MESSAGE: ReadonlySet<string> = new Set(['role', 'content']);
const RESULT: ReadonlySet<string> = new Set([...['type', 'tool_use_id', 'content', 'is_error', 'cache_control']]);
const USE: ReadonlySet<string> = new Set(['type', 'id', 'name', 'input', 'cache_control', 'caller']);

const IN_NEXT_MESSAGE = '(in the next message)';

const twice = (param: string): GatewayError =>
  new GatewayError('invalid_field', `Invalid value for '${param}.id': two calls of one turn have the same id.`, {
    param: `${param}.id`,
  });

const callOf = (block: Json, param: string): Json => {
  onlyMembers(block, USE, param);
  if (isObject(block.caller)) onlyValues(block.caller, 'type', ['direct'], `${param}.caller`);
  const id = stringAt(block, 'id', param);
  const name = stringAt(block, 'name', param);
  return { id, type: 'function', function: { name, arguments: JSON.stringify(block.input ?? {}) } };
};

const turnMessage = ({ text, reasoning, field, calls }: Turn): Json => {
  const message: Json = { role: 'assistant', content: text === '' ? null : text };
  if (field === 'thinking') {
    const thinking = { type: 'thinking', thinking: [textPart(reasoning)] };
    message.content = text === '' ? [thinking] : [thinking, textPart(text)];
  } else if (field !== null) message[field] = reasoning;
  if (calls.length > 0) message.tool_calls = calls;
  return message;
};

/** A single text is a string: every server takes it. */
const plain = (parts: readonly Json[]): unknown => {
  const [first] = parts;
  return parts.length === 1 && first?.type === 'text' ? first.text : parts;
};
