import type { Usage } from '../types.gen.ts';
import type { JsonScan } from './json-scan.ts';

export type Dialect = 'openai' | 'anthropic';
export type Endpoint = 'chat.completions' | 'messages' | 'models';

/**
 * A request body that has been read: valid, unambiguous JSON of a known dialect. `raw` is what goes upstream, but for
 * spliced fields; `body` is for reading only.
 */
export interface Call {
  readonly endpoint: Endpoint;
  readonly dialect: Dialect;
  readonly raw: Buffer;
  readonly body: Readonly<Record<string, unknown>>;
  readonly scan: JsonScan;
  readonly model: string;
  readonly stream: boolean;
  /** Whether the caller asked for usage in a stream (`stream_options.include_usage`; always true for Anthropic). */
  readonly includeUsage: boolean;
  readonly maxOutputTokens: number | null;
  readonly temperature: number | null;
  readonly toolNames: readonly string[];
  readonly responseFormat: string | null;
  /** The conversation's parts in order, for measuring. References into `body`, no copies. */
  readonly texts: readonly CallText[];
  /** Number of messages, a system prompt included. */
  readonly messages: number;
  readonly modalities: readonly string[];
  /** Parts no detector can read, by kind. */
  readonly uninspected: ReadonlyMap<string, number>;
}

/** One text of a conversation and who says it. */
export interface CallText {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly text: string;
}

/** A field to change in a body before it goes upstream. `undefined` leaves it as the caller sent it. */
export interface Edits {
  readonly model?: string;
  /** Sets the output cap, under the name the caller used or the dialect's current one. */
  readonly maxOutputTokens?: number;
  /** Adds `stream_options.include_usage` to an OpenAI stream. */
  readonly includeUsage?: boolean;
  readonly removeTools?: readonly string[];
}

/** The token usage of an answer, null where the provider sent none. Tokens in disjoint classes. */
export type ReportedUsage = Omit<Usage, 'source'>;

/** One wire format: how to read a call, splice it, read the usage of its answer, and say an error. */
export interface Protocol {
  readonly endpoint: Endpoint;
  readonly dialect: Dialect;
  /** Path under the provider's base URL, such as `/chat/completions`. */
  readonly upstreamPath: string;
  /** Reads a scanned body. Throws GatewayError `invalid_field` with `param`. */
  read(raw: Buffer, scan: JsonScan, body: Record<string, unknown>): Call;
  /** The splices that carry out `edits`, as replacements of byte ranges of `call.raw`. */
  edit(call: Call, edits: Edits): Splice[];
  /** Usage of an unstreamed answer's parsed body. */
  usage(body: unknown): ReportedUsage | null;
  /** A reader of the usage in a stream: fed the `data` payload of events that mention usage, in order. */
  streamUsage(): StreamUsage;
  /** The bytes that start the event after which a stream is complete (`data: [DONE]`, `event: message_stop`). */
  readonly terminal: Buffer;
  /** An error as an unstreamed body. */
  errorBody(error: WireError): Record<string, unknown>;
  /** The same as the event that ends a broken stream. Never followed by a terminal event. */
  errorEvent(error: WireError): string;
}

export interface StreamUsage {
  feed(data: string): void;
  result(): ReportedUsage | null;
}

/** Replace bytes `start`..`end` of a body by `text`. Ranges of one body never overlap. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** What a caller learns of an error. */
export interface WireError {
  readonly status: number;
  /** The dialect's error type. */
  readonly type: string;
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  readonly hint: string | null;
  readonly decisionId: string | null;
  readonly requestId: string;
}
