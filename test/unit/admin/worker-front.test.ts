import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createWorkerFront } from '../../../gateway/admin/worker-front.ts';

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

const open = async (listener: RequestListener): Promise<number> => {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

/** A front before one worker. */
const openFront = async (worker: RequestListener): Promise<number> => {
  const adminUrl = `http://127.0.0.1:${await open(worker)}`;
  return open(createWorkerFront(() => [{ worker: 0, adminUrl }]));
};

/** The whole answer, as it is sent. */
const send = async (port: number, line: string): Promise<string> => {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`${line}\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await once(socket, 'close');
  return text;
};

describe('the control plane in front of workers', () => {
  test.each([
    ['GET http://elsewhere.example/admin/v1/keys HTTP/1.1', 'http://elsewhere.example/admin/v1/keys'],
    ['OPTIONS * HTTP/1.1', '*'],
    ['GET /admin/v1/../v1\\keys?a=%2e HTTP/1.1', '/admin/v1/../v1\\keys?a=%2e'],
    ['GET //elsewhere.example/x HTTP/1.1', '//elsewhere.example/x'],
  ])('hands the target of %s to the worker, to the letter', async (line, target) => {
    const seen: unknown[] = [];
    const port = await openFront((req, res) => {
      seen.push(req.url);
      res.writeHead(404).end('no such route');
    });
    expect(await send(port, line)).toMatch(/^HTTP\/1\.1 404 [\s\S]*no such route/);
    expect(seen).toEqual([target]);
    expect(await send(port, 'GET /healthz HTTP/1.1')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('breaks off an answer whose worker died in the middle of it', async () => {
    const port = await openFront((_req, res) => {
      res.writeHead(200, { 'content-length': 1_000 });
      res.write('some of it', () => setImmediate(() => res.destroy()));
    });
    expect(await send(port, 'GET /admin/v1/usage HTTP/1.1')).toMatch(/some of it$/);
  });

  test('lets the worker know that a caller has left', async () => {
    const left = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const port = await openFront((_req, res) => {
      res.once('close', left.resolve);
      asked.resolve();
    });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /admin/v1/usage HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await asked.promise;
    socket.destroy();
    await left.promise;
  });

  test('says so when no worker can be reached', async () => {
    const gone = await open(() => {});
    const server = servers.pop();
    server?.close();
    const port = await open(createWorkerFront(() => [{ worker: 0, adminUrl: `http://127.0.0.1:${gone}` }]));
    expect(await send(port, 'GET /admin/v1/keys HTTP/1.1')).toMatch(/^HTTP\/1\.1 502 /);
  });
});
