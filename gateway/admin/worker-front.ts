import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { mergeMetrics } from './merge-metrics.ts';

/** A process that serves, as its supervisor knows it. */
export interface WorkerSeen {
  readonly worker: number;
  /** Its own control plane; null while it does not serve. */
  readonly adminUrl: string | null;
}

/** The longest that a worker is waited for. */
const TIMEOUT_MS = 5_000;
/** What an administrator asks may wait for the store, which has 10 s. */
const PASS_TIMEOUT_MS = 30_000;

/**
 * The control plane in front of several workers: it is ready when all are, has the metrics of all, and hands everything
 * else to the first that serves: they share store and policy, so each can answer.
 */
export const createWorkerFront =
  (workers: () => readonly WorkerSeen[]) =>
  (req: IncomingMessage, res: ServerResponse): void => {
    const path = req.url?.split('?', 1)[0];
    const isRead = req.method === 'GET' || req.method === 'HEAD';
    const first = workers().find(({ adminUrl }) => adminUrl !== null);
    if (path === '/healthz' && isRead) reply(res, 200, { status: 'ok' });
    else if (path === '/readyz' && isRead) void ready(workers(), res);
    else if (path === '/metrics' && isRead) void metrics(workers(), res);
    else if (first?.adminUrl) pass(req, res, first.adminUrl);
    else reply(res, 503, { error: { message: 'No worker serves.', type: 'server_error', code: 'shutting_down' } });
  };

const ready = async (workers: readonly WorkerSeen[], res: ServerResponse): Promise<void> => {
  const states = await Promise.all(
    workers.map(async ({ worker, adminUrl }) => {
      const answer = adminUrl === null ? null : await get(`${adminUrl}/readyz`);
      return { worker, ready: answer?.status === 200, ...(answer ? parsed(answer.text) : { problems: ['starting'] }) };
    }),
  );
  const problems = states.flatMap(({ worker, ready, ...state }) =>
    ready
      ? []
      : ((state as { problems?: string[] }).problems ?? ['no answer']).map((problem) => `worker ${worker}: ${problem}`),
  );
  const isReady = problems.length === 0;
  reply(res, isReady ? 200 : 503, { status: isReady ? 'ready' : 'not ready', problems, workers: states });
};

const metrics = async (workers: readonly WorkerSeen[], res: ServerResponse): Promise<void> => {
  const texts: { worker: number; text: string }[] = [];
  for (const { worker, adminUrl } of workers) {
    const answer = adminUrl === null ? null : await get(`${adminUrl}/metrics`);
    if (answer?.status === 200) texts.push({ worker, text: answer.text });
  }
  const text = mergeMetrics(texts);
  res.writeHead(200, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  res.end(text);
};

const get = (url: string): Promise<{ status: number; text: string } | null> =>
  new Promise((resolve) => {
    const asked = request(url, { timeout: TIMEOUT_MS }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      answer.on('error', () => resolve(null));
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(null));
    asked.end();
  });

const parsed = (text: string): object => {
  try {
    return JSON.parse(text) as object;
  } catch {
    return { problems: ['its answer is not JSON'] };
  }
};

/** Hands a request on as it is; the worker is on loopback and judges it. */
const pass = (req: IncomingMessage, res: ServerResponse, adminUrl: string): void => {
  const { method, url: path = '/', rawHeaders: headers } = req;
  const { hostname, port } = new URL(adminUrl);
  // The target stays a text of its own: as part of a URL it could change where the request goes, or be none.
  const asked = request({ hostname, port, method, path, headers, timeout: PASS_TIMEOUT_MS }, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.once('close', () => {
      if (!answer.complete) res.destroy();
    });
    answer.pipe(res);
  });
  asked.on('timeout', () => asked.destroy());
  asked.on('error', () => {
    if (res.headersSent) res.destroy();
    else
      reply(res, 502, {
        error: { message: 'The worker did not answer.', type: 'server_error', code: 'upstream_error' },
      });
  });
  // Nobody waits for what a caller who left has asked.
  res.once('close', () => asked.destroy());
  req.pipe(asked);
};

const reply = (res: ServerResponse, status: number, body: object): void => {
  const text = `${JSON.stringify(body)}\n`;
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  res.end(text);
};
