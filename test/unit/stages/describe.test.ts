import { expect, describe as suite, test } from '@jest/globals';
import { createDetector } from '../../../gateway/redact/detect.ts';
import { readSchema, validator } from '../../../gateway/schema.ts';
import { addressOf } from '../../../gateway/stages/address.ts';
import { describe, type Facts } from '../../../gateway/stages/describe.ts';
import type { Input } from '../../../gateway/types.gen.ts';
import { CALLER, callOf, FACTS, HEAD } from '../../support/calls.ts';

const detector = createDetector();
const described = (body: object, more: { head?: object; caller?: object; facts?: Partial<Facts> } = {}) =>
  describe(
    callOf('chat.completions', { model: 'gpt-4o', messages: [], ...body }),
    { ...HEAD, ...more.head },
    { ...CALLER, ...more.caller },
    { ...FACTS, ...more.facts },
    detector,
  );
const failure = (...args: Parameters<typeof described>): unknown => {
  try {
    described(...args);
  } catch (error) {
    return error;
  }
  return undefined;
};
const user = (content: string): object => ({ messages: [{ role: 'user', content }] });

suite('describe', () => {
  test('token ids are counted as they are, and told as content that nobody can read', () => {
    const call = callOf('embeddings', { model: 'text-embedding-3-small', input: [Array(500).fill(7), 'Hello there.'] });
    const { content } = describe(call, HEAD, CALLER, FACTS, detector).input;
    expect(content.tokens_estimate - 500).toBeLessThan(10);
    expect(content.tokens_estimate).toBeGreaterThan(500);
    expect(content.uninspected).toEqual([{ kind: 'unknown', bytes: 1001 }]);
  });

  test('a call becomes the input document', () => {
    const { input } = described(
      { ...user('Write to jane@example.com and explain why.'), stream: true, max_tokens: 50, temperature: 0.2 },
      {
        facts: {
          spend: () => [
            {
              scope: 'team',
              subject: 'math',
              period: '2026-11',
              micro_usd: 1,
              reserved_micro_usd: 2,
              cap_micro_usd: 3,
              age_ms: 4,
            },
          ],
        },
      },
    );
    expect(validator<Input>(readSchema('input'))(input)).toBe(true);
    expect(input).toMatchObject({
      request: {
        id: 'req_01',
        time: '2026-09-21T14:13:20.000Z',
        endpoint: 'chat.completions',
        model: 'gpt-4o',
        stream: true,
        max_output_tokens: 50,
      },
      caller: CALLER,
      content: {
        messages: 1,
        modalities: ['text'],
        languages: ['Latn'],
        pii: { email: 1 },
        secrets: {},
        signals: { instruction_verbs: 2, turns: 1 },
      },
      spend: [{ subject: 'math' }],
    });
  });

  test('the prompt is nowhere in it', () => {
    const { input } = described(user('xylophone quandary jane@example.com'));
    expect(JSON.stringify(input)).not.toMatch(/xylophone|quandary|jane/);
  });

  test('values in unknown fields, keys, tool arguments and metadata are counted', () => {
    const { input } = described({
      messages: [
        {
          role: 'assistant',
          tool_calls: [{ type: 'function', function: { name: 'f', arguments: '{"to":"a@example.com"}' } }],
        },
      ],
      metadata: { 'b@example.com': 'x' },
      future: [[{ deep: 'c@example.com' }]],
      user: 'd@example.com',
    });
    expect(input.content.pii).toEqual({ email: 4 });
  });

  test('a credential is a secret by its kind', () => {
    const { input } = described(user(`use AKIA${'Q7'.repeat(8)} now`));
    expect(Object.keys(input.content.secrets)).toEqual(['aws']);
    expect(input.content.pii).toEqual({});
  });

  test('what is over a bound is refused naming the field', () => {
    const tools = (count: number, name: string) =>
      Array.from({ length: count }, (_, i) => ({ type: 'function', function: { name: `${name}${i}` } }));
    expect(failure({ model: 'm'.repeat(129) })).toMatchObject({
      code: 'input_too_large',
      status: 400,
      detail: { param: 'model' },
    });
    expect(failure({ tools: tools(129, 't') })).toMatchObject({ code: 'input_too_large', detail: { param: 'tools' } });
    expect(failure({ tools: tools(1, 't'.repeat(128)) })).toMatchObject({
      code: 'input_too_large',
      detail: { param: 'request.tools.0' },
    });
    expect(failure({ response_format: { type: 'x'.repeat(65) } })).toMatchObject({
      detail: { param: 'response_format.type' },
    });
    expect(described({ tools: tools(128, 't') }).input.request.tools.length).toBe(128);
  });

  test('an input beyond 64 KB is refused though each field is within its bound', () => {
    const tools = Array.from({ length: 128 }, (_, i) => ({
      type: 'function',
      function: { name: `${'語'.repeat(120)}${i}` },
    }));
    const claims = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`c${i}`, '語'.repeat(256)]));
    expect(failure({ tools }, { caller: { claims } })).toMatchObject({ code: 'input_too_large', status: 400 });
  });

  test('facts of the gateway that break the schema are its own fault', () => {
    const facts = {
      upstreams: () =>
        ({
          x: { dialects: [], endpoints: [], third_party: true, state: 'up', error_rate: 2, p50_ms: 1 },
        }) as Input['upstreams'],
    };
    expect(failure({}, { facts })).toMatchObject({ code: 'internal_error', status: 500 });
  });

  test('buckets are of user, session and org, and of the credential or request where there is none', () => {
    const bucket = (more: object): Input['bucket'] => described({}, more).input.bucket;
    const session = { purpose: { ...HEAD.purpose, session: 's' } };
    expect(bucket({ head: session }).session).toBe(bucket({ head: { ...session, requestId: 'req_2' } }).session);
    expect(bucket({}).session).not.toBe(bucket({ head: { requestId: 'req_2' } }).session);
    expect(bucket({}).user).toBe(bucket({ caller: { id: 'key_2' } }).user);
    expect(bucket({ caller: { user: '' } }).user).not.toBe(bucket({ caller: { user: '', id: 'key_2' } }).user);
    expect(bucket({}).org).toBe(bucket({ caller: { user: 'bob' } }).org);
  });

  test('tools count as tokens', () => {
    const tools = [
      { type: 'function', function: { name: 'f', description: 'looks up the weather of a city '.repeat(40) } },
    ];
    const more = described({ tools }).input.content.tokens_estimate - described({}).input.content.tokens_estimate;
    expect(more).toBeGreaterThan(200);
    expect(more).toBeLessThan(400);
  });

  test('an IPv4 address in IPv6 clothes is IPv4', () => {
    expect(['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '10.1.2.3', '::1', 'fe80::1%eth0', ''].map(addressOf)).toEqual([
      '10.1.2.3',
      '10.1.2.3',
      '10.1.2.3',
      '::1',
      'fe80::1',
      '',
    ]);
  });
});
