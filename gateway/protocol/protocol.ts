import type { Config, Input, Usage } from '../types.gen.ts';
import type { Json } from './fields.ts';
import type { JsonScan } from './json-scan.ts';

export type Dialect = Input['request']['dialect'];
/** An operation of the data plane: what a policy decides about. The control plane's (`admin.…`) have no wire format. */
export type Endpoint = Exclude<Input['request']['endpoint'], `admin.${string}`>;
/** A kind of provider: it has a protocol, and habits of its own within it. */
export type UpstreamKind = Config['upstreams'][number]['kind'];

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
  /** Number of user messages, those that carry tool results alone not counted. */
  readonly turns: number;
  /** Parts no detector can read: encoded bytes by kind (image, audio, document, file, unknown). */
  readonly uninspected: ReadonlyMap<string, number>;
  /**
   * Tokens of `scan` that hold the base64 of those parts. They alone are not inspected; a payload that is not plain
   * base64 is not among them.
   */
  readonly opaque: ReadonlySet<number>;
  /** Whether the provider itself is to run tools (web search, MCP servers …), whose output adds to the input. */
  readonly serverTools: boolean;
  /** Prompts that are answered each on its own (completions, embeddings); absent where a call is one conversation. */
  readonly prompts?: number;
  /** Tokens that were sent as ids; absent where there are none, or what cannot be read is of other kinds too. */
  readonly tokenIds?: number;
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
  /** Says fields as a provider of this kind calls them, where it has names of its own (docs/translation.md). */
  readonly kind?: UpstreamKind;
}

/** The token usage of an answer, null where the provider sent none. Tokens in disjoint classes. */
export type ReportedUsage = Omit<Usage, 'source'>;

/** One wire format: how to read a call, splice it, read the usage of its answer, and say an error. */
export interface Protocol {
  readonly endpoint: Endpoint;
  readonly dialect: Dialect;
  /** Path under the provider's base URL, such as `/chat/completions`. */
  readonly upstreamPath: string;
  /** Whether an answer has output tokens, which a cap bounds: not so embeddings and counts. */
  readonly hasOutput: boolean;
  /** Whether an answer is billed at all: counting tokens is not. */
  readonly isBilled: boolean;
  /** Reads a scanned body. Throws GatewayError `invalid_field` with `param`. */
  read(raw: Buffer, scan: JsonScan, body: Record<string, unknown>): Call;
  /** The splices that carry out `edits`, as replacements of byte ranges of `call.raw`. */
  edit(call: Call, edits: Edits): Splice[];
  /** Usage of an unstreamed answer's parsed body. */
  usage(body: unknown): ReportedUsage | null;
  /** A reader of the usage in a stream: fed the `data` payload of events that mention usage, in order. */
  streamUsage(): StreamUsage;
  /**
   * Offset in whole events of the one after which a stream is complete (`data: [DONE]`, `event: message_stop`,
   * `event: response.completed`), -1 where there is none. Text that says it is not it.
   */
  terminalAt(events: Buffer): number;
  /** An event as it goes over the wire. */
  eventText(event: Json): string;
  /** What ends a stream beyond its last event: `data: [DONE]` and a blank line, or nothing. */
  readonly terminal: string;
  /** Whether a stream event, parsed, carries usage and nothing else, so that it can be left out. */
  isUsageOnly(event: unknown): boolean;
  /** The strings of an unstreamed answer that restoring may change. */
  answerTexts(body: unknown): AnswerText[];
  /** A reader of one stream for restoring: it tells the pieces of text, and when a text has ended. */
  answerEvents(): AnswerEvents;
  /** An error as an unstreamed body. */
  errorBody(error: WireError): Record<string, unknown>;
  /** The same as the event that ends a broken stream. Never followed by a terminal event. */
  errorEvent(error: WireError): string;
}

export interface StreamUsage {
  feed(data: string): void;
  result(): ReportedUsage | null;
}

/**
 * A string of an answer, or a piece of one in a stream. Signed reasoning (Anthropic's thinking) is never among them:
 * its signature covers the text, so it is passed on as it came, placeholders included.
 */
export interface AnswerText {
  /** In a stream, the pieces of one channel make one text, in order. In a whole answer each string is one text. */
  readonly channel: string;
  readonly place: 'text' | 'tool_arguments';
  readonly value: string;
  /** Whether the value is JSON text, or a piece of it, so that what is put into it must be escaped. */
  readonly json: boolean;
  /** Whether the answer has said it before, or the request has: what adds up what was said leaves it out. */
  readonly isRepeat?: boolean;
  /** Changes the string in the parsed answer or event. */
  set(value: string): void;
}

/** Reads the parsed `data` of a stream's events one by one. */
export interface AnswerEvents {
  read(event: unknown): {
    readonly pieces: readonly AnswerText[];
    /**
     * Channels whose text ends with this event. What was held back of one is appended to its last piece in this event,
     * or written as an event before it when it has none here.
     */
    readonly ended: readonly string[];
    /** What the model wrote that must stay as it came, such as signed thinking: for counting alone. */
    readonly unchanged?: string;
  };
  /** All channels that are open: what a terminal event ends. */
  open(): readonly string[];
  /** A whole event that carries `text` as the next piece of an open or just ended channel. */
  write(channel: string, text: string): string;
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
