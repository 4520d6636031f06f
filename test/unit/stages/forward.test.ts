import { beforeEach, describe, expect, test } from '@jest/globals';
import { GatewayError } from '../../../gateway/errors.ts';
import { Exchange } from '../../../gateway/exchange.ts';
import type { Candidate } from '../../../gateway/stages/candidates.ts';
import { type Answer, forward } from '../../../gateway/stages/forward.ts';
import { newIds } from '../../../gateway/stages/ids.ts';
import type { KeyRest, Upstream, UpstreamFailure, UpstreamRequest } from '../../../gateway/upstream/upstream.ts';

/** What a scripted upstream does with one request. */
type Turn =
  | { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  | { readonly failure: UpstreamFailure; readonly code?: string }
  | 'hang';

/** An upstream that follows a script, the last line again and again, and keeps what it was asked. */
interface Scripted extends Upstream {
  script: Turn[];
  readonly sent: UpstreamRequest[];
  readonly rests: [number, KeyRest, number][];
  retries: number;
  keys: number;
  wait: number;
  aborted: number;
}

const scripted = (name: string, ...script: Turn[]): Scripted => {
  const upstream: Scripted = {
    name,
    kind: 'openai_compatible',
    dialects: ['openai'],
    endpoints: ['chat.completions'],
    thirdParty: false,
    script,
    sent: [],
    rests: [],
    retries: 3,
    keys: 1,
    wait: 0,
    aborted: 0,
    health: () => ({ dialects: ['openai'], endpoints: [], third_party: false, state: 'up', error_rate: 0, p50_ms: 0 }),
    status: () => {
      throw new Error('nobody asked');
    },
    send(request, handler) {
      const turn = upstream.script.length > 1 ? upstream.script.shift()! : upstream.script[0]!;
      upstream.sent.push(request);
      let key = 0;
      while (((request.exceptKeys ?? 0) & (1 << key)) !== 0) key++;
      let isOver = false;
      queueMicrotask(() => {
        if (turn === 'hang' || isOver) return;
        isOver = true;
        if ('failure' in turn) return handler.onError(turn.failure, { code: turn.code ?? '' });
        handler.onHead(turn.status, turn.headers ?? {});
        if (turn.body !== undefined) handler.onData(Buffer.from(turn.body));
        handler.onEnd();
      });
      return {
        key,
        pause() {},
        resume() {},
        abort() {
          upstream.aborted++;
          if (isOver) return;
          isOver = true;
          queueMicrotask(() => handler.onError('aborted', null));
        },
        restKey: (why, waitMs) => void upstream.rests.push([key, why, waitMs]),
      };
    },
    mayRetry: () => upstream.retries-- > 0,
    hasKey: (_model, except) => {
      for (let key = 0; key < upstream.keys; key++) if ((except & (1 << key)) === 0) return true;
      return false;
    },
    hasRoom: () => true,
    waitMs: () => upstream.wait,
    hideKeys: (body) => body,
    close: async () => {},
  };
  return upstream;
};

const candidate = (upstream: Upstream, model = upstream.name, contextTokens = 1000): Candidate => ({
  model,
  upstream,
  upstreamModel: `${model}-upstream`,
  wire: 'chat.completions',
  translation: null,
  maxOutputTokens: 10,
  contextTokens,
});
const OUTGOING = { path: '/chat/completions', headers: {}, body: Buffer.from('{}') };

let x: Exchange;
beforeEach(() => {
  x = new Exchange(newIds(), '127.0.0.1');
});
const run = (...upstreams: (Upstream | Candidate)[]): Promise<Answer> =>
  forward(
    x,
    upstreams.map((each) => ('send' in each ? candidate(each) : each)),
    () => OUTGOING,
  );
const tried = () => x.attempts.map(({ upstream, error, status }) => [upstream, error ?? status]);
const bodyOf = (answer: Answer): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = '';
    const data = (chunk: Buffer): void => {
      text += chunk;
    };
    answer.deliver({ data, end: () => resolve(text), fail: reject });
  });
const quota = '{"error":{"code":"insufficient_quota"}}';
const tooLong = '{"error":{"message":"too long","code":"context_length_exceeded"}}';

describe('an answer', () => {
  test('of the first candidate is taken, and nobody else is asked', async () => {
    const [a, b] = [scripted('a', { status: 200, body: 'x' }), scripted('b', { status: 200 })];
    const answer = await run(a, b);
    expect([answer.status, answer.candidate.upstream.name, await bodyOf(answer)]).toEqual([200, 'a', 'x']);
    expect([a.sent.length, b.sent.length]).toEqual([1, 0]);
    expect(a.sent[0]).toMatchObject({ model: 'a-upstream', isRetry: false, exceptKeys: 0 });
  });

  test('that refuses the request itself is the caller’s, byte for byte, though it was read to be judged', async () => {
    const body = `{"error":{"message":"${'x'.repeat(200_000)}"}}`;
    for (const status of [400, 404, 413, 422]) {
      const answer = await run(scripted('a', { status, body }), scripted('b', { status: 200 }));
      expect([answer.status, await bodyOf(answer)]).toEqual([status, body]);
    }
  });
});

describe('a moment’s trouble', () => {
  test.each([500, 502, 503, 529])(
    'of status %i is tried once more at the same candidate, then elsewhere',
    async (status) => {
      const [a, b] = [scripted('a', { status }), scripted('b', { status: 200 })];
      await run(a, b);
      expect(tried()).toEqual([
        ['a', `status_${status}`],
        ['a', `status_${status}`],
        ['b', 200],
      ]);
      expect(a.sent.map(({ isRetry }) => isRetry)).toEqual([false, true]);
    },
  );

  test('that is over at the second try is answered by the same candidate', async () => {
    const b = scripted('b', { status: 200 });
    const answer = await run(scripted('a', { failure: 'reset' }, { status: 200 }), b);
    expect(answer.candidate.upstream.name).toBe('a');
    expect(b.sent).toHaveLength(0);
  });

  test.each([
    [{ failure: 'first_byte_timeout' }],
    [{ failure: 'connect_timeout' }],
    [{ failure: 'invalid_response' }],
    [{ failure: 'connect_failed', code: 'ENOTFOUND' }],
    [{ status: 504 }],
    [{ status: 503, headers: { 'retry-after': '2' } }],
    [{ status: 500, headers: { 'x-should-retry': 'false' } }],
  ] as [Turn][])('is not what %j is: the next candidate is asked', async (turn) => {
    const a = scripted('a', turn);
    await run(a, scripted('b', { status: 200 }));
    expect(a.sent).toHaveLength(1);
    expect(a.retries).toBe(3);
  });

  test('is not tried again without budget, and no attempt is kept of what was not sent', async () => {
    const a = scripted('a', { status: 503 });
    a.retries = 0;
    await run(a, scripted('b', { status: 200 }));
    expect(tried()).toEqual([
      ['a', 'status_503'],
      ['b', 200],
    ]);
  });

  test('waits a moment, which ends when the caller leaves', async () => {
    const a = scripted('a', { status: 503 }, 'hang');
    const answer = run(a);
    await new Promise((resolve) => setTimeout(resolve, 1));
    x.abort();
    await expect(answer).rejects.toMatchObject({ code: 'client_closed_request' });
    expect(a.sent).toHaveLength(1);
  });
});

describe('another model at an upstream that has been asked', () => {
  test('is a retry, and skipped without budget', async () => {
    const a = scripted('a', { failure: 'first_byte_timeout' }, { status: 200 });
    await run(candidate(a, 'one'), candidate(a, 'two'));
    expect(a.retries).toBe(2);
    const none = scripted('a', { failure: 'first_byte_timeout' });
    none.retries = 0;
    x = new Exchange(newIds(), '127.0.0.1');
    await expect(run(candidate(none, 'one'), candidate(none, 'two'))).rejects.toMatchObject({ status: 504 });
    expect(tried()).toEqual([
      ['a', 'first_byte_timeout'],
      ['a', 'retry_budget'],
    ]);
  });

  test('is a first attempt when the upstream was only passed over', async () => {
    const a = scripted('a', { failure: 'keys_resting' }, { status: 200 });
    a.retries = 0;
    expect((await run(candidate(a, 'one'), candidate(a, 'two'))).candidate.model).toBe('two');
    expect(a.sent.map(({ isRetry }) => isRetry)).toEqual([false, false]);
  });
});

describe('a key', () => {
  test('whose account is out of money rests, and another key of the upstream is tried first', async () => {
    const [a, b] = [scripted('a', { status: 429, body: quota }, { status: 200 }), scripted('b', { status: 200 })];
    a.keys = 2;
    expect((await run(a, b)).candidate.upstream.name).toBe('a');
    expect(a.rests).toEqual([[0, 'spend_limit', 0]]);
    expect(a.sent.map(({ exceptKeys, isRetry }) => [exceptKeys, isRetry])).toEqual([
      [0, false],
      [1, true],
    ]);
  });

  test('is not used again for this request when all have refused: the next candidate is asked', async () => {
    const a = scripted('a', { status: 429, body: quota });
    a.keys = 3;
    await run(a, scripted('b', { status: 200 }));
    expect(tried().map(([name]) => name)).toEqual(['a', 'a', 'a', 'b']);
    expect(a.rests.map(([key]) => key)).toEqual([0, 1, 2]);
  });

  test('over a rate limit rests as long as it was told, and the only key is not tried again', async () => {
    const a = scripted('a', { status: 429, headers: { 'retry-after': '7' } });
    await run(a, scripted('b', { status: 200 }));
    expect(a.rests).toEqual([[0, 'rate_limit', 7000]]);
    expect(a.sent).toHaveLength(1);
  });

  test('that is not accepted gives way to another, inside the retry budget', async () => {
    const a = scripted('a', { status: 401 });
    a.keys = 5;
    a.retries = 1;
    await run(a, scripted('b', { status: 200 }));
    expect(a.rests.map(([key, why]) => [key, why])).toEqual([
      [0, 'refused'],
      [1, 'refused'],
    ]);
    expect(tried().map(([name]) => name)).toEqual(['a', 'a', 'b']);
  });

  test('without money is told apart in a 400 of Anthropic, which is then no caller’s answer', async () => {
    const body = '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}';
    const a = scripted('a', { status: 400, body });
    expect((await run(a, scripted('b', { status: 200 }))).candidate.upstream.name).toBe('b');
    expect(a.rests).toEqual([[0, 'spend_limit', 0]]);
  });
});

describe('an upstream that is passed over', () => {
  test.each(['circuit_open', 'overloaded', 'keys_resting'] as const)(
    'as %s is kept, and the next is asked',
    async (failure) => {
      await run(scripted('a', { failure }), scripted('b', { status: 200 }));
      expect(tried()).toEqual([
        ['a', failure],
        ['b', 200],
      ]);
    },
  );

  test('as all are, is 503 with the wait of the soonest', async () => {
    const [a, b] = [scripted('a', { failure: 'circuit_open' }), scripted('b', { failure: 'overloaded' })];
    a.wait = 9000;
    b.wait = 1000;
    await expect(run(a, b)).rejects.toMatchObject({ status: 503, detail: { retryAfterMs: 1000 } });
  });
});

describe('a call too long for a model', () => {
  test('goes to the next one with a larger context, and to no other', async () => {
    const [same, larger] = [scripted('same', { status: 200 }), scripted('larger', { status: 200 })];
    const answer = await run(
      candidate(scripted('a', { status: 400, body: tooLong }), 'a', 1000),
      candidate(same, 'same', 1000),
      candidate(larger, 'larger', 2000),
    );
    expect(answer.candidate.model).toBe('larger');
    expect(same.sent).toHaveLength(0);
  });

  test('that no other can take is refused to the caller in the provider’s words', async () => {
    const a = scripted('a', { status: 400, body: tooLong });
    const answer = await run(candidate(a, 'a', 1000), candidate(scripted('b', { status: 200 }), 'b', 500));
    expect([answer.status, await bodyOf(answer)]).toEqual([400, tooLong]);
    expect(answer.candidate.model).toBe('a');
  });

  test('also for the larger one, is refused in the words of the largest', async () => {
    const longer = tooLong.replace('too long', 'too long for 2000');
    const answer = await run(
      candidate(scripted('a', { status: 400, body: tooLong }), 'a', 1000),
      candidate(scripted('b', { status: 400, body: longer }), 'b', 2000),
    );
    expect(await bodyOf(answer)).toBe(longer);
  });

  test('while the larger one fails, ends as that failed: it may be tried again', async () => {
    const small = candidate(scripted('a', { status: 400, body: tooLong }), 'a', 1000);
    const large = candidate(scripted('b', { status: 529 }), 'b', 2000);
    await expect(run(small, large)).rejects.toMatchObject({ status: 529 });
  });
});

describe('a candidate that cannot be asked this', () => {
  const said = (...outcomes: (GatewayError | null)[]) => {
    const upstreams = outcomes.map((_, index) => scripted(`u${index}`, { status: 200 }));
    const candidates = upstreams.map((upstream) => candidate(upstream));
    return forward(x, candidates, (each) => {
      const error = outcomes[candidates.indexOf(each)];
      if (error) throw error;
      return OUTGOING;
    });
  };
  const unsaid = new GatewayError('invalid_field', 'This cannot be said there.', { param: 'logprobs' });

  test('is skipped', async () => {
    expect((await said(unsaid, null)).candidate.model).toBe('u1');
    expect(x.attempts).toHaveLength(1);
  });

  test('as none can, is refused with what the first could not say', async () => {
    await expect(said(unsaid, new GatewayError('invalid_field', 'another'))).rejects.toBe(unsaid);
    expect(x.attempts).toHaveLength(0);
  });

  test('is no reason where another failed: the caller may try again', async () => {
    const failing = candidate(scripted('a', { status: 503, headers: { 'retry-after': '3' } }));
    const other = candidate(scripted('b', { status: 200 }));
    const answer = forward(x, [failing, other], (each) => {
      if (each === other) throw unsaid;
      return OUTGOING;
    });
    await expect(answer).rejects.toMatchObject({ status: 503, detail: { retryAfterMs: 3000 } });
  });

  test('never hides what is a fault of ours', async () => {
    const fault = new TypeError('boom');
    await expect(
      forward(x, [candidate(scripted('a', { status: 200 }))], () => {
        throw fault;
      }),
    ).rejects.toBe(fault);
  });
});

test('what LiteLLM says an answer cost is kept with the attempt, and of no other kind', async () => {
  const headers = { 'x-litellm-response-cost': '0.000123' };
  const litellm = Object.assign(scripted('l', { status: 200, headers }), { kind: 'litellm' as const });
  await run(litellm);
  await run(scripted('a', { status: 200, headers }));
  expect(x.attempts.map(({ upstream_cost_micro_usd }) => upstream_cost_micro_usd)).toEqual([123, undefined]);
});

test('a caller who leaves stops what is under way, and nobody else is asked', async () => {
  const [a, b] = [scripted('a', 'hang'), scripted('b', { status: 200 })];
  const answer = run(a, b);
  await null;
  x.abort();
  await expect(answer).rejects.toMatchObject({ code: 'client_closed_request' });
  expect([a.aborted, b.sent.length]).toEqual([1, 0]);
});
