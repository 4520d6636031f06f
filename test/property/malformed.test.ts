import { expect, describe as suite, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import { protocolOf } from '../../gateway/protocol/protocols.ts';
import { splice } from '../../gateway/protocol/splice.ts';
import { createDetector } from '../../gateway/redact/detect.ts';
import { readSchema, validator } from '../../gateway/schema.ts';
import { describe } from '../../gateway/stages/describe.ts';
import { replacements } from '../../gateway/stages/findings.ts';
import { parseCall } from '../../gateway/stages/read.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { CALLER, FACTS, HEAD } from '../support/calls.ts';

const CHAT = {
  model: 'gpt-4o',
  messages: [
    { role: 'system', content: 'be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'mail a@example.com' },
        { type: 'image_url', image_url: { url: 'https://x/y' } },
      ],
    },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{"n":4111111111111111}' } }],
    },
    { role: 'tool', tool_call_id: '1', content: 'ok \ud83d\ude00' },
  ],
  stream: true,
  stream_options: { include_usage: false },
  max_tokens: 5,
  temperature: 1.5,
  tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
  tool_choice: 'auto',
  response_format: { type: 'text' },
};
const MESSAGES = {
  model: 'claude',
  max_tokens: 9,
  system: [{ type: 'text', text: 'be brief' }],
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'hi' },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'QUJD'.repeat(80) } },
      ],
    },
    { role: 'assistant', content: [{ type: 'tool_use', id: '1', name: 'f', input: { card: 4111111111111111 } }] },
    {
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: '1', content: 'done' },
        { type: 'document', source: { type: 'text', data: 'x' } },
      ],
    },
  ],
  stream: false,
  tools: [
    { name: 'f', input_schema: {} },
    { type: 'mcp_toolset', mcp_server_name: 's' },
  ],
  mcp_servers: [{ name: 's', type: 'url', url: 'https://x' }],
};
const DIALECTS = [
  ['chat.completions', CHAT],
  ['messages', MESSAGES],
] as const;

const isInput = validator<Input>(readSchema('input'));
const detector = createDetector();
const EDITS = { model: 'm', maxOutputTokens: 1, includeUsage: true, removeTools: ['f', 'mcp:s'] };

/** Takes a body all the way to what would go upstream. Gives what stopped it, or null. */
const walk = (endpoint: 'chat.completions' | 'messages', raw: Buffer): unknown => {
  try {
    const call = parseCall(raw, endpoint, { depth: 64 });
    const { input, findings } = describe(call, HEAD, CALLER, FACTS, detector);
    if (!isInput(input)) throw new TypeError('an input that breaks its schema');
    const edits = protocolOf(endpoint).edit(call, EDITS);
    const out = splice(raw, [...edits, ...replacements(findings, () => '<x>')]);
    if ((JSON.parse(out.toString()) as { model: string }).model !== 'm') throw new TypeError('the edit was lost');
    return null;
  } catch (error) {
    return error;
  }
};
const expectClean = (error: unknown): void => {
  if (error === null) return;
  if (!isGatewayError(error)) throw error;
  expect(error.status).toBeGreaterThanOrEqual(400);
  expect(error.status).toBeLessThan(500);
};

const mutation = fc.array(
  fc.record({ at: fc.nat(), cut: fc.nat({ max: 12 }), bytes: fc.uint8Array({ maxLength: 4 }) }),
  { minLength: 1, maxLength: 4 },
);
const fragment = fc.constantFrom(
  'null',
  '{}',
  '[]',
  '""',
  '-1',
  '1e400',
  'true',
  '"\\ud800"',
  '{"__proto__":1}',
  '[[[[]]]]',
  '5',
  '"x"',
  '{"type":"text"}',
  '{"type":5}',
);

suite.each(DIALECTS)('malformed bodies of %s', (endpoint, body) => {
  const text = JSON.stringify(body);
  const raw = Buffer.from(text);

  test('the body itself is fine', () => expect(walk(endpoint, raw)).toBeNull());

  test('10,000 bodies with changed bytes are refused as 4xx or taken, never anything else', () => {
    fc.assert(
      fc.property(mutation, (changes) => {
        let changed = raw;
        for (const { at, cut, bytes } of changes) {
          const start = at % (changed.length + 1);
          changed = Buffer.concat([changed.subarray(0, start), bytes, changed.subarray(start + cut)]);
        }
        expectClean(walk(endpoint, changed));
      }),
      { numRuns: 10_000 },
    );
  }, 120_000);

  test('any value in the place of any other is refused as 4xx or taken', () => {
    // Offsets at which a value starts, and its end: found by replacing what follows a colon, bracket or comma.
    const places = [...text.matchAll(/(?<=[:[,])(?:"(?:[^"\\]|\\.)*"|-?[\d.e]+|true|false|null)(?=[,\]}])/g)];
    expect(places.length).toBeGreaterThanOrEqual(25);
    fc.assert(
      fc.property(fc.constantFrom(...places), fragment, (place, value) => {
        const changed = text.slice(0, place.index) + value + text.slice(place.index + place[0].length);
        expectClean(walk(endpoint, Buffer.from(changed)));
      }),
      { numRuns: 3000 },
    );
  });

  test('any JSON at all is refused as 4xx or taken, and what is taken is described within the schema', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(body), 'x'), fc.jsonValue()), (value) => {
        expectClean(walk(endpoint, Buffer.from(JSON.stringify({ ...value, model: 'm', messages: [] }))));
        expectClean(walk(endpoint, Buffer.from(JSON.stringify(value))));
        expectClean(walk(endpoint, Buffer.from(JSON.stringify({ ...body, ...value }))));
      }),
      { numRuns: 2000 },
    );
  });
});
