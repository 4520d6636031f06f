import type { Socket } from 'node:net';
import { chatCompletion, chatEvent, chatStream, message, messageEvent, messageStream } from './answers.ts';
import { PROVIDER_KEY } from './gateway.ts';
import { openRawServer, type RawRequest, type RawServer } from './raw-server.ts';

/** A wire format's answers, as a provider that speaks it would write them. */
export interface Wire {
  /** An unstreamed answer: 20 tokens in, 5 out. */
  readonly whole: string;
  /** The events of a streamed one, the terminal one last. */
  readonly events: readonly string[];
  error(type: string, message: string): string;
  errorEvent(type: string, message: string): string;
}

export const CHAT: Wire = {
  whole: JSON.stringify(chatCompletion('Jupiter, of course.')),
  events: chatStream(['Jup', 'iter, of', ' course.']),
  error: (type, said) => JSON.stringify({ error: { message: said, type, param: null, code: type } }),
  errorEvent: (type, said) => chatEvent({ error: { message: said, type, param: null, code: type } }),
};

export const MESSAGES: Wire = {
  whole: JSON.stringify(message('Jupiter, of course.')),
  events: messageStream(['Jup', 'iter, of', ' course.']),
  error: (type, said) => JSON.stringify({ type: 'error', error: { type, message: said }, request_id: 'req_provider' }),
  errorEvent: (type, said) => messageEvent({ type: 'error', error: { type, message: said } }),
};

/** One request that a faulty upstream has to answer, and its own address, which it likes to tell. */
export interface Asked {
  readonly socket: Socket;
  readonly request: RawRequest;
  readonly wire: Wire;
  readonly isStream: boolean;
  readonly url: string;
}

/** What is done to one request. */
export type Fault = (asked: Asked) => void;

/** A provider of one wire format that does what it is told, byte by byte: no HTTP library stands between. */
export interface FaultyUpstream {
  readonly url: string;
  readonly requests: readonly RawRequest[];
  wire: Wire;
  fault: Fault;
  /** Connections that are open. */
  open(): number;
  close(): Promise<void>;
}

export const openFaultyUpstream = async (): Promise<FaultyUpstream> => {
  const server: RawServer = await openRawServer((socket, request) => {
    const isStream = request.body.includes('"stream":true');
    upstream.fault({ socket, request, wire: upstream.wire, isStream, url: server.url });
  });
  const upstream: FaultyUpstream = {
    url: server.url,
    requests: server.requests,
    wire: CHAT,
    fault: good,
    open: () => server.connections.filter(({ destroyed }) => !destroyed).length,
    close: server.close,
  };
  return upstream;
};

/** What no caller may ever read, in an error that a provider says of itself. */
export const secrets = (url: string): string =>
  `refused by ${url} with key ${PROVIDER_KEY}\n    at Object.<anonymous> (/srv/provider/server.js:42:7)`;

/** An answer with a length. */
const answer = (status: number, body: string, headers: Headers = {}): string =>
  `${head(status, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers })}${body}`;

type Headers = Readonly<Record<string, string>>;

const head = (status: number, headers: Headers): string =>
  `HTTP/1.1 ${status} X\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;

const STREAM_HEAD = head(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' });
const CHUNKED_HEAD = head(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const LAST_CHUNK = '0\r\n\r\n';

/** A whole, right answer. */
export const good: Fault = ({ socket, wire, isStream }) => {
  socket.write(isStream ? streamOf(wire.events) : answer(200, wire.whole));
};

const streamOf = (events: readonly string[]): string => STREAM_HEAD + events.map(chunk).join('') + LAST_CHUNK;

/** An error status with a body in the provider's own shape, full of what must stay there. */
export const refuses =
  (status: number, type: string, headers: Headers = {}): Fault =>
  ({ socket, wire, url }) => {
    socket.write(answer(status, wire.error(type, secrets(url)), headers));
  };

/** The same, in words of its own for each wire format. */
export const refusesSaying =
  (status: number, words: (wire: Wire) => string): Fault =>
  ({ socket, wire }) => {
    socket.write(answer(status, words(wire)));
  };

/** An answer that is no JSON, such as the page of a proxy on the way. */
export const page =
  (status: number, headers: Headers = {}): Fault =>
  ({ socket, url }) => {
    const html = `<html><body><h1>${status}</h1><pre>${secrets(url)}</pre></body></html>`;
    socket.write(answer(status, html, { 'content-type': 'text/html', ...headers }));
  };

/** Status 200 and these bytes as the body, in the content type that was asked for. */
export const says =
  (body: string | ((asked: Asked) => string), headers: Headers = {}): Fault =>
  (asked) => {
    const type = asked.isStream ? 'text/event-stream' : 'application/json';
    asked.socket.write(
      answer(200, typeof body === 'string' ? body : body(asked), { 'content-type': type, ...headers }),
    );
  };

/** Bytes as they are, in place of an answer. */
export const writes =
  (bytes: string | ((asked: Asked) => string)): Fault =>
  (asked) => {
    asked.socket.write(typeof bytes === 'string' ? bytes : bytes(asked));
  };

/** The first of these bytes, then a good answer. */
export const before =
  (bytes: string): Fault =>
  (asked) => {
    asked.socket.write(bytes);
    good(asked);
  };

/** Takes the request and says nothing. */
export const hangs: Fault = () => {};

/** Takes the request and resets the connection. */
export const resets: Fault = ({ socket }) => {
  socket.resetAndDestroy();
};

/** Answers once on a connection, and resets it when it is used again. */
export const resetsWhenReused: Fault = (asked) => {
  if (asked.request.index === 0) good(asked);
  else resets(asked);
};

/** How an answer that has begun goes on. */
type Break = 'hangs' | 'resets' | 'closes' | 'ends' | 'garbles';

/**
 * Half of an answer, then silence, a reset, a connection closed before its time, an end in order of half a body, or
 * bytes that are no chunk. Half of a stream is whole events, some text among them.
 */
export const half =
  (then: Break): Fault =>
  ({ socket, wire, isStream }) => {
    const events = wire.events.slice(0, -3);
    const body = wire.whole.slice(0, wire.whole.length / 2);
    if (then === 'ends') socket.write(isStream ? streamOf(events) : answer(200, body));
    else if (isStream) socket.write(STREAM_HEAD + events.map(chunk).join(''));
    else if (then === 'garbles') socket.write(CHUNKED_HEAD + chunk(body));
    else socket.write(answer(200, wire.whole).slice(0, -wire.whole.length) + body);
    if (then === 'garbles') socket.write('no chunk\r\n');
    if (then === 'closes') socket.end();
    // A moment later, so that the half has been read before.
    if (then === 'resets') setTimeout(() => socket.resetAndDestroy(), 20);
  };

/** An answer that says an error where an answer was due: in the middle of a stream, or in place of a whole one. */
export const saysError: Fault = ({ socket, wire, isStream, url }) => {
  const said = [...wire.events.slice(0, -3), wire.errorEvent('overloaded_error', secrets(url))];
  socket.write(isStream ? streamOf(said) : answer(200, wire.error('overloaded_error', secrets(url))));
};

/** A good answer without a length: it ends when the connection does. */
export const unmeasured: Fault = ({ socket, wire, isStream }) => {
  const type = isStream ? 'text/event-stream' : 'application/json';
  socket.end(head(200, { 'content-type': type, connection: 'close' }) + (isStream ? wire.events.join('') : wire.whole));
};

/** A good answer that takes its time, in small pieces. */
export const slow =
  (stepMs: number): Fault =>
  ({ socket, wire, isStream }) => {
    const all = isStream ? streamOf(wire.events) : answer(200, wire.whole);
    const size = Math.ceil(all.length / 6);
    let at = 0;
    const timer = setInterval(() => {
      socket.write(all.slice(at, at + size));
      at += size;
      if (at >= all.length) clearInterval(timer);
    }, stepMs);
    socket.once('close', () => clearInterval(timer));
  };

/** More and more of the same in one body, until the other side has had enough. */
export const endless =
  (piece: string): Fault =>
  ({ socket, isStream }) => {
    const type = isStream ? 'text/event-stream' : 'application/json';
    socket.write(head(200, { 'content-type': type, 'transfer-encoding': 'chunked' }));
    const bytes = chunk(piece);
    const more = (): void => {
      while (!socket.destroyed && socket.write(bytes));
    };
    socket.on('drain', more);
    more();
  };
