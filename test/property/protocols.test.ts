import { expect, describe as suite, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import { anthropicCountTokens } from '../../gateway/protocol/anthropic-count-tokens.ts';
import type { Json } from '../../gateway/protocol/fields.ts';
import { scanJson } from '../../gateway/protocol/json-scan.ts';
import { openaiChat } from '../../gateway/protocol/openai-chat.ts';
import { openaiCompletions } from '../../gateway/protocol/openai-completions.ts';
import { openaiEmbeddings } from '../../gateway/protocol/openai-embeddings.ts';
import type { Edits, Protocol } from '../../gateway/protocol/protocol.ts';
import { splice } from '../../gateway/protocol/splice.ts';
import { createDetector } from '../../gateway/redact/detect.ts';
import { outputTokenBound } from '../../gateway/stages/admit.ts';
import { describe } from '../../gateway/stages/describe.ts';
import { replacements } from '../../gateway/stages/findings.ts';
import { CALLER, FACTS, HEAD } from '../support/calls.ts';

const EMBEDDINGS = {
  model: 'text-embedding-3-small',
  input: ['mail a@example.com', [1, 22, 333], { type: 'image_url', image_url: { url: 'https://x/y' } }],
  encoding_format: 'base64',
  dimensions: 256,
  user: 'ann',
};
const TEXTS = { ...EMBEDDINGS, input: ['mail a@example.com', 'x'] };
const COMPLETIONS = {
  model: 'gpt-3.5-turbo-instruct',
  prompt: ['mail a@example.com', 'x'],
  suffix: 'card 4111111111111111',
  max_tokens: 5,
  n: 2,
  best_of: 3,
  echo: true,
  stream: true,
  stream_options: { include_usage: false },
  temperature: 1.5,
  prompt_embeds: 'QUJD'.repeat(80),
};
const COUNT = {
  model: 'claude',
  system: [{ type: 'text', text: 'be brief' }],
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'mail a@example.com' }] },
    { role: 'assistant', content: [{ type: 'tool_use', id: '1', name: 'f', input: { card: 4111111111111111 } }] },
  ],
  tools: [
    { name: 'f', input_schema: {} },
    { name: 'g', input_schema: {} },
  ],
  tool_choice: { type: 'auto' },
};
const CHAT = {
  user: 'ann@example.com',
  model: 'mistral-large',
  messages: [
    { role: 'developer', content: 'be brief', name: 'a@example.com' },
    { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'a@example.com', format: 'wav' } }] },
    {
      role: 'assistant',
      content: null,
      refusal: null,
      tool_calls: [{ id: 'call_4111111111111111', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
    },
    { role: 'tool', tool_call_id: 'call_4111111111111111', content: 'ok \ud83d\ude00' },
    { role: 'assistant', refusal: 'mail a@example.com', content: '' },
    { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }], reasoning_content: 'Hm.' },
  ],
  max_completion_tokens: 5,
  max_tokens: 6,
  seed: 7,
  stream: true,
  stream_options: { include_usage: true },
  tools: [
    { type: 'function', function: { name: 'f', parameters: null } },
    { type: 'function', function: { name: 'g' } },
  ],
  tool_choice: 'required',
  logprobs: false,
  service_tier: 'default',
};

const MISTRAL: Edits = { kind: 'mistral' };
const CASES: readonly [string, Protocol, Json, Edits][] = [
  ['embeddings', openaiEmbeddings, EMBEDDINGS, {}],
  ['embeddings at Mistral', openaiEmbeddings, TEXTS, MISTRAL],
  ['completions', openaiCompletions, COMPLETIONS, {}],
  ['counts of tokens', anthropicCountTokens, COUNT, {}],
  ['chat completions at Mistral', openaiChat, CHAT, MISTRAL],
];

const detector = createDetector();
const EDITS = { model: 'm', maxOutputTokens: 1, includeUsage: true, removeTools: ['f'] };

/** Takes a body all the way to what would go upstream. Gives what stopped it, or null. */
const walk = (protocol: Protocol, raw: Buffer, more: Edits): unknown => {
  try {
    const call = protocol.read(raw, scanJson(raw), JSON.parse(raw.toString()) as Json);
    const { findings } = describe(call, HEAD, CALLER, FACTS, detector);
    if (!Number.isSafeInteger(outputTokenBound(call, 10))) throw new TypeError('a bound that is no number');
    const edits = protocol.edit(call, { ...EDITS, ...more });
    const out = splice(raw, [...edits, ...replacements(findings, () => '<x>')]);
    // What goes out is as strict as what came in: no key appears twice.
    scanJson(out);
    if ((JSON.parse(out.toString()) as { model: string }).model !== 'm') throw new TypeError('the edit was lost');
    return null;
  } catch (error) {
    return error;
  }
};
const expectClean = (error: unknown): void => {
  if (error === null) return;
  if (!isGatewayError(error)) throw error;
  expect(error.status).toBe(400);
};

/** Any value of a body in the place of any other, removed, or copied to a key that means something somewhere. */
const KEYS = [
  'role',
  'content',
  'name',
  'type',
  'refusal',
  'text',
  'random_seed',
  'output_dimension',
  'input',
  'prompt',
  'tools',
  'max_tokens',
  'seed',
  'n',
  'user',
];
const VALUES = [null, true, 0, -1, 1.5, 9007199254740991, '', 'required', 'developer', [], {}, [[]], [1, 'x'], [null]];
const mutated = (value: unknown, pick: () => number, rate: number): unknown => {
  const roll = pick() % rate;
  if (roll === 0) return VALUES[pick() % VALUES.length];
  if (Array.isArray(value)) {
    const items = value.map((item) => mutated(item, pick, rate));
    return roll === 1 && items.length > 0 ? [...items, items[pick() % items.length]] : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [
    pick() % 20 === 0 ? KEYS[pick() % KEYS.length] : key,
    mutated(item, pick, rate),
  ]);
  return Object.fromEntries(roll === 1 ? entries.slice(1) : entries);
};

suite.each(CASES)('bodies of %s', (_name, protocol, body, edits) => {
  const raw = Buffer.from(JSON.stringify(body));

  test('the body itself goes all the way', () => expect(walk(protocol, raw, edits)).toBeNull());

  test('changed in any places they are read or refused as 400, never anything else', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 64, maxLength: 64 }), (picks) => {
        let at = 0;
        const pick = (): number => picks[at++ % picks.length]! + Math.floor(at / picks.length);
        const changed = mutated(body, pick, 12 + (pick() % 100));
        if (typeof changed !== 'object' || changed === null || Array.isArray(changed)) return;
        const error = walk(protocol, Buffer.from(JSON.stringify({ ...changed, model: 'a' })), edits);
        if (error === null) taken++;
        expectClean(error);
      }),
      { numRuns: 2000 },
    );
    // The property would say nothing if all were refused.
    expect(taken).toBeGreaterThan(100);
  }, 60_000);

  test('any JSON at all is read or refused as 400', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(body), 'x'), fc.jsonValue()), (value) => {
        expectClean(walk(protocol, Buffer.from(JSON.stringify(value)), edits));
        expectClean(walk(protocol, Buffer.from(JSON.stringify({ ...body, ...value, model: 'a' })), edits));
      }),
      { numRuns: 1000 },
    );
  }, 60_000);
});
