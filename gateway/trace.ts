import { randomFillSync } from 'node:crypto';

/** What a request is part of: W3C trace context, https://www.w3.org/TR/trace-context/. */
export interface RemoteSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** One attempt of a traced request at an upstream. */
export interface AttemptMark {
  readonly spanId: string;
  /** Milliseconds since the request came in. */
  readonly startMs: number;
}

/**
 * The place of one request in a trace: the caller's where it sent a valid `traceparent`, else a new one. Ids are made
 * when somebody asks: most requests are not sampled and nobody does.
 */
export class Trace {
  readonly parent: RemoteSpan | null;
  /** Whether spans of this request are exported. */
  readonly isSampled: boolean;
  /** By the index that the attempt gets in the exchange; sparse. */
  readonly attempts: AttemptMark[] = [];
  #traceId: string | undefined;
  #spanId: string | undefined;

  constructor(parent: RemoteSpan | null = null, isSampled = false) {
    this.parent = parent;
    this.isSampled = isSampled;
    this.#traceId = parent?.traceId;
  }

  /** 32 hexadecimal digits. */
  get traceId(): string {
    this.#traceId ??= randomHex(16);
    return this.#traceId;
  }

  /** The request's own span, 16 hexadecimal digits. */
  get spanId(): string {
    this.#spanId ??= randomHex(8);
    return this.#spanId;
  }

  /** Marks the start of an attempt, `startMs` since the request came in, and gives the traceparent that tells of it. */
  attempt(index: number, startMs: number): string {
    const spanId = randomHex(8);
    this.attempts[index] = { spanId, startMs };
    // Not the caller's flag: what this gateway does not record an upstream would record in vain.
    return `00-${this.traceId}-${spanId}-${this.isSampled ? '01' : '00'}`;
  }
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const LONGEST_TRACEPARENT = 256;
const HEADER = 'traceparent';

/** The caller's span in raw header lines; null when there is none, or none that is valid, or two. */
export const remoteSpanOf = (rawHeaders: readonly string[]): RemoteSpan | null => {
  let value: string | undefined;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length !== HEADER.length || name.toLowerCase() !== HEADER) continue;
    if (value !== undefined) return null;
    value = rawHeaders[at + 1]!;
  }
  return value === undefined ? null : parseTraceparent(value);
};

/** A traceparent; null for one that is not valid. Of later versions the parts of version 00 are read, as the standard says. */
export const parseTraceparent = (value: string): RemoteSpan | null => {
  if (value.length > LONGEST_TRACEPARENT) return null;
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(value) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
};

// Random bytes are drawn for many ids at once.
const pool = Buffer.alloc(4096);
let drawn = pool.length;

/** New random hexadecimal digits, two a byte; not all of them zero, which would be no id. */
export const randomHex = (bytes: number): string => {
  for (;;) {
    if (drawn + bytes > pool.length) {
      randomFillSync(pool);
      drawn = 0;
    }
    const text = pool.toString('hex', drawn, drawn + bytes);
    drawn += bytes;
    if (!/^0+$/.test(text)) return text;
  }
};
