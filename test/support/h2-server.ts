import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

const fixture = (name: string): string => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), 'utf8');

/** The certificate that tests' TLS servers show. */
export const CERTIFICATE = fixture('cert.pem');

/** One request as it came over HTTP/2. */
export interface H2Request {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly stream: ServerHttp2Stream;
  /** Which connection, from 0. */
  readonly session: number;
}

/** An HTTP/2 server over TLS that answers as a test says. */
export interface H2Server {
  readonly url: string;
  readonly sessions: ServerHttp2Session[];
  readonly requests: H2Request[];
  close(): Promise<void>;
}

/** Opens a server on a free port of loopback. `answer` is called for each complete request. */
export const openH2Server = async (answer: (request: H2Request) => void): Promise<H2Server> => {
  const server = createSecureServer({ cert: CERTIFICATE, key: fixture('key.pem'), allowHTTP1: false });
  const sessions: ServerHttp2Session[] = [];
  const requests: H2Request[] = [];
  server.on('session', (session) => {
    session.on('error', () => {});
    sessions.push(session);
  });
  server.on('stream', (stream, headers) => {
    const session = sessions.indexOf(stream.session as ServerHttp2Session);
    const chunks: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const request = { headers, body: Buffer.concat(chunks).toString(), stream, session };
      requests.push(request);
      answer(request);
    });
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    requests,
    close: async () => {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
};

/** Answers a request whole. */
export const answerH2 = (
  { stream }: H2Request,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void => {
  stream.respond({ ':status': status, 'content-type': 'application/json', ...headers });
  stream.end(body);
};
