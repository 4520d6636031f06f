import { Content, jsonBytes } from './content.ts';
import {
  arrayField,
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
import { openaiAnswerEvents, openaiAnswerTexts } from './openai-chat-answer.ts';
import { editOpenaiChat } from './openai-chat-edit.ts';
import { isServerTool, toolNames } from './openai-chat-tools.ts';
import { openaiStreamUsage, openaiUsage } from './openai-chat-usage.ts';
import type { Call, CallText, Protocol, WireError } from './protocol.ts';
import { fieldAt } from './sse.ts';

/** OpenAI's chat completions, as OpenAI, Mistral, vLLM, llama.cpp, Ollama and others speak them. */
export const openaiChat: Protocol = {
  endpoint: 'chat.completions',
  dialect: 'openai',
  upstreamPath: '/chat/completions',
  hasOutput: true,
  isBilled: true,
  read: (raw, scan, body) => read(raw, scan, body),
  edit: editOpenaiChat,
  usage: openaiUsage,
  streamUsage: openaiStreamUsage,
  terminalAt: (events) => fieldAt(events, 'data', DONE),
  eventText: (event) => `data: ${JSON.stringify(event)}\n\n`,
  terminal: 'data: [DONE]\n\n',
  isUsageOnly: (event) =>
    isObject(event) && isObject(event.usage) && Array.isArray(event.choices) && event.choices.length === 0,
  answerTexts: openaiAnswerTexts,
  answerEvents: openaiAnswerEvents,
  errorBody,
  errorEvent: (error) => `data: ${JSON.stringify(errorBody(error))}\n\n`,
};

const DONE = Buffer.from('[DONE]');

function errorBody(error: WireError): Record<string, unknown> {
  return {
    error: {
      message: error.message,
      type: error.type,
      param: error.param,
      code: error.code,
      ...(error.hint === null ? {} : { hint: error.hint }),
      ...(error.decisionId === null ? {} : { decision_id: error.decisionId }),
      request_id: error.requestId,
    },
  };
}

const read = (raw: Buffer, scan: JsonScan, body: Json): Call => {
  const model = requiredString(body, 'model');
  const messages = requiredArray(body, 'messages');
  const content = new Content();
  let turns = 0;
  for (let index = 0; index < messages.length; index++) {
    if (readMessage(content, messages[index], `messages[${index}]`) === 'user') turns++;
  }
  // What a prediction says is billed and read like a message.
  const prediction = objectField(body, 'prediction');
  if (prediction) readContent(content, 'assistant', prediction.content, 'prediction.content');
  const stream = booleanField(body, 'stream');
  const options = objectField(body, 'stream_options');
  const capNew = integerField(body, 'max_completion_tokens');
  const capOld = integerField(body, 'max_tokens');
  return {
    endpoint: 'chat.completions',
    dialect: 'openai',
    raw,
    body,
    scan,
    model,
    stream,
    includeUsage: stream && options?.include_usage === true,
    maxOutputTokens: capNew ?? capOld,
    temperature: numberField(body, 'temperature'),
    toolNames: toolNames(body),
    responseFormat: responseFormat(body),
    messages: messages.length,
    turns,
    ...content.result(raw, scan, body),
    serverTools: isObject(body.web_search_options) || arrayField(body, 'tools').some(isServerTool),
  };
};

const ROLES: Readonly<Record<string, CallText['role']>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
  function: 'tool',
};

/** Reads one message and gives its role. An unknown role is measured as a user's: nothing is taken for trusted. */
const readMessage = (content: Content, message: unknown, param: string): CallText['role'] => {
  if (!isObject(message)) throw invalidField(param, 'an object');
  const name = message.role;
  if (typeof name !== 'string') throw invalidField(`${param}.role`, 'a string');
  const role = (Object.hasOwn(ROLES, name) ? ROLES[name] : undefined) ?? 'user';
  readContent(content, role, message.content, `${param}.content`);
  for (const key of REASONING) if (typeof message[key] === 'string') content.text(role, message[key]);
  if (typeof message.refusal === 'string') content.text(role, message.refusal);
  const calls = arrayField(message, 'tool_calls', `${param}.tool_calls`);
  for (let index = 0; index < calls.length; index++) {
    const call = calls[index];
    if (!isObject(call)) throw invalidField(`${param}.tool_calls[${index}]`, 'an object');
    content.leaves(role, call.function ?? call.custom);
  }
  if (isObject(message.function_call)) content.leaves(role, message.function_call);
  if (isObject(message.audio)) content.unread('audio', jsonBytes(message.audio));
  return role;
};

/** Reasoning that OpenAI-compatible servers return and take back. */
const REASONING = ['reasoning_content', 'reasoning'] as const;

const readContent = (content: Content, role: CallText['role'], value: unknown, param: string): void => {
  if (typeof value === 'string') content.text(role, value);
  else if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) readPart(content, role, value[index], `${param}[${index}]`);
  } else if (value !== null && value !== undefined) throw invalidField(param, 'a string or an array of parts');
};

const readPart = (content: Content, role: CallText['role'], part: unknown, param: string): void => {
  if (typeof part === 'string') {
    content.text(role, part);
    return;
  }
  if (!isObject(part)) throw invalidField(param, 'an object');
  switch (part.type) {
    case 'text':
      if (typeof part.text !== 'string') throw invalidField(`${param}.text`, 'a string');
      content.text(role, part.text);
      return;
    case 'refusal':
      if (typeof part.refusal !== 'string') throw invalidField(`${param}.refusal`, 'a string');
      content.text(role, part.refusal);
      return;
    case 'thinking': // Mistral's
      content.leaves(role, part.thinking);
      return;
    case 'image_url':
      readLinked(content, 'image', part, 'image_url', param);
      return;
    case 'document_url': // Mistral's
      readLinked(content, 'document', part, 'document_url', param);
      return;
    case 'input_audio': {
      // OpenAI sends an object with data and format, Mistral the base64 alone.
      if (typeof part.input_audio === 'string') {
        content.payload('audio', part, 'input_audio');
        return;
      }
      const audio = objectField(part, 'input_audio', `${param}.input_audio`);
      if (!audio) throw invalidField(`${param}.input_audio`, 'an object');
      content.payload('audio', audio, 'data');
      return;
    }
    case 'file': {
      const file = objectField(part, 'file', `${param}.file`);
      content.payload('file', file ?? part, file && typeof file.file_data === 'string' ? 'file_data' : 'file_id');
      return;
    }
    default:
      content.other(role, part);
      return;
  }
};

/** A part with its URL in an object, or as a plain string as Mistral takes it. */
const readLinked = (content: Content, kind: 'image' | 'document', part: Json, key: string, param: string): void => {
  const value = part[key];
  if (typeof value === 'string') content.payload(kind, part, key);
  else if (isObject(value)) content.payload(kind, value, 'url');
  else throw invalidField(`${param}.${key}`, 'an object with a url');
};

const responseFormat = (body: Json): string | null => {
  const format = objectField(body, 'response_format');
  if (!format) return null;
  if (typeof format.type !== 'string') throw invalidField('response_format.type', 'a string');
  return format.type;
};
