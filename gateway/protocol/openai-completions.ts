import { Content, jsonBytes } from './content.ts';
import { booleanField, integerField, isObject, type Json, numberField, objectField, requiredString } from './fields.ts';
import type { JsonScan } from './json-scan.ts';
import { openaiChat } from './openai-chat.ts';
import { choiceEvents, indexOf, memberText } from './openai-chat-answer.ts';
import { includeUsage } from './openai-chat-edit.ts';
import { readPrompts } from './openai-prompts.ts';
import type { AnswerText, Call, Edits, Protocol, Splice } from './protocol.ts';
import { setMember } from './set-member.ts';

/** OpenAI's older completions, as OpenAI, vLLM, llama.cpp and others speak them. */
export const openaiCompletions: Protocol = {
  ...openaiChat,
  endpoint: 'completions',
  upstreamPath: '/completions',
  read: (raw, scan, body) => read(raw, scan, body),
  edit: (call, edits) => edit(call, edits),
  answerTexts: (body) => choiceTexts(body),
  answerEvents: () => choiceEvents('text_completion', choiceTexts, (_channel, text) => ({ text, logprobs: null })),
};

const read = (raw: Buffer, scan: JsonScan, body: Json): Call => {
  const model = requiredString(body, 'model');
  const content = new Content();
  // Without a prompt a model starts a document of its own.
  const prompts = readPrompts(content, body.prompt ?? '', 'prompt');
  if (typeof body.suffix === 'string') content.text('user', body.suffix);
  // vLLM's: prompts as vectors, which nobody can read.
  if (typeof body.prompt_embeds === 'string') content.payload('unknown', body, 'prompt_embeds');
  else if (Array.isArray(body.prompt_embeds)) content.unread('unknown', jsonBytes(body.prompt_embeds));
  const stream = booleanField(body, 'stream');
  const options = objectField(body, 'stream_options');
  const format = objectField(body, 'response_format');
  return {
    endpoint: 'completions',
    dialect: 'openai',
    raw,
    body,
    scan,
    model,
    stream,
    includeUsage: stream && options?.include_usage === true,
    maxOutputTokens: integerField(body, 'max_tokens'),
    temperature: numberField(body, 'temperature'),
    toolNames: [],
    responseFormat: typeof format?.type === 'string' ? format.type : null,
    // There is no conversation: what a message costs on top is not counted.
    messages: 0,
    turns: 1,
    ...content.result(raw, scan, body),
    serverTools: false,
    ...prompts,
  };
};

const edit = (call: Call, edits: Edits): Splice[] => {
  const splices: Splice[] = [];
  if (edits.model !== undefined) splices.push(setMember(call, 'model', JSON.stringify(edits.model)));
  // A cap of 0 is right here, with `echo`: it asks for nothing but the prompt's own log probabilities.
  const { maxOutputTokens: cap } = edits;
  if (cap !== undefined && (call.maxOutputTokens === null || cap < call.maxOutputTokens)) {
    splices.push(setMember(call, 'max_tokens', String(cap)));
  }
  if (edits.includeUsage) splices.push(...includeUsage(call));
  return splices;
};

/** The texts of the choices of an answer or of a stream's event. */
const choiceTexts = (answer: unknown): AnswerText[] => {
  const texts: AnswerText[] = [];
  if (!isObject(answer) || !Array.isArray(answer.choices)) return texts;
  for (const [order, choice] of answer.choices.entries()) {
    if (!isObject(choice) || typeof choice.text !== 'string') continue;
    texts.push(memberText(choice, 'text', `choice ${indexOf(choice, order)} text`, 'text'));
  }
  return texts;
};
