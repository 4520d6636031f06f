import { invalidField, isObject, type Json, objectField } from '../fields.ts';
import { onlyMembers, unsaid } from './unsaid.ts';

/** A system prompt, a string or blocks of text, as one text. Many servers take no parts there. */
export const systemText = (value: unknown, param: string): string => {
  if (typeof value === 'string') return value;
  const texts: string[] = [];
  for (const [block, at] of blocksIn(value, param)) {
    if (block.type !== 'text') throw unsaid(at, `A block of type ${typeOf(block)} in a system prompt`);
    const text = textOf(block, at);
    if (text !== '') texts.push(text);
  }
  return texts.join('\n\n');
};

/** The blocks of a message's content, each with its `param`. Throws GatewayError `invalid_field` for anything else. */
export const blocksIn = (value: unknown, param: string): [Json, string][] => {
  if (!Array.isArray(value)) throw invalidField(param, 'a string or an array of blocks');
  return value.map((block: unknown, index) => {
    const at = `${param}[${index}]`;
    if (!isObject(block)) throw invalidField(at, 'an object');
    return [block, at];
  });
};

/** The text of a text block. Its cache marks and the citations of an earlier answer stay behind. */
export const textOf = (block: Json, param: string): string => {
  onlyMembers(block, TEXT, param);
  return stringAt(block, 'text', param);
};

/** What a user's block is as parts of a chat message, in order: text, images and files. */
export const userParts = (block: Json, param: string): Json[] => {
  switch (block.type) {
    case 'text':
      return [textPart(textOf(block, param))];
    case 'image':
      return [imagePart(block, param)];
    case 'document':
      return documentParts(block, param);
    case 'search_result':
      return [textPart(searchText(block, param))];
    default:
      throw unsaid(param, `A block of type ${typeOf(block)}`);
  }
};

/** What a tool gave: its texts, and the parts that no tool message can hold. */
export interface ToolOutput {
  readonly text: string;
  readonly media: readonly Json[];
}

/** The content of a tool_result. Chat's tool messages hold text alone. */
export const toolOutput = (content: unknown, param: string): ToolOutput => {
  if (content === undefined || content === null) return { text: '', media: [] };
  if (typeof content === 'string') return { text: content, media: [] };
  const texts: string[] = [];
  const media: Json[] = [];
  for (const [block, at] of blocksIn(content, param)) {
    const parts = block.type === 'tool_reference' ? [textPart(referenceText(block, at))] : userParts(block, at);
    for (const part of parts) {
      if (part.type === 'text') texts.push(part.text as string);
      else media.push(part);
    }
  }
  return { text: texts.join('\n'), media };
};

/** A chat message's text part. */
export const textPart = (text: string): Json => ({ type: 'text', text });

/** A required string of a block; it may be empty. */
export const stringAt = (block: Json, name: string, param: string): string => {
  const value = block[name];
  if (typeof value !== 'string') throw invalidField(`${param}.${name}`, 'a string');
  return value;
};

/** The type of a block, to be shown. */
export const typeOf = (block: Json): string => JSON.stringify(block.type)?.slice(0, 80) ?? 'unknown';

const TEXT: ReadonlySet<string> = new Set(['type', 'text', 'cache_control', 'citations']);
const IMAGE: ReadonlySet<string> = new Set(['type', 'source', 'cache_control', 'transformations']);
const DOCUMENT: ReadonlySet<string> = new Set(['type', 'source', 'title', 'context', 'citations', 'cache_control']);
const SEARCH: ReadonlySet<string> = new Set(['type', 'source', 'title', 'content', 'citations', 'cache_control']);
const REFERENCE: ReadonlySet<string> = new Set(['type', 'tool_name', 'cache_control']);

const AS_DATA = 'Send its data in the request, in base64.';

const sourceOf = (block: Json, param: string): [Json, string] => {
  const source = objectField(block, 'source', `${param}.source`);
  if (!source) throw invalidField(`${param}.source`, 'an object');
  return [source, `${param}.source`];
};

const dataUrl = (source: Json, param: string): string =>
  `data:${stringAt(source, 'media_type', param)};base64,${stringAt(source, 'data', param)}`;

const imagePart = (block: Json, param: string): Json => {
  onlyMembers(block, IMAGE, param);
  const transformations = objectField(block, 'transformations', `${param}.transformations`) ?? {};
  // The default lets the provider make an image smaller, which others do as well.
  if ((transformations.oversized_image ?? 'downsize') !== 'downsize') {
    throw unsaid(`${param}.transformations`, 'An image that must not be made smaller');
  }
  const [source, at] = sourceOf(block, param);
  switch (source.type) {
    case 'base64':
      return { type: 'image_url', image_url: { url: dataUrl(source, at) } };
    case 'url':
      return { type: 'image_url', image_url: { url: stringAt(source, 'url', at) } };
    default:
      throw unsaid(at, `An image with a source of type ${typeOf(source)}`, AS_DATA);
  }
};

const documentParts = (block: Json, param: string): Json[] => {
  onlyMembers(block, DOCUMENT, param);
  refuseCitations(block, param);
  const title = block.title === undefined || block.title === null ? '' : stringAt(block, 'title', param);
  const context = block.context === undefined || block.context === null ? '' : stringAt(block, 'context', param);
  const [source, at] = sourceOf(block, param);
  switch (source.type) {
    case 'text':
      return [textPart(sections([title, context, stringAt(source, 'data', at)]))];
    case 'content':
      return contentParts(source.content, sections([title, context]), `${at}.content`);
    case 'base64': {
      const file = { filename: fileName(title), file_data: dataUrl(source, at) };
      return [...(context === '' ? [] : [textPart(context)]), { type: 'file', file }];
    }
    default:
      throw unsaid(at, `A document with a source of type ${typeOf(source)}`, AS_DATA);
  }
};

/** A document made of blocks, under its heading. */
const contentParts = (content: unknown, heading: string, param: string): Json[] => {
  if (typeof content === 'string') return [textPart(sections([heading, content]))];
  const parts = heading === '' ? [] : [textPart(heading)];
  for (const [block, at] of blocksIn(content, param)) {
    if (block.type === 'text') parts.push(textPart(textOf(block, at)));
    else if (block.type === 'image') parts.push(imagePart(block, at));
    else throw unsaid(at, `A block of type ${typeOf(block)} in a document`);
  }
  return parts;
};

const sections = (texts: readonly string[]): string => texts.filter((text) => text !== '').join('\n\n');

/** Base64 documents are PDFs, and OpenAI goes by the name. */
const fileName = (title: string): string => {
  if (title === '') return 'document.pdf';
  return /\.pdf$/i.test(title) ? title : `${title}.pdf`;
};

const searchText = (block: Json, param: string): string => {
  onlyMembers(block, SEARCH, param);
  refuseCitations(block, param);
  const texts = blocksIn(block.content, `${param}.content`).map(([inner, at]) => {
    if (inner.type !== 'text') throw unsaid(at, `A block of type ${typeOf(inner)} in a search result`);
    return textOf(inner, at);
  });
  return sections([stringAt(block, 'title', param), stringAt(block, 'source', param), ...texts]);
};

/** The answer would have to tell what it cites, and where. */
const refuseCitations = (block: Json, param: string): void => {
  const citations = objectField(block, 'citations', `${param}.citations`);
  if (citations?.enabled === true) throw unsaid(`${param}.citations`, 'A wish for citations', 'Switch them off.');
};

/** A tool that a search found: all tools are offered from the start, so its name is what there is to say. */
const referenceText = (block: Json, param: string): string => {
  onlyMembers(block, REFERENCE, param);
  return stringAt(block, 'tool_name', param);
};
