import { type Content, jsonBytes } from './content.ts';
import { invalidField, isObject, type Json, objectField } from './fields.ts';
import type { CallText } from './protocol.ts';

type Role = CallText['role'];

/** Reads one item of `input`, and gives the role of a message; undefined for any other item. */
export const readItem = (content: Content, item: unknown, param: string): Role | undefined => {
  if (!isObject(item)) throw invalidField(param, 'an object');
  const type = item.type ?? (typeof item.role === 'string' ? 'message' : undefined);
  switch (type) {
    case 'message':
      return readMessage(content, item, param);
    case 'function_call_output':
    case 'custom_tool_call_output':
      readContent(content, 'tool', item.output, `${param}.output`);
      return undefined;
    case 'reasoning':
      readReasoning(content, item, param);
      return undefined;
    case 'computer_call_output':
      if (item.output !== undefined && item.output !== null) {
        readPart(content, 'tool', item.output, `${param}.output`);
      }
      return undefined;
    case 'code_interpreter_call':
      content.leaves('assistant', item.code);
      readOutputs(content, item.outputs);
      return undefined;
    case 'image_generation_call':
      content.leaves('assistant', item.revised_prompt);
      if (typeof item.result === 'string') content.payload('image', item, 'result');
      return undefined;
    case undefined:
      // A reference to a stored item may leave out its type; `checkPriced` refuses it.
      if (typeof item.id !== 'string') throw invalidField(`${param}.type`, 'a string');
      return undefined;
    default:
      if (typeof type !== 'string') throw invalidField(`${param}.type`, 'a string');
      readOther(content, item, type);
      return undefined;
  }
};

/** An unknown role is measured as a user's: nothing is taken for trusted. */
const readMessage = (content: Content, message: Json, param: string): Role => {
  const name = message.role;
  if (typeof name !== 'string') throw invalidField(`${param}.role`, 'a string');
  const role = (Object.hasOwn(ROLES, name) ? ROLES[name] : undefined) ?? 'user';
  readContent(content, role, message.content, `${param}.content`);
  return role;
};

const ROLES: Readonly<Record<string, Role>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
};

/**
 * What is encrypted is the provider's own, and refused by it when altered or made up. Without it the provider looks the
 * reasoning up by its id: nobody here knows what the model reads then.
 */
const readReasoning = (content: Content, item: Json, param: string): void => {
  for (const member of ['summary', 'content']) {
    const parts = item[member];
    if (parts !== undefined && parts !== null) readContent(content, 'assistant', parts, `${param}.${member}`);
  }
  if (typeof item.id === 'string' && typeof item.encrypted_content !== 'string') {
    content.unread('unknown', jsonBytes(item));
  }
};

/** The members of an item that a model reads, by who says them. */
type Said = Partial<Record<Role, readonly string[]>>;

const call = (...members: string[]): Said => ({ assistant: members });
const result = (...members: string[]): Said => ({ tool: members });

/** Items that are read as they are, strings at any depth. A compaction is encrypted as reasoning is. */
const ITEMS: Readonly<Record<string, Said>> = {
  function_call: call('name', 'arguments'),
  custom_tool_call: call('name', 'input'),
  tool_search_call: call('arguments'),
  tool_search_output: result('tools'),
  additional_tools: { system: ['tools'] },
  local_shell_call: call('action'),
  local_shell_call_output: result('output'),
  shell_call: call('action', 'environment'),
  shell_call_output: result('output'),
  apply_patch_call: call('operation'),
  apply_patch_call_output: result('output'),
  computer_call: call('action', 'actions'),
  web_search_call: call('action'),
  file_search_call: { assistant: ['queries'], tool: ['results'] },
  mcp_list_tools: result('tools', 'error'),
  mcp_call: { assistant: ['name', 'arguments'], tool: ['output', 'error'] },
  mcp_approval_request: call('name', 'arguments'),
  mcp_approval_response: { user: ['reason'] },
  program: call('code'),
  program_output: result('result'),
  compaction: {},
  compaction_summary: {},
  compaction_trigger: {},
  configuration_update: {},
  item_reference: {},
};

const readOther = (content: Content, item: Json, type: string): void => {
  const said = Object.hasOwn(ITEMS, type) ? ITEMS[type] : undefined;
  if (!said) {
    content.unread('unknown', jsonBytes(item));
    return;
  }
  for (const role in said) {
    for (const member of said[role as Role]!) content.leaves(role as Role, item[member]);
  }
};

const readContent = (content: Content, role: Role, value: unknown, param: string): void => {
  if (typeof value === 'string') content.text(role, value);
  else if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) readPart(content, role, value[index], `${param}[${index}]`);
  } else throw invalidField(param, 'a string or an array of parts');
};

const readPart = (content: Content, role: Role, part: unknown, param: string): void => {
  if (!isObject(part)) throw invalidField(param, 'an object');
  switch (part.type) {
    case 'input_text':
    case 'output_text':
      if (typeof part.text !== 'string') throw invalidField(`${param}.text`, 'a string');
      content.text(role, part.text);
      return;
    case 'refusal':
      if (typeof part.refusal !== 'string') throw invalidField(`${param}.refusal`, 'a string');
      content.text(role, part.refusal);
      return;
    case 'input_image':
    case 'computer_screenshot':
      content.payload('image', part, typeof part.image_url === 'string' ? 'image_url' : 'file_id');
      return;
    case 'input_file':
      if (typeof part.filename === 'string') content.text(role, part.filename);
      content.payload('file', part, FILE_KEYS.find((key) => typeof part[key] === 'string') ?? 'file_id');
      return;
    case 'input_audio': {
      const audio = objectField(part, 'input_audio', `${param}.input_audio`);
      if (!audio) throw invalidField(`${param}.input_audio`, 'an object');
      content.payload('audio', audio, 'data');
      return;
    }
    default:
      content.other(role, part);
      return;
  }
};

const FILE_KEYS = ['file_data', 'file_url', 'file_id'] as const;

/** What the provider's interpreter printed and drew. */
const readOutputs = (content: Content, outputs: unknown): void => {
  if (!Array.isArray(outputs)) return;
  for (const output of outputs) {
    if (isObject(output) && output.type === 'image') content.payload('image', output, 'url');
    else content.leaves('tool', output);
  }
};
