import { scanJson } from '../gateway/protocol/json-scan.ts';
import { openaiChat } from '../gateway/protocol/openai-chat.ts';
import type { Call } from '../gateway/protocol/protocol.ts';
import { splice } from '../gateway/protocol/splice.ts';
import { createSseSplitter } from '../gateway/protocol/sse.ts';
import { servedEndpoints } from '../gateway/protocol/translations.ts';
import { createDetector } from '../gateway/redact/detect.ts';
import type { Detector } from '../gateway/redact/redactor.ts';
import { newestUserText, readSignals } from '../gateway/signals.ts';
import { describe } from '../gateway/stages/describe.ts';
import { parseCall } from '../gateway/stages/read.ts';
import { newIds, receive } from '../gateway/stages/receive.ts';
import { estimateTokens } from '../gateway/tokens.ts';
import type { Input } from '../gateway/types.gen.ts';

// CPU µs a call of what runs before a decision: the median of rounds, each long enough for the clock.
// node bench/scan.ts

const ROUNDS = 9;
const ROUND_MS = 60;

const cpuUs = (run: () => unknown): number => {
  const times: number[] = [];
  let count = 1;
  for (;;) {
    const started = performance.now();
    for (let index = 0; index < count; index++) run();
    if (performance.now() - started > ROUND_MS) break;
    count *= 2;
  }
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage();
    for (let index = 0; index < count; index++) run();
    const { user, system } = process.cpuUsage(started);
    times.push((user + system) / count);
  }
  return times.toSorted((a, b) => a - b)[ROUNDS >> 1]!;
};

const SENTENCE = 'The mitochondrion is the part of a cell in which most of its chemical energy is made; explain why. ';
const prose = (bytes: number): string => SENTENCE.repeat(Math.ceil(bytes / SENTENCE.length)).slice(0, bytes);
const chat = (content: string, messages = 1): Buffer =>
  Buffer.from(
    JSON.stringify({
      model: 'gpt-4o',
      messages: Array.from({ length: messages }, () => ({ role: 'user', content })),
      temperature: 0.7,
      stream: true,
      max_tokens: 512,
    }),
  );

const BODIES: readonly (readonly [string, Buffer])[] = [
  ['300 B', chat(prose(190))],
  ['8 KB', chat(prose(8000))],
  ['8 KB, lines', chat(prose(8000).replaceAll('; ', ';\n'))],
  ['10 KB, 75 messages', chat(prose(90), 75)],
  ['100 KB', chat(prose(100_000))],
  ['100 KB, 750 messages', chat(prose(90), 750)],
];

const CALLER: Input['caller'] = {
  kind: 'key',
  id: 'key_1',
  org: 'acme',
  team: 'math',
  user: 'ann',
  roles: ['student'],
  groups: [],
  workflows: [],
  scopes: [],
  claims: {},
};
const HEAD = {
  requestId: newIds().requestId,
  sourceIp: '192.0.2.1',
  headers: { 'user-agent': 'OpenAI/JS 7.0.0' },
  purpose: { workflow: 'tutor', use_case: '', session: 's1', tags: { course: 'CS101' } },
  endUser: '',
};
const UPSTREAM: Input['upstreams'][string] = {
  dialects: ['openai'],
  endpoints: servedEndpoints(['chat.completions', 'responses', 'completions', 'embeddings']),
  third_party: true,
  state: 'up',
  error_rate: 0,
  p50_ms: 300,
};
const UPSTREAMS = { openai: UPSTREAM, mistral: UPSTREAM, local: UPSTREAM };
const FACTS = {
  now: () => Date.now(),
  upstreams: () => UPSTREAMS,
  spend: () => [],
  pseudonym: () => 'hash:0',
  experiments: () => ({}),
};
const BLIND: Detector = { name: 'none', detect: () => [] };
const PATTERNS = createDetector();

const describeWith = (call: Call, detector: Detector) => describe(call, HEAD, CALLER, FACTS, detector);

const rows = BODIES.map(([body, raw]) => {
  const call = parseCall(raw, 'chat.completions', { depth: 64 });
  const sample = newestUserText(call.texts);
  const us = {
    'JSON.parse': cpuUs(() => JSON.parse(raw.toString())),
    scanJson: cpuUs(() => scanJson(raw)),
    parseCall: cpuUs(() => parseCall(raw, 'chat.completions', { depth: 64 })),
    describe: cpuUs(() => describeWith(call, BLIND)),
    'with patterns': cpuUs(() => describeWith(call, PATTERNS)),
    tokens: cpuUs(() => estimateTokens(call.texts.map(({ text }) => text))),
    signals: cpuUs(() => readSignals(sample, 1)),
    edit: cpuUs(() =>
      splice(raw, openaiChat.edit(call, { model: 'gpt-4o-mini', maxOutputTokens: 99, includeUsage: true })),
    ),
  };
  return {
    body,
    ...Object.fromEntries(Object.entries(us).map(([name, value]) => [name, Math.round(value * 10) / 10])),
  };
});
console.log('CPU µs a call');
console.table(rows);

const rawHeaders = Object.entries({
  Host: 'localhost:8080',
  'Content-Type': 'application/json',
  Authorization: 'Bearer aeg_live_0123456789abcdefghijklmnopqrstuvwxyz',
  'User-Agent': 'OpenAI/JS 7.0.0',
  'Content-Length': '300',
  'X-Aegis-Workflow': 'tutor',
  Accept: 'application/json',
  Connection: 'keep-alive',
}).flat();
const request = {
  method: 'POST',
  url: '/v1/chat/completions',
  rawHeaders,
  socket: { remoteAddress: '::ffff:127.0.0.1' },
};
console.log(`receive ${cpuUs(() => receive(request, newIds())).toFixed(2)} µs`);

const event = Buffer.from(
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: ' token' } }] })}\n\n`,
);
const splitter = createSseSplitter({ maxEventBytes: 1 << 20 });
console.log(`SSE push of one event ${cpuUs(() => splitter.push(event)).toFixed(2)} µs`);
const half = event.length >> 1;
const halves = [event.subarray(0, half), event.subarray(half)] as const;
console.log(
  `SSE push of two halves ${cpuUs(() => [splitter.push(halves[0]), splitter.push(halves[1])]).toFixed(2)} µs`,
);
