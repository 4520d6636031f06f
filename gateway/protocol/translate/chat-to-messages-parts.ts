import { isTextType, parseDataUrl, textOfBase64 } from '../data-url.ts';
import { invalidField, isObject, type Json } from '../fields.ts';
import { cannotSay, objectAt, onlyKnown, stringAt } from './chat-to-messages-fields.ts';

/** The kinds of parts that a role may say. */
export type PartKinds = ReadonlySet<string>;

export const TEXT_ONLY: PartKinds = new Set(['text']);
export const TEXT_AND_REFUSAL: PartKinds = new Set(['text', 'refusal']);
export const USER_PARTS: PartKinds = new Set(['text', 'image_url', 'file', 'input_audio']);

/**
 * The `content` of a message as blocks; none for null, and none for an empty text, which Anthropic refuses. Throws
 * GatewayError `invalid_field` for parts of other kinds than `kinds`.
 */
export const blocksOf = (content: unknown, kinds: PartKinds, param: string): Json[] => {
  if (content === null || content === undefined || content === '') return [];
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) throw invalidField(param, 'a string or an array of parts');
  const blocks: Json[] = [];
  for (let index = 0; index < content.length; index++) {
    const block = blockOf(content[index], kinds, `${param}[${index}]`);
    if (block) blocks.push(block);
  }
  return blocks;
};

/** Marks the last of some blocks as the end of a cached prefix, where the caller says so for the whole. */
export const markCache = (blocks: readonly Json[], holder: Json, param: string): void => {
  const last = blocks.at(-1);
  const control = cacheControlOf(holder, param);
  if (last && control) last.cache_control = control;
};

/**
 * Where a prefix to be cached ends: `cache_control`, Anthropic's own, or OpenAI's `prompt_cache_breakpoint`, whose
 * thirty minutes at least are an hour here. Undefined where there is none.
 */
export const cacheControlOf = (holder: Json, param: string): Json | undefined => {
  const control = holder.cache_control ?? undefined;
  if (control !== undefined) {
    if (!isObject(control)) throw invalidField(`${param}.cache_control`, 'an object');
    return control;
  }
  const point = holder.prompt_cache_breakpoint ?? undefined;
  if (point === undefined) return undefined;
  if (!isObject(point)) throw invalidField(`${param}.prompt_cache_breakpoint`, 'an object');
  onlyKnown(point, BREAKPOINT, `${param}.prompt_cache_breakpoint`);
  const ttl = point.ttl ?? undefined;
  if (ttl === undefined) return { type: 'ephemeral' };
  if (ttl !== '30m') throw cannotSay(`${param}.prompt_cache_breakpoint.ttl`, 'a cache lasts an hour at most');
  return { type: 'ephemeral', ttl: '1h' };
};

const BREAKPOINT: ReadonlySet<string> = new Set(['mode', 'ttl']);
const CACHE = ['type', 'cache_control', 'prompt_cache_breakpoint'];
const MEMBERS: Readonly<Record<string, ReadonlySet<string>>> = {
  text: new Set([...CACHE, 'text']),
  refusal: new Set([...CACHE, 'refusal']),
  image_url: new Set([...CACHE, 'image_url']),
  file: new Set([...CACHE, 'file']),
};
const IMAGE: ReadonlySet<string> = new Set(['url', 'detail']);
const FILE: ReadonlySet<string> = new Set(['file_data', 'file_id', 'filename']);

/** One part as a block; undefined for an empty text. */
const blockOf = (part: unknown, kinds: PartKinds, param: string): Json | undefined => {
  if (!isObject(part)) throw invalidField(param, 'an object');
  const { type } = part;
  if (typeof type !== 'string') throw invalidField(`${param}.type`, 'a string');
  if (!kinds.has(type)) throw cannotSay(`${param}.type`, `it has no counterpart of ${JSON.stringify(type)} here`);
  const members = MEMBERS[type];
  if (!members) throw cannotSay(param, 'it takes no audio');
  onlyKnown(part, members, param);
  const block = plainBlock(type, part, param);
  const control = cacheControlOf(part, param);
  if (block && control) block.cache_control = control;
  return block;
};

const plainBlock = (type: string, part: Json, param: string): Json | undefined => {
  if (type === 'image_url') return imageBlock(part, param);
  if (type === 'file') return documentBlock(objectAt(part, 'file', param), `${param}.file`);
  const text = stringAt(part, type, param);
  return text === '' ? undefined : { type: 'text', text };
};

/** `detail` is left out: Anthropic chooses an image's size itself. */
const imageBlock = (part: Json, param: string): Json => {
  // Some servers take a plain string here, and clients got used to it.
  const plain = typeof part.image_url === 'string' ? part.image_url : undefined;
  const at = plain === undefined ? `${param}.image_url.url` : `${param}.image_url`;
  let url = plain;
  if (url === undefined) {
    const image = objectAt(part, 'image_url', param);
    onlyKnown(image, IMAGE, `${param}.image_url`);
    url = stringAt(image, 'url', `${param}.image_url`);
  }
  if (/^https?:/i.test(url)) return { type: 'image', source: { type: 'url', url } };
  const data = parseDataUrl(url);
  if (!data) throw cannotSay(at, 'it takes an http URL or a base64 data URL');
  const mediaType = IMAGE_TYPES[data.mediaType];
  if (mediaType === undefined) throw cannotSay(at, 'it takes images of the types JPEG, PNG, GIF and WebP');
  return { type: 'image', source: { type: 'base64', media_type: mediaType, data: data.base64 } };
};

const IMAGE_TYPES: Readonly<Record<string, string>> = {
  'image/jpeg': 'image/jpeg',
  'image/jpg': 'image/jpeg',
  'image/png': 'image/png',
  'image/gif': 'image/gif',
  'image/webp': 'image/webp',
};

/** A file sent along as a document: a PDF as it is, a text decoded. */
const documentBlock = (file: Json, param: string): Json => {
  onlyKnown(file, FILE, param);
  if (typeof file.file_data !== 'string') {
    throw cannotSay(`${param}.file_id`, 'a file kept at OpenAI cannot be read there. Send it as file_data');
  }
  const name = typeof file.filename === 'string' ? { title: file.filename } : {};
  const at = `${param}.file_data`;
  // The first bytes of a PDF, in base64: some clients leave out the data URL around it.
  const data = file.file_data.startsWith('JVBERi')
    ? { mediaType: PDF, base64: file.file_data }
    : parseDataUrl(file.file_data);
  if (data?.mediaType === PDF) {
    return { type: 'document', source: { type: 'base64', media_type: PDF, data: data.base64 }, ...name };
  }
  if (!data || !isTextType(data.mediaType)) throw cannotSay(at, 'it takes PDF and text files as data URLs');
  const text = textOfBase64(data.base64);
  if (text === undefined) throw cannotSay(at, 'it is not a text in UTF-8');
  return { type: 'document', source: { type: 'text', media_type: 'text/plain', data: text }, ...name };
};

const PDF = 'application/pdf';
