import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import { isObject, type Json } from '../../gateway/protocol/fields.ts';
import { scanJson } from '../../gateway/protocol/json-scan.ts';
import { protocolOf } from '../../gateway/protocol/protocols.ts';
import { chatToMessages } from '../../gateway/protocol/translate/chat-to-messages.ts';

const text = fc.constantFrom('Hi', 'Wie geht’s?', '', '語 😀', '{"a":1}');
const mark = fc.constantFrom({}, { cache_control: { type: 'ephemeral' } });
const textPart = fc.tuple(text, mark).map(([said, control]): Json => ({ type: 'text', text: said, ...control }));
const imagePart = fc.constantFrom<Json>(
  { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
  { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'high' } },
  { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0xLjQ=' } },
  { type: 'file', file: { file_data: 'data:text/plain;base64,SGk=' } },
);
const userContent = fc.oneof(text, fc.array(fc.oneof(textPart, imagePart), { maxLength: 3 }));
const textContent = fc.oneof(text, fc.array(textPart, { maxLength: 2 }));

const THINKING = { type: 'thinking', thinking: 'Hm.', signature: 'ErUB' };
const DETAIL = {
  type: 'reasoning.encrypted',
  id: 'msg_1_0',
  format: 'aegis.anthropic',
  data: JSON.stringify(THINKING),
};

/** What an assistant says, and the results of what it calls. */
const assistantTurn = fc
  .record({
    content: fc.option(textContent),
    args: fc.array(fc.constantFrom('{}', '', '{"x":[1,{"y":"z"}]}'), { maxLength: 3 }),
    details: fc.boolean(),
    first: fc.integer({ min: 0, max: 3 }),
    between: fc.option(textContent),
    results: fc.array(userContent, { minLength: 3, maxLength: 3 }),
  })
  .map(({ content, args, details, first, between, results }): Json[] => {
    const calls = args.map((said, index) => ({
      id: `call.${first + index}`,
      type: 'function',
      function: { name: 'f', arguments: said },
    }));
    return [
      {
        role: 'assistant',
        content,
        refusal: null,
        ...(details ? { reasoning_content: 'Hm.', reasoning_details: [DETAIL] } : {}),
        ...(calls.length > 0 ? { tool_calls: calls } : {}),
      },
      ...calls.map(({ id }, index) => ({ role: 'tool', tool_call_id: id, content: results[index] })),
      ...(between !== null && calls.length > 0 ? [{ role: 'developer', content: between }] : []),
    ];
  });

const messages = fc
  .tuple(
    fc.array(textContent, { maxLength: 2 }),
    fc.array(
      fc.oneof(
        assistantTurn,
        userContent.map((content): Json[] => [{ role: 'user', name: 'ann', content }]),
      ),
      {
        maxLength: 6,
      },
    ),
  )
  .map(([system, turns]): Json[] => [
    ...system.map((content) => ({ role: 'system', content })),
    { role: 'user', content: 'Hi' },
    ...turns.flat(),
  ]);

const TOOLS = ['f', 'g'].map((name) => ({ type: 'function', function: { name, parameters: { type: 'object' } } }));
const valid = fc.record(
  {
    model: fc.constantFrom('claude-opus-5-5', 'claude-haiku-4-5'),
    messages,
    max_tokens: fc.integer({ min: 1, max: 64_000 }),
    stream: fc.boolean(),
    temperature: fc.double({ min: 0, max: 1, noNaN: true }),
    stop: fc.constantFrom('END', ['a'], null),
    tools: fc.constantFrom(TOOLS, [...TOOLS, { type: 'custom', custom: { name: 'run' } }]),
    parallel_tool_calls: fc.boolean(),
    user: fc.constant('u'),
    metadata: fc.constant({ a: 'b' }),
  },
  { requiredKeys: ['model', 'messages', 'max_tokens'] },
);

/** What Anthropic asks of a conversation (docs: messages, tool use, mid-conversation system messages). */
const faultsOf = (body: Json): string[] => {
  const faults: string[] = [];
  const turns = body.messages as { role: string; content: Json[] }[];
  const seen = new Set<unknown>();
  if (turns.length === 0) faults.push('no messages');
  turns.forEach(({ role, content }, index) => {
    const before = turns[index - 1];
    const at = `messages[${index}]`;
    if (content.length === 0) faults.push(`${at} is empty`);
    if (role === 'system') {
      if (before?.role !== 'user') faults.push(`${at} is a system message behind ${before?.role}`);
      if ((turns[index + 1]?.role ?? 'assistant') !== 'assistant') faults.push(`${at} is not before an assistant`);
    } else if (before?.role === role) faults.push(`${at} is another of ${role}`);
    const calls = before?.role === 'assistant' ? idsOf(before.content, 'tool_use', 'id') : [];
    const results = role === 'user' ? idsOf(content, 'tool_result', 'tool_use_id') : [];
    if (role === 'user' && [...calls].sort().join() !== [...results].sort().join()) faults.push(`${at} misses results`);
    if (role === 'user' && content.slice(0, results.length).some(({ type }) => type !== 'tool_result')) {
      faults.push(`${at} has results behind other blocks`);
    }
    for (const block of content) {
      if (block.type === 'text' && block.text === '') faults.push(`${at} has an empty text`);
      if (block.type !== 'tool_use') continue;
      if (seen.has(block.id)) faults.push(`${at} has an id again`);
      seen.add(block.id);
      if (!/^[A-Za-z0-9_-]+$/.test(block.id as string)) faults.push(`${at} has an id that is not taken`);
      if (!isObject(block.input)) faults.push(`${at} has an input that is no object`);
    }
  });
  const last = turns.at(-1);
  if (last?.role === 'assistant' && last.content.some(({ type }) => type === 'tool_use'))
    faults.push('calls at the end');
  const system = (body.system ?? []) as Json[];
  if (system.some(({ type, text: said }) => type !== 'text' || said === '')) faults.push('a system prompt of no text');
  if (!Number.isSafeInteger(body.max_tokens)) faults.push('no cap');
  return faults;
};

const idsOf = (content: readonly Json[], type: string, key: string): string[] =>
  content.filter((block) => block.type === type).map((block) => block[key] as string);

/** The translation if there is one; undefined where it is refused as it should be. */
const translated = (body: Json): Json | undefined => {
  let out: Json;
  try {
    out = chatToMessages.request(body);
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    expect([error.code, error.status, typeof error.detail.param]).toEqual(['invalid_field', 400, 'string']);
    return undefined;
  }
  // As it goes upstream: JSON that the target's own reader takes.
  const raw = Buffer.from(JSON.stringify(out));
  protocolOf('messages').read(raw, scanJson(raw), JSON.parse(raw.toString()) as Json);
  return JSON.parse(raw.toString()) as Json;
};

const junk = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, '', 'x', [], {}, [null], [[]], { type: 'x' }, { role: 'user' }),
  fc.string({ maxLength: 5 }),
  fc.jsonValue({ maxDepth: 2 }),
);

interface Mutation {
  readonly path: readonly number[];
  readonly how: 'replace' | 'remove' | 'repeat' | 'add' | 'swap';
  readonly value: unknown;
  readonly key: string;
}
const mutation: fc.Arbitrary<Mutation> = fc.record({
  path: fc.array(fc.nat(11), { minLength: 1, maxLength: 7 }),
  how: fc.constantFrom('replace', 'remove', 'repeat', 'add', 'swap'),
  value: junk,
  key: fc.constantFrom('type', 'content', 'role', 'tool_calls', 'id', 'seed', 'x', 'url', 'constructor'),
});

/** Changes one place of a value, found by walking as far as the path goes. */
const mutate = (root: Json, { path, how, value: shared, key }: Mutation): void => {
  // A copy: a later change may find its way into it.
  const value = structuredClone(shared);
  let holder: Json | unknown[] = root;
  let at: string | number = '';
  for (const step of path) {
    const keys: (string | number)[] = Array.isArray(holder) ? [...holder.keys()] : Object.keys(holder);
    if (keys.length === 0) break;
    at = keys[step % keys.length]!;
    const inner = (holder as Json)[at];
    if (step === path.at(-1) || typeof inner !== 'object' || inner === null) break;
    holder = inner as Json | unknown[];
  }
  if (how === 'add') {
    if (Array.isArray(holder)) holder.push(value);
    else holder[key] = value;
  } else if (Array.isArray(holder) && typeof at === 'number') {
    if (how === 'remove') holder.splice(at, 1);
    else if (how === 'repeat') holder.splice(at, 0, structuredClone(holder[at]));
    else if (how === 'swap') holder.reverse();
    else holder[at] = value;
  } else if (how === 'remove') delete (holder as Json)[at];
  else (holder as Json)[at] = value;
};

describe('chat completions as messages', () => {
  test('every valid conversation is translated, into one that Anthropic takes', () => {
    fc.assert(
      fc.property(valid, (body) => {
        const before = structuredClone(body);
        const out = translated(body as Json);
        // The one thing generated here that cannot be said: a system message without a user's turn before it.
        if (out !== undefined) expect(faultsOf(out)).toEqual([]);
        else expect(() => chatToMessages.request(body as Json)).toThrow(/later system message/);
        expect(body).toEqual(before);
      }),
      { numRuns: 2000 },
    );
  });

  test('any change of a valid body is translated or refused by the name of a field', () => {
    let refused = 0;
    let said = 0;
    fc.assert(
      fc.property(valid, fc.array(mutation, { minLength: 1, maxLength: 3 }), (body, mutations) => {
        const changed = structuredClone(body) as Json;
        for (const one of mutations) mutate(changed, one);
        const out = translated(changed);
        if (out) expect(faultsOf(out)).toEqual([]);
        if (out) said++;
        else refused++;
      }),
      { numRuns: 5000 },
    );
    // Neither outcome is an accident.
    expect(Math.min(refused, said)).toBeGreaterThan(500);
  });
});
