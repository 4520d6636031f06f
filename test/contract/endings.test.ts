import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../gateway/config.ts';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { openGateway } from '../../gateway/wire.ts';
import { chatCompletion, chatEvent, chatStream, messageStream } from '../support/answers.ts';
import { answerJson, answerStream, hang, openFakeUpstream } from '../support/fake-upstream.ts';
import {
  CHAT_MODEL,
  openaiAt,
  openTestGateway,
  PEOPLE,
  ROOT,
  recordsOf,
  type TestGateway,
  until,
} from '../support/gateway.ts';
import { sendRaw } from '../support/raw-client.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
afterAll(() => gateway.close());

const NONSENSE = { prompt_tokens: 1e12, completion_tokens: 1e300, total_tokens: -1 };

/** Every request so far has exactly one outcome, and nothing is under way. */
const expectEachEndedOnce = async (): Promise<void> => {
  const outcomes = await gateway.outcomes();
  const ids = outcomes.map((outcome) => outcome.request_id);
  expect(new Set(ids).size).toBe(ids.length);
  const ended = new Set(outcomes.map((outcome) => outcome.id));
  for (const { id } of await gateway.intents()) expect(ended).toContain(id);
};

const rawRequest = async (body: Record<string, unknown>, on = gateway): Promise<string> => {
  const text = JSON.stringify({ model: CHAT_MODEL, messages: [{ role: 'user', content: 'Hello.' }], ...body });
  return [
    'POST /v1/chat/completions HTTP/1.1',
    'host: x',
    `authorization: Bearer ${await on.key()}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(text)}`,
    '',
    text,
  ].join('\r\n');
};

const open = async (on = gateway): Promise<Socket> => {
  const { hostname, port } = new URL(on.url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  await once(socket, 'connect');
  return socket;
};

/** Plays a stream that goes on until its connection is closed; `closed` resolves then. */
const endlessStream = (chunk: string) => {
  const closed = Promise.withResolvers<void>();
  gateway.openai.play = (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const more = (): void => {
      while (!res.destroyed && res.write(chunk));
    };
    res.on('drain', more).on('close', closed.resolve);
    more();
  };
  return closed.promise;
};

describe('a count of tokens that no call can have', () => {
  test('is charged by estimate in a whole answer', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hello to you, and to everybody else.', NONSENSE));
    const answer = await gateway.chat({});
    expect(answer.status).toBe(200);
    const { usage, cost } = await gateway.outcomeOf(answer);
    expect(usage?.source).toBe('estimated');
    expect(usage?.output).toBeGreaterThan(3);
    expect(cost.micro_usd).toBeGreaterThan(0);
    await expectEachEndedOnce();
  });

  test('is charged by estimate in a stream', async () => {
    const events = chatStream(['Hello to ', 'you.'], { usage: false, done: false });
    gateway.openai.play = answerStream([...events, chatEvent({ choices: [], usage: NONSENSE }), chatEvent('[DONE]')]);
    const answer = await gateway.chat({ stream: true });
    expect(await answer.text()).toContain('data: [DONE]');
    const { outcome, usage, cost } = await gateway.outcomeOf(answer);
    expect(outcome).toBe('ok');
    expect(usage?.source).toBe('estimated');
    expect(cost.micro_usd).toBeGreaterThan(0);
    await expectEachEndedOnce();
  });
});

describe('an odd answer', () => {
  test('without a count is charged for its output too', async () => {
    const { usage: _, ...body } = chatCompletion('One two three four five six seven eight nine ten.');
    gateway.openai.play = answerJson(200, body);
    const { usage } = await gateway.outcomeOf(await gateway.chat({}));
    expect(usage?.source).toBe('estimated');
    expect(usage?.output).toBeGreaterThan(5);
  });

  test('with a header that no answer may have is passed on without it', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hello.'), {
      'x-request-id': 'caf\u00e9',
      'retry-after': '1',
    });
    const answer = await gateway.chat({});
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-upstream-request-id')).toBeNull();
    expect(answer.headers.get('retry-after')).toBe('1');
    await answer.text();
  });

  test('that is a page of some proxy stays here, and its status is told', async () => {
    gateway.openai.play = answerJson(404, '<html>nginx at internal-host</html>', { 'content-type': 'text/html' });
    const answer = await gateway.chat({});
    expect(answer.status).toBe(404);
    const body = await answer.text();
    expect(body).not.toContain('internal-host');
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'upstream_error' } });
    expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'failed', status: 404, cost: { micro_usd: 0 } });
  });

  test('that is a stream nobody asked for is an error, and charged', async () => {
    gateway.openai.play = answerStream(chatStream(['Hello.']));
    const answer = await gateway.chat({});
    expect(answer.status).toBe(502);
    expect(await answer.json()).toMatchObject({ error: { code: 'upstream_error' } });
    expect((await gateway.outcomeOf(answer)).cost.micro_usd).toBeGreaterThan(0);
  });

  test('whose last event has no name and its JSON spaces is complete', async () => {
    const stop = 'data: {"type": "message_stop"}\n\n';
    gateway.anthropic.play = answerStream([...messageStream(['Hello.']).slice(0, -1), stop]);
    const answer = await gateway.messages({ stream: true });
    expect((await answer.text()).endsWith(stop)).toBe(true);
    expect((await gateway.outcomeOf(answer)).outcome).toBe('ok');
  });

  test('without a content type is JSON', async () => {
    gateway.openai.play = (_request, res) => {
      res.end(JSON.stringify(chatCompletion('Hello.')));
    };
    const answer = await gateway.chat({});
    expect(answer.headers.get('content-type')).toBe('application/json');
    await answer.text();
  });

  test('that is an error said as events is passed on whole and costs nothing', async () => {
    const error = 'data: {"error":{"message":"no"}}\n\n';
    gateway.openai.play = answerJson(400, error, { 'content-type': 'text/event-stream' });
    const answer = await gateway.chat({ stream: true });
    expect(answer.status).toBe(400);
    expect(await answer.text()).not.toContain('[DONE]');
    expect((await gateway.outcomeOf(answer)).cost.micro_usd).toBe(0);
  });
});

describe('a connection', () => {
  test('that its caller leaves with pipelined streams on it stops them all upstream', async () => {
    const seen = gateway.openai.requests.length;
    const before = (await gateway.outcomes()).length;
    endlessStream(chatEvent({ choices: [{ index: 0, delta: { content: 'x' } }], pad: 'x'.repeat(60_000) }));
    const socket = await open();
    socket.pause();
    const request = await rawRequest({ stream: true });
    socket.write(request + request + request);
    const requests = await until(() => {
      const asked = gateway.openai.requests.slice(seen);
      return asked.length === 3 ? asked : undefined;
    });
    socket.destroy();
    await Promise.all(requests.map(({ closed }) => closed));
    const outcomes = await until(async () => {
      const ended = (await gateway.outcomes()).slice(before);
      return ended.length === 3 ? ended : undefined;
    });
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['aborted', 'aborted', 'aborted']);
    await expectEachEndedOnce();
  });

  test('on which nonsense follows a request has no second answer inside the first', async () => {
    gateway.openai.play = async (_request, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(chatEvent({ choices: [{ index: 0, delta: { content: 'Hello' } }] }));
    };
    const socket = await open();
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.write(await rawRequest({ stream: true }));
    await until(() => (received.includes('Hello') ? true : undefined));
    socket.write('no HTTP at all\r\n\r\n');
    await once(socket, 'close');
    expect(received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(received).not.toContain('[DONE]');
  });
});

test.each([
  ['no HTTP at all\r\n\r\n', 400],
  [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
  ['POST / HTTP/1.1\r\nhost: x\r\nexpect: a-cake\r\ncontent-length: 5\r\n\r\n', 417],
])('a request that never became one is on record: %#', async (bytes, status) => {
  const { answers } = await sendRaw(gateway.url, bytes);
  expect(answers[0]?.status).toBe(status);
  const id = answers[0]?.headers.get('x-request-id');
  const outcome = await until(async () => (await gateway.outcomes()).find(({ request_id }) => request_id === id));
  expect(outcome).toMatchObject({ outcome: 'rejected', status, caller: null });
});

test('an outcome names the groups of its caller, whose budgets are counted from it', async () => {
  gateway.openai.play = answerJson(200, chatCompletion('Hello.'));
  const key = await gateway.keyFor({ ...PEOPLE.student, user: 'grouped', groups: ['exam', 'lab'] });
  const outcome = await gateway.outcomeOf(await gateway.chat({}, { headers: { authorization: `Bearer ${key}` } }));
  expect(outcome.caller?.groups).toEqual(['exam', 'lab']);
});

describe('a stop', () => {
  test('does not wait for callers who left with pipelined requests', async () => {
    const own = await openTestGateway();
    try {
      own.openai.play = hang;
      const socket = await open(own);
      const request = await rawRequest({}, own);
      socket.write(request + request + request);
      await until(() => (own.openai.requests.length === 3 ? true : undefined));
      socket.destroy();
      await until(async () => ((await own.outcomes()).length === 3 ? true : undefined));
      const started = performance.now();
      await own.running.close();
      expect(performance.now() - started).toBeLessThan(5_000);
    } finally {
      await own.close();
    }
  }, 60_000);

  test('tells streams and whole calls that are longer than the grace, once, and is seen until its end', async () => {
    const upstream = await openFakeUpstream();
    const home = await mkdtemp(join(tmpdir(), 'aegis-stop-'));
    const config = { listen: '127.0.0.1:0', admin: { listen: '127.0.0.1:0' }, home, log_level: 'silent' };
    const upstreams = [openaiAt(upstream)];
    const settings = parseConfig(JSON.stringify({ ...config, upstreams }), join(ROOT, 'test-config'), {});
    const running = await openGateway(settings, 700);
    try {
      let streams = 0;
      upstream.play = (request, res) => {
        // The whole answer never begins.
        if (!request.body.includes('"stream":true')) return;
        streams++;
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write(chatEvent({ choices: [{ index: 0, delta: { content: 'Hello' } }] }));
      };
      const headers = {
        authorization: `Bearer ${await running.createKey(PEOPLE.student)}`,
        'content-type': 'application/json',
      };
      const ask = (stream: boolean): Promise<Response> =>
        fetch(`${running.url}/v1/chat/completions`, {
          method: 'POST',
          headers,
          body: JSON.stringify({ model: CHAT_MODEL, stream, messages: [{ role: 'user', content: 'Hello.' }] }),
        });
      const answers = [ask(true), ask(false)];
      await until(() => (upstream.requests.length === 2 && streams === 1 ? true : undefined));
      const closed = running.close();
      const ready = await fetch(`${running.adminUrl}/readyz`);
      expect([ready.status, (await ready.json()) as unknown]).toMatchObject([503, { problems: ['stopping'] }]);
      const [stream, whole] = await Promise.all(answers);
      const text = await stream!.text();
      expect(text).toContain('Hello');
      expect(text).toContain('"code":"shutting_down"');
      expect(text).not.toContain('[DONE]');
      expect(whole!.status).toBe(503);
      expect(await whole!.json()).toMatchObject({ error: { code: 'shutting_down' } });
      await closed;
      await Promise.all(upstream.requests.map((request) => request.closed));
      const outcomes = (await recordsOf(home)).filter((record): record is AuditOutcome => record.kind === 'outcome');
      expect(outcomes.map(({ outcome, error }) => [outcome, error]).sort()).toEqual([
        ['failed', 'shutting_down'],
        ['incomplete', 'shutting_down'],
      ]);
    } finally {
      await running.close();
      await upstream.close();
      await rm(home, { recursive: true });
    }
  });

  test('waits until a slow reader has the last byte', async () => {
    const own = await openTestGateway();
    try {
      const text = 'x'.repeat(6_000_000);
      own.openai.play = answerJson(200, chatCompletion(text));
      const socket = await open(own);
      socket.pause();
      socket.write(await rawRequest({}, own));
      await until(async () => (await own.outcomes())[0]);
      const closed = own.running.close();
      await new Promise((resolve) => setTimeout(resolve, 400));
      let bytes = 0;
      socket.on('data', (chunk) => {
        bytes += chunk.length;
      });
      socket.resume();
      await Promise.all([closed, once(socket, 'close')]);
      expect(bytes).toBeGreaterThan(text.length);
    } finally {
      await own.close();
    }
  });
});
