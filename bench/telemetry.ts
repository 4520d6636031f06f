// CPU of telemetry a request: `node bench/telemetry.ts`. One allowed chat call with a retry, all stages and all classes.
import { Exchange, type Stage } from '../gateway/exchange.ts';
import type { Ending } from '../gateway/outcome.ts';
import { newIds } from '../gateway/stages/ids.ts';
import { openTelemetry } from '../gateway/telemetry/open-telemetry.ts';
import { Trace } from '../gateway/trace.ts';
import type { PolicyData } from '../gateway/types.gen.ts';

const ROUNDS = 7;
const CALLS = 50_000;
const STAGES: readonly Stage[] = [
  'receive',
  'authenticate',
  'read',
  'describe',
  'decide',
  'admit',
  'mask',
  'intent',
  'forward',
  'restore',
  'account',
];

const data = { models: { small: {}, large: {} }, organizations: { acme: {} } } as unknown as PolicyData;
const telemetry = openTelemetry({
  upstreams: new Map([['openai', 'openai']]),
  policyData: () => data,
  version: '0',
  // Nobody listens: spans of sampled requests are made and dropped.
  otlp: { endpoint: 'http://127.0.0.1:9', headers: {}, metricsIntervalMs: 3_600_000 },
  tracesSampleRatio: 0.01,
  onWarning: () => {},
});
const HEADERS = ['host', 'a', 'authorization', 'b', 'content-type', 'c', 'content-length', 'd', 'user-agent', 'e'];
const TRACED = [...HEADERS, 'traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'];

const ending: Ending = {
  outcome: 'ok',
  status: 200,
  error: null,
  usage: {
    input: 900,
    cache_read: 100,
    cache_write: 0,
    cache_write_1h: 0,
    output: 300,
    reasoning: 50,
    source: 'provider',
  },
  cost: { micro_usd: 1234, price_version: null },
};

const exchange = (trace: Trace): Exchange => {
  const x = new Exchange(newIds(), '127.0.0.1', trace);
  x.method = 'POST';
  Object.assign(x.products, {
    head: { endpoint: 'chat.completions', route: { path: '/v1/chat/completions' } },
    caller: { org: 'acme' },
    described: { input: { request: { model: 'small' } } },
    decision: { allow: true, deny: [] },
    masked: { counts: { email: 2 } },
  });
  for (const stage of STAGES) x.stagesUs[stage] = 40;
  x.attempts.push({ model: 'small', upstream: 'openai', status: 503, error: 'status_503', ms: 20 });
  x.attempts.push({ model: 'small', upstream: 'openai', status: 200, error: null, ms: 400 });
  x.firstEventMs = 420;
  return x;
};

/** Microseconds of CPU a call, the median of the rounds. */
const measure = (call: () => void): number => {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let n = 0; n < CALLS; n++) call();
    const { user, system } = process.cpuUsage(before);
    rounds.push((user + system) / CALLS);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
};

const one = exchange(new Trace());
const sampled = exchange(new Trace(null, true));
const sink: unknown[] = [null];
const report = (name: string, us: number): void => console.log(`${name.padEnd(40)} ${us.toFixed(2)} µs`);
report(
  'trace(), no traceparent',
  measure(() => (sink[0] = telemetry.trace(HEADERS))),
);
report(
  'trace(), a traceparent',
  measure(() => (sink[0] = telemetry.trace(TRACED))),
);
report(
  'finished(), not sampled',
  measure(() => telemetry.finished(one, ending)),
);
report(
  'finished(), sampled: fourteen spans',
  measure(() => telemetry.finished(sampled, ending)),
);
const record = (): void => telemetry.record('aegis.audit.append.duration', { result: 'ok' }, 0.001);
report('record() of an append', measure(record));
const started = process.cpuUsage();
const text = telemetry.prometheus();
const { user, system } = process.cpuUsage(started);
report(`prometheus(), ${text.length} bytes`, user + system);
await telemetry.close();
