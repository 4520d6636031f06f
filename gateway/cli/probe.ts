import { lookup } from 'node:dns/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How far a request got, and how long each step took, milliseconds. */
export interface Probe {
  /** The step that failed; null when there is an answer. */
  readonly failed: 'dns' | 'tcp' | 'tls' | 'http' | null;
  /** Why: Node's code such as ECONNREFUSED or CERT_HAS_EXPIRED, or `timeout`. */
  readonly code: string;
  readonly steps: readonly { readonly step: 'DNS' | 'TCP' | 'TLS' | 'answer'; readonly ms: number }[];
  /** 0 without an answer. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

export interface ProbeOptions {
  /** http(s)://host:port */
  readonly origin: string;
  readonly path: string;
  /** Name, value, name, value. */
  readonly headers: readonly string[];
  /** Each step may take so long. */
  readonly timeoutMs: number;
}

type Step = NonNullable<Probe['failed']>;

/** Asks a server once with GET and tells where it fails: name, connection, certificate or answer. Never rejects. */
export const probe = async ({ origin, path, headers, timeoutMs }: ProbeOptions): Promise<Probe> => {
  const { hostname, port, protocol } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, '');
  const isTls = protocol === 'https:';
  const steps: Probe['steps'][number][] = [];
  let step: Step = 'dns';
  const timed = async <T>(
    name: Probe['steps'][number]['step'],
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const started = performance.now();
    const result = await run(AbortSignal.timeout(timeoutMs));
    steps.push({ step: name, ms: Math.round(performance.now() - started) });
    return result;
  };
  let socket: Socket | undefined;
  try {
    const address = isIP(host) === 0 ? (await timed('DNS', (signal) => within(signal, lookup(host)))).address : host;
    step = 'tcp';
    const tcp = connectTcp({ host: address, port: Number(port) || (isTls ? 443 : 80) });
    socket = tcp;
    await timed('TCP', (signal) => within(signal, event(tcp, 'connect')));
    if (isTls) {
      step = 'tls';
      const tls = connectTls({ socket: tcp, ...(isIP(host) === 0 ? { servername: host } : { host }) });
      socket = tls;
      await timed('TLS', (signal) => within(signal, event(tls, 'secureConnect')));
    }
    step = 'http';
    const open = socket;
    const answer = await timed('answer', (signal) =>
      within(
        signal,
        new Promise<Pick<Probe, 'status' | 'headers'>>((resolve, reject) => {
          const req = httpRequest({
            createConnection: () => open,
            method: 'GET',
            path,
            headers: ['host', new URL(origin).host, ...headers, 'connection', 'close'],
          });
          req.once('error', reject);
          req.once('response', (res) => {
            res.resume();
            resolve({ status: res.statusCode ?? 0, headers: res.headers });
          });
          req.end();
        }),
      ),
    );
    return { failed: null, code: '', steps, ...answer };
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: unknown };
    const why = name === 'TimeoutError' ? 'timeout' : typeof code === 'string' ? code : String(name ?? error);
    return { failed: step, code: why, steps, status: 0, headers: {} };
  } finally {
    socket?.on('error', ignore).destroy();
  }
};

const ignore = (): void => {};

const event = (socket: Socket, name: 'connect' | 'secureConnect'): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once(name, () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });

const within = <T>(signal: AbortSignal, work: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
