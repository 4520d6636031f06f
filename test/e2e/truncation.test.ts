import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ReportedUsage } from '../../gateway/protocol/protocol.ts';
import { estimateTokens } from '../../gateway/tokens.ts';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { type Books, openBooks } from '../support/books.ts';
import { callersInTurn } from '../support/callers.ts';
import { breakStream, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { freshUpstreams } from '../support/fresh-upstreams.ts';
import { anthropicAt, openaiAt, openTestGateway, type TestGateway, type UpstreamSketch } from '../support/gateway.ts';
import { type Recording, recordingsOf } from '../support/recordings.ts';

// Recorded streams of the three APIs, cut off at each of their bytes, as they are and translated.

type Api = 'chat.completions' | 'messages' | 'responses';

const recorded = (api: Api, name: string): Recording => {
  const found = recordingsOf(api).streamed.find((recording) => recording.name.endsWith(`${name}.chunks.txt`));
  if (!found) throw new Error(`no recording ${name}`);
  return found;
};

const GOLDEN: Readonly<Record<Api, Recording>> = {
  'chat.completions': recorded('chat.completions', 'mistral-text'),
  messages: recorded('messages', 'anthropic-text'),
  responses: recorded('responses', 'openai-custom-tool.1'),
};

/** What only a whole stream says. */
const TERMINAL: Readonly<Record<Api, RegExp>> = {
  'chat.completions': /^data: ?\[DONE\]/m,
  messages: /^event: ?message_stop/m,
  responses: /^event: ?response\.(?:completed|incomplete|failed)/m,
};

let gateway: TestGateway;
let books: Books;
let upstream: FakeUpstream;
let caller: ReturnType<typeof callersInTurn>;

/** The model that a caller names, and the upstream that serves it, which speaks `wire`. */
const MODELS: Readonly<Record<Api, string>> = {
  'chat.completions': 'mistral-small-2603',
  messages: 'claude-haiku-5-5',
  responses: 'gpt-5.4-nano',
};
const sketches = (): UpstreamSketch[] => [
  openaiAt(upstream),
  openaiAt(upstream, { name: 'mistral', kind: 'openai_compatible' }),
  anthropicAt(upstream),
];

beforeAll(async () => {
  upstream = await openFakeUpstream();
  gateway = await openTestGateway({ upstreams: sketches() });
  books = openBooks(gateway);
  caller = callersInTurn(gateway);
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

/** The prompt tells the upstream how much of the stream it gives. */
const ask = async (api: Api, model: string, cut: number): Promise<Response> => {
  const prompt = `Say it up to ${cut}.`;
  const messages = [{ role: 'user', content: prompt }];
  const body =
    api === 'responses'
      ? { model, stream: true, max_output_tokens: 1000, input: prompt }
      : { model, stream: true, max_tokens: 1000, messages };
  const path = { 'chat.completions': '/v1/chat/completions', messages: '/v1/messages', responses: '/v1/responses' };
  return gateway.post(path[api], body, { headers: await caller() });
};

/** Fewer than open a circuit, since each of them breaks. */
const BATCH = 16;

interface Cut {
  readonly cut: number;
  readonly text: string;
  readonly outcome: AuditOutcome;
  readonly reserved: number;
}

/** The answers to streams of this wire format that were cut there, each settled with one outcome. */
const cutAll = async (
  wire: Api,
  api: Api,
  cuts: readonly number[],
  how: 'end' | 'reset',
  each: (cut: Cut) => void,
): Promise<void> => {
  const { bytes } = GOLDEN[wire];
  upstream.play = (request, res) => {
    const cut = Number(/Say it up to (\d+)\./.exec(request.body.toString())?.[1]);
    return breakStream([bytes.subarray(0, cut)], how)(request, res);
  };
  for (let at = 0; at < cuts.length; at += BATCH) {
    upstream.requests.length = 0;
    await freshUpstreams(gateway, sketches());
    const answers = await Promise.all(
      cuts.slice(at, at + BATCH).map(async (cut) => {
        const answer = await ask(api, MODELS[wire], cut);
        expect(answer.status).toBe(200);
        return { cut, text: await answer.text(), id: answer.headers.get('x-request-id') as string };
      }),
    );
    for (const { id, cut, text } of answers) {
      const { intent, outcome } = await books.of(id);
      try {
        each({ cut, text, outcome, reserved: intent.reserved_micro_usd });
      } catch (error) {
        throw new Error(`${wire} → ${api}, cut at ${cut} of ${bytes.length}: …${text.slice(-300)}`, { cause: error });
      }
    }
  }
  await books.settled();
};

/** What the start of a stream says of the answer: its text, and the provider's count. */
const saidIn = (stream: string): { text: string; reported: Partial<ReportedUsage> } => {
  const lines = stream.split('\n');
  let text = '';
  const reported: { input?: number; output?: number } = {};
  for (const line of lines) {
    // A line that was cut off is no JSON; one that lacks its line end only says all it has to say.
    if (!/^data: \{.*\}$/.test(line) || !isJson(line.slice(6))) continue;
    const said = JSON.parse(line.slice(6)) as {
      choices?: { delta: { content?: string } }[];
      usage?: { prompt_tokens?: number; completion_tokens?: number; input_tokens?: number; output_tokens?: number };
      message?: { usage: { input_tokens: number; output_tokens: number } };
      delta?: string | { text?: string };
    };
    text += said.choices?.[0]?.delta.content ?? '';
    text += typeof said.delta === 'string' ? said.delta : (said.delta?.text ?? '');
    const usage = said.message?.usage ?? said.usage;
    if (!usage) continue;
    reported.input = ('prompt_tokens' in usage ? usage.prompt_tokens : usage.input_tokens) ?? reported.input ?? 0;
    reported.output = ('completion_tokens' in usage ? usage.completion_tokens : usage.output_tokens) ?? 0;
  }
  return { text, reported };
};

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** A broken stream: whole events, the last of which is the one that says an error, and none that ends it well. */
const expectBroken = (api: Api, text: string): void => {
  expect(text).not.toMatch(TERMINAL[api]);
  expect(text.endsWith('\n\n')).toBe(true);
  const datas = text
    .split('\n\n')
    .slice(0, -1)
    .flatMap((event) => /^data: ?(.*)$/m.exec(event)?.[1] ?? []);
  const parsed = datas.map((data) => JSON.parse(data) as { type?: string; error?: { code: string }; code?: string });
  const errors = parsed.filter(({ type, error }) => type === 'error' || (error ?? null) !== null);
  expect(errors).toHaveLength(1);
  expect(parsed.at(-1)).toBe(errors[0]);
  expect(errors[0]?.error?.code ?? errors[0]?.code).toBe('upstream_error');
};

/** `arrived` is what the gateway had of the provider's stream. */
const expectCharged = (arrived: string, { outcome, reserved }: Cut): void => {
  expect([outcome.outcome, outcome.status, outcome.error]).toEqual(['incomplete', 200, 'upstream_error']);
  const { usage, cost } = outcome;
  const { text, reported } = saidIn(arrived);
  if (!usage) throw new Error('no usage');
  // An estimate may be some tokens off, by how pieces are joined.
  const estimate = Math.floor(estimateTokens(text) * 0.9) - 1;
  expect(usage.output + usage.reasoning).toBeGreaterThanOrEqual(Math.max(reported.output ?? 0, estimate));
  if (reported.input !== undefined) expect(usage.input).toBe(reported.input);
  else expect(usage).toMatchObject({ source: 'estimated', input: expect.any(Number) });
  expect(usage.input).toBeGreaterThan(0);
  expect(cost.micro_usd).toBeGreaterThan(0);
  expect(cost.micro_usd).toBeLessThanOrEqual(reserved);
};

const startOf = (wire: Api, cut: number): string => GOLDEN[wire].bytes.subarray(0, cut).toString('utf8');

const range = (end: number, step: number): number[] =>
  Array.from({ length: Math.ceil(end / step) }, (_, index) => index * step);

/** Without its blank line the last event is whole all the same: its last line says all. */
const wholeFrom = (wire: Api): number => GOLDEN[wire].bytes.length - 2;

describe.each(['chat.completions', 'messages', 'responses'] as const)('a recorded stream of %s', (api) => {
  test.each([
    ['ended in order', 'end', 1],
    ['reset', 'reset', 11],
  ] as const)('that is cut at any byte and %s never looks complete, and is charged', async (_, how, step) => {
    await cutAll(api, api, range(wholeFrom(api), step), how, (cut) => {
      expectBroken(api, cut.text);
      // A reset may overtake the last bytes: then it is what came through that counts.
      expectCharged(how === 'reset' ? cut.text : startOf(api, cut.cut), cut);
    });
  });

  test('that lacks its last blank line, or nothing, is complete', async () => {
    const end = wholeFrom(api);
    await cutAll(api, api, [end, end + 1, end + 2], 'end', ({ text, outcome }) => {
      expect(text).toMatch(TERMINAL[api]);
      expect(text).not.toMatch(/"error":\{/);
      expect(outcome).toMatchObject({ outcome: 'ok', error: null, usage: { source: 'provider' } });
    });
  });
});

test.each([
  ['messages', 'chat.completions'],
  ['chat.completions', 'messages'],
  ['chat.completions', 'responses'],
  ['messages', 'responses'],
] as const)('a recorded stream of %s that is read as %s never looks complete when it was cut', async (wire, api) => {
  await cutAll(wire, api, range(wholeFrom(wire), 13), 'end', (cut) => {
    expectBroken(api, cut.text);
    expectCharged(startOf(wire, cut.cut), cut);
  });
  await cutAll(wire, api, [wholeFrom(wire), wholeFrom(wire) + 2], 'end', ({ text, outcome }) => {
    expect(text).toMatch(TERMINAL[api]);
    expect(outcome).toMatchObject({ outcome: 'ok', error: null });
  });
});

test('after all of it each intent has one outcome', async () => {
  const outcomes = await books.outcomes();
  const intents = await books.intents();
  expect(intents.size).toBeGreaterThan(GOLDEN.messages.bytes.length + GOLDEN.responses.bytes.length);
  for (const id of intents.keys()) expect(outcomes.get(id)).toHaveLength(1);
});
