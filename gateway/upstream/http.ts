import { buildConnector, Client, type Dispatcher, Pool } from 'undici';
import { servedEndpoints } from '../protocol/translations.ts';
import { type AttemptHost, type Carrier, HttpAttempt } from './attempt.ts';
import { endpointOf, type UpstreamConfig } from './endpoint.ts';
import { createGate } from './gate.ts';
import { createRequestHeaders } from './headers.ts';
import { createHealth, type Health } from './health.ts';
import { createKeyHider } from './hide-keys.ts';
import { createKeyRing } from './keys.ts';
import { createRetryBudget } from './retry-budget.ts';
import type { Upstream, UpstreamFlow, UpstreamHandler, UpstreamSkip } from './upstream.ts';

/** What the upstream says in the log: names and states, never content, addresses or keys. */
export interface UpstreamLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Told when a key of an upstream, by its place in the config, rests because its account is out of money. */
export type OnOutOfMoney = (upstream: string, key: number, restMs: number) => void;

/** What a test may set, and no config, but for `onOutOfMoney`. */
export interface HttpUpstreamOptions {
  readonly onOutOfMoney?: OnOutOfMoney;
  /** The certificate to trust, PEM: for a server that a test makes. */
  readonly ca?: string | Buffer;
  /** The circuit's first pause. */
  readonly openMs?: number;
}

/** Shorter than the idle timeouts of the providers' load balancers (60 s and more), so that they rarely close first. */
const KEEP_ALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 65_536;
/** What a caller is told to wait for a turn, where nobody knows. */
const TURN_WAIT_MS = 1_000;

/**
 * A provider over HTTP/1.1, one request a connection, so that an abort closes exactly the connection of its request;
 * with `http2` over HTTP/2 where the server offers it, one connection for many streams, and an abort resets a stream.
 * At most `max_concurrent` requests are under way. Redirects are not followed. `close` ends requests under way with
 * `aborted`: drain first. Throws Error on a base URL that cannot be used.
 */
export const openHttpUpstream = (
  config: UpstreamConfig,
  logger?: UpstreamLogger,
  { ca, openMs, onOutOfMoney }: HttpUpstreamOptions = {},
): Upstream => {
  const { name, kind, max_concurrent: maxConcurrent = 256, http2: allowH2 = false } = config;
  const endpoint = endpointOf(config);
  const ring = createKeyRing(config);
  const headersOf = createRequestHeaders(config, ring.keys);
  const budget = createRetryBudget();
  const health = createHealth((state) => {
    if (state === 'up') logger?.info({ upstream: name, state }, 'upstream state');
    else logger?.warn({ upstream: name, state }, 'upstream state');
  }, openMs);
  const timeout = config.connect_timeout_ms ?? 5_000;
  const clientOptions: Client.Options = {
    allowH2,
    connect: buildConnector({ allowH2, preferH2: allowH2, timeout, ...(ca === undefined ? {} : { ca }) }),
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 0, // HttpAttempt has its own
    bodyTimeout: config.idle_timeout_ms ?? 60_000,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const pool = new Pool(endpoint.origin, {
    connections: maxConcurrent,
    ...clientOptions,
    factory: (origin) => new CountingClient(origin, clientOptions),
  });
  const gate = createGate<HttpAttempt>(maxConcurrent, (attempt) => attempt.start(pool));
  const fresh = new Set<Client>();
  let freshRetries = 0;

  const host: AttemptHost = {
    health,
    firstByteTimeoutMs: config.first_byte_timeout_ms ?? 120_000,
    leave: gate.leave,
    accepted: ring.accepted,
    restKey: (key, why, model, waitMs) => {
      const restMs = ring.rest(key, why, model, waitMs, performance.now());
      if (restMs > 0 && why !== 'rate_limit') {
        logger?.warn(
          { upstream: name, key, why, rest_s: restMs / 1000 },
          'a provider key is out: its account needs its operator',
        );
        if (why === 'spend_limit') onOutOfMoney?.(name, key, restMs);
      }
    },
    dispatchFresh: (attempt) => {
      freshRetries++;
      const client = new Client(endpoint.origin, clientOptions);
      fresh.add(client);
      client.dispatch({ ...attempt.options, reset: true }, attempt);
      void client.close().then(() => fresh.delete(client));
    },
  };

  /** Those that nobody waits for: what becomes of them opens no circuit for callers. */
  const asides = new Set<HttpAttempt>();
  const asideHost: AttemptHost = {
    ...host,
    health: UNHEARD,
    leave: (attempt) => {
      asides.delete(attempt);
      gate.leave(attempt);
    },
  };
  const hasRoom = (model: string): boolean => {
    const now = performance.now();
    return gate.underWay < maxConcurrent && health.circuit(now) === 'closed' && ring.isReady(model, 0, now);
  };

  let reading = health.read(performance.now());
  const factsOf = () => ({
    dialects: [...endpoint.dialects],
    endpoints: servedEndpoints(endpoint.endpoints),
    third_party: endpoint.thirdParty,
    state: reading.state,
    error_rate: reading.errorRate,
    p50_ms: reading.p50Ms,
  });
  let facts = factsOf();

  return {
    name,
    kind,
    dialects: endpoint.dialects,
    endpoints: endpoint.endpoints,
    thirdParty: endpoint.thirdParty,
    health: () => {
      const now = health.read(performance.now());
      if (now !== reading) {
        reading = now;
        facts = factsOf();
      }
      return facts;
    },
    status: () => {
      const now = performance.now();
      const { state, errorRate, p50Ms } = health.read(now);
      return {
        name,
        kind,
        state,
        error_rate: errorRate,
        p50_ms: p50Ms,
        in_flight: gate.underWay,
        waiting: gate.waiting,
        circuit: health.circuit(now),
        retry_budget: budget.read(now),
        keys: ring.status(now),
        fresh_retries: freshRetries,
      };
    },
    send: (request, handler) => {
      const now = performance.now();
      const model = request.model ?? '';
      const isAside = request.isAside === true;
      if (isAside && !hasRoom(model)) return skip(handler, 'overloaded');
      // The oldest of those that may give way has cost the most already, and is the nearest to its end: it stays.
      if (!isAside && gate.underWay >= maxConcurrent) [...asides].at(-1)?.abort();
      if (gate.isFull) return skip(handler, 'overloaded');
      const entry = health.enter(now);
      if (entry === 'stop') return skip(handler, 'circuit_open');
      const key = ring.keys.length === 0 ? NO_KEY : ring.take(model, request.exceptKeys ?? 0, now);
      if (key === NO_KEY && ring.keys.length > 0) {
        if (entry === 'probe') health.release();
        return skip(handler, 'keys_resting');
      }
      if (request.isRetry !== true && !isAside) budget.first(now);
      const attempt = new HttpAttempt(
        isAside ? asideHost : host,
        {
          method: 'POST',
          path: endpoint.pathOf(request.path),
          headers: headersOf(request.headers, request.wire, key),
          body: request.body,
        },
        handler,
        { key, model, isProbe: entry === 'probe' },
      );
      if (isAside) asides.add(attempt);
      gate.enter(attempt);
      return attempt;
    },
    mayRetry: () => budget.take(performance.now()),
    hasRoom,
    hasKey: (model, exceptKeys) => ring.isReady(model, exceptKeys, performance.now()),
    waitMs: (model) => {
      const now = performance.now();
      return Math.max(health.waitMs(now), ring.waitMs(model, now), gate.isFull ? TURN_WAIT_MS : 0);
    },
    hideKeys: createKeyHider(ring.keys),
    close: async () => {
      await Promise.all([pool.destroy(), ...[...fresh].map((client) => client.destroy())]);
    },
  };
};

const NO_KEY = -1;

const UNHEARD: Pick<Health, 'answered' | 'failed' | 'release'> = { answered() {}, failed() {}, release() {} };

/** Tells, once `send` has returned, that nothing was sent. */
const skip = (handler: UpstreamHandler, why: UpstreamSkip): UpstreamFlow => {
  queueMicrotask(() => handler.onError(why, null));
  return SKIPPED;
};

const SKIPPED: UpstreamFlow = { key: NO_KEY, pause() {}, resume() {}, abort() {}, restKey() {} };

/** Counts the requests of each of its sockets, to tell a kept-alive connection from a new one. */
class CountingClient extends Client implements Carrier {
  requestsOnSocket = 0;
  readonly #isShared: boolean;

  constructor(origin: URL | string, options: Client.Options) {
    super(origin, options);
    this.#isShared = options.allowH2 === true;
    this.on('connect', () => {
      this.requestsOnSocket = 0;
    });
  }

  isAlone(): boolean {
    // The one that starts is not among the running yet.
    return !this.#isShared || this.stats.running === 0;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (handler instanceof HttpAttempt) handler.carrier = this;
    return super.dispatch(options, handler);
  }
}
