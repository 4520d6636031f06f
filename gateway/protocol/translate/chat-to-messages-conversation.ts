import { GatewayError } from '../../errors.ts';
import { append } from '../append.ts';
import { arrayField, invalidField, isObject, type Json } from '../fields.ts';
import { Calls, functionKey } from './chat-to-messages-calls.ts';
import { cannotSay, onlyKnown, stringAt } from './chat-to-messages-fields.ts';
import {
  blocksOf,
  cacheControlOf,
  markCache,
  TEXT_AND_REFUSAL,
  TEXT_ONLY,
  USER_PARTS,
} from './chat-to-messages-parts.ts';
import { reasoningBlocks } from './reasoning-details.ts';

interface Turn {
  readonly role: 'user' | 'assistant' | 'system';
  readonly content: Json[];
}

/** A conversation as Anthropic takes it. */
export interface Conversation {
  readonly system: readonly Json[];
  readonly messages: readonly Turn[];
}

/**
 * The messages of a chat as turns: those of one role in a row are one turn, and the results of tools open the user's.
 * Throws GatewayError `invalid_field` for what cannot be said.
 */
export const conversationOf = (messages: readonly unknown[], takesLaterSystem: boolean): Conversation => {
  const turns = new Turns(takesLaterSystem);
  for (let index = 0; index < messages.length; index++) turns.add(messages[index], `messages[${index}]`);
  turns.end(`messages[${messages.length - 1}]`);
  return turns;
};

const COMMON = ['role', 'content', 'name', 'cache_control'];
const MEMBERS: Readonly<Record<string, ReadonlySet<string>>> = {
  system: new Set(COMMON),
  developer: new Set(COMMON),
  user: new Set(COMMON),
  tool: new Set([...COMMON, 'tool_call_id']),
  function: new Set(COMMON),
  // What an answer has and callers send back: annotations, the parsed form (OpenAI's SDKs) and unsigned reasoning are
  // left out.
  assistant: new Set([
    ...COMMON,
    ...['refusal', 'tool_calls', 'function_call', 'annotations', 'parsed'],
    ...['reasoning_details', 'reasoning_content', 'reasoning'],
  ]),
};

class Turns implements Conversation {
  readonly system: Json[] = [];
  readonly messages: Turn[] = [];
  readonly #takesLaterSystem: boolean;
  /** System blocks that wait for the end of the user's turn, and the last message that said one. */
  #later: Json[] = [];
  #laterParam = '';
  readonly #calls = new Calls();

  constructor(takesLaterSystem: boolean) {
    this.#takesLaterSystem = takesLaterSystem;
  }

  add(message: unknown, param: string): void {
    if (!isObject(message)) throw invalidField(param, 'an object');
    const { role } = message;
    const members = typeof role === 'string' && Object.hasOwn(MEMBERS, role) ? MEMBERS[role] : undefined;
    if (!members) throw invalidField(`${param}.role`, `one of ${Object.keys(MEMBERS).join(', ')}`);
    onlyKnown(message, members, param);
    if (role === 'system' || role === 'developer') this.#system(message, param);
    else if (role === 'tool') this.#result(message, stringAt(message, 'tool_call_id', param), param);
    else if (role === 'function') this.#result(message, functionKey(stringAt(message, 'name', param)), param);
    else {
      this.#allAnswered(param);
      if (role === 'user')
        this.#say('user', marked(blocksOf(message.content, USER_PARTS, `${param}.content`), message, param));
      else this.#assistant(message, param);
    }
  }

  end(param: string): void {
    this.#allAnswered(param);
    this.#placeLater();
    if (this.messages.length === 0) throw cannotSay('messages', 'it needs a message of a user that says something');
  }

  /** Before the conversation: the system prompt. Later: where the user's turn ends, if the model takes it there. */
  #system(message: Json, param: string): void {
    const blocks = marked(blocksOf(message.content, TEXT_ONLY, `${param}.content`), message, param);
    if (this.messages.length === 0 || !this.#takesLaterSystem) {
      append(this.system, blocks);
      return;
    }
    append(this.#later, blocks);
    this.#laterParam = param;
  }

  #placeLater(): void {
    if (this.#later.length === 0) return;
    if (this.messages.at(-1)?.role !== 'user') {
      throw cannotSay(this.#laterParam, 'a later system message stands behind a message of a user');
    }
    this.messages.push({ role: 'system', content: this.#later });
    this.#later = [];
  }

  #say(role: 'user' | 'assistant', blocks: readonly Json[]): void {
    if (blocks.length === 0) return;
    if (role === 'assistant') this.#placeLater();
    const last = this.messages.at(-1);
    if (last?.role === role) append(last.content, blocks);
    else this.messages.push({ role, content: [...blocks] });
  }

  #assistant(message: Json, param: string): void {
    const blocks = reasoningBlocks(message.reasoning_details, `${param}.reasoning_details`);
    const texts = blocksOf(message.content, TEXT_AND_REFUSAL, `${param}.content`);
    texts.push(...blocksOf(message.refusal, TEXT_ONLY, `${param}.refusal`));
    append(blocks, marked(texts, message, param));
    const calls = arrayField(message, 'tool_calls', `${param}.tool_calls`);
    for (let index = 0; index < calls.length; index++) {
      blocks.push(this.#calls.toolUse(calls[index], `${param}.tool_calls[${index}]`));
    }
    const call = message.function_call ?? undefined;
    if (call !== undefined) blocks.push(this.#calls.functionUse(call, `${param}.function_call`));
    this.#say('assistant', blocks);
  }

  #result(message: Json, key: string, param: string): void {
    const id = this.#calls.answer(key);
    if (id === undefined) {
      throw new GatewayError(
        'invalid_field',
        `Invalid value for '${param}': it is not the first answer to a call of the assistant's message before it.`,
        { param: message.role === 'tool' ? `${param}.tool_call_id` : `${param}.name` },
      );
    }
    const { content } = message;
    const said = typeof content === 'string' ? content : blocksOf(content, USER_PARTS, `${param}.content`);
    const control = cacheControlOf(message, param);
    this.#say('user', [
      {
        type: 'tool_result',
        tool_use_id: id,
        ...(said.length === 0 ? {} : { content: said }),
        ...(control ? { cache_control: control } : {}),
      },
    ]);
  }

  #allAnswered(param: string): void {
    const ids = this.#calls.unanswered;
    if (ids.length === 0) return;
    throw new GatewayError(
      'invalid_field',
      `An assistant message with tool calls must be followed by a tool message for each: ${ids.join(', ')} has none.`,
      { param },
    );
  }
}

const marked = (blocks: Json[], message: Json, param: string): Json[] => {
  markCache(blocks, message, param);
  return blocks;
};
