import { invalidField, isObject, type Json } from '../fields.ts';
import { assistantParts, contentOf, inputParts, systemParts } from './responses-to-chat-content.ts';
import { Conversation, type Output } from './responses-to-chat-conversation.ts';
import { unpackReasoning } from './responses-to-chat-reasoning.ts';
import { functionName, TOOL_SEARCH } from './responses-to-chat-tools.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/**
 * `instructions` and `input` as messages. What a model said in a row is one assistant message, the outputs of its calls
 * are tool messages right behind it, and system messages at the start are one. Throws GatewayError `invalid_field`.
 */
export const chatMessages = (body: Json): Json[] => {
  const input = body.input ?? [];
  if (typeof input !== 'string' && !Array.isArray(input)) throw invalidField('input', 'a string or an array of items');
  const items: unknown[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const conversation = new Conversation(body.model, outputsOf(items));
  const instructions = body.instructions ?? '';
  if (typeof instructions !== 'string') throw invalidField('instructions', 'a string');
  if (instructions !== '') conversation.system([{ type: 'text', text: instructions }]);
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    const param = `input[${index}]`;
    if (!isObject(item)) throw invalidField(param, 'an object');
    readItem(conversation, item, param);
  }
  const messages = conversation.end();
  if (messages.length === 0) throw invalidField('input', 'a text or items that say something');
  return messages;
};

/** The outputs of all calls by call id, in order: a call may be followed by other items before its output. */
const outputsOf = (items: readonly unknown[]): Map<string, Output[]> => {
  const outputs = new Map<string, Output[]>();
  for (let index = 0; index < items.length; index++) {
    const item = items[index];
    if (!isObject(item) || typeof item.type !== 'string' || !OUTPUTS.has(item.type)) continue;
    const param = `input[${index}]`;
    const id = callId(item, param);
    const of = outputs.get(id) ?? [];
    of.push(outputOf(item, param));
    outputs.set(id, of);
  }
  return outputs;
};

const OUTPUTS: ReadonlySet<string> = new Set(['function_call_output', 'custom_tool_call_output', 'tool_search_output']);

const outputOf = (item: Json, param: string): Output => {
  if (item.type === 'tool_search_output') return { content: loadedText(item), attached: [] };
  const parts = inputParts(item.output, `${param}.output`);
  const texts = parts.filter(({ type }) => type === 'text');
  const attached = parts.filter(({ type }) => type !== 'text');
  const content =
    texts.length === 0 && attached.length > 0 ? 'The output follows in the next message.' : contentOf(texts);
  return { content, attached };
};

/** What a tool search has found: the tools themselves are offered with the others. */
const loadedText = (item: Json): string => {
  const names: string[] = [];
  for (const tool of Array.isArray(item.tools) ? item.tools : []) {
    if (!isObject(tool)) continue;
    if (Array.isArray(tool.tools)) {
      for (const inner of tool.tools) if (isObject(inner)) names.push(functionName(String(inner.name), tool.name));
    } else names.push(String(tool.name));
  }
  return names.length === 0 ? 'No tools were found.' : `These tools can be called now: ${names.join(', ')}`;
};

const callId = (item: Json, param: string): string => {
  if (typeof item.call_id !== 'string' || item.call_id === '') {
    throw invalidField(`${param}.call_id`, 'a string that is not empty');
  }
  return item.call_id;
};

const stringIn = (item: Json, key: string, param: string): string => {
  const value = item[key];
  if (typeof value !== 'string') throw invalidField(`${param}.${key}`, 'a string');
  return value;
};

/** Members of every item that mean nothing to the model. */
const ENVELOPE = ['type', 'id', 'status'];
const CALL = [...ENVELOPE, 'call_id', 'caller', 'async'];
const MESSAGE: ReadonlySet<string> = new Set([...ENVELOPE, 'role', 'content', 'phase']);
const FUNCTION_CALL: ReadonlySet<string> = new Set([...CALL, 'name', 'namespace', 'arguments']);
const CUSTOM_CALL: ReadonlySet<string> = new Set([...CALL, 'name', 'namespace', 'input']);
const OUTPUT: ReadonlySet<string> = new Set([...CALL, 'output', 'name', 'namespace']);
const SEARCH: ReadonlySet<string> = new Set([...CALL, 'execution', 'arguments', 'tools']);
const REASONING: ReadonlySet<string> = new Set([...ENVELOPE, 'summary', 'content', 'encrypted_content']);

const readItem = (conversation: Conversation, item: Json, param: string): void => {
  switch (item.type ?? 'message') {
    case 'message':
      onlyMembers(item, MESSAGE, param);
      readMessage(conversation, item, param);
      return;
    case 'reasoning': {
      onlyMembers(item, REASONING, param);
      const kept = unpackReasoning(item.encrypted_content);
      if (kept) conversation.reasoning(kept, summaryText(item.summary));
      return;
    }
    case 'function_call':
      checkCall(item, FUNCTION_CALL, param);
      conversation.call(callId(item, param), calledName(item, param), stringIn(item, 'arguments', param), param);
      return;
    case 'custom_tool_call': {
      checkCall(item, CUSTOM_CALL, param);
      const args = JSON.stringify({ input: stringIn(item, 'input', param) });
      conversation.call(callId(item, param), calledName(item, param), args, param);
      return;
    }
    case 'tool_search_call':
      checkSearch(item, param);
      conversation.call(callId(item, param), TOOL_SEARCH, JSON.stringify(item.arguments ?? {}), param);
      return;
    case 'function_call_output':
    case 'custom_tool_call_output':
      checkCall(item, OUTPUT, param);
      conversation.output(callId(item, param), param);
      return;
    case 'tool_search_output':
      checkSearch(item, param);
      conversation.output(callId(item, param), param);
      return;
    case 'web_search_call':
      // It tells what was searched for, never what was found.
      return;
    case 'item_reference':
      throw unsaid(param, 'A reference to an item', 'Nothing is stored here: send the item itself, with store: false.');
    default:
      throw unsaid(param, `An item of type ${JSON.stringify(item.type)}`);
  }
};

const checkCall = (item: Json, known: ReadonlySet<string>, param: string): void => {
  onlyMembers(item, known, param);
  onlyValues(item, 'async', [false], param);
  if (isObject(item.caller)) onlyValues(item.caller, 'type', ['direct'], `${param}.caller`);
};

const checkSearch = (item: Json, param: string): void => {
  checkCall(item, SEARCH, param);
  if (item.execution !== 'client') throw unsaid(`${param}.execution`, 'A tool search that the provider runs');
};

const calledName = (item: Json, param: string): string => functionName(stringIn(item, 'name', param), item.namespace);

const summaryText = (summary: unknown): string => {
  if (!Array.isArray(summary)) return '';
  return summary
    .filter(isObject)
    .map(({ text }) => (typeof text === 'string' ? text : ''))
    .join('\n\n');
};

const readMessage = (conversation: Conversation, item: Json, param: string): void => {
  const at = `${param}.content`;
  switch (item.role) {
    case 'user':
      conversation.user(inputParts(item.content, at));
      return;
    case 'system':
    case 'developer':
      conversation.system(systemParts(item.content, at));
      return;
    case 'assistant': {
      const { texts, refusals } = assistantParts(item.content, at);
      conversation.assistant(texts, refusals);
      return;
    }
    default:
      if (typeof item.role !== 'string') throw invalidField(`${param}.role`, 'a string');
      throw unsaid(`${param}.role`, `A message of ${JSON.stringify(item.role)}`);
  }
};
