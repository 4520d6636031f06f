import { hash } from 'node:crypto';
import { isObject, type Json } from './fields.ts';
import { elementsOf, memberOf, type Nested, nestedAt, renamed, replaced, unwrapped, without } from './json-nested.ts';
import type { Range } from './json-ranges.ts';
import { notThere } from './mistral-error.ts';
import type { Splice } from './protocol.ts';

/**
 * The splices that say messages as Mistral takes them. Throws GatewayError `invalid_field` for what it has no words
 * for.
 */
export const mistralMessageEdits = (whole: Nested, messages: readonly unknown[]): Splice[] => {
  const splices: Splice[] = [];
  let ranges: Range[] | undefined;
  for (const [index, message] of messages.entries()) {
    if (!isObject(message) || !needsEdit(message)) continue;
    ranges ??= elementsOf(whole, 'messages');
    editMessage(nestedAt(whole, ranges[index]!), message, `messages[${index}]`, splices);
  }
  return splices;
};

/** Most messages are a role and a text. */
const needsEdit = (message: Json): boolean => {
  if (message.role === 'developer' || message.role === 'function') return true;
  if (Array.isArray(message.content) && message.content.some(isSaidOtherwise)) return true;
  for (const name in message) if (name !== 'role' && name !== 'content') return true;
  return false;
};

/** Whether a part has another form at Mistral, or none. Most do not: a part may be a large image. */
const isSaidOtherwise = (part: unknown): boolean =>
  isObject(part) &&
  (part.type === 'refusal' ||
    (part.type === 'input_audio' && isObject(part.input_audio)) ||
    (part.type === 'file' && isObject(part.file)));

/** Fields of a message that are OpenAI's or of servers like it, and that Mistral does not take back. */
const LEFT_OUT = ['annotations', 'reasoning_content', 'reasoning', 'reasoning_details', 'parsed'];

const editMessage = (nested: Nested, message: Json, param: string, splices: Splice[]): void => {
  if (message.role === 'developer') splices.push(replaced(nested, 'role', '"system"'));
  if (message.role === 'function') throw notThere(`${param}.role`);
  const gone = new Set(LEFT_OUT);
  // Who speaks: Mistral knows the names of tools alone.
  if (message.role !== 'tool') gone.add('name');
  for (const name of ['function_call', 'audio', 'refusal', 'tool_calls', 'tool_call_id', 'name']) {
    if (message[name] === null) gone.add(name);
    else if (message[name] !== undefined && (name === 'function_call' || name === 'audio')) {
      throw notThere(`${param}.${name}`);
    }
  }
  if (typeof message.refusal === 'string') {
    if (message.content !== undefined && message.content !== null && message.content !== '') {
      throw notThere(`${param}.refusal`);
    }
    gone.add('content');
    splices.push(renamed(nested, 'refusal', 'content'));
  }
  splices.push(...without(nested, gone));
  if (typeof message.tool_call_id === 'string') {
    const id = idOf(message.tool_call_id);
    if (id !== message.tool_call_id) splices.push(replaced(nested, 'tool_call_id', JSON.stringify(id)));
  }
  if (Array.isArray(message.tool_calls)) editCalls(nested, message.tool_calls, param, splices);
  if (Array.isArray(message.content)) editParts(nested, message.content, param, splices);
};

const ID = /^[A-Za-z0-9]{9}$/;

/**
 * An id of a tool call that Mistral takes: nine letters and digits. Of another provider's, or a gateway's, its digest:
 * the same in the call and in its result.
 */
const idOf = (id: string): string => (ID.test(id) ? id : hash('sha256', id, 'hex').slice(0, 9));

const editCalls = (nested: Nested, calls: readonly unknown[], param: string, splices: Splice[]): void => {
  const ranges = elementsOf(nested, 'tool_calls');
  for (const [index, call] of calls.entries()) {
    if (!isObject(call)) continue;
    if (call.type === 'custom') throw notThere(`${param}.tool_calls[${index}].type`);
    if (typeof call.id !== 'string') continue;
    const id = idOf(call.id);
    if (id !== call.id) splices.push(replaced(nestedAt(nested, ranges[index]!), 'id', JSON.stringify(id)));
  }
};

const editParts = (nested: Nested, parts: readonly unknown[], param: string, splices: Splice[]): void => {
  let ranges: Range[] | undefined;
  for (const [index, part] of parts.entries()) {
    if (!isObject(part) || !isSaidOtherwise(part)) continue;
    // OpenAI's files are not Mistral's, and documents are given to it by URL.
    if (part.type === 'file') throw notThere(`${param}.content[${index}].file`);
    ranges ??= elementsOf(nested, 'content');
    const own = nestedAt(nested, ranges[index]!);
    if (part.type === 'refusal') {
      if (part.text !== undefined) throw notThere(`${param}.content[${index}].text`);
      splices.push(replaced(own, 'type', '"text"'), renamed(own, 'refusal', 'text'));
    } else if (typeof (part.input_audio as Json).data === 'string') {
      splices.push(...unwrapped(memberOf(own, 'input_audio'), 'data'));
    } else throw notThere(`${param}.content[${index}].input_audio`);
  }
};
