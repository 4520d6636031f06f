import { once } from 'node:events';
import { connect } from 'node:net';

/** One HTTP answer as it came over a socket. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What a connection gave: its answers in order, and whether the server closed it. */
export interface RawExchange {
  readonly answers: readonly RawAnswer[];
  readonly closed: boolean;
}

/**
 * Sends bytes over a connection of its own, a piece at a time, and gathers answers until the server closes it or is
 * silent for `quietMs` after `expected` answers. A 100 Continue counts as an answer.
 */
export const sendRaw = async (
  url: string,
  pieces: string | Buffer | readonly (string | Buffer)[],
  { expected = 1, quietMs = 30, timeoutMs = 5000 } = {},
): Promise<RawExchange> => {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = '';
  let closed = false;
  let lastAt = performance.now();
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    lastAt = performance.now();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  await once(socket, 'connect');
  for (const piece of typeof pieces === 'string' || Buffer.isBuffer(pieces) ? [pieces] : pieces) {
    if (closed || socket.destroyed) break;
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const end = performance.now() + timeoutMs;
  while (!closed && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (parseAnswers(received).length >= expected && performance.now() - lastAt > quietMs) break;
  }
  socket.destroy();
  return { answers: parseAnswers(received), closed };
};

/** The answers in what was received; each must have a content-length or no body. */
const parseAnswers = (received: string): RawAnswer[] => {
  const answers: RawAnswer[] = [];
  let rest = received;
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    const status = /^HTTP\/1\.1 (\d{3})/.exec(rest);
    if (headEnd < 0 || !status) return answers;
    const headers = new Map<string, string>();
    for (const line of rest.slice(0, headEnd).split('\r\n').slice(1)) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const length = Number(headers.get('content-length') ?? 0);
    const bodyAt = headEnd + 4;
    if (rest.length < bodyAt + length) return answers;
    const body = Buffer.from(rest.slice(bodyAt, bodyAt + length), 'latin1').toString('utf8');
    answers.push({ status: Number(status[1]), headers, body });
    rest = rest.slice(bodyAt + length);
  }
};
