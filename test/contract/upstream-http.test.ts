import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { UpstreamConfig } from '../../gateway/upstream/endpoint.ts';
import { type HttpUpstreamOptions, openHttpUpstream } from '../../gateway/upstream/http.ts';
import type { Upstream } from '../../gateway/upstream/upstream.ts';
import { collectAnswer } from '../support/collect-answer.ts';
import { answerOf, openRawServer, type RawServer } from '../support/raw-server.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close();
});

const serve = async (answer: Parameters<typeof openRawServer>[0]): Promise<RawServer> => {
  const server = await openRawServer(answer);
  opened.push(server);
  return server;
};
const upstreamAt = (url: string, config: Partial<UpstreamConfig> = {}, options?: HttpUpstreamOptions): Upstream => {
  const base = { name: 'up', kind: 'openai_compatible', base_url: `${url}/v1` } as const;
  const upstream = openHttpUpstream({ ...base, ...config }, undefined, options);
  opened.push(upstream);
  return upstream;
};
const until = async (condition: () => boolean): Promise<void> => {
  for (let waited = 0; !condition(); waited += 5) {
    if (waited > 10_000) throw new Error('condition never came true');
    await sleep(5);
  }
};
const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const chunkOf = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe('an answer', () => {
  test('comes as head, data and end, with its status, headers and bytes unchanged', async () => {
    const server = await serve((socket) =>
      socket.write(answerOf(200, '{"a":1}', 'x-request-id: r\r\nx-a: 1\r\nX-A: 2\r\n')),
    );
    const got = await collectAnswer(upstreamAt(server.url)).done;
    expect(got).toMatchObject({ status: 200, body: '{"a":1}', failure: null, events: ['head', 'data', 'end'] });
    expect(got.headers['x-request-id']).toBe('r');
    expect(got.headers['x-a']).toEqual(['1', '2']);
  });

  test('of an error status is an answer and not a failure', async () => {
    const server = await serve((socket) => socket.write(answerOf(529, '{}')));
    expect(await collectAnswer(upstreamAt(server.url)).done).toMatchObject({ status: 529, failure: null });
  });

  test('that redirects is not followed', async () => {
    const other = await serve((socket) => socket.write(answerOf(200, '{}')));
    const server = await serve((socket) =>
      socket.write(answerOf(307, '', `location: ${other.url}/v1/chat/completions\r\n`)),
    );
    expect(await collectAnswer(upstreamAt(server.url)).done).toMatchObject({ status: 307, events: ['head', 'end'] });
    expect(other.connections.length).toBe(0);
  });

  test('preceded by 103 early hints is the final one', async () => {
    const server = await serve((socket) =>
      socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${answerOf(200, '{}')}`),
    );
    expect(await collectAnswer(upstreamAt(server.url)).done).toMatchObject({
      status: 200,
      events: ['head', 'data', 'end'],
    });
  });

  test('of a stream arrives chunk by chunk, not at its end', async () => {
    const server = await serve((socket) => socket.write(STREAM_HEAD + chunkOf('data: 1\n\n')));
    const answer = collectAnswer(upstreamAt(server.url));
    await until(() => answer.body === 'data: 1\n\n');
    server.connections[0]!.write(`${chunkOf('data: 2\n\n')}0\r\n\r\n`);
    expect((await answer.done).body).toBe('data: 1\n\ndata: 2\n\n');
  });
});

describe('a request', () => {
  test('carries exactly its body, its length and the path under the base URL', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    await collectAnswer(upstreamAt(server.url), { body: '{"model":"é"}' }).done;
    expect(server.requests[0]!.head).toMatch(/^POST \/v1\/chat\/completions HTTP\/1\.1\r\n/);
    expect(server.requests[0]!.head).toContain('content-length: 14');
    expect(Buffer.from(server.requests[0]!.body, 'latin1').toString()).toBe('{"model":"é"}');
  });

  test.each([
    ['openai', 'authorization: Bearer sk-up'],
    ['mistral', 'authorization: Bearer sk-up'],
    ['openai_compatible', 'authorization: Bearer sk-up'],
    ['anthropic', 'x-api-key: sk-up'],
  ] as const)('to %s carries the operator’s key as "%s" and accepts no compression', async (kind, line) => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    await collectAnswer(upstreamAt(server.url, { kind, api_key: 'sk-up' })).done;
    const lines = server.requests[0]!.head.split('\r\n');
    expect(lines).toContain(line);
    expect(lines).toContain('accept-encoding: identity');
    expect(lines.filter((l) => /^(authorization|x-api-key):/i.test(l))).toEqual([line]);
  });

  test('to Anthropic states a version, the caller’s where there is one', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const upstream = upstreamAt(server.url, { kind: 'anthropic', base_url: server.url });
    await collectAnswer(upstream, { path: '/v1/messages' }).done;
    await collectAnswer(upstream, { path: '/messages', headers: { 'anthropic-version': '2024-01-01' } }).done;
    expect(server.requests[0]!.head).toMatch(/^POST \/v1\/messages /);
    expect(server.requests[1]!.head).toMatch(/^POST \/v1\/messages /);
    expect(server.requests[0]!.head).toContain('anthropic-version: 2023-06-01');
    expect(server.requests[1]!.head.match(/anthropic-version: .*/g)).toEqual(['anthropic-version: 2024-01-01']);
  });

  test('never carries a caller’s credential, cookie, hop-by-hop or x-aegis header, whatever is handed over', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const secrets = {
      authorization: 'Bearer canary',
      'x-api-key': 'canary',
      cookie: 'canary',
      'proxy-authorization': 'canary',
      connection: 'x-canary',
      'x-canary': 'canary',
      te: 'trailers',
      'transfer-encoding': 'chunked',
      upgrade: 'canary',
      host: 'canary',
      expect: '100-continue',
      'content-length': '1',
      'accept-encoding': 'br',
      'x-aegis-tags': 'canary=1',
      'idempotency-key': 'canary',
    };
    await collectAnswer(upstreamAt(server.url, { api_key: 'sk-up' }), { headers: secrets }).done;
    expect(server.requests[0]!.head).not.toMatch(/canary|br\b|trailers|expect|chunked/i);
    expect(server.requests[0]!.head).toContain(`host: ${server.url.slice(7)}`);
  });

  test('with a header value that is not valid fails without being sent, and does not throw', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const got = await collectAnswer(upstreamAt(server.url), { headers: { accept: 'a\r\nx-injected: 1' } }).done;
    expect(got).toMatchObject({ failure: 'connect_failed', events: ['error'] });
    expect(server.requests).toHaveLength(0);
  });

  test('beyond the most under way waits for its turn; beyond as many that wait it is overloaded at once, unsent', async () => {
    const server = await serve((socket) => void setTimeout(() => socket.write(answerOf(200, '{}')), 20));
    const upstream = upstreamAt(server.url, { max_concurrent: 2 });
    const answers = Array.from({ length: 6 }, () => collectAnswer(upstream));
    expect(upstream.status()).toMatchObject({ in_flight: 2, waiting: 2 });
    expect(upstream.waitMs('')).toBeGreaterThan(0);
    const got = await Promise.all(answers.map(({ done }) => done));
    expect(got.map(({ status, failure }) => status ?? failure)).toEqual([
      200,
      200,
      200,
      200,
      'overloaded',
      'overloaded',
    ]);
    expect(server.requests).toHaveLength(4);
    expect(server.connections.length).toBe(2);
    expect(upstream.status()).toMatchObject({ in_flight: 0, waiting: 0, state: 'up', error_rate: 0 });
    expect(upstream.waitMs('')).toBe(0);
  });

  test('that has waited for its turn until the first byte was due is overloaded, and unsent', async () => {
    const server = await serve((socket) => socket.write(STREAM_HEAD));
    const upstream = upstreamAt(server.url, { max_concurrent: 1, first_byte_timeout_ms: 80 });
    const first = collectAnswer(upstream);
    await first.head;
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'overloaded' });
    expect(server.requests).toHaveLength(1);
    first.flow.abort();
    expect((await first.done).failure).toBe('aborted');
  });
});

describe('a request that nobody waits for', () => {
  const ok = (socket: { write(text: string): void }) => void socket.write(answerOf(200, '{}'));

  test('is sent where a place is free, and gives way to the first that somebody waits for', async () => {
    const server = await serve((socket, { head }) => {
      if (head.includes('/one ')) ok(socket);
    });
    const upstream = upstreamAt(server.url, { max_concurrent: 2 });
    const asides = ['/a', '/b', '/c'].map((path) => collectAnswer(upstream, { path, isAside: true }));
    expect(upstream.hasRoom('')).toBe(false);
    expect((await asides[2]!.done).failure).toBe('overloaded');
    const answer = collectAnswer(upstream, { path: '/one' });
    // The newest of them is ended, and its place is taken at once.
    expect(upstream.status()).toMatchObject({ in_flight: 2, waiting: 0 });
    expect((await asides[1]!.done).failure).toBe('aborted');
    expect((await answer.done).status).toBe(200);
    expect(upstream.hasRoom('')).toBe(true);
    asides[0]!.flow.abort();
    await asides[0]!.done;
    expect(upstream.status()).toMatchObject({ in_flight: 0, waiting: 0 });
  });

  test('opens no circuit, is no part of the health, and is not the probe of a circuit that is half open', async () => {
    let isDown = true;
    const server = await serve((socket) => (isDown ? void socket.write(answerOf(500, '{}')) : ok(socket)));
    const upstream = upstreamAt(server.url, {}, { openMs: 20 });
    for (let at = 0; at < 12; at++) expect((await collectAnswer(upstream, { isAside: true }).done).status).toBe(500);
    expect(upstream.status()).toMatchObject({ circuit: 'closed', error_rate: 0, retry_budget: { first_attempts: 0 } });
    for (let at = 0; at < 5; at++) await collectAnswer(upstream).done;
    expect(upstream.status().circuit).toBe('open');
    await until(() => upstream.status().circuit === 'half_open');
    isDown = false;
    const sent = server.requests.length;
    expect((await collectAnswer(upstream, { isAside: true }).done).failure).toBe('overloaded');
    expect(server.requests).toHaveLength(sent);
    expect((await collectAnswer(upstream).done).status).toBe(200);
    expect((await collectAnswer(upstream, { isAside: true }).done).status).toBe(200);
  });
});

describe('a failure', () => {
  test('to connect is connect_failed', async () => {
    const server = await openRawServer(() => {});
    await server.close();
    expect(await collectAnswer(upstreamAt(server.url)).done).toMatchObject({
      failure: 'connect_failed',
      events: ['error'],
    });
  });

  test('to resolve the name is connect_failed', async () => {
    expect(await collectAnswer(upstreamAt('http://does-not-exist.invalid')).done).toMatchObject({
      failure: 'connect_failed',
    });
  });

  test('of TLS is connect_failed', async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('not TLS'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push({ close: async () => void server.close() });
    const { port } = server.address() as { port: number };
    expect(await collectAnswer(upstreamAt(`https://127.0.0.1:${port}`)).done).toMatchObject({
      failure: 'connect_failed',
    });
  });

  test('to connect in time is connect_timeout', async () => {
    // A TLS handshake that never answers: the TCP connection alone is not a connection.
    const server = await openRawServer(() => {});
    opened.push(server);
    const upstream = upstreamAt(server.url.replace('http:', 'https:'), { connect_timeout_ms: 50 });
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'connect_timeout' });
  });

  test('to begin an answer in time is first_byte_timeout, and closes the connection', async () => {
    const server = await serve(() => {});
    const answer = collectAnswer(upstreamAt(server.url, { first_byte_timeout_ms: 50 }));
    expect(await answer.done).toMatchObject({ failure: 'first_byte_timeout', status: null });
    await until(() => server.connections[0]!.readableEnded || server.connections[0]!.destroyed);
  });

  test('to get a connection in time is first_byte_timeout too, and the request is never sent', async () => {
    const server = await serve(() => {});
    const upstream = upstreamAt(server.url, { max_concurrent: 1, first_byte_timeout_ms: 60 });
    const first = collectAnswer(upstream, { body: '{"n":1}' });
    await until(() => server.requests.length === 1);
    const second = collectAnswer(upstream, { body: '{"n":2}' });
    second.flow.abort();
    expect(await second.done).toMatchObject({ failure: 'aborted' });
    expect(await first.done).toMatchObject({ failure: 'first_byte_timeout' });
    await sleep(20);
    expect(server.requests.map(({ body }) => body)).toEqual(['{"n":1}']);
  });

  test('to go on in time is idle_timeout, after the bytes that came', async () => {
    const server = await serve((socket) => socket.write(STREAM_HEAD + chunkOf('data: 1\n\n')));
    const got = await collectAnswer(upstreamAt(server.url, { idle_timeout_ms: 60 })).done;
    expect(got).toMatchObject({
      failure: 'idle_timeout',
      status: 200,
      body: 'data: 1\n\n',
      events: ['head', 'data', 'error'],
    });
  });

  test.each([
    ['a chunked answer that is kept alive', STREAM_HEAD + chunkOf('data: 1\n\n')],
    [
      'a chunked answer that closes',
      `${STREAM_HEAD.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n')}${chunkOf('data: 1\n\n')}`,
    ],
    ['an answer with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: 1\n\n'],
    [
      'an answer with a length that closes',
      'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\ndata: 1\n\n',
    ],
  ])('in the middle of %s is reset, and never an end', async (_, bytes) => {
    const server = await serve((socket) => socket.end(bytes));
    const got = await collectAnswer(upstreamAt(server.url)).done;
    expect(got).toMatchObject({ failure: 'reset', status: 200, events: ['head', 'data', 'error'] });
  });

  test.each([
    ['that is not HTTP', 'hello\r\n\r\n'],
    ['with a bad chunk size', `${STREAM_HEAD}zz\r\n`],
    ['with endless headers', `HTTP/1.1 200 OK\r\nx-long: ${'a'.repeat(100_000)}\r\n\r\n`],
    ['that is compressed though only identity was accepted', answerOf(200, 'x', 'content-encoding: gzip\r\n')],
  ])('by an answer %s is invalid_response', async (_, bytes) => {
    const server = await serve((socket) => socket.write(bytes));
    expect(await collectAnswer(upstreamAt(server.url)).done).toMatchObject({ failure: 'invalid_response' });
  });
});

describe('a kept-alive connection that is reset before a byte of answer', () => {
  /** Answers the first request of a connection, then closes when the second comes. */
  const closeOnSecond: Parameters<typeof openRawServer>[0] = (socket, { index }) =>
    index === 0 ? socket.write(answerOf(200, '{}')) : socket.resetAndDestroy();

  test('is tried again once on a fresh connection, counted, and the caller sees only the answer', async () => {
    const server = await serve(closeOnSecond);
    const upstream = upstreamAt(server.url, { max_concurrent: 1 });
    await collectAnswer(upstream).done;
    expect(upstream.status().fresh_retries).toBe(0);
    const got = await collectAnswer(upstream, { body: '{"n":2}' }).done;
    expect(got).toMatchObject({ status: 200, failure: null, events: ['head', 'data', 'end'] });
    expect(upstream.status().fresh_retries).toBe(1);
    expect(server.requests.map(({ connection, index }) => [connection, index])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
    ]);
    expect(server.requests[2]!.body).toBe('{"n":2}');
  });

  test('is not tried a third time', async () => {
    const server = await serve((socket, { connection, index }) =>
      connection === 0 && index === 0 ? socket.write(answerOf(200, '{}')) : socket.resetAndDestroy(),
    );
    const upstream = upstreamAt(server.url, { max_concurrent: 1 });
    await collectAnswer(upstream).done;
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'reset', status: null });
    expect(server.requests).toHaveLength(3);
  });

  test('is not tried again when the connection was new: the provider may have begun to work', async () => {
    const server = await serve((socket) => socket.resetAndDestroy());
    const upstream = upstreamAt(server.url);
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'reset' });
    expect(server.requests).toHaveLength(1);
    expect(upstream.status().fresh_retries).toBe(0);
  });

  test('is not tried again after the first byte of an answer', async () => {
    const server = await serve((socket, { index }) =>
      index === 0 ? socket.write(answerOf(200, '{}')) : socket.end('HTTP/1.1 20'),
    );
    const upstream = upstreamAt(server.url, { max_concurrent: 1 });
    await collectAnswer(upstream).done;
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'reset', status: null });
    expect(server.requests).toHaveLength(2);
  });
});

describe('an abort', () => {
  const closedAt = (server: RawServer): Promise<number> =>
    new Promise((resolve) => {
      for (const event of ['end', 'close', 'error']) server.connections[0]!.on(event, () => resolve(performance.now()));
    });

  test('before the answer closes the connection at once and ends with aborted', async () => {
    const server = await serve(() => {});
    const answer = collectAnswer(upstreamAt(server.url));
    await until(() => server.requests.length === 1);
    const closed = closedAt(server);
    const at = performance.now();
    answer.flow.abort();
    expect((await closed) - at).toBeLessThan(100);
    expect(await answer.done).toMatchObject({ failure: 'aborted', events: ['error'] });
  });

  test('in the middle of a stream closes the connection at once, and no byte follows', async () => {
    const server = await serve((socket) => {
      socket.write(STREAM_HEAD);
      const timer = setInterval(() => socket.write(chunkOf('data: 1\n\n')), 1);
      socket.on('close', () => clearInterval(timer));
    });
    const answer = collectAnswer(upstreamAt(server.url));
    await until(() => answer.body.length > 0);
    const closed = closedAt(server);
    const at = performance.now();
    answer.flow.abort();
    const { length } = answer.body;
    expect((await closed) - at).toBeLessThan(100);
    expect((await answer.done).body).toHaveLength(length);
    expect(answer.events.at(-1)).toBe('error');
  });

  test('from inside a data callback stops the very chunk after it', async () => {
    const server = await serve((socket) => socket.write(STREAM_HEAD + chunkOf('a') + chunkOf('b')));
    const answer = collectAnswer(upstreamAt(server.url), {}, (_, flow) => flow.abort());
    expect(await answer.done).toMatchObject({ body: 'a', failure: 'aborted', events: ['head', 'data', 'error'] });
  });

  test('right after send never writes the request', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const upstream = upstreamAt(server.url);
    const answer = collectAnswer(upstream, { body: '{"aborted":1}' });
    answer.flow.abort();
    expect(await answer.done).toMatchObject({ failure: 'aborted' });
    await collectAnswer(upstream).done;
    expect(server.requests.map(({ body }) => body)).toEqual(['{}']);
  });

  test('twice, or after the end, does nothing', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const upstream = upstreamAt(server.url);
    const answer = collectAnswer(upstream);
    await answer.done;
    answer.flow.abort();
    answer.flow.abort();
    expect(await collectAnswer(upstream).done).toMatchObject({ status: 200 });
    expect(answer.failure).toBeNull();
    expect(server.requests).toHaveLength(2);
  });

  test('of one request leaves the others alone', async () => {
    const server = await serve((socket, { body }) => {
      if (body === '{"go":1}') socket.write(answerOf(200, '{}'));
    });
    const upstream = upstreamAt(server.url);
    const stuck = Array.from({ length: 5 }, () => collectAnswer(upstream));
    await until(() => server.requests.length === 5);
    for (const { flow } of stuck) flow.abort();
    expect(await collectAnswer(upstream, { body: '{"go":1}' }).done).toMatchObject({ status: 200 });
    for (const { done } of stuck) expect((await done).failure).toBe('aborted');
  });
});

describe('back-pressure', () => {
  const TOTAL = 8 * 1024 * 1024;
  /** Writes `TOTAL` bytes as fast as the reader takes them, and tells how many the kernel has taken. */
  const flood: Parameters<typeof openRawServer>[0] = (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${TOTAL}\r\n\r\n`);
    const block = Buffer.alloc(65_536, 97);
    let left = TOTAL / block.length;
    const more = (): void => {
      while (left > 0) {
        left--;
        if (!socket.write(block)) return;
      }
    };
    socket.on('drain', more);
    more();
  };

  test('a pause stops the upstream, a resume brings every byte', async () => {
    const server = await serve(flood);
    let paused = false;
    const answer = collectAnswer(upstreamAt(server.url, { idle_timeout_ms: 50 }), {}, (_, flow) => {
      if (!paused) flow.pause();
      paused = true;
    });
    await until(() => answer.body.length > 0);
    await sleep(150); // thrice the idle timeout: a caller's slowness is not the upstream's
    const { length } = answer.body;
    await sleep(50);
    expect(answer.body.length).toBe(length);
    expect(length).toBeLessThan(1024 * 1024);
    expect(server.connections[0]!.writableLength).toBeGreaterThan(0);
    answer.flow.resume();
    expect((await answer.done).body.length).toBe(TOTAL);
    expect(answer.failure).toBeNull();
  });

  test('a pause before the head holds the first byte', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{"a":1}')));
    const answer = collectAnswer(upstreamAt(server.url));
    answer.flow.pause();
    await answer.head;
    await sleep(30);
    expect(answer.body).toBe('');
    answer.flow.resume();
    expect(await answer.done).toMatchObject({ body: '{"a":1}', failure: null });
  });

  test('a pause and a resume at once, from inside another request’s callback, lose nothing', async () => {
    const server = await serve(flood);
    const upstream = upstreamAt(server.url);
    const first = collectAnswer(upstream, {}, (_, flow) => flow.pause());
    await until(() => first.body.length > 0);
    const second = collectAnswer(upstream, {}, (_, flow) => {
      first.flow.resume();
      flow.pause();
      flow.resume();
    });
    expect((await second.done).body.length).toBe(TOTAL);
    await until(() => {
      first.flow.resume();
      return first.failure !== null || first.events.includes('end');
    });
    expect(first.body.length).toBe(TOTAL);
  });

  test('an abort of a paused answer closes it', async () => {
    const server = await serve(flood);
    const answer = collectAnswer(upstreamAt(server.url), {}, (_, flow) => flow.pause());
    await until(() => answer.body.length > 0);
    answer.flow.abort();
    expect(await answer.done).toMatchObject({ failure: 'aborted' });
    await until(() => server.connections[0]!.destroyed);
  });
});

describe('health and close', () => {
  test('five requests in a row without an answer open the circuit: nothing is sent until one probe is answered', async () => {
    let answering = false;
    const server = await serve((socket) => {
      if (answering) setTimeout(() => socket.write(answerOf(200, '{}')), 20);
      else socket.resetAndDestroy();
    });
    const upstream = upstreamAt(server.url, {}, { openMs: 200 });
    expect(upstream.health()).toEqual({
      dialects: ['openai'],
      endpoints: expect.arrayContaining(['chat.completions', 'completions', 'embeddings']),
      third_party: false,
      state: 'up',
      error_rate: 0,
      p50_ms: 0,
    });
    for (let i = 0; i < 5; i++) await collectAnswer(upstream).done;
    expect(upstream.health()).toMatchObject({ state: 'down', error_rate: 1 });
    expect(upstream.status()).toMatchObject({ circuit: 'open', state: 'down' });
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'circuit_open', events: ['error'] });
    expect(upstream.waitMs('')).toBeGreaterThan(0);
    expect(server.requests).toHaveLength(5);

    answering = true;
    await until(() => upstream.status().circuit === 'half_open');
    const several = await Promise.all(Array.from({ length: 5 }, () => collectAnswer(upstream).done));
    expect(several.map(({ status, failure }) => status ?? failure)).toEqual([200, ...Array(4).fill('circuit_open')]);
    expect(server.requests).toHaveLength(6);
    expect(upstream.status().circuit).toBe('closed');
    expect(upstream.health().state).not.toBe('down');
    expect(upstream.health().p50_ms).toBeGreaterThan(0);
  });

  test('a probe whose caller leaves frees the circuit for another', async () => {
    const server = await serve((socket, { body }) => {
      if (body === '{"go":1}') socket.write(answerOf(200, '{}'));
      else if (body !== '{"wait":1}') socket.resetAndDestroy();
    });
    const upstream = upstreamAt(server.url, {}, { openMs: 20 });
    for (let i = 0; i < 5; i++) await collectAnswer(upstream).done;
    await until(() => upstream.status().circuit === 'half_open');
    const probe = collectAnswer(upstream, { body: '{"wait":1}' });
    await until(() => server.requests.length === 6);
    expect((await collectAnswer(upstream).done).failure).toBe('circuit_open');
    probe.flow.abort();
    await probe.done;
    expect((await collectAnswer(upstream, { body: '{"go":1}' }).done).status).toBe(200);
  });

  test('callers who leave do not count against an upstream', async () => {
    const server = await serve(() => {});
    const upstream = upstreamAt(server.url);
    const answers = Array.from({ length: 10 }, () => collectAnswer(upstream));
    await until(() => server.requests.length === 10);
    for (const { flow } of answers) flow.abort();
    await Promise.all(answers.map(({ done }) => done));
    await sleep(260);
    expect(upstream.health()).toMatchObject({ state: 'up', error_rate: 0 });
  });

  test('close ends what is under way with aborted, and a later request fails at once', async () => {
    const server = await serve(() => {});
    const upstream = upstreamAt(server.url, { max_concurrent: 1 });
    const answers = [collectAnswer(upstream), collectAnswer(upstream)];
    await until(() => server.requests.length === 1);
    await upstream.close();
    for (const { done } of answers) expect(await done).toMatchObject({ failure: 'aborted' });
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'aborted', events: ['error'] });
  });
});

describe('several keys', () => {
  const keyOf = ({ head }: { head: string }): string | undefined => /^authorization: Bearer (.*)$/im.exec(head)?.[1];

  test('share the requests by weight, and one that rests is passed over', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const upstream = upstreamAt(server.url, {
      api_keys: [{ key: 'sk-heavy-key', weight: 3 }, { key: 'sk-light-key' }],
    });
    for (let i = 0; i < 8; i++) await collectAnswer(upstream).done;
    const counts = (): Record<string, number> =>
      Object.fromEntries([...Map.groupBy(server.requests, keyOf)].map(([key, all]) => [key, all.length]));
    expect(counts()).toEqual({ 'sk-heavy-key': 6, 'sk-light-key': 2 });

    const answer = collectAnswer(upstream);
    await answer.done;
    const { key } = answer.flow;
    answer.flow.restKey('spend_limit', 0);
    server.requests.length = 0;
    for (let i = 0; i < 4; i++) await collectAnswer(upstream).done;
    expect(Object.keys(counts())).toEqual([['sk-light-key', 'sk-heavy-key'][key]]);
    expect(upstream.status().keys[key]).toMatchObject({ index: key, state: 'resting', why: 'spend_limit' });
    expect(JSON.stringify(upstream.status())).not.toMatch(/sk-|127\.0\.0\.1/);
  });

  test('all at rest are keys_resting, unsent, and the log names upstream and index, never the key', async () => {
    const server = await serve((socket) => socket.write(answerOf(200, '{}')));
    const lines: Record<string, unknown>[] = [];
    const log = (fields: object, message: string): void => void lines.push({ ...fields, message });
    const keys = [{ key: 'sk-canary-one' }, { key: 'sk-canary-two' }];
    const config = { name: 'up', kind: 'openai_compatible', base_url: `${server.url}/v1`, api_keys: keys } as const;
    const upstream = openHttpUpstream({ ...config, api_keys: [...keys] }, { info: log, warn: log });
    opened.push(upstream);
    for (let i = 0; i < 2; i++) {
      const answer = collectAnswer(upstream);
      await answer.done;
      answer.flow.restKey('spend_limit', 0);
    }
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'keys_resting', events: ['error'] });
    expect(server.requests).toHaveLength(2);
    expect(upstream.waitMs('')).toBeGreaterThan(50_000);
    expect(upstream.hasKey('', 0)).toBe(false);
    expect(lines.map(({ upstream: name, key, why }) => [name, key, why])).toEqual([
      ['up', 0, 'spend_limit'],
      ['up', 1, 'spend_limit'],
    ]);
    expect(JSON.stringify(lines)).not.toContain('canary');
  });

  test('are taken out of a body that repeats one', async () => {
    const upstream = upstreamAt('http://127.0.0.1:9', { api_keys: [{ key: 'sk-canary-one' }] });
    expect(upstream.hideKeys(Buffer.from('{"error":"bad key sk-canary-one"}')).toString()).toBe(
      '{"error":"bad key [key]"}',
    );
  });
});

test('no place is ever lost: whatever answers, breaks, times out or is left, the upstream ends idle and serves on', async () => {
  const fates = ['answer', 'late', 'reset', 'garbage', 'hang', 'cut', 'stream'] as const;
  const server = await serve((socket, { body }) => {
    const { fate } = JSON.parse(body) as { fate: (typeof fates)[number] | undefined };
    if (fate === 'hang') return;
    if (fate === 'reset') return void socket.resetAndDestroy();
    if (fate === 'garbage') return void socket.end('nonsense\r\n\r\n');
    if (fate === 'cut') return void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx');
    if (fate === 'stream') return void socket.write(STREAM_HEAD + chunkOf('data: 1\n\n'));
    if (fate === 'late') return void setTimeout(() => socket.write(answerOf(503, '{}')), 3);
    setTimeout(() => socket.write(answerOf(200, '{}')), 2);
  });
  const config = { max_concurrent: 3, first_byte_timeout_ms: 40, idle_timeout_ms: 40 };
  // A circuit that is half open at once: probes are among what may be lost.
  const upstream = upstreamAt(server.url, config, { openMs: 1 });
  const random = (below: number): number => Math.floor(Math.random() * below);
  const failures = new Set<string | null>();
  for (let round = 0; round < 40; round++) {
    // Every other round all is well, so that the circuit closes and the queue is what is in the way.
    const isBad = round % 2 === 0;
    if (!isBad) await until(() => upstream.status().circuit !== 'open');
    if (!isBad) await collectAnswer(upstream).done;
    const answers = Array.from({ length: isBad ? 1 + random(8) : 8 }, () => {
      const fate = isBad ? fates[random(fates.length)] : 'answer';
      const answer = collectAnswer(upstream, { body: JSON.stringify({ fate }) });
      if (random(3) === 0) setTimeout(() => answer.flow.abort(), random(12));
      return answer;
    });
    if (random(2) === 0) for (const { done } of answers) failures.add((await done).failure);
    else for (const { done } of answers) void done.then(({ failure }) => failures.add(failure));
  }
  await until(() => upstream.status().in_flight === 0 && upstream.status().waiting === 0);
  expect([...failures]).toEqual(expect.arrayContaining(['overloaded', null]));
  expect(failures.size).toBeGreaterThan(2);
  await until(() => upstream.status().circuit !== 'open');
  expect((await collectAnswer(upstream).done).status).toBe(200);
  const three = await Promise.all([1, 2, 3].map(() => collectAnswer(upstream).done));
  expect(three.map(({ status }) => status)).toEqual([200, 200, 200]);
});
