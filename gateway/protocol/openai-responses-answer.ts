import { leafTexts } from './anthropic-messages-answer.ts';
import { isObject, type Json } from './fields.ts';
import { memberText } from './openai-chat-answer.ts';
import type { AnswerText } from './protocol.ts';

/**
 * A string of an answer and the channel that it has in a stream: the kind of its deltas, `output_index` and the index
 * in the item, `output_text 1 0`.
 */
type Collect = (text: AnswerText) => void;

/** The texts of an unstreamed answer, with what it repeats of the request: the instructions, restored alike. */
export const responsesAnswerTexts = (body: unknown): AnswerText[] => {
  const texts: AnswerText[] = [];
  responseTexts(body, (text) => texts.push(text));
  return texts;
};

/** The texts of a response object. */
export const responseTexts = (response: unknown, collect: Collect): void => {
  if (!isObject(response)) return;
  if (typeof response.instructions === 'string') {
    collect({ ...memberText(response, 'instructions', 'instructions', 'text'), isRepeat: true });
  }
  if (!Array.isArray(response.output)) return;
  response.output.forEach((item: unknown, index: number) => {
    itemTexts(item, index, collect);
  });
};

/**
 * The texts of an output item: what the model says, and what it wants the caller to run. Tools that the provider runs
 * stay as they came, with their results: they ran with what the model knew. Reasoning here is not signed as text.
 */
export const itemTexts = (item: unknown, index: unknown, collect: Collect): void => {
  if (!isObject(item)) return;
  switch (item.type) {
    case 'message':
      partTexts(item.content, index, collect);
      return;
    case 'reasoning':
      listTexts(item.summary, `reasoning_summary_text ${index}`, collect);
      listTexts(item.content, `reasoning_text ${index}`, collect);
      return;
    case 'function_call':
      member(item, 'arguments', `function_call_arguments ${index} -`, collect, true);
      return;
    case 'custom_tool_call':
      member(item, 'input', `custom_tool_call_input ${index} -`, collect);
      return;
    case 'apply_patch_call':
      if (!isObject(item.operation)) return;
      member(item.operation, 'diff', `apply_patch_call_operation_diff ${index} -`, collect);
      member(item.operation, 'path', `path ${index} -`, collect);
      return;
    case 'shell_call': {
      const commands = isObject(item.action) ? item.action.commands : undefined;
      if (!Array.isArray(commands)) return;
      // An array is an object whose keys are its indexes.
      for (const key of commands.keys()) {
        member(commands as unknown as Json, String(key), `shell_call_command ${index} ${key}`, collect);
      }
      return;
    }
    case 'local_shell_call':
      leaves(item, 'action', `action ${index}`, collect);
      return;
    case 'computer_call':
      leaves(item, 'action', `action ${index}`, collect);
      leaves(item, 'actions', `actions ${index}`, collect);
      return;
    case 'tool_search_call':
      if (item.execution === 'client') leaves(item, 'arguments', `arguments ${index}`, collect);
      return;
    default:
      return;
  }
};

/** The text of one part of a message or of reasoning. */
export const partText = (part: unknown, index: unknown, place: unknown, collect: Collect): void => {
  if (!isObject(part)) return;
  const kind = typeof part.type === 'string' && Object.hasOwn(PARTS, part.type) ? PARTS[part.type] : undefined;
  if (kind === undefined) return;
  const key = kind === 'refusal' ? 'refusal' : 'text';
  if (typeof part[key] === 'string') collect(memberText(part, key, `${kind} ${index} ${place}`, 'text'));
};

/** The deltas of each kind of part. */
const PARTS: Readonly<Record<string, string>> = {
  output_text: 'output_text',
  refusal: 'refusal',
  summary_text: 'reasoning_summary_text',
  reasoning_text: 'reasoning_text',
};

const partTexts = (parts: unknown, index: unknown, collect: Collect): void => {
  if (!Array.isArray(parts)) return;
  parts.forEach((part: unknown, place: number) => {
    partText(part, index, place, collect);
  });
};

const listTexts = (parts: unknown, channel: string, collect: Collect): void => {
  if (!Array.isArray(parts)) return;
  parts.forEach((part: unknown, place: number) => {
    if (isObject(part) && typeof part.text === 'string') {
      collect(memberText(part, 'text', `${channel} ${place}`, 'text'));
    }
  });
};

const member = (holder: Json, key: string, channel: string, collect: Collect, json = false): void => {
  if (typeof holder[key] === 'string') collect(memberText(holder, key, channel, 'tool_arguments', json));
};

const leaves = (holder: Json, key: string, channel: string, collect: Collect): void => {
  const texts: AnswerText[] = [];
  leafTexts(texts, holder, key, channel);
  texts.forEach(collect);
};
