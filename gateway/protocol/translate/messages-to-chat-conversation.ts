import { GatewayError } from '../../errors.ts';
import { append } from '../append.ts';
import { invalidField, isObject, type Json } from '../fields.ts';
import { blocksIn, stringAt, systemText, textPart, toolOutput, userParts } from './messages-to-chat-parts.ts';
import { AssistantTurn } from './messages-to-chat-turn.ts';
import { onlyMembers, unsaid } from './unsaid.ts';

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

class Conversation {
  readonly #model: string;
  readonly #said: Json[] = [];
  /** The assistant's turn while it lasts. */
  #turn: AssistantTurn | null = null;
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
      this.#turn ??= new AssistantTurn(this.#model);
      this.#turn.add(content, `${param}.content`);
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
        append(parts, block.type === 'tool_result' ? this.#result(block, at) : userParts(block, at));
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

  #endTurn(): void {
    const turn = this.#turn;
    this.#turn = null;
    const message = turn?.message();
    if (!message) return;
    for (const id of turn!.ids) this.#open.add(id);
    this.#said.push(message);
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
    append(this.#said, this.#waiting);
    this.#waiting = [];
  }
}

const MESSAGE: ReadonlySet<string> = new Set(['role', 'content']);
const RESULT: ReadonlySet<string> = new Set([...['type', 'tool_use_id', 'content', 'is_error', 'cache_control']]);
const IN_NEXT_MESSAGE = '(in the next message)';

/** A single text is a string: every server takes it. */
const plain = (parts: readonly Json[]): unknown => {
  const [first] = parts;
  return parts.length === 1 && first?.type === 'text' ? first.text : parts;
};
