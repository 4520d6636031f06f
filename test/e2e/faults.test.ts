import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AuditIntent, AuditOutcome } from '../../gateway/types.gen.ts';
import { type Books, openBooks } from '../support/books.ts';
import { callersInTurn } from '../support/callers.ts';
import {
  before,
  CHAT,
  endless,
  type Fault,
  type FaultyUpstream,
  good,
  half,
  hangs,
  MESSAGES,
  openFaultyUpstream,
  page,
  refuses,
  refusesSaying,
  resets,
  resetsWhenReused,
  says,
  saysError,
  slow,
  unmeasured,
  type Wire,
  writes,
} from '../support/faulty-upstream.ts';
import { freshUpstreams } from '../support/fresh-upstreams.ts';
import { openFullBacklog } from '../support/full-backlog.ts';
import { openTestGateway, PROVIDER_KEY, type TestGateway, type UpstreamSketch } from '../support/gateway.ts';

// Faults and the answer an expert expects. Each row is tried streamed and not, in every way a call can go, with one
// candidate and with a second one that is well. What must come out stands in the table; nothing here asks the gateway.

/** What the caller gets of a lone candidate. */
type Answer =
  /** The provider's whole answer. */
  | { readonly is: 'whole' }
  /** An error of the gateway's, in the caller's dialect. */
  | { readonly is: 'refused'; readonly status: number; readonly code: string; readonly retryAfterS?: number }
  /** The provider's own error: as it is, or in the caller's dialect. */
  | { readonly is: 'passed on'; readonly status: number }
  /** A stream that had begun: it ends with an error event, and no terminal one. */
  | { readonly is: 'broken'; readonly code: string };

const whole: Answer = { is: 'whole' };
const refused = (status: number, code: string, retryAfterS?: number): Answer => ({
  is: 'refused',
  status,
  code,
  ...(retryAfterS === undefined ? {} : { retryAfterS }),
});
const passedOn = (status: number): Answer => ({ is: 'passed on', status });
const broken = (code: string): Answer => ({ is: 'broken', code });

/** Places where no upstream is. */
type Place = 'nobody listens' | 'nobody accepts' | 'no such name' | 'no TLS' | 'a certificate nobody signed';

interface Row {
  readonly fault: string;
  readonly upstream: Fault | Place;
  /** How often the candidate is sent the call. */
  readonly sends?: 2;
  /** What the audit says of each send: the status and the error. */
  readonly attempt: readonly [number | null, string | null];
  /** Whether a second candidate is asked. */
  readonly fallback: 'yes' | 'no' | 'if its context is larger';
  readonly answer: Answer;
  /** Where a stream ends otherwise. */
  readonly streamed?: Answer;
  /** Where a translated answer does. */
  readonly translated?: Answer;
  /** What is charged for the candidate: nothing, its prompt by estimate, that and what came of it, or what it reported. */
  readonly charge: 'nothing' | 'prompt' | 'part' | 'reported';
  readonly timeouts?: Pick<UpstreamSketch, 'first_byte_timeout_ms' | 'idle_timeout_ms' | 'connect_timeout_ms'>;
}

const quota = (wire: Wire): string =>
  wire.error(wire === CHAT ? 'insufficient_quota' : 'billing_error', `You exceeded your quota, ${PROVIDER_KEY}.`);
const noCredit = (wire: Wire): string =>
  wire.error('invalid_request_error', 'Your credit balance is too low to access the API.');
const tooLong = (wire: Wire): string =>
  wire === CHAT
    ? wire.error('context_length_exceeded', "This model's maximum context length is 8192 tokens.")
    : wire.error('invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum');

const FIRST_BYTE = { first_byte_timeout_ms: 150 };
const IDLE = { idle_timeout_ms: 150 };
const CONNECT = { connect_timeout_ms: 150 };
const MIB = 1024 * 1024;
const RESPONSE_BYTES = 9 * MIB;

const UNAVAILABLE = refused(502, 'upstream_error');
const BROKEN = broken('upstream_error');

// biome-ignore format: a table, one row a line
const FAULTS: readonly Row[] = [
  // The provider limits.
  { fault: '429 with retry-after', upstream: refuses(429, 'rate_limit_error', { 'retry-after': '7' }), attempt: [429, 'status_429'], fallback: 'yes', answer: refused(429, 'rate_limited', 7), charge: 'nothing' },
  { fault: '429 with retry-after-ms', upstream: refuses(429, 'rate_limit_error', { 'retry-after-ms': '2500' }), attempt: [429, 'status_429'], fallback: 'yes', answer: refused(429, 'rate_limited', 3), charge: 'nothing' },
  { fault: '429 with a retry-after that is a date long past', upstream: refuses(429, 'rate_limit_error', { 'retry-after': 'Sun, 06 Nov 1994 08:49:37 GMT' }), attempt: [429, 'status_429'], fallback: 'yes', answer: refused(429, 'rate_limited', 1), charge: 'nothing' },
  { fault: '429 without retry-after', upstream: refuses(429, 'rate_limit_error'), attempt: [429, 'status_429'], fallback: 'yes', answer: refused(429, 'rate_limited'), charge: 'nothing' },
  // Its account is out of money.
  { fault: '429 for a spend limit', upstream: refusesSaying(429, quota), attempt: [429, 'status_429'], fallback: 'yes', answer: refused(429, 'rate_limited'), charge: 'nothing' },
  { fault: '400 for want of credit', upstream: refusesSaying(400, noCredit), attempt: [400, 'status_400'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '402', upstream: refusesSaying(402, quota), attempt: [402, 'status_402'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  // It fails.
  { fault: '500', upstream: refuses(500, 'api_error'), sends: 2, attempt: [500, 'status_500'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '500 that asks not to try again', upstream: refuses(500, 'api_error', { 'x-should-retry': 'false' }), attempt: [500, 'status_500'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '502 with the page of a proxy', upstream: page(502), sends: 2, attempt: [502, 'status_502'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '503', upstream: refuses(503, 'api_error'), sends: 2, attempt: [503, 'status_503'], fallback: 'yes', answer: refused(503, 'upstream_error'), charge: 'nothing' },
  { fault: '503 with retry-after', upstream: refuses(503, 'api_error', { 'retry-after': '11' }), attempt: [503, 'status_503'], fallback: 'yes', answer: refused(503, 'upstream_error', 11), charge: 'nothing' },
  { fault: '504', upstream: refuses(504, 'api_error'), attempt: [504, 'status_504'], fallback: 'yes', answer: refused(504, 'upstream_timeout'), charge: 'nothing' },
  { fault: '529', upstream: refuses(529, 'overloaded_error'), sends: 2, attempt: [529, 'status_529'], fallback: 'yes', answer: refused(529, 'upstream_error'), charge: 'nothing' },
  // It does not want the operator's account.
  { fault: '401', upstream: refuses(401, 'authentication_error'), attempt: [401, 'status_401'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '403', upstream: refuses(403, 'permission_error'), attempt: [403, 'status_403'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: '407 of a proxy', upstream: page(407, { 'proxy-authenticate': 'Basic realm="proxy.internal"' }), attempt: [407, 'status_407'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  // It does not want the request.
  { fault: '400', upstream: refuses(400, 'invalid_request_error'), attempt: [400, 'status_400'], fallback: 'no', answer: passedOn(400), charge: 'nothing' },
  { fault: '404', upstream: refuses(404, 'not_found_error'), attempt: [404, 'status_404'], fallback: 'no', answer: passedOn(404), charge: 'nothing' },
  { fault: '404 with the page of a proxy', upstream: page(404), attempt: [404, 'status_404'], fallback: 'no', answer: refused(404, 'upstream_error'), charge: 'nothing' },
  { fault: '413', upstream: refuses(413, 'invalid_request_error'), attempt: [413, 'status_413'], fallback: 'no', answer: passedOn(413), charge: 'nothing' },
  { fault: '422', upstream: refuses(422, 'invalid_request_error'), attempt: [422, 'status_422'], fallback: 'no', answer: passedOn(422), charge: 'nothing' },
  { fault: '400 for a prompt over the context', upstream: refusesSaying(400, tooLong), attempt: [400, 'status_400'], fallback: 'if its context is larger', answer: passedOn(400), charge: 'nothing' },
  // It cannot be reached.
  { fault: 'a refused connection', upstream: 'nobody listens', sends: 2, attempt: [null, 'connect_failed'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: 'a connection that nobody takes', upstream: 'nobody accepts', attempt: [null, 'connect_timeout'], fallback: 'yes', answer: refused(504, 'upstream_timeout'), charge: 'nothing', timeouts: CONNECT },
  { fault: 'a name that does not resolve', upstream: 'no such name', attempt: [null, 'connect_failed'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: 'a port that does not speak TLS', upstream: 'no TLS', attempt: [null, 'connect_failed'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  { fault: 'a certificate that nobody signed', upstream: 'a certificate nobody signed', attempt: [null, 'connect_failed'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  // It falls silent or breaks off.
  { fault: 'silence before the headers', upstream: hangs, attempt: [null, 'first_byte_timeout'], fallback: 'yes', answer: refused(504, 'upstream_timeout'), charge: 'prompt', timeouts: FIRST_BYTE },
  { fault: 'silence in the middle', upstream: half('hangs'), attempt: [200, null], fallback: 'no', answer: refused(504, 'upstream_timeout'), streamed: broken('upstream_timeout'), charge: 'part', timeouts: IDLE },
  { fault: 'a reset before the headers', upstream: resets, sends: 2, attempt: [null, 'reset'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'a reset of a connection that is used again', upstream: resetsWhenReused, attempt: [200, null], fallback: 'no', answer: whole, charge: 'reported' },
  { fault: 'a reset in the middle', upstream: half('resets'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'a connection that closes in the middle', upstream: half('closes'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'half an answer, ended in order', upstream: half('ends'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'an empty answer', upstream: says(''), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: '204', upstream: writes('HTTP/1.1 204 No Content\r\n\r\n'), attempt: [204, null], fallback: 'no', answer: UNAVAILABLE, charge: 'part' },
  // What it says cannot be read.
  { fault: 'JSON that is none', upstream: says('{"id": nonsense}'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'lines that are no events', upstream: says('%%%\n\nno field\n\n: comment\n\ndata: {"half\n\n'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: '200 with the page of a proxy', upstream: page(200), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, charge: 'part' },
  { fault: 'an error where an answer was due', upstream: saysError, attempt: [200, null], fallback: 'no', answer: passedOn(200), translated: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'a line without an end', upstream: endless('x'.repeat(MIB)), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'an answer without an end', upstream: endless(`: ${'x'.repeat(MIB / 8)}\n\n`), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  { fault: 'compression that was not asked for', upstream: says(({ wire }) => wire.whole, { 'content-encoding': 'gzip' }), attempt: [null, 'invalid_response'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'a redirect', upstream: refuses(302, 'api_error', { location: '/v1/elsewhere' }), attempt: [302, 'status_302'], fallback: 'yes', answer: UNAVAILABLE, charge: 'nothing' },
  // It is not HTTP as it should be.
  { fault: 'two lengths that differ', upstream: writes('HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 7\r\n\r\n{}12345'), attempt: [null, 'invalid_response'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'a length and chunks at once', upstream: writes('HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'), attempt: [null, 'invalid_response'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'headers that are too large', upstream: writes(`HTTP/1.1 200 OK\r\nx-large: ${'x'.repeat(100_000)}\r\n\r\n`), attempt: [null, 'invalid_response'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'no HTTP at all', upstream: writes('SSH-2.0-OpenSSH_9.9\r\n'), attempt: [null, 'invalid_response'], fallback: 'yes', answer: UNAVAILABLE, charge: 'prompt' },
  { fault: 'a chunk that is none', upstream: half('garbles'), attempt: [200, null], fallback: 'no', answer: UNAVAILABLE, streamed: BROKEN, charge: 'part' },
  // Odd, but well.
  { fault: 'early hints before the answer', upstream: before('HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n'), attempt: [200, null], fallback: 'no', answer: whole, charge: 'reported' },
  { fault: 'an answer that takes its time', upstream: slow(15), attempt: [200, null], fallback: 'no', answer: whole, charge: 'reported' },
  { fault: 'an answer without a length', upstream: unmeasured, attempt: [200, null], fallback: 'no', answer: whole, charge: 'reported' },
];

/** A way a call can go: the caller's API, and who is asked. */
interface Way {
  readonly way: string;
  readonly api: 'chat' | 'messages';
  readonly first: Candidate;
  readonly second: Candidate;
  /** Whether the second has the larger context. */
  readonly isLarger: boolean;
  readonly isTranslated: boolean;
}

interface Candidate {
  readonly name: string;
  readonly kind: UpstreamSketch['kind'];
  readonly model: keyof typeof PRICES;
  readonly wire: Wire;
}

/** US dollars for a million tokens, in and out: the figures of policies/models. */
const PRICES = {
  'gpt-5.4-nano': [0.2, 1.25],
  'claude-haiku-5-5': [0.1, 0.5],
  'mistral-small-2603': [0.15, 0.6],
} as const;

const OPENAI: Candidate = { name: 'openai', kind: 'openai', model: 'gpt-5.4-nano', wire: CHAT };
const ANTHROPIC: Candidate = { name: 'anthropic', kind: 'anthropic', model: 'claude-haiku-5-5', wire: MESSAGES };
/** The model with the largest context, at a server that speaks chat completions. */
const LARGE: Candidate = { ...ANTHROPIC, kind: 'openai_compatible', wire: CHAT };
/** A server that speaks messages, third in the policy's order. */
const OTHER: Candidate = { name: 'mistral', kind: 'anthropic', model: 'mistral-small-2603', wire: MESSAGES };

// biome-ignore format: a table, one row a line
const WAYS: readonly Way[] = [
  { way: 'chat completions of an upstream that speaks them', api: 'chat', first: OPENAI, second: LARGE, isLarger: true, isTranslated: false },
  { way: 'messages of an upstream that speaks them', api: 'messages', first: ANTHROPIC, second: OPENAI, isLarger: false, isTranslated: false },
  { way: 'messages of an upstream that speaks chat completions', api: 'messages', first: OPENAI, second: LARGE, isLarger: true, isTranslated: true },
  { way: 'chat completions of an upstream that speaks messages', api: 'chat', first: ANTHROPIC, second: OTHER, isLarger: false, isTranslated: true },
];

/** A closed question: with model "auto" its candidates are those of the cheap pool. */
const QUESTION = 'Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus';

let gateway: TestGateway;
let books: Books;
let caller: ReturnType<typeof callersInTurn>;
let first: FaultyUpstream;
let second: FaultyUpstream;
let places: Record<Place, string>;
const servers: Server[] = [];
let backlog: Awaited<ReturnType<typeof openFullBacklog>>;
const connections = new Set<Socket>();

const listen = async (server: Server): Promise<number> => {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.on('error', () => {}).on('close', () => connections.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

beforeAll(async () => {
  [first, second, backlog] = await Promise.all([openFaultyUpstream(), openFaultyUpstream(), openFullBacklog()]);
  const tls = new URL('../fixtures/tls/', import.meta.url);
  const certificate = { cert: readFileSync(new URL('cert.pem', tls)), key: readFileSync(new URL('key.pem', tls)) };
  const plain = createServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  const nobody = createServer();
  places = {
    'nobody listens': `http://127.0.0.1:${await listen(nobody)}`,
    'nobody accepts': backlog.url,
    'no such name': 'http://upstream.invalid',
    'no TLS': `https://127.0.0.1:${await listen(plain)}`,
    'a certificate nobody signed': `https://127.0.0.1:${await listen(createTlsServer(certificate))}`,
  };
  nobody.close();
  servers.splice(servers.indexOf(nobody), 1);
  gateway = await openTestGateway({
    upstreams: [sketchOf(OPENAI, first.url, {})],
    config: { limits: { response_bytes: RESPONSE_BYTES } },
  });
  books = openBooks(gateway);
  caller = callersInTurn(gateway);
});

afterAll(async () => {
  await gateway?.close();
  await Promise.all([first, second, backlog].map((opened) => opened?.close()));
  for (const server of servers) server.close();
});

const ask = async (api: Way['api'], model: string, stream: boolean): Promise<Response> => {
  const body = { model, stream, max_tokens: 100, messages: [{ role: 'user', content: QUESTION }] };
  return gateway[api](body, { headers: await caller() });
};

const sketchOf = ({ name, kind, wire }: Candidate, url: string, timeouts: Row['timeouts']): UpstreamSketch => ({
  name,
  kind,
  base_url: wire === CHAT ? `${url}/v1` : url,
  api_key: PROVIDER_KEY,
  third_party: true,
  ...timeouts,
});

/** One cell: what a row does to a call of a way. */
interface Got {
  readonly answer: Response;
  readonly text: string;
  readonly intent: AuditIntent;
  readonly outcome: AuditOutcome;
}

const play = async ({ api, ...way }: Way, row: Row, isStream: boolean, hasSecond: boolean): Promise<Got> => {
  const isPlace = typeof row.upstream === 'string';
  first.wire = way.first.wire;
  second.wire = way.second.wire;
  first.fault = typeof row.upstream === 'string' ? hangs : row.upstream;
  const sketches = [sketchOf(way.first, isPlace ? places[row.upstream as Place] : first.url, row.timeouts)];
  if (hasSecond) sketches.push(sketchOf(way.second, second.url, undefined));
  await freshUpstreams(gateway, sketches);
  const model = hasSecond ? 'auto' : way.first.model;
  // A connection must have been used to be used again.
  if (row.upstream === resetsWhenReused)
    expect((await (await ask(api, model, false)).text()).length).toBeGreaterThan(0);
  const [sentFirst, sentSecond] = [first.requests.length, second.requests.length];
  const answer = await ask(api, model, isStream);
  const text = await answer.text();
  const got = { answer, text, ...(await books.of(answer.headers.get('x-request-id') as string)) };
  const asksSecond = hasSecond && isFallback(way, row);
  // The one of a connection that is used again is sent twice without the gateway's doing more than one attempt.
  const again = row.upstream === resetsWhenReused ? 1 : 0;
  expect(first.requests.length - sentFirst).toBe(isPlace ? 0 : (row.sends ?? 1) + again);
  expect(second.requests.length - sentSecond).toBe(asksSecond ? 1 : 0);
  return got;
};

const isFallback = ({ isLarger }: Pick<Way, 'isLarger'>, { fallback }: Row): boolean =>
  fallback === 'yes' || (fallback !== 'no' && isLarger);

const answerOf = ({ isTranslated }: Way, { answer, streamed, translated }: Row, isStream: boolean): Answer =>
  (isStream ? streamed : isTranslated ? translated : undefined) ?? answer;

/** What an error of the gateway's has as its type, in OpenAI's dialect and in Anthropic's. */
const TYPES: Readonly<Record<string, readonly [string, string]>> = {
  rate_limited: ['rate_limit_error', 'rate_limit_error'],
  upstream_error: ['server_error', 'api_error'],
  upstream_timeout: ['server_error', 'api_error'],
};

/** The same where Anthropic's clients go by the status. */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  404: 'not_found_error',
  413: 'request_too_large',
  503: 'overloaded_error',
  529: 'overloaded_error',
};

/** The shape of an error in the caller's dialect, checked to the last member. Gives what it says. */
const expectErrorShape = (api: Way['api'], body: unknown): { message: string; type: string; code: string } => {
  const { error } = body as { error: Record<string, unknown> };
  const ours = { hint: expect.any(String), decision_id: expect.stringMatching(/^dec_/) };
  const known = Object.keys(error);
  if (api === 'chat') {
    expect(Object.keys(body as object)).toEqual(['error']);
    for (const name of ['message', 'type', 'param', 'code', 'request_id']) expect(known).toContain(name);
    for (const name of known)
      expect(['message', 'type', 'param', 'code', 'request_id', ...Object.keys(ours)]).toContain(name);
  } else {
    expect(body).toMatchObject({ type: 'error', request_id: expect.stringMatching(/^req_/) });
    for (const name of ['message', 'type']) expect(known).toContain(name);
    for (const name of known) expect(['message', 'type', 'code', ...Object.keys(ours)]).toContain(name);
  }
  expect(error.message).toEqual(expect.stringMatching(/\S/));
  return error as { message: string; type: string; code: string };
};

const requestIdOf = (api: Way['api'], body: unknown): unknown =>
  api === 'chat'
    ? (body as { error: { request_id: unknown } }).error.request_id
    : (body as { request_id: unknown }).request_id;

const expectRefused = (
  way: Way,
  { answer, text }: Got,
  { status, code, retryAfterS }: Answer & { is: 'refused' },
): void => {
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('retry-after')).toBe(retryAfterS === undefined ? null : String(retryAfterS));
  const body: unknown = JSON.parse(text);
  const error = expectErrorShape(way.api, body);
  const [openai, anthropic] = TYPES[code] ?? [];
  const type = way.api === 'chat' ? openai : (ANTHROPIC_TYPES[answer.status] ?? anthropic);
  expect([error.type, error.code]).toEqual([type, code]);
  expect(requestIdOf(way.api, body)).toBe(answer.headers.get('x-request-id'));
};

/** The provider's own words: byte for byte but for the key, or in the caller's dialect. */
const expectPassedOn = (way: Way, row: Row, { answer, text }: Got, status: number): void => {
  expect(answer.status).toBe(status);
  let said = '';
  const socket = { write: (bytes: string) => (said += bytes) } as unknown as Socket;
  const isStream = false;
  const request = { head: '', body: '', connection: 0, index: 0 };
  (row.upstream as Fault)({ socket, request, wire: way.first.wire, isStream, url: first.url });
  const body = said.slice(said.indexOf('\r\n\r\n') + 4).replaceAll(PROVIDER_KEY, '[key]');
  if (!way.isTranslated) {
    expect(text).toBe(body);
    return;
  }
  const error = expectErrorShape(way.api, JSON.parse(text));
  const original = (JSON.parse(body) as { error: { message: string } }).error.message;
  expect(error.message).toContain(original);
  expect(requestIdOf(way.api, JSON.parse(text))).toBe(answer.headers.get('x-request-id'));
};

const TERMINAL = { chat: /^data: ?\[DONE\]/m, messages: /^event: ?message_stop/m };

const eventsOf = (text: string): string[] => text.split('\n\n').filter((event) => event !== '');

const expectBroken = (way: Way, row: Row, { answer, text }: Got, code: string): void => {
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(text).not.toMatch(TERMINAL[way.api]);
  expect(text.endsWith('\n\n')).toBe(true);
  const last = eventsOf(text).at(-1) ?? '';
  if (way.api === 'messages') expect(last).toMatch(/^event: error$/m);
  const body: unknown = JSON.parse(/^data: (.*)$/m.exec(last)?.[1] ?? '');
  // What the provider itself says in its own dialect is passed on as it is.
  if (row.upstream === saysError && !way.isTranslated) {
    expect((body as { error: { type: string } }).error.type).toBe('overloaded_error');
  } else {
    expect(expectErrorShape(way.api, body).code).toBe(code);
    expect(requestIdOf(way.api, body)).toBe(answer.headers.get('x-request-id'));
  }
  expect(text.match(/"error":\{/g)).toHaveLength(1);
};

/** The text that an answer says, in the caller's own API. */
const textOf = (api: Way['api'], text: string, isStream: boolean): string => {
  if (isStream) expect(text).toMatch(TERMINAL[api]);
  const events = isStream
    ? eventsOf(text).flatMap((event) => {
        const data = /^data: (.*)$/m.exec(event)?.[1] ?? '[DONE]';
        return data === '[DONE]' ? [] : [JSON.parse(data) as unknown];
      })
    : [JSON.parse(text) as unknown];
  expect(text).not.toContain('"error"');
  return events
    .map((event) => {
      const { choices, content, delta } = event as {
        choices?: { message?: { content: string }; delta?: { content?: string } }[];
        content?: { text: string }[];
        delta?: { text?: string };
      };
      if (api === 'messages') return content?.[0]?.text ?? delta?.text ?? '';
      return choices?.[0]?.message?.content ?? choices?.[0]?.delta?.content ?? '';
    })
    .join('');
};

const expectWhole = (
  { api }: Way,
  { answer, text }: Got,
  from: Candidate,
  attempts: number,
  isStream: boolean,
): void => {
  expect(answer.status).toBe(200);
  expect(textOf(api, text, isStream)).toBe('Jupiter, of course.');
  expect(answer.headers.get('x-aegis-upstream')).toBe(from.name);
  expect(answer.headers.get('x-aegis-model')).toBe(from.model);
  expect(answer.headers.get('x-aegis-attempts')).toBe(String(attempts));
};

/** Micro-dollars, rounded up as one cost. */
const costOf = (model: keyof typeof PRICES, input: number, output: number): number =>
  Math.ceil(Math.round((PRICES[model][0] * input + PRICES[model][1] * output) * 1e6) / 1e6);

/** 20 tokens in and 5 out is what a whole answer reports. */
const reportedCost = (model: keyof typeof PRICES): number => costOf(model, 20, 5);

/** The outcome's name, status and error of a lone candidate. */
const endingOf = (answer: Answer): Pick<AuditOutcome, 'outcome' | 'status' | 'error'> => {
  switch (answer.is) {
    case 'whole':
      return { outcome: 'ok', status: 200, error: null };
    case 'refused':
      return { outcome: 'failed', status: answer.status, error: answer.code };
    case 'passed on':
      return answer.status < 400
        ? { outcome: 'failed', status: answer.status, error: 'upstream_error' }
        : { outcome: 'rejected', status: answer.status, error: 'upstream_rejected' };
    case 'broken':
      return { outcome: 'incomplete', status: 200, error: answer.code };
  }
};

const expectCharged = (way: Way, row: Row, { intent, outcome }: Got, isSecond: boolean): void => {
  const { usage, cost } = outcome;
  const prompt = (intent.input as { content: { tokens_estimate: number } }).content.tokens_estimate;
  const lost = row.charge === 'prompt' ? (row.sends ?? 1) * costOf(way.first.model, prompt, 0) : 0;
  expect(cost.micro_usd).toBeLessThanOrEqual(intent.reserved_micro_usd);
  if (isSecond) {
    expect(usage).toMatchObject({ input: 20, output: 5, source: 'provider' });
    expect(cost.micro_usd).toBe(reportedCost(way.second.model) + lost);
    return;
  }
  switch (row.charge) {
    case 'nothing':
      expect([usage, cost.micro_usd]).toEqual([null, 0]);
      return;
    case 'prompt':
      expect(usage).toMatchObject({ input: prompt * (row.sends ?? 1), output: 0, source: 'estimated' });
      expect(cost.micro_usd).toBe(lost);
      return;
    case 'reported':
      expect(usage).toMatchObject({ input: 20, output: 5, source: 'provider' });
      expect(cost.micro_usd).toBe(reportedCost(way.first.model));
      return;
    case 'part':
      // The start of a message reports its input, and one token of output so far.
      expect(usage?.input).toBe(usage?.source === 'provider' ? 20 : prompt);
      expect(cost.micro_usd).toBe(costOf(way.first.model, usage?.input ?? 0, usage?.output ?? 0));
      expect(cost.micro_usd).toBeGreaterThan(0);
  }
};

/** Of a provider's own error only the key is taken out; of all else nothing must show. */
const expectNoSecrets = (row: Row, { answer, text }: Got, isOwnWords: boolean): void => {
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
  expect(headers + text).not.toContain(PROVIDER_KEY);
  expect(headers + text).not.toMatch(/node:internal|gateway\/\w+|\.ts:\d/);
  expect(headers).not.toMatch(/127\.0\.0\.1|proxy-authenticate|location/);
  const place = typeof row.upstream === 'string' ? places[row.upstream] : first.url;
  if (!isOwnWords)
    expect(text).not.toMatch(new RegExp(`127\\.0\\.0\\.1|${new URL(place).host}|refused by|at Object|ECONN|ENOTFOUND`));
};

describe.each(WAYS)('$way', (way) => {
  describe.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('(streamed: %s, a second candidate: %s)', (isStream, hasSecond) => {
    test.each(FAULTS)('$fault', async (row) => {
      const got = await play(way, row, isStream, hasSecond);
      const { answer, outcome } = got;
      const sends = row.sends ?? 1;
      const isSecond = hasSecond && isFallback(way, row);
      const expected = isSecond ? whole : answerOf(way, row, isStream);
      switch (expected.is) {
        case 'whole':
          expectWhole(way, got, isSecond ? way.second : way.first, sends + (isSecond ? 1 : 0), isStream);
          break;
        case 'refused':
          expectRefused(way, got, expected);
          break;
        case 'passed on':
          expectPassedOn(way, row, got, expected.status);
          break;
        case 'broken':
          expectBroken(way, row, got, expected.code);
      }
      expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
      if (way.api === 'messages') expect(answer.headers.get('request-id')).toBe(answer.headers.get('x-request-id'));
      expect(answer.headers.get('x-aegis-decision-id')).toBe(outcome.id);
      const isOwnWords = expected.is === 'passed on' || row.upstream === saysError;
      expectNoSecrets(row, got, isOwnWords);

      expect(outcome).toMatchObject(endingOf(expected));
      const attempts = outcome.attempts.map(({ model, upstream, status, error }) => [model, upstream, status, error]);
      expect(attempts).toEqual([
        ...Array.from({ length: sends }, () => [way.first.model, way.first.name, ...row.attempt]),
        ...(isSecond ? [[way.second.model, way.second.name, 200, null]] : []),
      ]);
      expectCharged(way, row, got, isSecond);
      expect(books.reserved()).toBe(0);
      expect(await books.underWay()).toBe(0);
    });
  });
});

test('the larger retry-after of two that limit is told', async () => {
  for (const way of WAYS) {
    for (const [one, other] of [
      ['7', '30'],
      ['30', '7'],
    ] as const) {
      await freshUpstreams(gateway, [sketchOf(way.first, first.url, {}), sketchOf(way.second, second.url, {})]);
      [first.wire, second.wire] = [way.first.wire, way.second.wire];
      first.fault = refuses(429, 'rate_limit_error', { 'retry-after': one });
      second.fault = refuses(429, 'rate_limit_error', { 'retry-after': other });
      const answer = await ask(way.api, 'auto', true);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '30']);
    }
  }
  second.fault = good;
});

test('after all of it each intent has one outcome, and no connection is left open', async () => {
  await freshUpstreams(gateway, []);
  const outcomes = await books.outcomes();
  const intents = await books.intents();
  expect(intents.size).toBeGreaterThan(FAULTS.length * WAYS.length * 4);
  for (const id of intents.keys()) expect(outcomes.get(id)).toHaveLength(1);
  await books.settled();
  const deadline = performance.now() + 5000;
  while (first.open() + second.open() + connections.size > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect([first.open(), second.open(), connections.size]).toEqual([0, 0, 0]);
});
