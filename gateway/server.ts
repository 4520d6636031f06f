import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Address } from './config.ts';
import { newIds } from './stages/ids.ts';

/** Bounds of one connection. A slow body is 408, a slow or large head 408 or 431 (trust.md, slowloris). */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const MAX_HEADER_BYTES = 32_768;

export interface Listening {
  readonly server: Server;
  readonly url: string;
}

/** Hears of a request that never reached the handler, and gives the id it is told under. */
export type OnRefused = (remoteAddress: string, status: number, code: string) => string;

/** Listens for HTTP; with `reusePort` beside other processes that do. Throws an error that names the address when it is taken. */
export const listen = async (
  handler: RequestListener,
  address: Address,
  onRefused: OnRefused = () => newIds().requestId,
  reusePort = false,
): Promise<Listening> => {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: 5000,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
      // Judged by `receive`, so that its refusal has our shape and a record: Node's own has neither.
      requireHostHeader: false,
    },
    handler,
  );
  const refuse = (error: { code?: string }, socket: Socket): void => answerClientError(error, socket, onRefused);
  server.on('clientError', refuse);
  // Without a handler Node would answer Upgrade requests as ordinary ones, and `Expect` with a 417 of its own shape.
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    const text = wireText('invalid_header', 'Expect is not supported.');
    res.writeHead(417, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'x-request-id': onRefused(req.socket.remoteAddress ?? '', 417, 'invalid_header'),
      connection: 'close',
    });
    res.end(text);
  });
  // Without a handler Node would close the connection without a word.
  server.on('connect', (_req: IncomingMessage, socket: Socket) => refuse({}, socket));
  server.listen({ port: address.port, host: address.host, reusePort });
  await once(server, 'listening');
  const { address: host, port, family } = server.address() as AddressInfo;
  return { server, url: `http://${family === 'IPv6' ? `[${host}]` : host}:${port}` };
};

const CLIENT_ERRORS: Record<string, { status: string; code: string; message: string }> = {
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    code: 'invalid_header',
    message: `The headers are larger than ${MAX_HEADER_BYTES} bytes.`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    code: 'request_timeout',
    message: 'The request took too long to arrive.',
  },
};

/** Requests that Node's parser refuses never become a request: they get an answer of our shape and the connection closes. */
const answerClientError = (error: { code?: string }, socket: Socket, onRefused: OnRefused): void => {
  // An answer under way would take this for a part of its body (Node looks at the same field).
  const underWay = (socket as { _httpMessage?: ServerResponse | null })._httpMessage;
  if (error.code === 'ECONNRESET' || !socket.writable || underWay?.headersSent) {
    socket.destroy();
    return;
  }
  const { status, code, message } = CLIENT_ERRORS[error.code ?? ''] ?? {
    status: '400 Bad Request',
    code: 'invalid_request_target',
    message: 'The request is not valid HTTP/1.1.',
  };
  const body = wireText(code, message);
  // One that broke off in its body is on record by itself.
  const requestId = underWay
    ? newIds().requestId
    : onRefused(socket.remoteAddress ?? '', Number(status.slice(0, 3)), code);
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `x-request-id: ${requestId}\r\nconnection: close\r\n\r\n${body}`,
  );
};

const wireText = (code: string, message: string): string =>
  JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code } });

/** What is asked to end by itself, at the end of a grace. */
export interface Stoppable {
  stop(): void;
}

/** A caller's next request may be on its way as we stop: for so long it is still answered, with `connection: close`. */
const LINGER_MS = 200;
/** From the end of the grace, for error events and outcomes. */
const LAST_WORDS_MS = 2_000;

/**
 * Stops a server without losing a request: connections that are open are served for a moment more, what is under way
 * has `graceMs` to end; then it is told to stop, and at last cut off.
 */
export const drain = async (
  server: Server,
  open: readonly ReadonlySet<Stoppable>[],
  graceMs: number,
): Promise<void> => {
  const isEmpty = async (ms: number): Promise<void> => {
    const until = performance.now() + ms;
    while (open.some(({ size }) => size > 0) && performance.now() < until) await pause(20);
  };
  if (graceMs > 0 && (await connectionsOf(server)) > 0) await pause(LINGER_MS);
  // Not http's own close: it takes a connection for idle while the end of an answer still waits for a slow reader.
  NetServer.prototype.close.call(server);
  await isEmpty(graceMs);
  for (const exchange of open.flatMap((set) => [...set])) exchange.stop();
  await isEmpty(LAST_WORDS_MS);
  server.closeAllConnections();
  server.close();
  // Callers that do not read, or are not done sending: their outcomes come with the end of their connection.
  await isEmpty(LAST_WORDS_MS);
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const connectionsOf = (server: Server): Promise<number> =>
  new Promise((resolve) => server.getConnections((error, count) => resolve(error ? 1 : count)));
