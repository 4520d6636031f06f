import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../gateway/errors.ts';
import { parseCall, read } from '../../../gateway/stages/read.ts';

const LIMITS = { bodyBytes: 1000, depth: 64, bodyTimeoutMs: 300 };
const BODY = '{"model":"m","messages":[]}';

let server: Server;
let outcome: Promise<string>;
let port: number;

const lengthOf = (req: IncomingMessage): number | null =>
  req.headers['content-length'] === undefined ? null : Number(req.headers['content-length']);

beforeAll(async () => {
  server = createServer((req, res) => {
    const result = read(req, { endpoint: 'chat.completions', contentLength: lengthOf(req) }, LIMITS).then(
      (call) => call.model,
      (error: unknown) => (isGatewayError(error) ? error.code : `not ours: ${error}`),
    );
    settle(result);
    void result.then(() => res.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

let settle: (result: Promise<string>) => void;
const open = (headers: Record<string, string | number>) => {
  outcome = new Promise((resolve) => {
    settle = (result) => void result.then(resolve);
  });
  const req = request({ port, host: '127.0.0.1', method: 'POST', headers });
  req.on('error', () => {}).on('response', (res) => res.resume());
  return req;
};

describe('read', () => {
  test('a body is read whole, in one piece or many', async () => {
    open({ 'content-length': BODY.length }).end(BODY);
    expect(await outcome).toBe('m');
    const req = open({ 'transfer-encoding': 'chunked' });
    for (const byte of BODY) req.write(byte);
    req.end();
    expect(await outcome).toBe('m');
  });

  test('a declared size over the bound is refused before the body comes', async () => {
    open({ 'content-length': 1001 }).flushHeaders();
    expect(await outcome).toBe('body_too_large');
  });

  test('a body in chunks is refused when it grows over the bound', async () => {
    const req = open({ 'transfer-encoding': 'chunked' });
    req.write('x'.repeat(600));
    req.write('x'.repeat(600));
    expect(await outcome).toBe('body_too_large');
    req.destroy();
  });

  test('a body that stops coming is a timeout', async () => {
    const req = open({ 'content-length': 100 });
    req.write('{');
    expect(await outcome).toBe('request_timeout');
    req.destroy();
  });

  test('a caller that leaves in the middle is told apart', async () => {
    const req = open({ 'content-length': 100 });
    req.write('{');
    setTimeout(() => req.destroy(), 50);
    expect(await outcome).toBe('client_closed_request');
  });
});

describe('parseCall', () => {
  test.each([
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'invalid_unicode'],
    [Buffer.from('{"a":"\\ud800"}'), 'invalid_unicode'],
    [Buffer.from(''), 'invalid_json'],
    [Buffer.from('{"messages":[]}'), 'invalid_field'],
  ])('%s is %s', (raw, code) => {
    expect(() => parseCall(raw, 'chat.completions', LIMITS)).toThrow(expect.objectContaining({ code, status: 400 }));
  });
});
