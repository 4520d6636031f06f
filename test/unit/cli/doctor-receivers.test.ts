import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { checkReceivers } from '../../../gateway/cli/doctor-receivers.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const TIMEOUT_MS = 2_000;

let seen: [string | undefined, string | undefined, string | undefined][] = [];
let status = 405;
const server = createServer((req, res) => {
  seen.push([req.method, req.url, req.headers.authorization]);
  res.writeHead(status).end();
});
let url: string;
/** Nobody listens there. */
let nowhere: string;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  const other = createTcpServer().listen(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(other, 'listening')]);
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  nowhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  other.close();
  await once(other, 'close');
});
afterAll(async () => {
  server.close();
  await once(server, 'close');
});
beforeEach(() => {
  seen = [];
  status = 405;
});

const alertsTo = (to: string) => ({ webhook: { url: to, secret: SECRET }, thresholds: [1] });
const telemetryTo = (otlpEndpoint: string | null) => ({
  otlpEndpoint,
  headers: { authorization: 'Bearer collector-token' },
  tracesSampleRatio: 0,
  metricsIntervalMs: 60_000,
});
const check = (alerts: string | null, telemetry: string | null) =>
  checkReceivers({ alerts: alerts === null ? null : alertsTo(alerts), telemetry: telemetryTo(telemetry) }, TIMEOUT_MS);

test('the doctor asks nobody where nobody is told', async () => {
  expect(await check(null, null)).toEqual([]);
});

test('the doctor posts nothing to who is told of alerts and who collects telemetry', async () => {
  const checks = await check(`${url}/hook?token=abc`, `${url}/otlp/`);
  expect(checks.map(({ check: name, status: said }) => [name, said])).toEqual([
    ['alerts', 'ok'],
    ['telemetry', 'ok'],
  ]);
  expect(seen.sort()).toEqual([
    ['GET', '/hook?token=abc', undefined],
    ['GET', '/otlp/v1/metrics', 'Bearer collector-token'],
  ]);
});

test('the doctor tells when they cannot be reached, and no secret of theirs', async () => {
  const [alerts, telemetry] = await check(`${nowhere}/hook?token=abc`, nowhere);
  expect(alerts).toMatchObject({ status: 'problem', found: `${nowhere} cannot be reached: tcp ECONNREFUSED` });
  expect(telemetry).toMatchObject({ status: 'warning', found: `${nowhere} cannot be reached: tcp ECONNREFUSED` });
  expect(JSON.stringify([alerts, telemetry])).not.toMatch(/token|whsec/);
});

test.each([
  [401, 'telemetry.headers'],
  [404, 'telemetry.otlp_endpoint'],
])('the doctor tells what to mend when a collector answers %i', async (answer, where) => {
  status = answer;
  expect(await check(null, url)).toMatchObject([{ status: 'warning', fix: expect.stringContaining(where) }]);
});
