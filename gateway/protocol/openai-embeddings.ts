import { Content, jsonBytes } from './content.ts';
import { type Json, missingField, requiredString } from './fields.ts';
import type { JsonScan } from './json-scan.ts';
import { NO_TEXTS, NO_USAGE } from './no-texts.ts';
import { openaiChat } from './openai-chat.ts';
import { editOpenaiEmbeddings } from './openai-embeddings-edit.ts';
import { readPrompts } from './openai-prompts.ts';
import type { Call, Protocol } from './protocol.ts';

/**
 * OpenAI's embeddings, as OpenAI, Mistral, vLLM, Ollama and others speak them. The answer is numbers, never a stream.
 */
export const openaiEmbeddings: Protocol = {
  ...openaiChat,
  endpoint: 'embeddings',
  upstreamPath: '/embeddings',
  hasOutput: false,
  read: (raw, scan, body) => read(raw, scan, body),
  edit: editOpenaiEmbeddings,
  streamUsage: () => NO_USAGE,
  terminalAt: () => -1,
  terminal: '',
  isUsageOnly: () => false,
  answerTexts: () => [],
  answerEvents: () => NO_TEXTS,
};

const read = (raw: Buffer, scan: JsonScan, body: Json): Call => {
  const model = requiredString(body, 'model');
  if (body.input === undefined) throw missingField('input');
  const content = new Content();
  const prompts = readPrompts(content, body.input, 'input');
  // vLLM's: a conversation to embed in place of the input, images among it.
  const hasMessages = body.messages !== undefined && body.messages !== null;
  if (hasMessages) content.unread('unknown', jsonBytes(body.messages));
  return {
    endpoint: 'embeddings',
    dialect: 'openai',
    raw,
    body,
    scan,
    model,
    stream: false,
    includeUsage: false,
    maxOutputTokens: null,
    temperature: null,
    toolNames: [],
    responseFormat: null,
    // There is no conversation: what a message costs on top is not counted.
    messages: 0,
    turns: 1,
    ...content.result(raw, scan, body),
    serverTools: false,
    ...(hasMessages ? { prompts: prompts.prompts } : prompts),
  };
};
