import { anthropicAnswerEvents, anthropicAnswerTexts } from './anthropic-messages-answer.ts';
import { editAnthropicMessages } from './anthropic-messages-edit.ts';
import { offersServerTool, toolNames } from './anthropic-messages-tools.ts';
import { anthropicStreamUsage, anthropicUsage } from './anthropic-messages-usage.ts';
import { Content, jsonBytes, type PartKind } from './content.ts';
import {
  booleanField,
  integerField,
  invalidField,
  isObject,
  type Json,
  numberField,
  objectField,
  requiredArray,
  requiredString,
} from './fields.ts';
import type { JsonScan } from './json-scan.ts';
import type { Call, CallText, Protocol, WireError } from './protocol.ts';
import { fieldAt } from './sse.ts';

/** Anthropic's messages, as Anthropic, vLLM and llama.cpp speak them. */
export const anthropicMessages: Protocol = {
  endpoint: 'messages',
  dialect: 'anthropic',
  upstreamPath: '/messages',
  hasOutput: true,
  isBilled: true,
  read: (raw, scan, body) => read(raw, scan, body),
  edit: editAnthropicMessages,
  usage: anthropicUsage,
  streamUsage: anthropicStreamUsage,
  terminalAt(events) {
    if (!events.includes(STOP)) return -1;
    const named = fieldAt(events, 'event', STOP);
    if (named >= 0) return named;
    // Some servers leave out the event's name, and may write JSON with spaces.
    for (const data of STOP_DATA) {
      const at = fieldAt(events, 'data', data);
      if (at >= 0) return at;
    }
    return -1;
  },
  eventText: (event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
  terminal: '',
  isUsageOnly: () => false,
  answerTexts: anthropicAnswerTexts,
  answerEvents: anthropicAnswerEvents,
  errorBody,
  errorEvent: (error) => `event: error\ndata: ${JSON.stringify(errorBody(error))}\n\n`,
};

const STOP = Buffer.from('message_stop');
const STOP_DATA = [Buffer.from('{"type":"message_stop"}'), Buffer.from('{"type": "message_stop"}')];

function errorBody(error: WireError): Record<string, unknown> {
  return {
    type: 'error',
    error: {
      type: error.type,
      message: error.message,
      code: error.code,
      ...(error.param === null ? {} : { param: error.param }),
      ...(error.hint === null ? {} : { hint: error.hint }),
      ...(error.decisionId === null ? {} : { decision_id: error.decisionId }),
    },
    request_id: error.requestId,
  };
}

const read = (raw: Buffer, scan: JsonScan, body: Json): Call => {
  const model = requiredString(body, 'model');
  const messages = requiredArray(body, 'messages');
  const content = new Content();
  const hasSystem = body.system !== undefined && body.system !== null;
  if (hasSystem) readBlocks(content, 'system', body.system, 'system');
  let turns = 0;
  for (let index = 0; index < messages.length; index++) {
    if (readMessage(content, messages[index], `messages[${index}]`)) turns++;
  }
  return {
    endpoint: 'messages',
    dialect: 'anthropic',
    raw,
    body,
    scan,
    model,
    stream: booleanField(body, 'stream'),
    includeUsage: true,
    maxOutputTokens: integerField(body, 'max_tokens'),
    temperature: numberField(body, 'temperature'),
    toolNames: toolNames(body),
    responseFormat: responseFormat(body),
    messages: messages.length + (hasSystem ? 1 : 0),
    turns,
    ...content.result(raw, scan, body),
    serverTools: offersServerTool(body),
  };
};

/** Reads one message; tells whether a user says something in it, tool results aside. */
const readMessage = (content: Content, message: unknown, param: string): boolean => {
  if (!isObject(message)) throw invalidField(param, 'an object');
  if (typeof message.role !== 'string') throw invalidField(`${param}.role`, 'a string');
  if (message.content === undefined || message.content === null) {
    throw invalidField(`${param}.content`, 'a string or an array of blocks');
  }
  const role = message.role === 'assistant' || message.role === 'system' ? message.role : 'user';
  readBlocks(content, role, message.content, `${param}.content`);
  if (role !== 'user') return false;
  return !Array.isArray(message.content) || !message.content.every((block) => isResult(block));
};

const isResult = (block: unknown): boolean =>
  isObject(block) && typeof block.type === 'string' && block.type.endsWith('tool_result');

const readBlocks = (content: Content, role: CallText['role'], value: unknown, param: string): void => {
  if (typeof value === 'string') {
    content.text(role, value);
    return;
  }
  if (!Array.isArray(value)) throw invalidField(param, 'a string or an array of blocks');
  for (let index = 0; index < value.length; index++) readBlock(content, role, value[index], `${param}[${index}]`);
};

const readBlock = (content: Content, role: CallText['role'], block: unknown, param: string): void => {
  if (!isObject(block)) throw invalidField(param, 'an object');
  switch (block.type) {
    case 'text':
      if (typeof block.text !== 'string') throw invalidField(`${param}.text`, 'a string');
      content.text(role, block.text);
      return;
    case 'thinking':
      content.leaves(role, block.thinking);
      return;
    case 'redacted_thinking': // The provider's own, encrypted, and refused by it when altered or made up.
      return;
    case 'image':
      readSource(content, role, 'image', block, param);
      return;
    case 'document':
      readSource(content, role, 'document', block, param);
      return;
    case 'tool_use':
    case 'server_tool_use':
    case 'mcp_tool_use':
      if (typeof block.name === 'string') content.text(role, block.name);
      content.leaves(role, block.input);
      return;
    case 'tool_reference': // One that a search of the caller's has found, by its name.
      content.leaves('tool', block.tool_name);
      return;
    case 'compaction':
      content.leaves(role, block.content);
      // Tools that were added or taken away before: definitions among them.
      if (block.tool_changes !== undefined && block.tool_changes !== null) {
        content.unread('unknown', jsonBytes(block.tool_changes));
      }
      return;
    case 'container_upload':
      content.payload('file', block, 'file_id');
      return;
    case 'tool_result':
    case 'mcp_tool_result':
    case 'search_result':
      if (block.content !== undefined && block.content !== null) {
        readBlocks(content, 'tool', block.content, `${param}.content`);
      }
      return;
    default:
      readOther(content, role, block, param);
      return;
  }
};

/** Results of server tools, and blocks that are newer than this file. */
const readOther = (content: Content, role: CallText['role'], block: Json, param: string): void => {
  if (typeof block.type !== 'string') throw invalidField(`${param}.type`, 'a string');
  if (isResult(block)) readResult(content, block.content);
  else content.other(role, block);
};

/** What a server tool gave: strings at any depth, and fetched documents. */
const readResult = (content: Content, value: unknown): void => {
  if (typeof value === 'string') content.text('tool', value);
  else if (Array.isArray(value)) for (const item of value) readResult(content, item);
  else if (isObject(value)) {
    const key = SOURCES.get(value.type);
    if (key !== undefined && typeof value[key] === 'string') {
      content.payload('document', value, key);
      return;
    }
    for (const key in value) {
      // Encrypted by the provider, which takes back only what it gave.
      if (!key.startsWith('encrypted_')) readResult(content, value[key]);
    }
  }
};

/** Where a source of each kind has its payload, or what stands for it. */
const SOURCES: ReadonlyMap<unknown, string> = new Map([
  ['base64', 'data'],
  ['url', 'url'],
  ['file', 'file_id'],
]);

const readSource = (
  content: Content,
  role: CallText['role'],
  kind: PartKind & ('image' | 'document'),
  block: Json,
  param: string,
): void => {
  const source = objectField(block, 'source', `${param}.source`);
  if (!source) throw invalidField(`${param}.source`, 'an object');
  if (typeof block.title === 'string') content.text(role, block.title);
  if (typeof block.context === 'string') content.text(role, block.context);
  switch (source.type) {
    case 'text':
      if (typeof source.data !== 'string') throw invalidField(`${param}.source.data`, 'a string');
      content.text(role, source.data);
      return;
    case 'content':
      readBlocks(content, role, source.content, `${param}.source.content`);
      return;
    case 'base64':
      content.payload(kind, source, 'data');
      return;
    case 'url':
      content.payload(kind, source, 'url');
      return;
    case 'file':
      content.payload(kind, source, 'file_id');
      return;
    default:
      content.unread('unknown', jsonBytes(block));
      return;
  }
};

/** `output_config.format`, or `output_format` as the beta calls it. */
const responseFormat = (body: Json): string | null => {
  const config = objectField(body, 'output_config');
  const format =
    (config && objectField(config, 'format', 'output_config.format')) ?? objectField(body, 'output_format');
  return format && typeof format.type === 'string' ? format.type : null;
};
