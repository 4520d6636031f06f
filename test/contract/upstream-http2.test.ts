import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { UpstreamConfig } from '../../gateway/upstream/endpoint.ts';
import { openHttpUpstream } from '../../gateway/upstream/http.ts';
import type { Upstream } from '../../gateway/upstream/upstream.ts';
import { collectAnswer } from '../support/collect-answer.ts';
import { until } from '../support/gateway.ts';
import { answerH2, CERTIFICATE, type H2Server, openH2Server } from '../support/h2-server.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close();
});

const serve = async (answer: Parameters<typeof openH2Server>[0]): Promise<H2Server> => {
  const server = await openH2Server(answer);
  opened.push(server);
  return server;
};
const upstreamAt = (url: string, config: Partial<UpstreamConfig> = {}): Upstream => {
  const base = { name: 'up', kind: 'openai_compatible', base_url: `${url}/v1`, http2: true } as const;
  const upstream = openHttpUpstream({ ...base, ...config }, undefined, { ca: CERTIFICATE });
  opened.push(upstream);
  return upstream;
};
const yes = (condition: () => boolean) => until(() => condition() || undefined);

describe('over HTTP/2', () => {
  test('an answer comes as head, data and end, and the request carries key, length and body', async () => {
    const server = await serve((request) => answerH2(request, 200, '{"a":1}', { 'x-request-id': 'r' }));
    const upstream = upstreamAt(server.url, { api_key: 'sk-up-0123' });
    const got = await collectAnswer(upstream, { body: '{"model":"é"}' }).done;
    expect(got).toMatchObject({ status: 200, body: '{"a":1}', failure: null, events: ['head', 'data', 'end'] });
    expect(got.headers['x-request-id']).toBe('r');
    const [{ headers, body }] = server.requests as [(typeof server.requests)[0]];
    expect(headers).toMatchObject({ ':path': '/v1/chat/completions', authorization: 'Bearer sk-up-0123' });
    expect(headers['content-length']).toBe('14');
    expect(body).toBe('{"model":"é"}');
  });

  test('requests at the same time share one connection', async () => {
    const server = await serve(() => {
      if (server.requests.length === 20) for (const each of server.requests) answerH2(each, 200, each.body);
    });
    const upstream = upstreamAt(server.url);
    const bodies = Array.from({ length: 20 }, (_, n) => `{"n":${n}}`);
    const got = await Promise.all(bodies.map((body) => collectAnswer(upstream, { body }).done));
    expect(got.map(({ body }) => body)).toEqual(bodies);
    expect(server.sessions).toHaveLength(1);
  });

  test('max_concurrent bounds the streams', async () => {
    const server = await serve((request) => void setTimeout(() => answerH2(request, 200, '{}'), 20));
    const upstream = upstreamAt(server.url, { max_concurrent: 2 });
    const answers = Array.from({ length: 6 }, () => collectAnswer(upstream).done);
    const got = await Promise.all(answers);
    expect(got.map(({ status, failure }) => status ?? failure)).toEqual([
      200,
      200,
      200,
      200,
      'overloaded',
      'overloaded',
    ]);
    expect(server.requests).toHaveLength(4);
  });

  test('an abort resets its stream and leaves the connection and the others alone', async () => {
    const server = await serve(({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write('data: 1\n\n');
    });
    const upstream = upstreamAt(server.url);
    const [leaves, stays] = [collectAnswer(upstream), collectAnswer(upstream)];
    await yes(() => leaves.body !== '' && stays.body !== '');
    const gone = once(server.requests[0]!.stream, 'close');
    leaves.flow.abort();
    expect(await leaves.done).toMatchObject({ failure: 'aborted' });
    await gone;
    server.requests[1]!.stream.end('data: 2\n\n');
    expect(await stays.done).toMatchObject({ failure: null, body: 'data: 1\n\ndata: 2\n\n' });
    expect(server.sessions).toHaveLength(1);
    expect(server.sessions[0]!.destroyed).toBe(false);
    expect(upstream.status()).toMatchObject({ in_flight: 0, waiting: 0 });
  });

  test('an abort right after send leaves the connection to the next', async () => {
    const server = await serve((request) => {
      if (!request.stream.destroyed) answerH2(request, 200, '{}');
    });
    const upstream = upstreamAt(server.url);
    await collectAnswer(upstream).done;
    const answer = collectAnswer(upstream, { body: '{"aborted":1}' });
    answer.flow.abort();
    expect(await answer.done).toMatchObject({ failure: 'aborted', events: ['error'] });
    expect(await collectAnswer(upstream).done).toMatchObject({ status: 200 });
    expect(server.sessions).toHaveLength(1);
    expect(upstream.status().in_flight).toBe(0);
  });

  test.each([
    ['an internal error', new Error('broken')],
    ['a cancellation', new DOMException('left', 'AbortError')],
  ])('a stream that breaks off by %s is reset and never an end, and is not sent again', async (_, error) => {
    const server = await serve(({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
      stream.write('data: 1\n\n');
      setTimeout(() => stream.destroy(error), 20);
    });
    const upstream = upstreamAt(server.url);
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'reset', body: 'data: 1\n\n' });
    expect(server.requests).toHaveLength(1);
  });

  test('a stream that is reset before an answer is not sent again: the provider may have worked on it', async () => {
    const server = await serve((request) => {
      if (server.requests.length === 1) answerH2(request, 200, '{}');
      else request.stream.close(2);
    });
    const upstream = upstreamAt(server.url);
    await collectAnswer(upstream).done;
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'reset', status: null });
    expect(server.requests).toHaveLength(2);
    expect(upstream.status().fresh_retries).toBe(0);
  });

  test('an idle connection that breaks just as it is used is replaced once, and counted', async () => {
    const server = await serve((request) => {
      if (server.requests.length === 2) request.stream.session?.socket.destroy();
      else answerH2(request, 200, '{}');
    });
    const upstream = upstreamAt(server.url);
    await collectAnswer(upstream).done;
    expect(await collectAnswer(upstream, { body: '{"n":2}' }).done).toMatchObject({ status: 200, failure: null });
    expect(upstream.status().fresh_retries).toBe(1);
    expect(server.requests.map(({ session }) => session)).toEqual([0, 0, 1]);
    expect(server.requests[2]!.body).toBe('{"n":2}');
  });

  test('a busy connection that breaks fails its streams: none is sent again behind the caller’s back', async () => {
    const server = await serve((request) => {
      if (server.requests.length === 4) request.stream.session?.socket.destroy();
      if (server.requests.length === 1 || server.requests.length > 4) answerH2(request, 200, '{}');
    });
    const upstream = upstreamAt(server.url);
    await collectAnswer(upstream).done;
    const first = collectAnswer(upstream);
    await yes(() => server.requests.length === 2);
    const [second, third] = [collectAnswer(upstream), collectAnswer(upstream)];
    expect([(await second.done).failure, (await third.done).failure]).toEqual(['reset', 'reset']);
    // The first had the connection to itself as it began: it alone may have met a connection that was closing.
    await first.done;
    expect(server.requests.length).toBeLessThanOrEqual(5);
    expect(upstream.status().fresh_retries).toBeLessThanOrEqual(1);
  });

  test('silence after the head is idle_timeout, and silence before it first_byte_timeout', async () => {
    const server = await serve(({ stream, body }) => {
      if (body === '{"head":1}') stream.respond({ ':status': 200 });
    });
    const upstream = upstreamAt(server.url, { idle_timeout_ms: 60, first_byte_timeout_ms: 500 });
    const got = await collectAnswer(upstream, { body: '{"head":1}' }).done;
    expect(got).toMatchObject({ status: 200, failure: 'idle_timeout' });
    const silent = upstreamAt(server.url, { first_byte_timeout_ms: 60 });
    expect(await collectAnswer(silent).done).toMatchObject({ status: null, failure: 'first_byte_timeout' });
  });

  test('a pause stops the stream, a resume brings every byte', async () => {
    const total = 4 * 1024 * 1024;
    const server = await serve(({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.end(Buffer.alloc(total, 97));
    });
    let isPaused = false;
    const answer = collectAnswer(upstreamAt(server.url, { idle_timeout_ms: 50 }), {}, (_, flow) => {
      if (!isPaused) flow.pause();
      isPaused = true;
    });
    await yes(() => answer.body.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(answer.body.length).toBeLessThan(total);
    expect(answer.failure).toBeNull();
    answer.flow.resume();
    expect((await answer.done).body.length).toBe(total);
  });

  test('close ends what is under way with aborted', async () => {
    const server = await serve(() => {});
    const upstream = upstreamAt(server.url);
    const answer = collectAnswer(upstream);
    await yes(() => server.requests.length === 1);
    await upstream.close();
    expect(await answer.done).toMatchObject({ failure: 'aborted' });
  });

  test('a server that has HTTP/1.1 alone is asked in that', async () => {
    const key = readFileSync(new URL('../fixtures/tls/key.pem', import.meta.url));
    const versions: string[] = [];
    const server = createServer({ cert: CERTIFICATE, key }, (req, res) => {
      versions.push(req.httpVersion);
      req.resume().on('end', () => res.end('{}'));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push({
      close: async () => {
        server.close();
        server.closeAllConnections();
      },
    });
    const upstream = upstreamAt(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const got = await Promise.all([collectAnswer(upstream).done, collectAnswer(upstream).done]);
    expect(got.map(({ status }) => status)).toEqual([200, 200]);
    expect(versions).toEqual(['1.1', '1.1']);
  });

  test('a certificate that nobody trusts is connect_failed', async () => {
    const server = await serve((request) => answerH2(request, 200, '{}'));
    const upstream = openHttpUpstream({ name: 'up', kind: 'openai_compatible', base_url: server.url, http2: true });
    opened.push(upstream);
    expect(await collectAnswer(upstream).done).toMatchObject({ failure: 'connect_failed' });
  });
});
