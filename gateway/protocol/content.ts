import { isTextType, parseDataUrl } from './data-url.ts';
import { isObject, type Json } from './fields.ts';
import { tokensOf } from './json-ranges.ts';
import type { JsonScan } from './json-scan.ts';
import type { Call, CallText } from './protocol.ts';

/** The kinds of parts that no detector can read. */
export type PartKind = 'image' | 'audio' | 'document' | 'file' | 'unknown';

type Role = CallText['role'];

/** Collects what a conversation is made of while a protocol walks its messages. */
export class Content {
  readonly texts: CallText[] = [];
  readonly modalities: string[] = [];
  readonly uninspected = new Map<string, number>();
  readonly #payloads = new Map<object, string>();

  text(role: Role, text: string): void {
    this.texts.push({ role, text });
    this.modality('text');
  }

  modality(kind: string): void {
    if (!this.modalities.includes(kind)) this.modalities.push(kind);
  }

  /**
   * A part that cannot be read: `holder[key]` is its payload or a reference to one. Only plain base64, alone or in a
   * data URL, is left out of the inspection of strings; anything else might be text, as data URLs of texts are.
   */
  payload(kind: PartKind, holder: Json, key: string): void {
    const value = holder[key];
    const text = typeof value === 'string' ? value : '';
    this.unread(kind, text === '' ? jsonBytes(holder) : text.length);
    if (isBase64(text)) this.#payloads.set(holder, key);
  }

  /** A part that cannot be read and whose payload is elsewhere or of an unknown shape. */
  unread(kind: PartKind, bytes: number): void {
    this.uninspected.set(kind, (this.uninspected.get(kind) ?? 0) + bytes);
    if (kind === 'file') this.modality('document');
    else if (kind !== 'unknown') this.modality(kind);
  }

  /**
   * A part whose type is unknown here. Its text is read; what else it holds may be of any kind, and a server may go by
   * that alone.
   */
  other(role: Role, part: Json): void {
    if (typeof part.text === 'string') this.text(role, part.text);
    if (typeof part.text !== 'string' || Object.keys(part).some((name) => !BESIDE_TEXT.has(name))) {
      this.unread('unknown', jsonBytes(part));
    }
  }

  /** Every string inside a value, such as the input of a tool. */
  leaves(role: Role, value: unknown): void {
    if (typeof value === 'string') this.text(role, value);
    else if (Array.isArray(value)) for (const item of value) this.leaves(role, item);
    else if (isObject(value)) for (const key in value) this.leaves(role, value[key]);
  }

  /** What a Call holds of it. */
  result(raw: Buffer, scan: JsonScan, body: Json): Pick<Call, 'texts' | 'modalities' | 'uninspected' | 'opaque'> {
    return {
      texts: this.texts,
      modalities: this.modalities,
      uninspected: this.uninspected,
      opaque: this.#payloads.size === 0 ? NONE : tokensOf(raw, scan, body, this.#payloads),
    };
  }
}

const NONE: ReadonlySet<number> = new Set();

/** Members of a text that say nothing by themselves. */
const BESIDE_TEXT: ReadonlySet<string> = new Set([
  ...['type', 'text', 'cache_control', 'prompt_cache_breakpoint', 'annotations', 'logprobs', 'citations'],
]);

/** Shorter strings are inspected in any case: a secret can look like base64. */
const SHORTEST_PAYLOAD = 256;

const isBase64 = (text: string): boolean => {
  if (text.length < SHORTEST_PAYLOAD) return false;
  if (!text.startsWith('data:')) return BASE64.test(text);
  const data = parseDataUrl(text);
  return data !== undefined && !isTextType(data.mediaType) && BASE64.test(data.base64);
};

const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** Size of a part as JSON, in bytes or near it. */
export const jsonBytes = (value: unknown): number => JSON.stringify(value)?.length ?? 0;
