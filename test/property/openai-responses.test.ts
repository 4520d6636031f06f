import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isGatewayError } from '../../gateway/errors.ts';
import { scanJson } from '../../gateway/protocol/json-scan.ts';
import { openaiResponses } from '../../gateway/protocol/openai-responses.ts';
import { splice } from '../../gateway/protocol/splice.ts';
import { splitEvents } from '../../gateway/protocol/sse.ts';
import { createDetector } from '../../gateway/redact/detect.ts';
import { createVaults } from '../../gateway/redact/vault.ts';
import { inspect, replacements } from '../../gateway/stages/findings.ts';
import { checkPriced } from '../../gateway/stages/priced.ts';
import { createStreamRestore } from '../../gateway/stages/restore.ts';
import { CODEX } from '../support/responses.ts';

type Json = Record<string, unknown>;

const BODY = {
  ...CODEX,
  instructions: 'mail a@example.com',
  input: [
    ...CODEX.input,
    { role: 'user', content: [{ type: 'input_image', image_url: `data:image/png;base64,${'QUJD'.repeat(80)}` }] },
    {
      role: 'user',
      content: [
        { type: 'input_audio', input_audio: { data: 'QUJD', format: 'wav' } },
        { type: 'input_file', file_id: 'f' },
      ],
    },
    { type: 'shell_call', action: { commands: ['ls'] }, environment: { type: 'local' } },
    { type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: 'https://x/y' } },
    {
      type: 'code_interpreter_call',
      id: 'c',
      code: '1',
      outputs: [
        { type: 'logs', logs: '1' },
        { type: 'image', url: 'x' },
      ],
    },
    { type: 'tool_search_output', tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'function', name: 'f' }] }] },
    { type: 'configuration_update', text: { format: { type: 'text' } } },
  ],
  tools: [
    { type: 'function', name: 'f', parameters: { card: 4111111111111111 } },
    {
      type: 'namespace',
      name: 'n',
      tools: [
        { type: 'function', name: 'f' },
        { type: 'custom', name: 'c' },
      ],
    },
    { type: 'mcp', server_label: 's', server_url: 'https://x' },
    { type: 'shell', environment: { type: 'container_auto', skills: [{ type: 'inline', name: 'k' }] } },
  ],
  tool_choice: {
    type: 'allowed_tools',
    mode: 'auto',
    tools: [
      { type: 'function', name: 'f' },
      { type: 'mcp', server_label: 's' },
    ],
  },
  max_output_tokens: 9,
  temperature: 1,
  text: { format: { type: 'json_schema' } },
};
const TEXT = JSON.stringify(BODY);
const RAW = Buffer.from(TEXT);
const detector = createDetector();

/** Takes a body all the way to what would go upstream. Gives what stopped it, or null. */
const walk = (raw: Buffer): unknown => {
  try {
    const scan = scanJson(raw);
    const call = openaiResponses.read(raw, scan, JSON.parse(raw.toString('utf8')) as Json);
    checkPriced(call);
    const removeTools = ['f', 'mcp:s'];
    const edits = openaiResponses.edit(call, { model: 'm', maxOutputTokens: 1, includeUsage: true, removeTools });
    const findings = inspect(raw, scan, detector, call.opaque);
    const out = JSON.parse(splice(raw, [...edits, ...replacements(findings, () => '<x>')]).toString()) as Json;
    if (out.model !== 'm' || out.max_output_tokens !== 1) throw new TypeError('the edit was lost');
    const bytes = Buffer.from(JSON.stringify(out));
    const left = openaiResponses.read(bytes, scanJson(bytes), out).toolNames;
    if (left.some((name) => removeTools.includes(name))) throw new TypeError('a removed tool is left');
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

describe('malformed bodies of responses', () => {
  test('the body itself is fine', () => expect(walk(RAW)).toBeNull());

  test('bodies with changed bytes are refused as 400 or taken, never anything else', () => {
    const change = fc.record({ at: fc.nat(), cut: fc.nat({ max: 12 }), bytes: fc.uint8Array({ maxLength: 4 }) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let changed = RAW;
        for (const { at, cut, bytes } of changes) {
          const start = at % (changed.length + 1);
          changed = Buffer.concat([changed.subarray(0, start), bytes, changed.subarray(start + cut)]);
        }
        // Bytes that are no UTF-8 never get here.
        expectClean(walk(Buffer.from(changed.toString('utf8'))));
      }),
      { numRuns: 5000 },
    );
  }, 120_000);

  test('any value in the place of any other is refused as 400 or taken', () => {
    const values = [
      'null',
      '{}',
      '[]',
      '""',
      '-1',
      'true',
      '[[]]',
      '5',
      '"x"',
      '{"type":"x"}',
      '{"type":5}',
      '["f"]',
      '[{}]',
      '[null]',
    ];
    // Places by path, so that objects and arrays are replaced as well.
    const places: (string | number)[][] = [];
    const visit = (value: unknown, path: (string | number)[]): void => {
      if (path.length > 0) places.push(path);
      if (Array.isArray(value)) for (const [index, inner] of value.entries()) visit(inner, [...path, index]);
      else if (typeof value === 'object' && value !== null) {
        for (const [key, inner] of Object.entries(value)) visit(inner, [...path, key]);
      }
    };
    visit(BODY, []);
    for (const path of places) {
      for (const value of values) {
        const changed = JSON.parse(TEXT) as Json;
        let holder = changed as Record<string | number, unknown>;
        for (const key of path.slice(0, -1)) holder = holder[key] as Record<string | number, unknown>;
        holder[path.at(-1)!] = JSON.parse(value);
        expectClean(walk(Buffer.from(JSON.stringify(changed))));
      }
    }
  }, 120_000);

  test('any JSON at all is refused as 400 or taken', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(BODY), 'x'), fc.jsonValue()), (value) => {
        expectClean(walk(Buffer.from(JSON.stringify({ ...value, model: 'm', input: [] }))));
        expectClean(walk(Buffer.from(JSON.stringify(value))));
        expectClean(walk(Buffer.from(JSON.stringify({ ...BODY, ...value }))));
      }),
      { numRuns: 1000 },
    );
  }, 120_000);
});

const VALUE = 'o"connor\\@example.com';
const vault = createVaults(Buffer.alloc(32, 5))('s');
const PLACEHOLDER = vault.replace(VALUE, 'email', {
  entity: 'email',
  action: 'tokenize',
  in: ['request'],
  restore: ['text', 'links', 'tool_arguments'],
});

/** A text as a model says it, cut anywhere. */
const pieces = fc
  .array(
    fc.oneof(
      fc.constant(PLACEHOLDER),
      fc.constantFrom('EMAIL', 'EMAIL_', ' ', 'a', '"', '\\_', 'é😀', PLACEHOLDER.slice(0, 9)),
      fc.string(),
    ),
    {
      maxLength: 8,
    },
  )
  .chain((words) => {
    const text = words.join('');
    return fc.array(fc.nat({ max: text.length }), { maxLength: 6 }).map((cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), text.length];
      return at.slice(1).map((end, index) => text.slice(at[index], end));
    });
  });

const said = fc.record({
  text: pieces,
  refusal: pieces,
  summary: pieces,
  json: pieces.map((cut) => cut.map((piece) => JSON.stringify(piece).slice(1, -1))),
  // Servers that leave out events which OpenAI sends, and items that take turns.
  leavesOut: fc.subarray(['text.done', 'part.done', 'item.done']),
  isMixed: fc.boolean(),
});

/** The events of a response with a message of two parts, reasoning and a function call. */
const streamOf = ({
  text,
  refusal,
  summary,
  json,
  leavesOut,
  isMixed,
}: Parameters<Parameters<typeof said.map>[0]>[0]): Json[] => {
  let sequence_number = 0;
  const event = (type: string, more: object): Json => ({
    type: `response.${type}`,
    sequence_number: sequence_number++,
    ...more,
  });
  const whole = (cut: string[]): string => cut.join('');
  const items: Json[] = [
    {
      type: 'reasoning',
      id: 'i0',
      summary: [{ type: 'summary_text', text: whole(summary) }],
      encrypted_content: PLACEHOLDER,
    },
    {
      type: 'message',
      id: 'i1',
      content: [
        { type: 'output_text', text: whole(text) },
        { type: 'refusal', refusal: whole(refusal) },
      ],
    },
    { type: 'function_call', id: 'i2', name: 'f', arguments: `{"a":"${whole(json)}"}` },
  ];
  const parts = [
    {
      name: 'reasoning_summary_text',
      at: { output_index: 0, summary_index: 0 },
      key: 'text',
      cut: summary,
      part: 'reasoning_summary_part',
    },
    { name: 'output_text', at: { output_index: 1, content_index: 0 }, key: 'text', cut: text, part: 'content_part' },
    { name: 'refusal', at: { output_index: 1, content_index: 1 }, key: 'refusal', cut: refusal, part: 'content_part' },
    {
      name: 'function_call_arguments',
      at: { output_index: 2 },
      key: 'arguments',
      cut: ['{"a":"', ...json, '"}'],
      part: null,
    },
  ].map((one) => ({ ...one, at: { ...one.at, item_id: `i${one.at.output_index}` } }));
  const deltas = parts.map(({ name, at, cut }) => cut.map((delta) => event(`${name}.delta`, { ...at, delta })));
  const dones = parts.map(({ name, at, key, cut, part }) => [
    ...(leavesOut.includes('text.done') ? [] : [event(`${name}.done`, { ...at, [key]: whole(cut) })]),
    ...(part === null || leavesOut.includes('part.done')
      ? []
      : [
          event(`${part}.done`, {
            ...at,
            part: { type: name.replace('reasoning_summary_text', 'summary_text'), [key]: whole(cut) },
          }),
        ]),
  ]);
  const doneItems = items.map((item, output_index) =>
    leavesOut.includes('item.done') ? [] : [event('output_item.done', { output_index, item })],
  );
  const longest = Math.max(...deltas.map(({ length }) => length));
  const body: Json[] = isMixed
    ? [
        ...Array.from({ length: longest }, (_, row) => row).flatMap((row) =>
          deltas.flatMap((column) => column.slice(row, row + 1)),
        ),
        ...dones.flat(),
        ...doneItems.flat(),
      ]
    : [0, 1, 2].flatMap((index) => [
        ...parts.flatMap(({ at }, n) => (at.output_index === index ? [...deltas[n]!, ...dones[n]!] : [])),
        ...doneItems[index]!,
      ]);
  return [
    event('created', { response: { instructions: PLACEHOLDER, output: [] } }),
    ...body,
    event('completed', { response: { instructions: PLACEHOLDER, output: items } }),
  ];
};

describe('restoring a stream of responses', () => {
  test('what comes in pieces and what comes whole are restored to the same text, and no placeholder is left', () => {
    fc.assert(
      fc.property(said, fc.infiniteStream(fc.boolean()), (answer, together) => {
        const events = streamOf(answer).map((event) => openaiResponses.eventText(event));
        const restore = createStreamRestore(openaiResponses, vault);
        const out: Buffer[] = [];
        let waiting = '';
        const cuts = together[Symbol.iterator]();
        for (const [index, event] of events.entries()) {
          if (index === events.length - 1) {
            out.push(restore.push(Buffer.from(waiting)), restore.flush(), restore.push(Buffer.from(event)));
            break;
          }
          waiting += event;
          if (cuts.next().value) continue;
          out.push(restore.push(Buffer.from(waiting)));
          waiting = '';
        }

        // What a client makes of it: deltas joined by their place, and the last response.
        const joined: Record<string, string> = {};
        let isOver = false;
        let response: Json = {};
        const wholes: Record<string, unknown>[] = [];
        for (const bytes of splitEvents(Buffer.concat(out))) {
          const [head, data] = bytes.toString().split('\n') as [string, string];
          const event = JSON.parse(data.slice(6)) as Json;
          expect(head).toBe(`event: ${event.type}`);
          expect(isOver).toBe(false);
          isOver = event.type === 'response.completed';
          if (typeof event.delta === 'string') {
            const place = `${event.type} ${event.output_index} ${event.content_index ?? event.summary_index ?? ''}`;
            joined[place] = (joined[place] ?? '') + event.delta;
            expect(event.item_id).toBe(`i${event.output_index}`);
          } else if (event.response) response = event.response as Json;
          else wholes.push(event);
        }
        const restored = (cut: string[]): string => vault.restore(cut.join(''), 'text');
        const json = vault.restore(`{"a":"${answer.json.join('')}"}`, 'tool_arguments', (value) =>
          JSON.stringify(value).slice(1, -1),
        );
        const expected: Record<string, string> = {
          'response.reasoning_summary_text.delta 0 0': restored(answer.summary),
          'response.output_text.delta 1 0': restored(answer.text),
          'response.refusal.delta 1 1': restored(answer.refusal),
          'response.function_call_arguments.delta 2 ': json,
        };
        for (const place in expected) expect(joined[place] ?? '').toBe(expected[place]);
        const items = [
          {
            type: 'reasoning',
            id: 'i0',
            summary: [{ type: 'summary_text', text: restored(answer.summary) }],
            encrypted_content: PLACEHOLDER,
          },
          {
            type: 'message',
            id: 'i1',
            content: [
              { type: 'output_text', text: restored(answer.text) },
              { type: 'refusal', refusal: restored(answer.refusal) },
            ],
          },
          { type: 'function_call', id: 'i2', name: 'f', arguments: json },
        ];
        expect(response).toEqual({ instructions: VALUE, output: items });
        for (const { item, output_index, text, refusal, arguments: args, part } of wholes) {
          if (item) expect(item).toEqual(items[output_index as number]);
          const said = part ? ((part as Json).text ?? (part as Json).refusal) : (text ?? refusal ?? args);
          if (said !== undefined) expect(Object.values(expected)).toContain(said);
        }
        JSON.parse(json);
      }),
      { numRuns: 1500 },
    );
  }, 120_000);
});
