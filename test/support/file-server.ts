import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';

/** A server that gives the files of a folder as any static server does: with ETags, and 304 for what is known. */
export interface FileServer {
  /** Of the folder, with a slash at its end. */
  readonly url: string;
  /** What was asked and answered, such as `GET /rollout.yaml 304`. */
  readonly log: string[];
  readonly requests: IncomingMessage[];
  /** Answers in the folder's place; gives false to leave a request to it. */
  play: (request: IncomingMessage, response: ServerResponse) => unknown;
  /** Stops listening and drops all connections. */
  stop(): Promise<void>;
  /** Listens again at the same address. */
  start(): Promise<void>;
}

/** Opens it on a free port of loopback. */
export const openFileServer = async (folder: string): Promise<FileServer> => {
  const log: string[] = [];
  const requests: IncomingMessage[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname));
    const bytes = await readFile(join(folder, path)).catch(() => undefined);
    if (bytes === undefined) {
      response.writeHead(404).end('not here');
      return;
    }
    const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
    if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
    else response.writeHead(200, { etag, 'content-length': bytes.length }).end(bytes);
  };
  const server = createServer((request, response) => {
    requests.push(request);
    response.on('close', () => log.push(`${request.method} ${request.url} ${response.statusCode}`));
    if (opened.play(request, response) === false) void serve(request, response);
  });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  const opened: FileServer = {
    url: `http://127.0.0.1:${port}/`,
    log,
    requests,
    play: () => false,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    async start() {
      await listen(port);
    },
  };
  return opened;
};
