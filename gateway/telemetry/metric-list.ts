/** What a metric is. Durations are in seconds and sizes in bytes, as OpenTelemetry has them. */
export interface MetricSpec {
  /** `counter` and `histogram` are booked as things happen, `gauge` and `watched_counter` are read at collection. */
  readonly kind: 'counter' | 'histogram' | 'gauge' | 'watched_counter';
  /** A unit of UCUM; in braces what is counted. */
  readonly unit: string;
  /** Names of its labels: their values come from closed lists. A label without a value is left out. */
  readonly labels: readonly string[];
  readonly description: string;
  /** Upper bounds of the buckets of a histogram. */
  readonly boundaries?: readonly number[];
  /** How many of what is booked make one of the unit; 1 if absent. */
  readonly bookedPerUnit?: number;
}

// The bounds of OpenTelemetry's conventions; those of HTTP go on to two minutes, since answers of models do.
const HTTP_S = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120];
const OPERATION_S = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_S = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const PER_TOKEN_S = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
// Stages take microseconds, but for those that wait for a disk, a store or a model.
const STAGE_S = [1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 120];
const DISK_S = [2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

const GEN_AI = [
  'gen_ai.operation.name',
  'gen_ai.provider.name',
  'gen_ai.request.model',
  'gen_ai.response.model',
  'aegis.upstream',
] as const;

/** Every metric there is; docs/operations.md has a row for each. */
export const METRICS = {
  'http.server.request.duration': {
    kind: 'histogram',
    unit: 's',
    labels: ['http.request.method', 'http.route', 'http.response.status_code', 'url.scheme', 'error.type'],
    description: 'Requests of the data plane, from their head to the last byte but what the disk takes after it.',
    boundaries: HTTP_S,
  },
  'gen_ai.client.operation.duration': {
    kind: 'histogram',
    unit: 's',
    labels: [...GEN_AI, 'error.type'],
    description: 'Calls of models, fallbacks included, from the first attempt to the end of the answer.',
    boundaries: OPERATION_S,
  },
  'gen_ai.client.token.usage': {
    kind: 'histogram',
    unit: '{token}',
    labels: [...GEN_AI, 'gen_ai.token.type'],
    description: 'Tokens of a call by class; the classes are disjoint.',
    boundaries: TOKENS,
  },
  'gen_ai.server.time_to_first_token': {
    kind: 'histogram',
    unit: 's',
    labels: [...GEN_AI],
    description: 'Streams: from the head of the request to the first event for the caller.',
    boundaries: FIRST_TOKEN_S,
  },
  'gen_ai.server.time_per_output_token': {
    kind: 'histogram',
    unit: 's',
    labels: [...GEN_AI],
    description: 'Whole streams whose tokens the provider counted: from the first event to the end, by output token.',
    boundaries: PER_TOKEN_S,
  },
  'aegis.requests': {
    kind: 'counter',
    unit: '{request}',
    labels: ['endpoint', 'outcome', 'org'],
    description: 'Requests of the data plane by how they ended.',
  },
  'aegis.requests.open': {
    kind: 'gauge',
    unit: '{request}',
    labels: [],
    description: 'Requests of the data plane under way.',
  },
  'aegis.mirrors': {
    kind: 'counter',
    unit: '{request}',
    labels: ['result', 'reason'],
    description:
      'Requests with a mirror, by what became of it: asked, of which answered or failed; over_budget, skipped with the reason, dropped.',
  },
  'aegis.mirrors.open': {
    kind: 'gauge',
    unit: '{request}',
    labels: ['state'],
    description: 'Mirrored requests under way, and those that wait to be.',
  },
  'aegis.mirrors.cost.usd': {
    kind: 'counter',
    unit: '{USD}',
    labels: ['upstream'],
    description: 'What mirrors cost at the prices of the policy; aegis.cost.usd has it not.',
    bookedPerUnit: 1_000_000,
  },
  'aegis.errors': {
    kind: 'counter',
    unit: '{error}',
    labels: ['code'],
    description: 'Requests of both planes that failed, by code of docs/errors.md.',
  },
  'aegis.decisions': {
    kind: 'counter',
    unit: '{decision}',
    labels: ['endpoint', 'result', 'code'],
    description: 'Decisions of the policy: allow, deny with the code of the rule, or error when it could not decide.',
  },
  'aegis.redactions': {
    kind: 'counter',
    unit: '{value}',
    labels: ['entity'],
    description: 'Values taken out of requests before they went on.',
  },
  'aegis.stage.duration': {
    kind: 'histogram',
    unit: 's',
    labels: ['stage'],
    description: 'Time of each stage of a request; intent is the write to the audit log, restore has a stream in it.',
    boundaries: STAGE_S,
  },
  'aegis.cost.usd': {
    kind: 'counter',
    unit: '{USD}',
    labels: ['org', 'model', 'upstream'],
    description: 'What calls cost at the prices of the policy, US dollars.',
    bookedPerUnit: 1_000_000,
  },
  'aegis.limiter.refusals': {
    kind: 'counter',
    unit: '{request}',
    labels: ['kind', 'scope'],
    description: 'Requests over a limit: requests, tokens, concurrent or spend, and whose limit it was.',
  },
  'aegis.limiter.replicas': {
    kind: 'gauge',
    unit: '{process}',
    labels: [],
    description: 'Gateways that share the limits, itself among them; without Redis there is none.',
  },
  'aegis.limiter.settlements.waiting': {
    kind: 'gauge',
    unit: '{request}',
    labels: [],
    description: 'Requests whose use Redis has not confirmed yet.',
  },
  'aegis.limiter.settlements.dropped': {
    kind: 'watched_counter',
    unit: '{request}',
    labels: [],
    description: 'Requests whose use Redis never heard: what they had reserved is booked in full.',
  },
  'aegis.upstream.attempts': {
    kind: 'counter',
    unit: '{attempt}',
    labels: ['upstream', 'model', 'error'],
    description: 'Attempts at upstreams, those that were passed over included.',
  },
  'aegis.upstream.retries': {
    kind: 'counter',
    unit: '{attempt}',
    labels: ['upstream', 'error'],
    description: 'Attempts after which the same model was asked at the same upstream again.',
  },
  'aegis.upstream.fallbacks': {
    kind: 'counter',
    unit: '{attempt}',
    labels: ['upstream', 'error'],
    description: 'Attempts after which another model or another upstream was asked.',
  },
  'aegis.upstream.attempt.duration': {
    kind: 'histogram',
    unit: 's',
    labels: ['upstream', 'error'],
    description: 'From the start of an attempt to the head of the answer, or to the failure.',
    boundaries: OPERATION_S,
  },
  'aegis.upstream.state': {
    kind: 'gauge',
    unit: '',
    labels: ['upstream', 'state'],
    description: '1 for the state an upstream is in (up, degraded, down), 0 for the others.',
  },
  'aegis.upstream.circuit': {
    kind: 'gauge',
    unit: '',
    labels: ['upstream', 'state'],
    description: '1 for what the circuit of an upstream is (closed, half_open, open), 0 for the others.',
  },
  'aegis.upstream.error_rate': {
    kind: 'gauge',
    unit: '1',
    labels: ['upstream'],
    description: 'Share of the attempts of the last minute that failed.',
  },
  'aegis.upstream.in_flight': {
    kind: 'gauge',
    unit: '{request}',
    labels: ['upstream'],
    description: 'Requests under way at an upstream.',
  },
  'aegis.upstream.waiting': {
    kind: 'gauge',
    unit: '{request}',
    labels: ['upstream'],
    description: 'Requests that wait for their turn at an upstream.',
  },
  'aegis.upstream.keys': {
    kind: 'gauge',
    unit: '{key}',
    labels: ['upstream', 'state'],
    description: 'Keys of an upstream that are ready, and those that rest.',
  },
  'aegis.upstream.retries.left': {
    kind: 'gauge',
    unit: '{attempt}',
    labels: ['upstream'],
    description: 'Retries that the budget of an upstream has left.',
  },
  'aegis.upstream.fresh_retries': {
    kind: 'watched_counter',
    unit: '{request}',
    labels: ['upstream'],
    description: 'Requests sent a second time because a kept-alive connection was closed under them.',
  },
  'aegis.ready': {
    kind: 'gauge',
    unit: '',
    labels: [],
    description: '1 while /readyz says ready.',
  },
  'aegis.degraded': {
    kind: 'gauge',
    unit: '',
    labels: ['part'],
    description: '1 while a part works worse than it should: audit, bundle, keys, ledger, limiter.',
  },
  'aegis.bundle.info': {
    kind: 'gauge',
    unit: '',
    labels: ['revision', 'digest'],
    description: '1 for the policy bundle that serves.',
  },
  'aegis.bundle.activations': {
    kind: 'counter',
    unit: '{bundle}',
    labels: ['result'],
    description: 'Bundles that were activated, and those that were refused.',
  },
  'aegis.rollout.stage': {
    kind: 'gauge',
    unit: '',
    labels: ['stage'],
    description: '1 for where the candidate is (none, shadow, canary, full, rolled_back), 0 for the others.',
  },
  'aegis.rollout.share': {
    kind: 'gauge',
    unit: '1',
    labels: [],
    description: 'Share of the requests that the candidate decides: 0 to 1.',
  },
  'aegis.rollout.compared': {
    kind: 'watched_counter',
    unit: '{request}',
    labels: ['kind'],
    description:
      'Requests that both bundles decided, by how they differ (same, newly_denied, newly_allowed, model_moved, otherwise, policy_error), and those skipped.',
  },
  'aegis.rollout.rollbacks': {
    kind: 'counter',
    unit: '{rollout}',
    labels: ['guard'],
    description: 'Candidates that were taken back, by the guard that was breached; each gateway counts.',
  },
  'aegis.rollout.guard': {
    kind: 'gauge',
    unit: '',
    labels: ['guard'],
    description: 'What each guard reads on all gateways together, in the unit of schemas/rollout.json.',
  },
  'aegis.experiment.stops': {
    kind: 'counter',
    unit: '{experiment}',
    labels: ['guard'],
    description: 'Experiments that this gateway stopped, by the guard that was breached.',
  },
  'aegis.experiment.stopped': {
    kind: 'gauge',
    unit: '{experiment}',
    labels: [],
    description: 'Experiments of the serving policies that a guard has stopped: everybody is in control.',
  },
  'aegis.bundle.source.age': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Since the bundle source was last read, whatever was in it; since the start, if it never was.',
  },
  'aegis.audit.append.duration': {
    kind: 'histogram',
    unit: 's',
    labels: ['result'],
    description: 'Until a record of the audit log was durable (ok), or could not be made so (failed).',
    boundaries: DISK_S,
  },
  'aegis.audit.suppressed': {
    kind: 'counter',
    unit: '{request}',
    labels: [],
    description: 'Failures of strangers that the audit log counts instead of recording each.',
  },
  'aegis.keys.age': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Since the table of keys was as the store has it.',
  },
  'aegis.admin.requests': {
    kind: 'counter',
    unit: '{request}',
    labels: ['endpoint', 'status'],
    description: 'Requests of the admin API.',
  },
  'aegis.telemetry.exports': {
    kind: 'counter',
    unit: '{export}',
    labels: ['signal', 'result'],
    description: 'Exports over OTLP: metrics or traces, ok or failed.',
  },
  'aegis.telemetry.dropped_spans': {
    kind: 'counter',
    unit: '{span}',
    labels: [],
    description: 'Spans that found the queue full, or whose export failed.',
  },
  'nodejs.eventloop.delay.p50': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Event loop delay of the last ten seconds, median.',
  },
  'nodejs.eventloop.delay.p99': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Event loop delay of the last ten seconds, 99th percentile.',
  },
  'nodejs.eventloop.delay.max': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Event loop delay of the last ten seconds, longest.',
  },
  'nodejs.eventloop.utilization': {
    kind: 'gauge',
    unit: '1',
    labels: [],
    description: 'Share of the last ten seconds in which the event loop was busy.',
  },
  'process.cpu.time': {
    kind: 'watched_counter',
    unit: 's',
    labels: ['cpu.mode'],
    description: 'CPU seconds of the process by mode.',
  },
  'process.memory.usage': {
    kind: 'gauge',
    unit: 'By',
    labels: [],
    description: 'Physical memory of the process.',
  },
  'process.uptime': {
    kind: 'gauge',
    unit: 's',
    labels: [],
    description: 'Since the process started.',
  },
  'process.unix.file_descriptor.count': {
    kind: 'gauge',
    unit: '{file_descriptor}',
    labels: [],
    description: 'Open file descriptors, where the system tells.',
  },
  'v8js.memory.heap.used': {
    kind: 'gauge',
    unit: 'By',
    labels: ['v8js.heap.space.name'],
    description: 'Heap in use by space.',
  },
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof METRICS;

type OfKind<K extends MetricSpec['kind']> = {
  [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never;
}[MetricName];

export type CounterName = OfKind<'counter'>;
export type HistogramName = OfKind<'histogram'>;
export type WatchedName = OfKind<'gauge' | 'watched_counter'>;

/** Values of the labels of a metric. */
export type Labels<N extends MetricName> = {
  readonly [L in (typeof METRICS)[N]['labels'][number]]?: LabelValue;
};

/** Null for a label that does not apply. */
export type LabelValue = string | number | null;
