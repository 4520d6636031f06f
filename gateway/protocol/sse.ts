import { GatewayError } from '../errors.ts';

/**
 * Cuts a byte stream of server-sent events at the ends of events. Bytes are never changed: what `push` and `end` give,
 * in order, is what came in.
 */
export interface SseSplitter {
  /**
   * The next chunk. Gives all whole events so far, blank lines included, as one buffer; empty when there is none. A
   * chunk of whole events comes back as it is, without a copy. Throws GatewayError `upstream_error` when an event is
   * larger than the bound.
   */
  push(chunk: Buffer): Buffer;
  /** Bytes held back. */
  readonly held: number;
  /** The end of the stream: gives the last event if it was not closed by a blank line. */
  end(): Buffer;
}

const EMPTY = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

/** Opens a splitter. At most `maxEventBytes` are held. */
export const createSseSplitter = (options: { readonly maxEventBytes: number }): SseSplitter => {
  // An event in pieces: joined once, when its end comes, so that many small pieces cost no more than one large one.
  let pieces: Buffer[] = [];
  let held = 0;
  const hold = (bytes: Buffer): void => {
    if (bytes.length === 0) return;
    pieces.push(bytes);
    held += bytes.length;
    if (held > options.maxEventBytes) {
      throw new GatewayError('upstream_error', `An event of the answer is larger than ${options.maxEventBytes} bytes.`);
    }
  };
  const take = (): Buffer => {
    const all = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, held);
    pieces = [];
    held = 0;
    return all;
  };
  return {
    get held() {
      return held;
    },
    push(chunk) {
      const end = wholeEnd(chunk) || (held > 0 ? crossingEnd(pieces, chunk) : 0);
      if (end === 0) {
        hold(chunk);
        return EMPTY;
      }
      const whole = end === chunk.length ? chunk : chunk.subarray(0, end);
      if (held === 0) {
        hold(chunk.subarray(end));
        return whole;
      }
      pieces.push(whole);
      held += whole.length;
      const all = take();
      hold(chunk.subarray(end));
      return all;
    },
    end: () => (held === 0 ? EMPTY : take()),
  };
};

/** The end of the last blank line in `bytes`: of two line ends in a row, LF, CR or CRLF each. 0 where there is none. */
const wholeEnd = (bytes: Buffer): number => {
  const length = bytes.length;
  if (length >= 2 && bytes[length - 1] === LF && bytes[length - 2] === LF) return length;
  for (let at = length - 1; at > 0; ) {
    // Native search: most bytes of a stream are not line ends.
    const lf = bytes.lastIndexOf(LF, at);
    const cr = bytes.lastIndexOf(CR, at);
    at = lf > cr ? lf : cr;
    if (at <= 0) return 0;
    const start = lineEndStart(bytes, at);
    if (start > 0 && isLineEnd(bytes[start - 1]!)) return at + 1;
    at = start - 1;
  }
  return 0;
};

/** Where the line end that ends at `at` starts. */
const lineEndStart = (bytes: Buffer, at: number): number =>
  bytes[at] === LF && at > 0 && bytes[at - 1] === CR ? at - 1 : at;

const isLineEnd = (byte: number): boolean => byte === LF || byte === CR;

/** The same for a blank line that began in what is held: at most three bytes of it matter. */
const crossingEnd = (pieces: readonly Buffer[], chunk: Buffer): number => {
  const window: number[] = [];
  for (let index = pieces.length - 1; index >= 0 && window.length < 3; index--) {
    const piece = pieces[index]!;
    for (let at = piece.length - 1; at >= 0 && window.length < 3; at--) window.unshift(piece[at]!);
  }
  const before = window.length;
  for (let at = 0; at < chunk.length && at < 3 && isLineEnd(chunk[at]!); at++) window.push(chunk[at]!);
  const end = wholeEnd(Buffer.from(window));
  return end > before ? end - before : 0;
};

/** Splits whole events, as `push` gives them, into one buffer each. A last one without its blank line counts too. */
export const splitEvents = (bytes: Buffer): Buffer[] => {
  const events: Buffer[] = [];
  let start = 0;
  let lineStart = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte !== LF && byte !== CR) continue;
    const isBlank = at === lineStart;
    if (byte === CR && bytes[at + 1] === LF) at++;
    lineStart = at + 1;
    if (isBlank) {
      events.push(bytes.subarray(start, lineStart));
      start = lineStart;
    }
  }
  if (start < bytes.length) events.push(bytes.subarray(start));
  return events;
};

/** What one event says: its name, and its data lines joined by line feeds; null where there is none. */
export const eventData = (bytes: Buffer): { readonly event: string | null; readonly data: string | null } => {
  let event: string | null = null;
  let data: string | null = null;
  for (const line of bytes.toString('utf8').split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== 'data' && field !== 'event') continue;
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') event = value;
    else data = data === null ? value : `${data}\n${value}`;
  }
  return { event, data };
};

/**
 * The offset of a line of `bytes` that says `value` in `field`, with a space behind the colon or without; -1 where none
 * does. One native search a call: it runs for every chunk of a stream.
 */
export const fieldAt = (bytes: Buffer, field: string, value: Buffer): number => {
  for (let at = bytes.indexOf(value); at >= 0; at = bytes.indexOf(value, at + 1)) {
    const end = at + value.length;
    if (end < bytes.length && !isLineEnd(bytes[end]!)) continue;
    const colon = bytes[at - 1] === SPACE ? at - 2 : at - 1;
    const start = colon - field.length;
    if (bytes[colon] !== COLON || start < 0 || (start > 0 && !isLineEnd(bytes[start - 1]!))) continue;
    if (bytes.toString('latin1', start, colon) === field) return start;
  }
  return -1;
};
