import { invalidField, isObject, type Json } from '../fields.ts';
import { onlyMembers, onlyValues, unsaid } from './unsaid.ts';

/** Parts of chat completions; a lone text without settings of its own as a plain string. */
export const contentOf = (parts: readonly Json[]): string | Json[] => {
  if (parts.length === 0) return '';
  const [only] = parts;
  if (parts.length > 1 || only?.type !== 'text' || only.prompt_cache_breakpoint !== undefined) return [...parts];
  return only.text as string;
};

/** The content of an input message or of a tool's output: text, images, files, audio. */
export const inputParts = (content: unknown, param: string): Json[] =>
  eachPart(content, param, (part, at) => {
    switch (part.type) {
      case 'input_text':
        return textPart(part, at);
      case 'input_image':
        return imagePart(part, at);
      case 'input_file':
        return filePart(part, at);
      case 'input_audio':
        onlyMembers(part, AUDIO, at);
        if (!isObject(part.input_audio)) throw invalidField(`${at}.input_audio`, 'an object');
        return withBreakpoint(part, { type: 'input_audio', input_audio: part.input_audio });
      default:
        throw unsaid(`${at}.type`, `A part of type ${JSON.stringify(part.type)}`);
    }
  });

/** The content of a system or developer message: text alone. */
export const systemParts = (content: unknown, param: string): Json[] =>
  eachPart(content, param, (part, at) => {
    if (part.type !== 'input_text') throw unsaid(`${at}.type`, `${JSON.stringify(part.type)} in a system message`);
    return textPart(part, at);
  });

/** What an assistant said: texts, and refusals apart. Citations and log probabilities stay behind. */
export const assistantParts = (content: unknown, param: string): { texts: Json[]; refusals: string[] } => {
  const refusals: string[] = [];
  const texts = eachPart(content, param, (part, at) => {
    switch (part.type) {
      case 'output_text':
      case 'input_text':
        return textPart(part, at);
      case 'refusal':
        if (typeof part.refusal !== 'string') throw invalidField(`${at}.refusal`, 'a string');
        refusals.push(part.refusal);
        return null;
      default:
        throw unsaid(`${at}.type`, `${JSON.stringify(part.type)} in an assistant's message`);
    }
  });
  return { texts, refusals };
};

const eachPart = (content: unknown, param: string, say: (part: Json, param: string) => Json | null): Json[] => {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) throw invalidField(param, 'a string or an array of parts');
  const parts: Json[] = [];
  for (let index = 0; index < content.length; index++) {
    const part: unknown = content[index];
    if (!isObject(part)) throw invalidField(`${param}[${index}]`, 'an object');
    const said = say(part, `${param}[${index}]`);
    if (said) parts.push(said);
  }
  return parts;
};

const TEXT: ReadonlySet<string> = new Set(['type', 'text', 'annotations', 'logprobs', 'prompt_cache_breakpoint']);
const IMAGE: ReadonlySet<string> = new Set(['type', 'image_url', 'detail', 'file_id', 'prompt_cache_breakpoint']);
const FILE: ReadonlySet<string> = new Set([
  'type',
  'file_data',
  'filename',
  'file_id',
  'file_url',
  'detail',
  'prompt_cache_breakpoint',
]);
const AUDIO: ReadonlySet<string> = new Set(['type', 'input_audio', 'prompt_cache_breakpoint']);

const textPart = (part: Json, param: string): Json => {
  onlyMembers(part, TEXT, param);
  if (typeof part.text !== 'string') throw invalidField(`${param}.text`, 'a string');
  return withBreakpoint(part, { type: 'text', text: part.text });
};

const imagePart = (part: Json, param: string): Json => {
  onlyMembers(part, IMAGE, param);
  if (typeof part.file_id === 'string') throw unsaid(`${param}.file_id`, 'An image by its file id', AS_DATA);
  if (typeof part.image_url !== 'string') throw invalidField(`${param}.image_url`, 'a string');
  const detail = part.detail === undefined || part.detail === null ? {} : { detail: part.detail };
  return withBreakpoint(part, { type: 'image_url', image_url: { url: part.image_url, ...detail } });
};

const filePart = (part: Json, param: string): Json => {
  onlyMembers(part, FILE, param);
  if (typeof part.file_url === 'string') throw unsaid(`${param}.file_url`, 'A file by its URL', AS_DATA);
  onlyValues(part, 'detail', ['auto'], param);
  const file: Json = {};
  for (const key of ['file_data', 'filename', 'file_id']) if (typeof part[key] === 'string') file[key] = part[key];
  if (file.file_data === undefined && file.file_id === undefined) throw invalidField(`${param}.file_data`, 'a string');
  return withBreakpoint(part, { type: 'file', file });
};

const AS_DATA = 'Send it in the request, as a data URL.';

const withBreakpoint = (part: Json, said: Json): Json => {
  if (part.prompt_cache_breakpoint) said.prompt_cache_breakpoint = part.prompt_cache_breakpoint;
  return said;
};
