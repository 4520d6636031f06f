import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chatCompletion, message } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, type TestGateway } from '../support/gateway.ts';
import { type RawAnswer, sendRaw } from '../support/raw-client.ts';

const BODY_BYTES = 65_536;
let gateway: TestGateway;
let key: string;
beforeAll(async () => {
  gateway = await openTestGateway({ config: { limits: { body_bytes: BODY_BYTES } } });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateway.anthropic.play = answerJson(200, message('Hi.'));
  key = await gateway.key('service');
});
afterAll(() => gateway.close());

const calls = (): number => gateway.openai.requests.length + gateway.anthropic.requests.length;
beforeEach(() => {
  gateway.openai.requests.length = 0;
  gateway.anthropic.requests.length = 0;
});

const CHAT = '/v1/chat/completions';
const BODY = '{"model":"gpt-5.4-nano","messages":[{"role":"user","content":"Hi"}]}';

/** Lines of a head that can be left out (null) or said otherwise. */
type Lines = Record<string, string | null>;

/** A whole request; `more` are lines as they are, after the usual ones. */
const request = ({
  method = 'POST',
  path = CHAT,
  version = 'HTTP/1.1',
  lines = {} as Lines,
  more = [] as string[],
  body = BODY as string | Buffer,
} = {}): Buffer => {
  const usual: Lines = {
    Host: 'gateway.test',
    Authorization: `Bearer ${key}`,
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    ...lines,
  };
  const head = [
    `${method} ${path} ${version}`,
    ...Object.entries(usual).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`])),
    ...more,
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
};

const shapeOf = (path: string): 'openai' | 'anthropic' => (path.startsWith('/v1/messages') ? 'anthropic' : 'openai');

/** An error in the shape of its dialect. */
const expectError = (answer: RawAnswer, path: string, code?: string): void => {
  expect(answer.headers.get('content-type')).toBe('application/json');
  expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
  const body = JSON.parse(answer.body);
  if (shapeOf(path) === 'anthropic') expect(body).toMatchObject({ type: 'error', error: { type: expect.any(String) } });
  expect(body.error).toMatchObject({ message: expect.any(String), type: expect.any(String) });
  if (code !== undefined) expect(body.error.code).toBe(code);
  expect(answer.body).not.toMatch(/ at .*\.ts|node_modules|127\.0\.0\.1/);
};

interface Case {
  readonly name: string;
  readonly bytes: () => string | Buffer | (string | Buffer)[];
  readonly status: number;
  readonly code?: string;
  readonly path?: string;
  /** Whether the connection must be closed after the answer. */
  readonly closes?: boolean;
}

const pathCase = (path: string, status: number, code: string): Case => ({
  name: `the target ${path.slice(0, 60)}`,
  bytes: () => request({ path }),
  status,
  code,
  path,
});

const bodyCase = (name: string, body: string | Buffer, status: number, code: string): Case => ({
  name,
  bytes: () => request({ body }),
  status,
  code,
});

const headCase = (name: string, options: Parameters<typeof request>[0], status: number, code?: string): Case => ({
  name,
  bytes: () => request(options),
  status,
  ...(code === undefined ? {} : { code }),
});

const nested = (depth: number): string =>
  `{"model":"gpt-5.4-nano","messages":[],"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;

const CASES: readonly Case[] = [
  // Host
  headCase('two Host lines', { more: ['Host: evil.test'] }, 400),
  headCase('two equal Host lines', { more: ['Host: gateway.test'] }, 400),
  headCase('no Host', { lines: { Host: null } }, 400, 'invalid_header'),
  headCase('an empty Host', { lines: { Host: '' } }, 400, 'invalid_header'),
  headCase('a Host with a path', { lines: { Host: 'a/?' } }, 400, 'invalid_header'),
  headCase('a Host with a user', { lines: { Host: 'user@gateway.test' } }, 400, 'invalid_header'),
  headCase('a Host with a space', { lines: { Host: 'a b' } }, 400, 'invalid_header'),
  headCase('a Host with a bad port', { lines: { Host: 'a:99999999' } }, 400, 'invalid_header'),
  headCase('a Host list', { lines: { Host: 'a, b' } }, 400, 'invalid_header'),
  // Credentials
  headCase('two Authorization lines', { more: [`Authorization: Bearer other`] }, 400, 'duplicate_credential'),
  headCase('both credentials', { more: ['x-api-key: other'] }, 400, 'duplicate_credential'),
  headCase(
    'two x-api-key lines',
    { lines: { Authorization: null }, more: ['x-api-key: a', 'X-API-KEY: a'] },
    400,
    'duplicate_credential',
  ),
  headCase('no credential', { lines: { Authorization: null } }, 401, 'missing_credential'),
  headCase('a Basic credential', { lines: { Authorization: 'Basic YTpi' } }, 401, 'invalid_credential'),
  headCase('an empty Bearer', { lines: { Authorization: 'Bearer ' } }, 401, 'invalid_credential'),
  headCase('an unknown key', { lines: { Authorization: 'Bearer nobody' } }, 401, 'invalid_credential'),
  // Targets
  pathCase('http://evil.test/v1/chat/completions', 400, 'invalid_request_target'),
  pathCase('//v1/chat/completions', 400, 'invalid_request_target'),
  pathCase('/v1//chat/completions', 400, 'invalid_request_target'),
  pathCase('/v1/./chat/completions', 400, 'invalid_request_target'),
  pathCase('/v1/x/../chat/completions', 400, 'invalid_request_target'),
  pathCase('/v1/chat%2fcompletions', 404, 'not_found'),
  pathCase('/v1/%63hat/completions', 404, 'not_found'),
  pathCase('/v1/chat/completions/', 404, 'not_found'),
  pathCase('/V1/chat/completions', 404, 'not_found'),
  pathCase('/v1/chat/completions;x=1', 404, 'not_found'),
  pathCase('/v1/messages/', 404, 'not_found'),
  pathCase('/v1/messages/count_tokens/x', 404, 'not_found'),
  pathCase('/', 404, 'not_found'),
  pathCase('*', 400, 'invalid_request_target'),
  pathCase(`/${'a'.repeat(3000)}`, 400, 'invalid_request_target'),
  pathCase('/v1/chat/completions?a=<b>', 400, 'invalid_request_target'),
  { name: 'an absolute target of OPTIONS', bytes: () => request({ method: 'OPTIONS', path: '*' }), status: 400 },
  {
    name: 'CONNECT',
    bytes: () => 'CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n',
    status: 400,
    closes: true,
  },
  { name: 'a target with a NUL', bytes: () => request({ path: '/v1/chat\0/completions' }), status: 400, closes: true },
  { name: 'a target with a raw byte over 127', bytes: () => request({ path: '/v1/ch\xe4t/completions' }), status: 400 },
  // Methods
  {
    name: 'GET where POST is',
    bytes: () => request({ method: 'GET', body: '' }),
    status: 405,
    code: 'method_not_allowed',
  },
  {
    name: 'DELETE on the models',
    bytes: () => request({ method: 'DELETE', path: '/v1/models' }),
    status: 405,
    code: 'method_not_allowed',
  },
  { name: 'POST on the models', bytes: () => request({ path: '/v1/models' }), status: 405, code: 'method_not_allowed' },
  {
    name: 'PUT on messages',
    bytes: () => request({ method: 'PUT', path: '/v1/messages' }),
    status: 405,
    code: 'method_not_allowed',
    path: '/v1/messages',
  },
  { name: 'a method that is none', bytes: () => request({ method: 'GARBAGE' }), status: 400, closes: true },
  // Framing and smuggling
  headCase('content-length and transfer-encoding', { more: ['Transfer-Encoding: chunked'] }, 400),
  headCase('two content-lengths that differ', { more: ['Content-Length: 5'] }, 400),
  headCase('two content-lengths that agree', { more: [`Content-Length: ${BODY.length}`] }, 400),
  headCase('a content-length list', { lines: { 'Content-Length': `${BODY.length}, ${BODY.length}` } }, 400),
  headCase('a negative content-length', { lines: { 'Content-Length': '-5' } }, 400),
  headCase('a content-length with a plus', { lines: { 'Content-Length': `+${BODY.length}` } }, 400),
  headCase('a content-length in hex', { lines: { 'Content-Length': '0x20' } }, 400),
  headCase('a huge content-length', { lines: { 'Content-Length': '99999999999999999999' } }, 400),
  headCase(
    'transfer-encoding with a space before the colon',
    { lines: { 'Content-Length': null }, more: ['Transfer-Encoding : chunked'] },
    400,
  ),
  headCase(
    'transfer-encoding xchunked',
    { lines: { 'Content-Length': null }, more: ['Transfer-Encoding: xchunked'] },
    400,
  ),
  headCase(
    'transfer-encoding twice',
    { lines: { 'Content-Length': null }, more: ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'] },
    400,
  ),
  headCase('a folded header', { more: ['x-folded: a', ' b'] }, 400),
  headCase('a header without a colon', { more: ['nonsense'] }, 400),
  headCase('a header with an empty name', { more: [': x'] }, 400),
  headCase('a header with a NUL', { more: ['x-nul: a\0b'] }, 400),
  headCase('a header with a bare CR', { more: ['x-cr: a\rb'] }, 400),
  {
    name: 'a bad chunk size',
    bytes: () =>
      request({ lines: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: 'zz\r\nhello\r\n0\r\n\r\n' }),
    status: 400,
    closes: true,
  },
  { name: 'HTTP/2 preface', bytes: () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400, closes: true },
  { name: 'HTTP/0.9', bytes: () => 'GET /\r\n\r\n', status: 404, closes: true },
  {
    name: 'a TLS hello',
    bytes: () => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x0d, 0x0a, 0x0d, 0x0a]),
    status: 400,
    closes: true,
  },
  // Sizes
  {
    name: 'headers over the bound',
    bytes: () => request({ more: [`x-big: ${'a'.repeat(40_000)}`] }),
    status: 431,
    closes: true,
  },
  {
    name: 'many headers over the bound',
    bytes: () => request({ more: Array.from({ length: 3000 }, (_, at) => `x-${at}: aaaaaaaa`) }),
    status: 431,
    closes: true,
  },
  {
    name: 'a body over the cap',
    bytes: () => request({ body: 'x'.repeat(BODY_BYTES + 1) }),
    status: 413,
    code: 'body_too_large',
  },
  {
    name: 'a declared body over the cap, not sent',
    bytes: () => request({ lines: { 'Content-Length': String(BODY_BYTES + 1) } }),
    status: 413,
    code: 'body_too_large',
    closes: true,
  },
  {
    name: 'a chunked body over the cap',
    bytes: () => [
      request({ lines: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: '' }),
      ...Array.from({ length: 20 }, () => `1000\r\n${'x'.repeat(4096)}\r\n`),
    ],
    status: 413,
    code: 'body_too_large',
    closes: true,
  },
  // Media
  headCase('no content-type', { lines: { 'Content-Type': null } }, 415, 'unsupported_media_type'),
  headCase('text/plain', { lines: { 'Content-Type': 'text/plain' } }, 415, 'unsupported_media_type'),
  headCase('a form', { lines: { 'Content-Type': 'multipart/form-data; boundary=x' } }, 415, 'unsupported_media_type'),
  headCase(
    'another charset',
    { lines: { 'Content-Type': 'application/json; charset=utf-16' } },
    415,
    'unsupported_media_type',
  ),
  headCase('two content-types', { more: ['Content-Type: text/plain'] }, 400, 'invalid_header'),
  headCase('a gzip body', { more: ['Content-Encoding: gzip'], body: gzipSync(BODY) }, 415, 'unsupported_media_type'),
  headCase(
    'a brotli body',
    { more: ['Content-Encoding: br'], body: brotliCompressSync(BODY) },
    415,
    'unsupported_media_type',
  ),
  headCase('an x-aegis header twice', { more: ['x-aegis-session: a', 'x-aegis-session: b'] }, 400, 'invalid_header'),
  headCase('tags that are none', { more: ['x-aegis-tags: nonsense'] }, 400, 'invalid_header'),
  headCase('an x-aegis header that is not UTF-8', { more: ['x-aegis-session: \xff\xfe'] }, 400, 'invalid_header'),
  headCase('an expectation', { more: ['Expect: 200-maybe'] }, 417),
  // Bodies
  bodyCase('an empty body', '', 400, 'invalid_json'),
  bodyCase('only blanks', ' \n\t ', 400, 'invalid_json'),
  bodyCase('an array', '[]', 400, 'invalid_json'),
  bodyCase('null', 'null', 400, 'invalid_json'),
  bodyCase('a half object', BODY.slice(0, -1), 400, 'invalid_json'),
  bodyCase('two objects', `${BODY}${BODY}`, 400, 'invalid_json'),
  bodyCase('a trailing comma', '{"model":"x",}', 400, 'invalid_json'),
  bodyCase('a comment', `/* x */${BODY}`, 400, 'invalid_json'),
  bodyCase('NaN', '{"model":"x","a":NaN}', 400, 'invalid_json'),
  bodyCase('a leading zero', '{"model":"x","a":01}', 400, 'invalid_json'),
  bodyCase('a byte order mark', Buffer.from(`\ufeff${BODY}`), 400, 'invalid_json'),
  bodyCase('UTF-16', Buffer.from(BODY, 'utf16le'), 400, 'invalid_json'),
  bodyCase('a NUL', BODY.replace('Hi', 'H\0i'), 400, 'invalid_json'),
  bodyCase('a raw line feed in a string', BODY.replace('Hi', 'H\ni'), 400, 'invalid_json'),
  bodyCase(
    'invalid UTF-8',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]),
    400,
    'invalid_unicode',
  ),
  bodyCase(
    'an overlong UTF-8',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    400,
    'invalid_unicode',
  ),
  bodyCase('a lone high surrogate', BODY.replace('Hi', '\\ud800'), 400, 'invalid_unicode'),
  bodyCase('a lone low surrogate', BODY.replace('Hi', '\\udc00x'), 400, 'invalid_unicode'),
  bodyCase('surrogates in the wrong order', BODY.replace('Hi', '\\udc00\\ud800'), 400, 'invalid_unicode'),
  bodyCase('a lone surrogate in a key', BODY.replace('{"model"', '{"\\ud800":1,"model"'), 400, 'invalid_unicode'),
  bodyCase('a key twice', BODY.replace('}]}', '}],"model":"gpt-6-astra"}'), 400, 'duplicate_key'),
  bodyCase(
    'a key twice in another spelling',
    BODY.replace('}]}', '}],"mod\\u0065l":"gpt-6-astra"}'),
    400,
    'duplicate_key',
  ),
  bodyCase('a key twice deep inside', BODY.replace('}]}', ',"a":{"b":1,"b":2}}]}'), 400, 'duplicate_key'),
  bodyCase('nesting of 65', nested(64), 400, 'too_deep'),
  bodyCase('nesting of 20,000', nested(20_000), 400, 'too_deep'),
  bodyCase('__proto__', BODY.replace('{"model"', '{"__proto__":{"x":1},"model"'), 400, 'forbidden_key'),
  bodyCase(
    '__proto__ in escapes',
    BODY.replace('{"model"', '{"__pr\\u006fto__":{"x":1},"model"'),
    400,
    'forbidden_key',
  ),
  bodyCase('1e400', BODY.replace('}]}', '}],"temperature":1e400}'), 400, 'invalid_number'),
  bodyCase('-1e400 deep inside', BODY.replace('}]}', '}],"x":[[-1e400]]}'), 400, 'invalid_number'),
  bodyCase('no model', '{"messages":[{"role":"user","content":"Hi"}]}', 400, 'invalid_field'),
  bodyCase('a model that is a number', BODY.replace('"gpt-5.4-nano"', '5'), 400, 'invalid_field'),
  bodyCase('messages that are a string', '{"model":"gpt-5.4-nano","messages":"Hi"}', 400, 'invalid_field'),
  bodyCase('stream that is a string', BODY.replace('}]}', '}],"stream":"true"}'), 400, 'invalid_field'),
  bodyCase('a negative cap', BODY.replace('}]}', '}],"max_tokens":-1}'), 400, 'invalid_field'),
  bodyCase('n of 0', BODY.replace('}]}', '}],"n":0}'), 400, 'invalid_field'),
  bodyCase(
    'a message too wide to describe',
    BODY.replace(
      '}]}',
      `}],"tools":[${Array.from({ length: 2000 }, (_, at) => `{"type":"function","function":{"name":"f${at}"}}`).join()}]}`,
    ),
    413,
    'body_too_large',
  ),
];

/** A good request on the same connection after the bad one: it is answered, or the connection was closed. */
const AFTER = (): Buffer =>
  request({ method: 'GET', path: '/v1/models', lines: { 'Content-Type': null, 'Content-Length': null }, body: '' });

describe(`${CASES.length} byte cases: the right answer, no call, a connection in order`, () => {
  test.each(CASES.map((row) => [row.name, row] as const))(
    '%s',
    async (_, { bytes, status, code, path = CHAT, closes }) => {
      const sent = bytes();
      const { answers, closed } = await sendRaw(gateway.url, sent);
      expect(answers).toHaveLength(1);
      const [answer] = answers as [RawAnswer];
      expect({ status: answer.status, body: answer.body }).toMatchObject({ status });
      expectError(answer, path, code);
      expect(calls()).toBe(0);
      if (closes) expect(closed).toBe(true);
      if (closed) {
        expect(answer.headers.get('connection')).toBe('close');
        return;
      }
      const pieces = Array.isArray(sent) ? sent : [sent];
      const second = await sendRaw(gateway.url, [...pieces, AFTER()], { expected: 2 });
      expect(second.answers.map((next) => next.status)).toEqual([status, 200]);
      expect(calls()).toBe(0);
    },
  );
});

test('a smuggled second request is never served', async () => {
  const inner = request({
    method: 'GET',
    path: '/v1/models',
    lines: { 'Content-Type': null, 'Content-Length': null },
    body: '',
  });
  for (const lines of [
    { 'Content-Length': '4', 'Transfer-Encoding': 'chunked' },
    { 'Content-Length': null, 'Transfer-Encoding': 'chunked, identity' },
    { 'Content-Length': null, 'Transfer-Encoding': '\x0bchunked' },
  ]) {
    const bytes = Buffer.concat([request({ lines, body: '0\r\n\r\n' }), inner]);
    const { answers, closed } = await sendRaw(gateway.url, bytes, { quietMs: 60 });
    expect(answers.map(({ status }) => status)).toEqual([400]);
    expect(closed).toBe(true);
  }
  expect(calls()).toBe(0);
});

test('pipelined requests are answered in order', async () => {
  const { answers } = await sendRaw(
    gateway.url,
    Buffer.concat([request(), AFTER(), request({ body: '{' }), request()]),
    { expected: 4 },
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 200]);
  expect(calls()).toBe(2);
});

test('a chunked body is taken, with trailers ignored', async () => {
  const half = BODY.length >> 1;
  const chunks = [BODY.slice(0, half), BODY.slice(half)].map(
    (part) => `${part.length.toString(16)};ext=1\r\n${part}\r\n`,
  );
  const { answers } = await sendRaw(gateway.url, [
    request({ lines: { 'Content-Length': null, 'Transfer-Encoding': 'chunked' }, body: '' }),
    ...chunks,
    `0\r\nauthorization: Bearer other\r\nx-aegis-workflow: mining\r\n\r\n`,
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200]);
  expect(gateway.openai.last().body.toString()).toContain('"content":"Hi"');
});

test('expect: 100-continue is answered and then the request', async () => {
  const whole = request({ more: ['Expect: 100-continue'] });
  const headEnd = whole.indexOf('\r\n\r\n') + 4;
  const { answers } = await sendRaw(gateway.url, [whole.subarray(0, headEnd), whole.subarray(headEnd)], {
    expected: 2,
  });
  expect(answers.map(({ status }) => status)).toEqual([100, 200]);
});

test('HTTP/1.0 is served and closed', async () => {
  const { answers, closed } = await sendRaw(gateway.url, request({ version: 'HTTP/1.0', lines: { Host: null } }));
  expect(answers[0]?.status).toBe(200);
  expect(closed).toBe(true);
});

test('a body that does not arrive in time is 408, and the connection is closed', async () => {
  const impatient = await openTestGateway({ bodyTimeoutMs: 200 });
  try {
    const own = await impatient.key('service');
    const whole = request({ lines: { Authorization: `Bearer ${own}` } });
    const { answers, closed } = await sendRaw(impatient.url, whole.subarray(0, whole.length - 10), { quietMs: 100 });
    expect(answers.map(({ status }) => status)).toEqual([408]);
    expectError(answers[0] as RawAnswer, CHAT, 'request_timeout');
    expect(closed).toBe(true);
    expect(impatient.openai.requests).toHaveLength(0);
    expect((await impatient.outcomes()).at(-1)).toMatchObject({ outcome: 'rejected', status: 408 });
  } finally {
    await impatient.close();
  }
});

test('a head that does not arrive in time is 408, and the connection is closed', async () => {
  const whole = request();
  const { answers, closed } = await sendRaw(gateway.url, whole.subarray(0, 60), { timeoutMs: 25_000 });
  expect(answers.map(({ status }) => status)).toEqual([408]);
  expectError(answers[0] as RawAnswer, CHAT, 'request_timeout');
  expect(closed).toBe(true);
}, 30_000);

test('a caller that leaves in the middle of its body is recorded and reaches nobody', async () => {
  const before = (await gateway.outcomes()).length;
  const whole = request();
  await sendRaw(gateway.url, whole.subarray(0, whole.length - 10), { expected: 0, quietMs: 30, timeoutMs: 100 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  const outcomes = (await gateway.outcomes()).slice(before);
  expect(outcomes).toMatchObject([{ outcome: 'aborted', status: 499, caller: { org: 'demo-university' } }]);
  expect(calls()).toBe(0);
});

test('bytes that dribble in one by one make the same request', async () => {
  const bytes = request();
  const { answers } = await sendRaw(
    gateway.url,
    [...bytes].map((byte) => Buffer.from([byte])),
  );
  expect(answers[0]?.status).toBe(200);
  expect(gateway.openai.last().body.toString()).toContain('"content":"Hi"');
});

test('nesting of 64 and the largest body are taken', async () => {
  const deep = BODY.replace('}]}', `}],"x":${'['.repeat(63)}${']'.repeat(63)}}`);
  const wide = BODY.replace('Hi', 'x'.repeat(BODY_BYTES - BODY.length + 2));
  expect(Buffer.byteLength(wide)).toBe(BODY_BYTES);
  for (const body of [deep, wide]) {
    const { answers } = await sendRaw(gateway.url, request({ body }));
    expect(answers.map(({ status }) => status)).toEqual([200]);
  }
});

const RUNS = 10_000;

describe.each([
  [CHAT, BODY],
  ['/v1/messages', '{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'],
] as const)(`${RUNS} malformed bodies for %s`, (path, good) => {
  test('are 4xx in the right shape, reach nobody and break nothing', async () => {
    const junk = [
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '\0',
      '\u0007',
      '\\ud800',
      '\\x',
      '1e999',
      '-',
      'nul',
      '\\u12',
      "'",
    ];
    // Each is a good body with something in it that JSON, or the API, cannot be.
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(good.length - 1).map((at) => Buffer.from(good.slice(0, at))),
      fc
        .tuple(fc.nat(good.length - 1), fc.constantFrom(...junk))
        .map(([at, text]) => Buffer.from(good.slice(0, at) + text + good.slice(at + 1))),
      fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0x80, max: 0xff })).map(([at, byte]) => {
        const bytes = Buffer.from(good);
        bytes[at] = byte;
        return bytes;
      }),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .jsonValue()
        .map((value) => Buffer.from(good.replace(/"messages":.*\]/, `"messages":${JSON.stringify(value)}`))),
      fc.jsonValue().map((value) => Buffer.from(good.replace(/"model":"[^"]*"/, `"model":${JSON.stringify(value)}`))),
    );
    const sample = fc.sample(bodies, { numRuns: RUNS, seed: 20_261_124 });
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const statuses = new Map<number, number>();
    let at = 0;
    const next = async (): Promise<void> => {
      for (let body = sample[at++]; body !== undefined; body = sample[at++]) {
        const answer = await fetch(gateway.url + path, { method: 'POST', headers, body: body as unknown as string });
        const text = await answer.text();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (answer.status === 200) continue; // What the junk left a good request: it must have been one.
        const parsed = JSON.parse(text);
        const isShaped = path === '/v1/messages' ? parsed.type === 'error' : Object.keys(parsed).join() === 'error';
        if (answer.status < 400 || answer.status >= 500 || !isShaped || typeof parsed.error.message !== 'string') {
          throw new Error(`${answer.status} ${text} for ${body.toString('latin1')}`);
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, next));
    const served = statuses.get(200) ?? 0;
    expect(calls()).toBe(served);
    for (const { body } of [...gateway.openai.requests, ...gateway.anthropic.requests]) JSON.parse(body.toString());
    expect(served).toBeLessThan(RUNS / 10);
    const after = await fetch(gateway.url + path, { method: 'POST', headers, body: good });
    expect([200, 429]).toContain(after.status);
  });
});
