import { invalidField, isObject, type Json } from '../fields.ts';
import { cannotSay, objectAt, objectOf, onlyKnown, stringAt } from './chat-to-messages-fields.ts';
import { CUSTOM_INPUT } from './chat-to-messages-tools.ts';

/** A call of the older form has no id: its name is one, kept apart from ids. */
const FUNCTION_KEY = '\u0000';

/** What the result of a `function_call` is found by. */
export const functionKey = (name: string): string => FUNCTION_KEY + name;

/**
 * The calls of a conversation, each under an id that Anthropic takes: of its own letters, and once in a conversation.
 * Other providers have other letters, and some count anew in every message.
 */
export class Calls {
  /** Calls without a result yet: the caller's id and ours. */
  readonly #open = new Map<string, string>();
  /** Ids that are taken, and how many calls have been given each. */
  readonly #ids = new Map<string, number>();

  /** The ids of calls that have no result yet, in the caller's words. */
  get unanswered(): string[] {
    return [...this.#open.keys()].map((key) => key.replace(FUNCTION_KEY, ''));
  }

  /** Our id of an open call, which is answered now; undefined where there is none. */
  answer(key: string): string | undefined {
    const id = this.#open.get(key);
    this.#open.delete(key);
    return id;
  }

  /** An entry of `tool_calls` as a block. Throws GatewayError `invalid_field`. */
  toolUse(call: unknown, param: string): Json {
    if (!isObject(call)) throw invalidField(param, 'an object');
    onlyKnown(call, CALL, param);
    const key = stringAt(call, 'id', param);
    const type = call.type ?? 'function';
    if (type !== 'function' && type !== 'custom') throw invalidField(`${param}.type`, 'function or custom');
    const said = objectAt(call, type, param);
    const at = `${param}.${type}`;
    const input = type === 'custom' ? { [CUSTOM_INPUT]: stringAt(said, 'input', at) } : inputOf(said, at);
    return this.#use(key, stringAt(said, 'name', at), input, `${param}.id`);
  }

  /** A `function_call`, the older form, as a block. Throws GatewayError `invalid_field`. */
  functionUse(call: unknown, param: string): Json {
    if (!isObject(call)) throw invalidField(param, 'an object');
    const name = stringAt(call, 'name', param);
    return this.#use(functionKey(name), name, inputOf(call, param), `${param}.name`);
  }

  #use(key: string, name: string, input: Json, param: string): Json {
    if (this.#open.has(key)) throw cannotSay(param, 'two calls of one message have the same id');
    const plain = key.replace(/[^A-Za-z0-9_-]/g, '_') || '_';
    let id = plain;
    // Goes on where it left off: a long conversation may say the same id in every message.
    let count = this.#ids.get(plain) ?? 0;
    while (this.#ids.has(id)) id = `${plain}_${++count}`;
    this.#ids.set(id, 1);
    this.#ids.set(plain, Math.max(count, 1));
    this.#open.set(key, id);
    return { type: 'tool_use', id, name, input };
  }
}

const CALL: ReadonlySet<string> = new Set(['id', 'type', 'function', 'custom', 'index']);

/** What a call's `arguments` say. A model that calls a function without parameters may write nothing. */
const inputOf = (call: Json, param: string): Json => {
  const text = stringAt(call, 'arguments', param);
  return text.trim() === '' ? {} : objectOf(text, `${param}.arguments`);
};
