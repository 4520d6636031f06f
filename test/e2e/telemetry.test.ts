import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { METRICS, type MetricName } from '../../gateway/telemetry/metric-list.ts';
import { prometheusName } from '../../gateway/telemetry/prometheus.ts';
import { chatCompletion, chatStream, message, messageStream } from '../support/answers.ts';
import { attributeOf, type Collector, type OtlpSpan, openCollector } from '../support/collector.ts';
import { answerJson, answerStream, breakStream, hang, openFakeUpstream } from '../support/fake-upstream.ts';
import {
  anthropicAt,
  CHAT_MODEL,
  openaiAt,
  openTestGateway,
  PROVIDER_KEY,
  type TestGateway,
  until,
} from '../support/gateway.ts';
import { type FamilyText, parsePrometheus, sumOf } from '../support/prometheus-text.ts';
import { startServe } from '../support/serve.ts';

const REMOTE = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const TRACEPARENT = `00-${REMOTE.traceId}-${REMOTE.spanId}-01`;

const COLLECTOR_TOKEN = 'collector-token-0123456789';

let collector: Collector;
let gateway: TestGateway;
beforeAll(async () => {
  collector = await openCollector();
  const otlp = { otlp_endpoint: `${collector.url}/otlp/`, headers: { authorization: COLLECTOR_TOKEN } };
  gateway = await openTestGateway({
    config: { telemetry: { ...otlp, traces_sample_ratio: 1, metrics_interval_s: 1 } },
  });
}, 60_000);
afterAll(async () => {
  await gateway.close();
  await collector.close();
});

const scrape = async (url = gateway.running.adminUrl): Promise<Map<string, FamilyText>> =>
  parsePrometheus(await (await fetch(`${url}/metrics`)).text());

/** What a metric has grown by while `work` ran. */
const grown = async (work: () => Promise<void>): Promise<(name: string, labels?: Record<string, string>) => number> => {
  const before = await scrape();
  await work();
  // The last ones may still be on their way into the log.
  await until(async () => (sumOf(await scrape(), 'aegis_requests_open') === 0 ? true : undefined));
  const now = await scrape();
  return (name, labels) => sumOf(now, name, labels) - sumOf(before, name, labels);
};

const read = async (answer: Response | Promise<Response>): Promise<number> => {
  const got = await answer;
  await got.arrayBuffer().catch(() => undefined);
  return got.status;
};

describe('GET /metrics', () => {
  test('is open on the control plane and nowhere else, in Prometheus’ text format', async () => {
    const answer = await fetch(`${gateway.running.adminUrl}/metrics?x=1`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    parsePrometheus(await answer.text());
    expect((await fetch(`${gateway.running.adminUrl}/metrics`, { method: 'POST' })).status).toBe(405);
    expect((await fetch(`${gateway.url}/metrics`)).status).toBe(404);
  });

  test('counts requests of each kind right', async () => {
    const sum = await grown(async () => {
      gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
      gateway.anthropic.play = answerStream(messageStream(['Hi', ' there.']));
      for (let n = 0; n < 3; n++) expect(await read(gateway.chat({}))).toBe(200);
      for (let n = 0; n < 2; n++) expect(await read(gateway.messages({ stream: true }))).toBe(200);
      expect(await read(gateway.chat({ model: 'gpt-5.4-pro' }))).toBe(403);
      expect(await read(gateway.post('/v1/chat/completions', '{'))).toBe(400);
      expect(await read(fetch(`${gateway.url}/v1/models`))).toBe(401);
      expect(await read(fetch(`${gateway.url}/v2/elsewhere`))).toBe(404);
      expect(
        await read(fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${await gateway.key()}` } })),
      ).toBe(200);
      expect(await read(gateway.chat({ messages: [{ role: 'user', content: 'Write to jo@example.org.' }] }))).toBe(200);
    });
    expect(sum('http_server_request_duration_seconds_count')).toBe(11);
    expect(sum('http_server_request_duration_seconds_count', { http_route: '/v1/chat/completions' })).toBe(6);
    expect(sum('http_server_request_duration_seconds_count', { http_response_status_code: '200' })).toBe(7);
    expect(sum('aegis_requests_total')).toBe(11);
    expect(sum('aegis_requests_total', { outcome: 'ok', org: 'demo-university' })).toBe(7);
    expect(sum('aegis_requests_total', { outcome: 'denied', endpoint: 'chat.completions' })).toBe(1);
    expect(sum('aegis_requests_total', { outcome: 'rejected' })).toBe(3);
    for (const code of ['policy_denied', 'invalid_json', 'missing_credential', 'not_found']) {
      expect([code, sum('aegis_errors_total', { code })]).toEqual([code, 1]);
    }
    expect(sum('aegis_errors_total')).toBe(4);
    expect(sum('aegis_decisions_total', { result: 'allow' })).toBe(7);
    expect(sum('aegis_decisions_total', { result: 'deny' })).toBe(1);
    expect(sum('aegis_redactions_total', { entity: 'email' })).toBe(1);
    expect(sum('aegis_upstream_attempts_total', { upstream: 'openai', model: CHAT_MODEL })).toBe(4);
    expect(sum('aegis_upstream_attempts_total', { upstream: 'anthropic' })).toBe(2);
    expect(sum('gen_ai_client_token_usage_sum', { gen_ai_token_type: 'input' })).toBe(6 * 20);
    expect(sum('gen_ai_client_token_usage_sum', { gen_ai_token_type: 'output' })).toBe(6 * 5);
    expect(sum('gen_ai_server_time_to_first_token_seconds_count', { gen_ai_provider_name: 'anthropic' })).toBe(2);
    expect(sum('aegis_stage_duration_seconds_count', { stage: 'receive' })).toBe(10);
    expect(sum('aegis_stage_duration_seconds_count', { stage: 'intent' })).toBe(6);
    expect(sum('aegis_audit_append_duration_seconds_count', { result: 'ok' })).toBe(11 + 6);
    expect(sum('aegis_cost_usd_total', { org: 'demo-university' })).toBeGreaterThan(0);
  });

  test('counts what a request costs as the audit log has it', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    let answer: Response | undefined;
    const sum = await grown(async () => {
      answer = await gateway.chat({});
      await answer.arrayBuffer();
    });
    const { cost } = await gateway.outcomeOf(answer!);
    expect(sum('aegis_cost_usd_total')).toBeCloseTo(cost.micro_usd / 1e6, 9);
    expect(cost.micro_usd).toBeGreaterThan(0);
  });

  test('counts streams that break, callers that leave and upstreams that fail', async () => {
    const sum = await grown(async () => {
      gateway.openai.play = breakStream(chatStream(['Hi']).slice(0, 2), 'end');
      await read(gateway.chat({ stream: true }));
      gateway.openai.play = hang;
      const leave = new AbortController();
      const left = gateway.chat({}, { signal: leave.signal }).catch(() => undefined);
      const before = gateway.openai.requests.length;
      await until(() => (gateway.openai.requests.length > before ? true : undefined));
      leave.abort();
      await left;
      gateway.openai.play = answerJson(500, { error: { message: 'no' } });
      gateway.anthropic.play = answerJson(500, { error: { message: 'no' } });
      expect(await read(gateway.chat({}))).toBeGreaterThanOrEqual(500);
    });
    expect(sum('aegis_requests_total', { outcome: 'incomplete' })).toBe(1);
    expect(sum('aegis_requests_total', { outcome: 'aborted' })).toBe(1);
    expect(sum('aegis_requests_total', { outcome: 'failed' })).toBe(1);
    expect(sum('aegis_errors_total', { code: 'client_closed_request' })).toBe(1);
    expect(sum('aegis_errors_total', { code: 'upstream_error' })).toBe(2);
    expect(sum('aegis_upstream_attempts_total', { upstream: 'openai', error: 'status_500' })).toBeGreaterThan(0);
  });

  test('counts requests of the admin API, refused ones by their code', async () => {
    const admin = `${gateway.running.adminUrl}/admin/v1/upstreams`;
    const grant = { org: 'demo-university', team: '', user: 'ada', roles: ['admin'], groups: [], workflows: [] };
    const key = await gateway.keyFor(grant);
    const sum = await grown(async () => {
      expect(await read(fetch(admin, { headers: { authorization: `Bearer ${key}` } }))).toBe(200);
      expect(await read(fetch(admin))).toBe(401);
      expect(await read(fetch(`${admin}/canary`))).toBe(404);
    });
    expect(sum('aegis_admin_requests_total', { endpoint: 'admin.upstreams', status: '200' })).toBe(1);
    expect(sum('aegis_admin_requests_total', { endpoint: 'admin.upstreams', status: '401' })).toBe(1);
    expect(sum('aegis_admin_requests_total')).toBe(3);
    expect(sum('aegis_errors_total', { code: 'missing_credential' })).toBe(1);
    expect(sum('aegis_requests_total')).toBe(0);
  });

  test('counts what never became a request', async () => {
    const errors = async (): Promise<number> =>
      sumOf(await scrape(), 'aegis_errors_total', { code: 'invalid_request_target' });
    const before = await errors();
    const sum = await grown(async () => {
      await new Promise<void>((resolve) => {
        const { port } = new URL(gateway.url);
        const socket = connect(Number(port), '127.0.0.1', () => socket.write('HELLO\r\n\r\n'));
        socket.resume().on('close', () => resolve());
      });
      // Nobody waits for its record.
      await until(async () => ((await errors()) > before ? true : undefined));
    });
    expect(sum('aegis_errors_total', { code: 'invalid_request_target' })).toBe(1);
    expect(sum('http_server_request_duration_seconds_count', { http_request_method: '_OTHER' })).toBe(1);
  });

  test('has each metric that is read from the state of the gateway', async () => {
    const families = await scrape();
    // The limiter of a single gateway shares nothing, and without a candidate no guard reads anything.
    const isWithoutReading = (name: MetricName): boolean =>
      name.startsWith('aegis.limiter.') || name === 'aegis.rollout.guard';
    const read = (Object.keys(METRICS) as MetricName[]).filter(
      (name) => ['gauge', 'watched_counter'].includes(METRICS[name].kind) && !isWithoutReading(name),
    );
    for (const name of read) expect([...families.keys()]).toContain(prometheusName(name));
    expect(families.get('aegis_rollout_guard')?.samples ?? []).toEqual([]);
    const compared = families.get('aegis_rollout_compared_total')?.samples;
    expect(compared?.map(({ labels, value }) => [labels.kind, value])).toEqual([
      ['same', 0],
      ['newly_denied', 0],
      ['newly_allowed', 0],
      ['model_moved', 0],
      ['otherwise', 0],
      ['policy_error', 0],
      ['skipped', 0],
    ]);
    expect(sumOf(families, 'aegis_ready')).toBe(1);
    expect(sumOf(families, 'aegis_degraded')).toBe(0);
    expect(families.get('aegis_degraded')?.samples.map(({ labels }) => labels.part)).toEqual([
      'audit',
      'bundle',
      'keys',
      'ledger',
      'limiter',
    ]);
    const { revision, digest } = gateway.running.gateway.policies.current!.ref;
    expect(sumOf(families, 'aegis_bundle_info', { revision, digest })).toBe(1);
    expect(sumOf(families, 'aegis_bundle_activations_total', { result: 'activated' })).toBe(1);
    expect(sumOf(families, 'aegis_upstream_keys', { upstream: 'openai', state: 'ready' })).toBe(1);
    for (const upstream of ['openai', 'anthropic']) {
      expect(sumOf(families, 'aegis_upstream_circuit', { upstream })).toBe(1);
      expect(sumOf(families, 'aegis_upstream_state', { upstream })).toBe(1);
    }
    expect(sumOf(families, 'process_memory_usage_bytes')).toBeGreaterThan(1e7);
  });
});

describe('a trace', () => {
  const spansOf = async (traceId: string, least: number): Promise<OtlpSpan[]> =>
    until(() => {
      const spans = collector.spans().filter((span) => span.traceId === traceId);
      return spans.length >= least ? spans : undefined;
    });

  test('goes on with the caller’s and reaches the collector: request, stages, attempts', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    expect(await read(gateway.chat({}, { headers: { traceparent: TRACEPARENT } }))).toBe(200);
    const spans = await spansOf(REMOTE.traceId, 13);
    const request = spans.find(({ parentSpanId }) => parentSpanId === REMOTE.spanId)!;
    expect(request).toMatchObject({ name: 'POST /v1/chat/completions', kind: 2 });
    expect(attributeOf(request, 'http.response.status_code')).toBe(200);
    const below = spans.filter(({ parentSpanId }) => parentSpanId === request.spanId);
    expect(below.map(({ name }) => name)).toEqual([
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
      `chat ${CHAT_MODEL}`,
    ]);
    const attempt = below.at(-1)!;
    expect(attempt.kind).toBe(3);
    expect(attributeOf(attempt, 'gen_ai.usage.input_tokens')).toBe(20);
    for (const { startTimeUnixNano, endTimeUnixNano } of below) {
      expect(BigInt(startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(request.startTimeUnixNano));
      expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano));
    }
  });

  test('is not told to a third party', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    await read(gateway.chat({}, { headers: { traceparent: TRACEPARENT, tracestate: 'a=b', baggage: 'c=d' } }));
    const { headers } = gateway.openai.last();
    expect([headers.traceparent, headers.tracestate, headers.baggage]).toEqual([undefined, undefined, undefined]);
  });

  test('of a request before its route is recorded too', async () => {
    const traceId = '1'.repeat(32);
    const traceparent = `00-${traceId}-${REMOTE.spanId}-01`;
    await read(fetch(`${gateway.url}/elsewhere`, { headers: { traceparent } }));
    const [request] = await spansOf(traceId, 1);
    expect(request?.name).toBe('GET');
    expect(attributeOf(request!, 'error.type')).toBe('not_found');
  });
});

test('an upstream of the operator’s own is told the trace, in the span of its attempt', async () => {
  const own = await openCollector();
  const fake = await openFakeUpstream(answerJson(200, chatCompletion('Hi.')));
  const other = await openFakeUpstream(answerJson(200, message('Hi.')));
  const trusting = await openTestGateway({
    config: { telemetry: { otlp_endpoint: `${own.url}/otlp`, traces_sample_ratio: 1 } },
    upstreams: [openaiAt(fake, { third_party: false }), anthropicAt(other)],
  });
  try {
    await read(trusting.chat({}, { headers: { traceparent: TRACEPARENT } }));
    const [, traceId, spanId, flags] = String(fake.last().headers.traceparent).split('-');
    expect([traceId, flags]).toEqual([REMOTE.traceId, '01']);
    const attempt = await until(() => own.spans().find((span) => span.spanId === spanId));
    expect(attempt.name).toBe(`chat ${CHAT_MODEL}`);
    // Not sampled by the caller: told, and not recorded.
    await read(trusting.chat({}, { headers: { traceparent: TRACEPARENT.replace(/01$/, '00') } }));
    expect(fake.last().headers.traceparent).toMatch(new RegExp(`^00-${REMOTE.traceId}-[0-9a-f]{16}-00$`));
  } finally {
    await trusting.close();
    await Promise.all([fake.close(), other.close(), own.close()]);
  }
});

describe('OTLP', () => {
  test('has the same metrics as /metrics, under their own names, with the operator’s headers', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    await read(gateway.chat({}));
    const families = await scrape();
    const requests = sumOf(families, 'aegis_requests_total');
    const metrics = await until(() => {
      const sent = collector.metrics();
      const sum = sent.find(({ name }) => name === 'aegis.requests')?.sum;
      const total = sum?.dataPoints.reduce((all, { asDouble = 0 }) => all + asDouble, 0);
      return total === requests ? sent : undefined;
    });
    expect(new Set(metrics.map(({ name }) => prometheusName(name as MetricName)))).toEqual(
      new Set(families.keys()).difference(new Set(['target_info'])),
    );
    expect(metrics.find(({ name }) => name === 'http.server.request.duration')).toMatchObject({
      unit: 's',
      histogram: { dataPoints: expect.any(Array) },
    });
    expect(metrics.find(({ name }) => name === 'aegis.ready')?.gauge?.dataPoints[0]?.asDouble).toBe(1);
    for (const { path, headers } of collector.requests) {
      expect(['/otlp/v1/metrics', '/otlp/v1/traces']).toContain(path);
      expect(headers.authorization).toBe(COLLECTOR_TOKEN);
    }
  });

  test('a collector that takes everything and never answers harms no request and holds up no stop', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}).resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const otlp = { otlp_endpoint: `http://127.0.0.1:${port}`, traces_sample_ratio: 1, metrics_interval_s: 1 };
    const lonely = await openTestGateway({ config: { telemetry: otlp } });
    try {
      lonely.openai.play = answerJson(200, chatCompletion('Hi.'));
      for (let n = 0; n < 20; n++) expect(await read(lonely.chat({}, { as: 'service' }))).toBe(200);
    } finally {
      const started = performance.now();
      await lonely.close();
      expect(performance.now() - started).toBeLessThan(10_000);
      silent.close();
    }
  });

  test.each([
    ['down', null],
    ['refusing', 503],
  ])('a collector that is %s harms no request, is counted, and holds up no stop', async (_, status) => {
    const broken = await openCollector();
    const url = broken.url;
    if (status === null) await broken.close();
    else broken.status = status;
    const lonely = await openTestGateway({
      config: { telemetry: { otlp_endpoint: url, traces_sample_ratio: 1, metrics_interval_s: 1 } },
    });
    try {
      lonely.openai.play = answerJson(200, chatCompletion('Hi.'));
      for (let n = 0; n < 20; n++) expect(await read(lonely.chat({}, { as: 'service' }))).toBe(200);
      await until(async () => {
        const families = await scrape(lonely.running.adminUrl);
        const failed = (signal: string) =>
          sumOf(families, 'aegis_telemetry_exports_total', { signal, result: 'failed' });
        return failed('metrics') > 0 && failed('traces') > 0 ? true : undefined;
      }, 20_000);
      const families = await scrape(lonely.running.adminUrl);
      expect(sumOf(families, 'aegis_telemetry_dropped_spans_total')).toBeGreaterThan(0);
      expect(sumOf(families, 'aegis_ready')).toBe(1);
    } finally {
      const started = performance.now();
      await lonely.close();
      expect(performance.now() - started).toBeLessThan(10_000);
      if (status !== null) await broken.close();
    }
  });
});

describe('nothing of what was said, and no secret', () => {
  test('is in metrics or traces', async () => {
    gateway.openai.play = answerJson(200, chatCompletion('cuckoo-answer to jo.cuckoo@example.org'));
    const headers = {
      traceparent: TRACEPARENT,
      tracestate: 'cuckoo-state=1',
      baggage: 'cuckoo-baggage=1',
      'user-agent': 'cuckoo-agent',
      'x-aegis-session': 'cuckoo-session',
      'x-aegis-tags': 'cuckoo-tag=cuckoo-value',
      'x-cuckoo': 'cuckoo-header',
    };
    const body = {
      messages: [{ role: 'user', content: 'cuckoo-prompt jo.cuckoo@example.org 4111 1111 1111 1111' }],
      user: 'cuckoo-user',
    };
    await read(gateway.chat(body, { headers }));
    await read(gateway.chat({ ...body, model: 'cuckoo-model' }, { headers }));
    await read(gateway.chat({ ...body, stream: true }, { headers }));
    await read(gateway.post('/v1/chat/completions', '{"cuckoo-json', { headers }));
    await read(fetch(`${gateway.url}/cuckoo-path?cuckoo-query=1`, { headers }));
    await read(fetch(`${gateway.url}/v1/models/cuckoo-id`, { headers: { authorization: 'Bearer cuckoo-key' } }));
    gateway.openai.play = answerJson(400, { error: { message: 'cuckoo-refusal', code: 'cuckoo-code' } });
    await read(gateway.chat(body, { headers }));
    const traced = collector.requests.length;
    await until(() =>
      collector.requests.slice(traced).some(({ path }) => path.endsWith('traces')) ? true : undefined,
    );
    const metrics = await (await fetch(`${gateway.running.adminUrl}/metrics`)).text();
    const told = [metrics, ...collector.requests.map(({ body }) => body)].join('\n');
    const secrets = [
      PROVIDER_KEY,
      COLLECTOR_TOKEN,
      await gateway.key(),
      'cuckoo',
      '4111 1111',
      '4111111111111111',
      '127.0.0.1',
      'aeg_live',
    ];
    for (const secret of secrets) expect([secret, told.includes(secret)]).toEqual([secret, false]);
    expect(told).toContain(REMOTE.traceId);
  });

  test('is in log lines, which carry the trace', async () => {
    const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
    const served = await startServe(
      [],
      { AEGIS_HOME: home, AEGIS_LISTEN: '127.0.0.1:0', AEGIS_ADMIN_LISTEN: '127.0.0.1:0' },
      home,
    );
    try {
      const key = (await readFile(join(home, 'demo.key'), 'utf8')).trim();
      const answer = await fetch(`${served.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', traceparent: TRACEPARENT },
        body: JSON.stringify({
          model: CHAT_MODEL,
          messages: [{ role: 'user', content: 'cuckoo-prompt sandbox:503 jo.cuckoo@example.org' }],
        }),
      });
      expect(answer.status).toBeGreaterThanOrEqual(500);
      const line = await until(() =>
        served
          .stderr()
          .split('\n')
          .find((text) => text.includes('upstream_error')),
      );
      expect(JSON.parse(line)).toMatchObject({
        trace_id: REMOTE.traceId,
        request_id: answer.headers.get('x-request-id'),
      });
      for (const secret of [key, 'cuckoo', 'aeg_live']) expect(served.stderr()).not.toContain(secret);
    } finally {
      await served.stop('SIGTERM');
      await rm(home, { recursive: true, force: true });
    }
  });
});
