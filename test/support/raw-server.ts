import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** One request as it came over the wire. */
export interface RawRequest {
  /** Request line and headers. */
  readonly head: string;
  readonly body: string;
  /** Which connection, and which request on it, from 0. */
  readonly connection: number;
  readonly index: number;
}

/** A TCP server that answers with whatever bytes a test says, when it says. */
export interface RawServer {
  readonly url: string;
  readonly requests: RawRequest[];
  readonly connections: Socket[];
  close(): Promise<void>;
}

/** Opens a server on a free port of loopback. `answer` is called for each complete request. */
export const openRawServer = async (answer: (socket: Socket, request: RawRequest) => void): Promise<RawServer> => {
  const requests: RawRequest[] = [];
  const connections: Socket[] = [];
  const server = createServer((socket) => {
    const connection = connections.push(socket) - 1;
    let index = 0;
    let buffered = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1');
      for (;;) {
        const headEnd = buffered.indexOf('\r\n\r\n');
        if (headEnd < 0) return;
        const head = buffered.slice(0, headEnd);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (buffered.length < headEnd + 4 + length) return;
        const request = { head, body: buffered.slice(headEnd + 4, headEnd + 4 + length), connection, index: index++ };
        buffered = buffered.slice(headEnd + 4 + length);
        requests.push(request);
        answer(socket, request);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections,
    close: async () => {
      for (const socket of connections) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
};

/** A whole answer with a length. */
export const answerOf = (status: number, body: string, headers = ''): string =>
  `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
