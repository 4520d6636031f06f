import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Json } from '../../gateway/protocol/fields.ts';
import { createVaults } from '../../gateway/redact/vault.ts';
import { chatStream, messageStream } from '../support/answers.ts';
import { type Recording, recordingsOf } from '../support/recordings.ts';
import { type Relay, relayed } from '../support/relayed.ts';

// Recorded streams, cut at random bytes, through all that stands between an upstream and a caller.

type Api = 'chat.completions' | 'messages' | 'responses';
const APIS: readonly Api[] = ['chat.completions', 'messages', 'responses'];

/** A caller's body, streamed; of chat completions with usage or without. */
const bodyOf = (api: Api, usage = true): Json => {
  if (api === 'responses') return { model: 'm', stream: true, input: 'Hi' };
  const body = { model: 'm', stream: true, max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] };
  return api === 'chat.completions' && usage ? { ...body, stream_options: { include_usage: true } } : body;
};

interface Case {
  readonly name: string;
  readonly relay: Relay;
  readonly stream: Buffer;
}

/** Long ones would take the time of many. */
const MOST_BYTES = 13_000;

/** Recordings that end in order; one whose provider said an error is not relayed as it is. */
const recordings = (api: Api): Recording[] =>
  recordingsOf(api).streamed.filter(
    ({ bytes }) => bytes.length <= MOST_BYTES && !/"error":\s*\{/.test(bytes.toString()),
  );

const ENDS: Readonly<Record<Api, RegExp>> = {
  'chat.completions': /data: \[DONE\]\n\n$/,
  messages: /event: message_stop\ndata: .*\n\n$/,
  responses: /event: response\.(?:completed|incomplete)\ndata: .*\n\n$/,
};

/** The texts of a stream's deltas, joined. */
const textOf = (api: Api, stream: Buffer): string =>
  stream
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => {
      const { type, choices, delta } = JSON.parse(line.slice(6)) as {
        type?: string;
        choices?: { delta: { content?: unknown } }[];
        delta?: string | { text?: string };
      };
      if (api === 'chat.completions') return choices?.map((choice) => textIn(choice.delta.content)).join('') ?? '';
      if (api === 'messages') return (typeof delta === 'object' ? delta.text : undefined) ?? '';
      return type === 'response.output_text.delta' ? delta : '';
    })
    .join('');

/** Mistral's reasoning models answer in parts. */
const textIn = (content: unknown): string => {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part: { type: string; text?: string }) => (part.type === 'text' ? part.text : '')).join('');
};

const UNCHANGED: readonly Case[] = APIS.flatMap((api) =>
  recordings(api).map(({ name, bytes }) => ({
    name,
    relay: { wire: api, api, body: bodyOf(api) },
    stream: bytes,
  })),
);

const WITHOUT_USAGE: readonly Case[] = recordings('chat.completions').map(({ name, bytes }) => ({
  name: `${name} without usage`,
  relay: { wire: 'chat.completions', api: 'chat.completions', body: bodyOf('chat.completions', false) },
  stream: bytes,
}));

const TRANSLATED: readonly Case[] = (
  [
    ['chat.completions', 'messages'],
    ['chat.completions', 'responses'],
    ['messages', 'chat.completions'],
    ['messages', 'responses'],
  ] as const
).flatMap(([wire, api]) =>
  recordings(wire).map(({ name, bytes }) => ({
    name: `${name} as ${api}`,
    relay: { wire, api, body: bodyOf(api) },
    stream: bytes,
  })),
);

const EMAIL = 'ü.ser+"quoted"@example.org';
const vault = createVaults(Buffer.alloc(32, 7))('scope');
const PLACEHOLDER = vault.replace(EMAIL, 'email', {
  entity: 'email',
  action: 'tokenize',
  in: 'any',
  restore: ['text'],
} as never);
const SAID = `Write to ${PLACEHOLDER}, or “${PLACEHOLDER}” 😀.`;
const RESTORED = SAID.replaceAll(PLACEHOLDER, () => EMAIL);

/** Streams whose text has placeholders, in pieces of so many characters. */
const MASKED: readonly Case[] = [1, 4, 7, 100].flatMap((size) => {
  const pieces = SAID.match(new RegExp(`.{1,${size}}`, 'gsu')) ?? [];
  const streams = { 'chat.completions': chatStream(pieces), messages: messageStream(pieces) };
  return (
    [
      ['chat.completions', 'chat.completions'],
      ['chat.completions', 'messages'],
      ['chat.completions', 'responses'],
      ['messages', 'messages'],
      ['messages', 'chat.completions'],
    ] as const
  ).map(([wire, api]) => ({
    name: `placeholders in pieces of ${size}, ${wire} as ${api}`,
    relay: { wire, api, body: bodyOf(api), vault },
    stream: Buffer.from(streams[wire].join('')),
  }));
});

describe('a recorded stream in one chunk', () => {
  test.each(UNCHANGED)('$name passes byte for byte', async ({ relay, stream }) => {
    expect(await relayed(relay, [stream])).toEqual(stream);
  });

  test.each(WITHOUT_USAGE)('$name passes but for usage', async ({ relay, stream }) => {
    const got = (await relayed(relay, [stream])).toString();
    const events = stream.toString().split('\n\n');
    const kept = events.filter((event) => !/"choices":\[\],.*"usage":\{/.test(event));
    expect(got).toBe(kept.join('\n\n').replaceAll(',"usage":null', ''));
  });

  test.each(TRANSLATED)('$name says the same', async ({ relay, stream }) => {
    const got = await relayed(relay, [stream]);
    expect(got.toString()).toMatch(ENDS[relay.api as Api]);
    expect(textOf(relay.api as Api, got)).toBe(textOf(relay.wire as Api, stream));
  });

  test.each(MASKED)('$name: restored', async ({ relay, stream }) => {
    const got = await relayed(relay, [stream]);
    expect(got.toString()).toMatch(ENDS[relay.api as Api]);
    expect(textOf(relay.api as Api, got)).toBe(RESTORED);
    expect(got.toString()).not.toContain(PLACEHOLDER.slice(0, -1));
  });
});

const CASES: readonly Case[] = [...UNCHANGED, ...WITHOUT_USAGE, ...TRANSLATED, ...MASKED];

/** Places to cut at, or the size of each chunk. */
const cutting = fc.oneof(
  { weight: 9, arbitrary: fc.array(fc.nat(), { maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 64 }) },
);

const cut = (stream: Buffer, how: readonly number[] | number): Buffer[] => {
  const inner =
    typeof how === 'number'
      ? Array.from({ length: Math.floor((stream.length - 1) / how) }, (_, index) => (index + 1) * how)
      : how.map((at) => at % stream.length).toSorted((a, b) => a - b);
  const places = [0, ...inner, stream.length];
  return places.slice(1).map((at, index) => stream.subarray(places[index], at));
};

const SPLITS = 20_000;

test(`${SPLITS} random splits of recorded streams give the caller the same bytes as one chunk`, async () => {
  const whole = await Promise.all(CASES.map(({ relay, stream }) => relayed(relay, [stream])));
  await fc.assert(
    fc.asyncProperty(fc.nat(CASES.length - 1), cutting, async (index, how) => {
      const { name, relay, stream } = CASES[index] as Case;
      const got = await relayed(relay, cut(stream, how));
      if (!got.equals(whole[index] as Buffer)) throw new Error(`${name}: ${got.toString().slice(-500)}`);
    }),
    { numRuns: SPLITS },
  );
}, 120_000);
