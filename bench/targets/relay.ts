import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';

/** The pool of both baselines: the same connections as the gateway's default. */
export const openPool = (): Pool => new Pool(process.env.BENCH_UPSTREAM ?? '', { connections: 256, pipelining: 1 });

/** Collects the body and relays the upstream's answer into the response, chunk by chunk, with back-pressure. Reads nothing. */
export const relay = (pool: Pool, request: IncomingMessage, response: ServerResponse): void => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    const headers = ['content-type', 'application/json'];
    pool.dispatch({ method: 'POST', path: request.url ?? '/', headers, body }, handlerInto(response));
  });
};

const handlerInto = (response: ServerResponse): Dispatcher.DispatchHandler => ({
  onRequestStart() {},
  onResponseStart(controller, status, headers) {
    const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...rest } = headers;
    response.writeHead(status, rest);
    response.on('drain', () => controller.resume());
    response.on('close', () => {
      if (!response.writableFinished) controller.abort(new Error('the caller left'));
    });
  },
  onResponseData(controller, chunk) {
    if (!response.write(chunk)) controller.pause();
  },
  onResponseEnd() {
    response.end();
  },
  onResponseError() {
    response.destroy();
  },
});

/** Says where the server listens, and ends it when the harness is gone. */
export const announce = (port: number): void => {
  process.stdout.write(`listening on http://127.0.0.1:${port}\n`);
  process.stdin.on('end', () => process.exit(0)).resume();
};
