import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { chatEvent, chatStream, messageEvent, messageStream } from '../support/answers.ts';
import {
  answerStream,
  breakStream,
  type FakeUpstream,
  openFakeUpstream,
  type Play,
  type SeenRequest,
} from '../support/fake-upstream.ts';
import { freshUpstreams } from '../support/fresh-upstreams.ts';
import { anthropicAt, openaiAt, openTestGateway, PEOPLE, type TestGateway, until } from '../support/gateway.ts';

const IDLE_MS = 400;
let gateway: TestGateway;
let openai: FakeUpstream;
let anthropic: FakeUpstream;
beforeAll(async () => {
  [openai, anthropic] = await Promise.all([openFakeUpstream(), openFakeUpstream()]);
  gateway = await openTestGateway({ upstreams: sketches() });
});
// An upstream whose streams all break is left alone by the gateway, which is no matter of these tests.
beforeEach(() => freshUpstreams(gateway, sketches()));
const sketches = () => [
  openaiAt(openai, { idle_timeout_ms: IDLE_MS }),
  anthropicAt(anthropic, { idle_timeout_ms: IDLE_MS }),
];
afterAll(async () => {
  await gateway.close();
  await Promise.all([openai.close(), anthropic.close()]);
});

type Dialect = 'openai' | 'anthropic';
const GOLDEN = {
  openai: chatStream(['He', 'llo “ü”']).join(''),
  anthropic: messageStream(['He', 'llo “ü”']).join(''),
};
const TERMINAL = { openai: 'data: [DONE]', anthropic: 'event: message_stop' };

let asked = 0;
/** A stream over either API. The keys of many users are taken in turn: a student's rates would end the test early. */
const ask = async (dialect: Dialect, more: Record<string, unknown> = {}, signal?: AbortSignal): Promise<Response> => {
  const number = Math.floor(asked++ / 100);
  keys[number] ??= gateway.keyFor({ ...PEOPLE.service, user: `user-${number}` });
  const key = keys[number];
  const options = { headers: { authorization: `Bearer ${await key}` }, ...(signal ? { signal } : {}) };
  return dialect === 'openai'
    ? gateway.chat({ stream: true, ...more }, options)
    : gateway.messages({ stream: true, ...more }, options);
};
const keys: Promise<string>[] = [];

const play = (dialect: Dialect, how: Play): void => {
  (dialect === 'openai' ? openai : anthropic).play = how;
};

/** The events of a stream, each checked to be whole: its data is JSON, or [DONE]. */
const eventsOf = (stream: string): { name: string | null; data: Record<string, unknown> | '[DONE]' }[] => {
  expect(stream === '' || stream.endsWith('\n\n')).toBe(true);
  return stream
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      const data = /(?:^|\n)data: (.*)$/s.exec(event)?.[1] ?? '';
      const name = /^event: (.*)$/m.exec(event)?.[1] ?? null;
      return { name, data: data === '[DONE]' ? data : (JSON.parse(data) as Record<string, unknown>) };
    });
};

const isError = (dialect: Dialect, event: ReturnType<typeof eventsOf>[number] | undefined): boolean =>
  event !== undefined &&
  event.data !== '[DONE]' &&
  (dialect === 'openai' ? 'error' in event.data : event.name === 'error' && event.data.type === 'error');

/** A broken stream: whole events, then exactly one error, never the terminal event. */
const expectBroken = (dialect: Dialect, stream: string): void => {
  const events = eventsOf(stream);
  expect(isError(dialect, events.at(-1))).toBe(true);
  expect(events.filter((event) => isError(dialect, event))).toHaveLength(1);
  expect(stream).not.toContain(TERMINAL[dialect]);
};

/** The outcomes of these answers, read once. */
const outcomesOf = async (answers: readonly Response[]): Promise<AuditOutcome[]> => {
  const ids = new Set(answers.map((answer) => answer.headers.get('x-request-id')));
  return until(async () => {
    const mine = (await gateway.outcomes()).filter(({ request_id }) => ids.has(request_id));
    return mine.length === ids.size ? mine : undefined;
  });
};

describe.each(['openai', 'anthropic'] as const)('a stream of the %s API', (dialect) => {
  test('that is whole is passed on whole', async () => {
    play(dialect, answerStream([GOLDEN[dialect]]));
    const answer = await ask(dialect, dialect === 'openai' ? { stream_options: { include_usage: true } } : {});
    expect(await answer.text()).toBe(GOLDEN[dialect]);
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'ok' });
  });

  test('that says an error is passed on with it, once, and is incomplete', async () => {
    const error =
      dialect === 'openai'
        ? chatEvent({ error: { message: 'overloaded', type: 'server_error', code: null } })
        : messageEvent({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } });
    const start = (dialect === 'openai' ? chatStream(['He']) : messageStream(['He'])).slice(0, 2);
    play(dialect, breakStream([...start, error], 'end'));
    const answer = await ask(dialect);
    const stream = await answer.text();
    expectBroken(dialect, stream);
    expect(stream).toContain(error);
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'incomplete' });
  });

  test('of events that are no JSON is passed on and ends as the provider ended it', async () => {
    play(dialect, breakStream(['data: {nonsense\n\n', ': comment\n\n', 'retry: 5\n\n'], 'end'));
    const answer = await ask(dialect);
    const stream = await answer.text();
    expect(stream).not.toContain(TERMINAL[dialect]);
    expect(stream).toMatch(/"upstream_error"/);
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'incomplete' });
  });

  test('whose text says the terminal words goes on to its real end', async () => {
    const text = 'data: [DONE]\n\nevent: message_stop\n\n';
    play(
      dialect,
      answerStream([
        (dialect === 'openai' ? chatStream([text, ' and on']) : messageStream([text, ' and on'])).join(''),
      ]),
    );
    const answer = await ask(dialect);
    expect(await answer.text()).toContain(' and on');
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'ok' });
  });
});

test('an estimate in place of missing usage is never more than the cap that was sent allows', async () => {
  const dense = '~!@#$%^&*()_+|{}:<>?'.repeat(100);
  for (const dialect of ['openai', 'anthropic'] as const) {
    const events = dialect === 'openai' ? chatStream([dense], { usage: false }) : messageStream([dense]);
    play(dialect, breakStream(events.slice(0, -2), 'end'));
    const answer = await ask(dialect, { max_tokens: 16 });
    expectBroken(dialect, await answer.text());
    const [outcome] = (await outcomesOf([answer])) as [AuditOutcome];
    const intent = (await gateway.intents()).find(({ id }) => id === outcome.id);
    expect(outcome.usage?.output).toBeGreaterThan(0);
    expect(outcome.usage?.output).toBeLessThanOrEqual(16);
    expect(outcome.cost.micro_usd).toBeLessThanOrEqual(intent?.reserved_micro_usd ?? 0);
  }
});

test('a caller who leaves while the upstream is silent is recorded as aborted and charged for the prompt', async () => {
  let seen: SeenRequest | undefined;
  play('openai', (request) => {
    seen = request;
  });
  const controller = new AbortController();
  const answer = ask('openai', {}, controller.signal);
  answer.catch(() => {});
  const request = await until(() => seen);
  const before = (await gateway.outcomes()).length;
  controller.abort();
  await request.closed;
  const outcome = await until(async () => (await gateway.outcomes())[before]);
  expect(outcome).toMatchObject({ outcome: 'aborted', status: 499, usage: { source: 'estimated' } });
  expect(outcome.cost.micro_usd).toBeGreaterThan(0);
  expect(outcome.attempts).toMatchObject([{ error: 'aborted', status: null }]);
});

test('a slow reader slows its upstream, and gets every byte', async () => {
  const pad = 'x'.repeat(64 * 1024); // no text of the answer: it is held to its output cap
  const pieces = 300; // 19 MB: more than sockets hold
  let written = 0;
  play('openai', async (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let count = 0; count < pieces; count++) {
      written++;
      if (!res.write(chatEvent({ choices: [{ index: 0, delta: { content: 'a' } }], pad })))
        await new Promise((resolve) => res.once('drain', resolve));
    }
    res.end(chatEvent('[DONE]'));
  });
  const answer = await ask('openai');
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS / 2));
  const held = written;
  expect(held).toBeLessThan(pieces);
  const text = await answer.text();
  expect(text.length).toBeGreaterThan(pieces * pad.length);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});
