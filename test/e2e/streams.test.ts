import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { chatCompletion, chatEvent, chatStream, message, messageEvent, messageStream } from '../support/answers.ts';
import {
  answerJson,
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

/** How many requests of the organisation the limiter thinks are under way. */
const underWay = async (): Promise<number> => {
  const org = 'demo-university';
  const max = 1024;
  const demand = { kind: 'concurrent', scope: 'org', subject: org, max, amount: 1 } as const;
  const { limiter } = gateway.running.gateway;
  const taken = await limiter.take(`probe-${Math.random()}`, org, [demand], Date.now());
  if (!taken.granted) return max;
  limiter.settle(taken.id, { tokens: 0, microUsd: 0 }, Date.now());
  return max - 1 - (taken.states.find(({ kind }) => kind === 'concurrent')?.remaining ?? 0);
};

/** What is reserved of the organisation's budget, micro-dollars. */
const reserved = (): number =>
  gateway.running.gateway.limiter
    .spend([{ scope: 'org', subject: 'demo-university' }], Date.now())
    .reduce((sum, { reserved_micro_usd }) => sum + reserved_micro_usd, 0);

describe.each(['openai', 'anthropic'] as const)('a stream of the %s API', (dialect) => {
  const golden = Buffer.from(GOLDEN[dialect]);
  const terminal = golden.indexOf(TERMINAL[dialect]);
  // Without its blank line the last event is whole all the same: its last line says all.
  const wholeFrom = golden.length - 2;

  test('that is whole is passed on whole', async () => {
    play(dialect, answerStream([golden]));
    const answer = await ask(dialect, dialect === 'openai' ? { stream_options: { include_usage: true } } : {});
    expect(await answer.text()).toBe(GOLDEN[dialect]);
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'ok' });
  });

  test.each(['end', 'reset'] as const)('that is cut at any byte (%s) never looks complete', async (how) => {
    const answers: Response[] = [];
    for (let at = 0; at < wholeFrom; at += how === 'end' ? 1 : 5) {
      if (answers.length % 8 === 0) await freshUpstreams(gateway, sketches());
      play(dialect, breakStream([golden.subarray(0, at)], how));
      const answer = await ask(dialect);
      const stream = await answer.text();
      try {
        expectBroken(dialect, stream);
      } catch (error) {
        throw new Error(`cut at ${at} of ${golden.length} (terminal at ${terminal}): ${stream.slice(-300)}`, {
          cause: error,
        });
      }
      answers.push(answer);
    }
    for (const { outcome, error, cost, usage } of await outcomesOf(answers)) {
      expect({ outcome, error }).toEqual({ outcome: 'incomplete', error: 'upstream_error' });
      expect(cost.micro_usd).toBeGreaterThan(0);
      expect(usage).not.toBeNull();
    }
    expect(await underWay()).toBe(0);
    expect(reserved()).toBe(0);
  });

  test('that lacks the last blank line only is complete', async () => {
    for (const at of [wholeFrom, wholeFrom + 1]) {
      play(dialect, breakStream([golden.subarray(0, at)], 'end'));
      const answer = await ask(dialect);
      const events = eventsOf(await answer.text());
      expect(events.filter((event) => isError(dialect, event))).toEqual([]);
      expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'ok' });
    }
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

  test('that falls silent ends with an error after the idle timeout', async () => {
    const start = (dialect === 'openai' ? chatStream(['He']) : messageStream(['He'])).slice(0, 2);
    play(dialect, (_request, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(start.join(''));
    });
    const answer = await ask(dialect);
    expectBroken(dialect, await answer.text());
    expect((await outcomesOf([answer]))[0]).toMatchObject({ outcome: 'incomplete', error: 'upstream_timeout' });
    const { closed } = (dialect === 'openai' ? openai : anthropic).last();
    await closed;
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

/** An upstream that takes its time: some milliseconds until the head and between the chunks. */
const slow =
  (seen: (request: SeenRequest) => void): Play =>
  async (request, res) => {
    seen(request);
    const isStream = request.body.includes('"stream":true');
    const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 8));
    await pause();
    const isChat = request.path.includes('chat');
    if (!isStream) return answerJson(200, isChat ? chatCompletion('x') : message('x'))(request, res);
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of isChat ? chatStream([...'abcdefgh']) : messageStream([...'abcdefgh'])) {
      if (res.destroyed) return;
      res.write(event);
      await pause();
    }
    res.end();
  };

const ABORTS = 100;

test(`a caller who leaves at a random moment stops the upstream, ${ABORTS} times`, async () => {
  const lags: number[] = [];
  let aborted = 0;
  for (let count = 0; count < ABORTS; count++) {
    const dialect = count % 2 === 0 ? 'openai' : 'anthropic';
    let seen: SeenRequest | undefined;
    play(
      dialect,
      slow((request) => {
        seen = request;
      }),
    );
    const controller = new AbortController();
    const answer = ask(dialect, { stream: count % 4 < 2 }, controller.signal).then((response) => response.text());
    answer.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    const leftAt = performance.now();
    controller.abort();
    const isWhole = await answer.then(
      () => true,
      () => false,
    );
    if (isWhole) continue;
    aborted++;
    if (seen) lags.push((await seen.closed) - leftAt);
  }
  expect(aborted).toBeGreaterThan(ABORTS / 2);
  lags.sort((a, b) => a - b);
  const p99 = lags[Math.floor(lags.length * 0.99)] ?? 0;
  expect(lags.at(-1)).toBeLessThan(1000);
  await until(async () => ((await underWay()) === 0 ? true : undefined));
  expect(reserved()).toBe(0);
  const [intents, outcomes] = [await gateway.intents(), await gateway.outcomes()];
  const byId = Map.groupBy(outcomes, ({ id }) => id);
  for (const { id } of intents) expect(byId.get(id)).toHaveLength(1);
  const left = outcomes.filter(({ outcome }) => outcome === 'aborted');
  expect(left.length).toBeGreaterThan(0);
  for (const { status, error } of left)
    expect({ status, error }).toEqual({ status: 499, error: 'client_closed_request' });
  process.stdout.write(
    `aborts: ${aborted} of ${ABORTS}, upstream closed after p50 ${lags[lags.length >> 1]?.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms\n`,
  );
}, 60_000);

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

test('an answer over the bound is cut off with an error', async () => {
  const small = await openTestGateway({ config: { limits: { response_bytes: 10_000 } } });
  try {
    small.openai.play = answerStream(chatStream(Array.from({ length: 200 }, () => 'x'.repeat(100))));
    const streamed = await small.chat({ stream: true });
    expectBroken('openai', await streamed.text());
    expect(await small.outcomeOf(streamed)).toMatchObject({ outcome: 'incomplete' });
    small.openai.play = answerJson(200, chatCompletion('x'.repeat(20_000)));
    const whole = await small.chat({});
    expect(whole.status).toBe(502);
    expect(await whole.json()).toMatchObject({ error: { code: 'upstream_error' } });
  } finally {
    await small.close();
  }
});
