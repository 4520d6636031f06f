import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createPriceTable } from '../../gateway/prices.ts';
import type { Usage } from '../../gateway/types.gen.ts';
import { answerJson, answerStream } from '../support/fake-upstream.ts';
import { CHAT_MODEL, MESSAGES_MODEL, openTestGateway, PROVIDER_KEY, type TestGateway } from '../support/gateway.ts';
import { type Recording, streamedRecordings, wholeRecordings } from '../support/recordings.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
afterAll(() => gateway.close());

type Json = Record<string, unknown>;
const numberAt = (value: unknown, ...path: string[]): number => {
  let at: unknown = value;
  for (const key of path) at = (at as Json | null | undefined)?.[key];
  return typeof at === 'number' ? at : 0;
};

/** What the provider's own count says, in sums that do not depend on how the classes are cut. */
const totalsOf = ({ dialect, parsed }: Recording): { input: number; output: number } | null => {
  if (dialect === 'openai') {
    const usage = parsed.findLast((event) => event.usage)?.usage as Json | undefined;
    if (!usage) return null;
    const total = numberAt(usage, 'total_tokens');
    const input = numberAt(usage, 'prompt_tokens');
    // xAI counts reasoning beside the completion, and in the total.
    return { input, output: Math.max(numberAt(usage, 'completion_tokens'), total - input) };
  }
  const usage: Json = {};
  for (const event of parsed) {
    const said = (event.usage ?? (event.message as Json | undefined)?.usage) as Json | undefined;
    if (event.type === 'message_start') for (const key in usage) delete usage[key];
    for (const [key, value] of Object.entries(said ?? {})) if (value !== null) usage[key] = value;
  }
  if (Object.keys(usage).length === 0) return null;
  // Compaction, fallbacks and advisors are billed beside the last turn, which is all that the top level counts.
  const turns = Array.isArray(usage.iterations) ? (usage.iterations as Json[]) : [usage];
  return {
    input: turns.reduce((sum, turn) => sum + INPUT_CLASSES.reduce((of, name) => of + numberAt(turn, name), 0), 0),
    output: turns.reduce((sum, turn) => sum + numberAt(turn, 'output_tokens'), 0),
  };
};

const INPUT_CLASSES = ['input_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'];

const inputOf = (usage: Usage): number => usage.input + usage.cache_read + usage.cache_write + usage.cache_write_1h;

/** The outcome of an answer has the recording's tokens at the catalogue's prices. */
const expectAccounted = async (answer: Response, recording: Recording): Promise<void> => {
  const outcome = await gateway.outcomeOf(answer);
  const model = recording.dialect === 'openai' ? CHAT_MODEL : MESSAGES_MODEL;
  expect(outcome).toMatchObject({ outcome: 'ok', status: 200, error: null, model, upstream: recording.dialect });
  const totals = totalsOf(recording);
  const { usage, cost } = outcome;
  if (!usage) throw new Error('no usage');
  if (totals) {
    expect(usage.source).toBe('provider');
    expect({ input: inputOf(usage), output: usage.output + usage.reasoning }).toEqual(totals);
  } else {
    expect(usage.source).toBe('estimated');
    expect(inputOf(usage)).toBeGreaterThan(0);
  }
  const policy = gateway.running.gateway.policies.current!;
  const { source: _, ...tokens } = usage;
  expect(cost.micro_usd).toBe(createPriceTable(policy.data, policy.ref.revision).cost(model, tokens));
  expect(cost.price_version).toBe(policy.ref.revision);
  if (totals && totals.input + totals.output > 0) expect(cost.micro_usd).toBeGreaterThan(0);
};

const expectHeaders = (answer: Response, recording: Recording): void => {
  expect(answer.status).toBe(200);
  expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
  expect(answer.headers.get('x-aegis-decision-id')).toMatch(/^dec_/);
  expect(answer.headers.get('x-aegis-policy-revision')).toBe(gateway.running.gateway.policies.current?.ref.revision);
  expect(answer.headers.get('x-aegis-upstream')).toBe(recording.dialect);
  expect(answer.headers.get('x-aegis-attempts')).toBe('1');
};

const whole = wholeRecordings();
const streamed = streamedRecordings();

test('there are recordings of both APIs, streamed and not', () => {
  for (const dialect of ['openai', 'anthropic']) {
    expect(whole.filter((recording) => recording.dialect === dialect).length).toBeGreaterThanOrEqual(4);
    expect(streamed.filter((recording) => recording.dialect === dialect).length).toBeGreaterThanOrEqual(6);
  }
});

describe('an unstreamed answer comes back byte for byte, with its usage and cost in the audit', () => {
  test.each(whole.map((recording) => [recording.name, recording] as const))('%s', async (_, recording) => {
    const isOpenai = recording.dialect === 'openai';
    gateway[recording.dialect].play = answerJson(200, recording.bytes, {
      'x-request-id': 'req_provider',
      'openai-organization': 'org-operator',
      'set-cookie': 'session=operator',
      'x-ratelimit-remaining-requests': '1',
    });
    const answer = await (isOpenai ? gateway.chat({}) : gateway.messages({}));
    expect(Buffer.from(await answer.arrayBuffer()).equals(recording.bytes)).toBe(true);
    expectHeaders(answer, recording);
    expect(answer.headers.get('content-type')).toBe('application/json');
    // The account is the operator's: nothing of it is the caller's to see.
    expect(answer.headers.get('openai-organization')).toBeNull();
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(answer.headers.get('x-ratelimit-remaining-requests')).not.toBe('1');
    const { cost } = await gateway.outcomeOf(answer);
    expect(Number(answer.headers.get('x-aegis-cost-usd'))).toBeCloseTo(cost.micro_usd / 1e6, 9);
    await expectAccounted(answer, recording);
  });
});

/** Cuts bytes at places that no event knows of. */
const cut = (bytes: Buffer, size: number): Buffer[] => {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
};

/** The stream as a caller gets it who did not ask for usage: without what `include_usage` adds. */
const withoutUsage = (recording: Recording): string =>
  recording.bytes
    .toString()
    .split(/(?<=\n\n)/)
    .filter((event) => {
      if (event.startsWith('data: [DONE]')) return true;
      const data = JSON.parse(event.slice(event.indexOf('data: ') + 6)) as Json;
      return !(Array.isArray(data.choices) && data.choices.length === 0 && data.usage);
    })
    .join('')
    .replaceAll(',"usage":null', '');

describe('a stream comes back byte for byte, however it was cut, with its usage and cost in the audit', () => {
  test.each(streamed.map((recording) => [recording.name, recording] as const))('%s', async (_, recording) => {
    const isOpenai = recording.dialect === 'openai';
    const size = Math.max(37, Math.ceil(recording.bytes.length / 60));
    gateway[recording.dialect].play = answerStream(cut(recording.bytes, size));
    // As much as the recorded answers took: a stream is held to its cap.
    const body = { stream: true, ...(isOpenai ? { stream_options: { include_usage: true } } : { max_tokens: 8192 }) };
    const answer = await (isOpenai ? gateway.chat(body) : gateway.messages(body, { as: 'service' }));
    expect(await answer.text()).toBe(recording.bytes.toString());
    expectHeaders(answer, recording);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await expectAccounted(answer, recording);
  });

  test.each(
    streamed.filter(({ dialect }) => dialect === 'openai').map((recording) => [recording.name, recording] as const),
  )('%s, less the usage that the caller did not ask for', async (_, recording) => {
    gateway.openai.play = answerStream(cut(recording.bytes, 333));
    const answer = await gateway.chat({ stream: true });
    expect(await answer.text()).toBe(withoutUsage(recording));
    await expectAccounted(answer, recording);
  });
});

test('the provider’s key is in no answer, header or record', async () => {
  gateway.openai.play = answerJson(200, { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } });
  const answer = await gateway.chat({});
  const said = JSON.stringify([...answer.headers]) + (await answer.text());
  expect(gateway.openai.last().headers.authorization).toBe(`Bearer ${PROVIDER_KEY}`);
  expect(said).not.toContain(PROVIDER_KEY);
  expect(JSON.stringify(await gateway.records())).not.toContain(PROVIDER_KEY);
});
