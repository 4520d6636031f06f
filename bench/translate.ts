/**
 * Micro-benchmark of translation. `node bench/translate.ts [--json]`: CPU µs an event of whole streams, from bytes to
 * bytes, beside reading and writing the same events unchanged (JSON.parse, JSON.stringify): medians of several rounds.
 */

import type { Json } from '../gateway/protocol/fields.ts';
import type { Endpoint } from '../gateway/protocol/protocol.ts';
import { protocolOf } from '../gateway/protocol/protocols.ts';
import { eventData, splitEvents } from '../gateway/protocol/sse.ts';
import { createStreamTranslation } from '../gateway/protocol/translate-stream.ts';
import type { TranslationContext } from '../gateway/protocol/translation.ts';
import { translationOf } from '../gateway/protocol/translations.ts';
import { cpuUs } from './cpu-us.ts';

const CHUNKS = 200;

interface Row {
  readonly name: string;
  readonly usAnEvent: number;
  readonly ratio: number;
}

const chatChunk = (delta: Json, finish: string | null = null): Json => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: finish }],
});

const CHAT_USAGE = { ...chatChunk({}), choices: [], usage: { prompt_tokens: 9, completion_tokens: CHUNKS } };

/** A stream of CHUNKS pieces of text, and one of CHUNKS pieces of a tool's arguments, in each upstream's words. */
const STREAMS: readonly { readonly name: string; readonly wire: Endpoint; readonly events: readonly Json[] }[] = [
  {
    name: 'text',
    wire: 'chat.completions',
    events: [
      chatChunk({ role: 'assistant', content: '' }),
      ...Array.from({ length: CHUNKS }, (_, at) => chatChunk({ content: ` word${at}` })),
      chatChunk({}, 'stop'),
      CHAT_USAGE,
    ],
  },
  {
    name: 'tool call',
    wire: 'chat.completions',
    events: [
      chatChunk({
        role: 'assistant',
        tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":"' } }],
      }),
      ...Array.from({ length: CHUNKS }, (_, at) =>
        chatChunk({ tool_calls: [{ index: 0, function: { arguments: ` word${at}` } }] }),
      ),
      chatChunk({ tool_calls: [{ index: 0, function: { arguments: '"}' } }] }),
      chatChunk({}, 'tool_calls'),
      CHAT_USAGE,
    ],
  },
  ...(['text', 'tool call'] as const).map((name) => ({
    name,
    wire: 'messages' as const,
    events: [
      {
        type: 'message_start',
        message: {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model: 'm',
          content: [],
          usage: { input_tokens: 9 },
        },
      },
      {
        type: 'content_block_start',
        index: 0,
        content_block:
          name === 'text' ? { type: 'text', text: '' } : { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} },
      },
      ...Array.from({ length: CHUNKS }, (_, at) => ({
        type: 'content_block_delta',
        index: 0,
        delta:
          name === 'text'
            ? { type: 'text_delta', text: ` word${at}` }
            : { type: 'input_json_delta', partial_json: at === 0 ? '{"a":"' : at === CHUNKS - 1 ? '"}' : ` word${at}` },
      })),
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: name === 'text' ? 'end_turn' : 'tool_use', stop_sequence: null },
        usage: { output_tokens: CHUNKS },
      },
      { type: 'message_stop' },
    ],
  })),
];

const DIRECTIONS: readonly (readonly [Endpoint, Endpoint])[] = [
  ['messages', 'chat.completions'],
  ['responses', 'chat.completions'],
  ['chat.completions', 'messages'],
  ['responses', 'messages'],
];

/** A call as its caller said it. */
const BODIES: Partial<Record<Endpoint, Json>> = {
  messages: { model: 'm', max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'Hi' }] },
  'chat.completions': {
    model: 'm',
    max_completion_tokens: 100,
    stream: true,
    messages: [{ role: 'user', content: 'Hi' }],
  },
  responses: { model: 'm', max_output_tokens: 100, stream: true, input: 'Hi' },
};

const rows: Row[] = [];
for (const [from, to] of DIRECTIONS) {
  const translation = translationOf(from, to);
  if (!translation) throw new Error(`${from} is ${to}`);
  const context: TranslationContext = { body: BODIES[from] ?? {}, id: 'x', created: 1, includeUsage: true };
  for (const { name, wire, events } of STREAMS) {
    if (wire !== to) continue;
    const upstream = protocolOf(to);
    const bytes = events.map((event) => Buffer.from(upstream.eventText(event)));
    const us = cpuUs(() => {
      const stream = createStreamTranslation(translation, protocolOf(from), context);
      let size = 0;
      for (const event of bytes) size += stream.push(event).length;
      return size + stream.finish(Buffer.alloc(0)).length;
    });
    const bare = cpuUs(() => {
      let size = 0;
      for (const event of bytes) {
        for (const one of splitEvents(event)) {
          const { data } = eventData(one);
          size += Buffer.from(upstream.eventText(JSON.parse(data ?? '{}') as Json)).length;
        }
      }
      return size;
    });
    rows.push({ name: `${from} ← ${to}, ${name}`, usAnEvent: us / bytes.length, ratio: us / bare });
  }
}

if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
else {
  for (const { name, usAnEvent, ratio } of rows) {
    console.log(`${name.padEnd(46)} ${usAnEvent.toFixed(2).padStart(6)} µs an event, ${ratio.toFixed(2)} × unchanged`);
  }
}
