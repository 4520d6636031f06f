import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as the upstream saw it. */
export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Resolves with the time (performance.now) at which the connection of this request was closed. */
  readonly closed: Promise<number>;
}

export type Play = (request: SeenRequest, response: ServerResponse) => void | Promise<void>;

/** A provider that a test plays: it keeps what it was sent and answers what it is told. */
export interface FakeUpstream {
  readonly url: string;
  readonly requests: SeenRequest[];
  /** How the next requests are answered; it may be changed at any time. */
  play: Play;
  /** Called when the first bytes of a request are here, before its body is read. */
  onArrival: () => void | Promise<void>;
  last(): SeenRequest;
  close(): Promise<void>;
}

/** Opens a fake provider on a free port of loopback. */
export const openFakeUpstream = async (play: Play = answerJson(200, {})): Promise<FakeUpstream> => {
  const requests: SeenRequest[] = [];
  const server = createServer(async (req, res) => {
    res.on('error', () => {});
    req.on('error', () => {});
    await upstream.onArrival();
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of req) chunks.push(chunk as Buffer);
    } catch {
      return; // The gateway gave the request up before it was whole.
    }
    const closed = Promise.withResolvers<number>();
    res.on('close', () => closed.resolve(performance.now()));
    const request: SeenRequest = {
      path: req.url ?? '',
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      body: Buffer.concat(chunks),
      closed: closed.promise,
    };
    requests.push(request);
    await upstream.play(request, res);
  });
  server.keepAliveTimeout = 65_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream: FakeUpstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    play,
    onArrival: () => {},
    last: () => {
      const request = requests.at(-1);
      if (!request) throw new Error('the upstream was not asked');
      return request;
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return upstream;
};

/** Plays one JSON answer; a string or Buffer goes out as it is. */
export const answerJson =
  (status: number, body: unknown, headers: Record<string, string> = {}): Play =>
  (_request, res) => {
    const bytes =
      Buffer.isBuffer(body) || typeof body === 'string' ? Buffer.from(body) : Buffer.from(JSON.stringify(body));
    res.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers });
    res.end(bytes);
  };

/** Plays a stream chunk by chunk; each chunk is its own write, flushed before the next. */
export const answerStream =
  (chunks: readonly (string | Buffer)[], headers: Record<string, string> = {}): Play =>
  async (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', ...headers });
    for (const chunk of chunks) {
      if (res.destroyed) return;
      res.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    res.end();
  };

/** Plays a stream that breaks: after the chunks the connection is reset, or ended in order (`end`). */
export const breakStream =
  (chunks: readonly (string | Buffer)[], how: 'reset' | 'end'): Play =>
  async (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.flushHeaders();
    for (const chunk of chunks) res.write(chunk);
    await new Promise((resolve) => setImmediate(resolve));
    if (how === 'end') res.end();
    else res.socket?.resetAndDestroy();
  };

/** Takes the request and says nothing. */
export const hang: Play = () => {};

/** Takes the request and resets the connection. */
export const reset: Play = (_request, res) => {
  res.socket?.resetAndDestroy();
};
