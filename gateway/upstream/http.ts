import { buildConnector, Client, type Dispatcher, Pool } from 'undici';
import { servedEndpoints } from '../protocol/translations.ts';
import { type AttemptHost, type Carrier, HttpAttempt } from './attempt.ts';
import { endpointOf, type UpstreamConfig } from './endpoint.ts';
import { createRequestHeaders } from './headers.ts';
import { createHealth } from './health.ts';
import type { Upstream } from './upstream.ts';

/** What the upstream says in the log: names and states, never content, addresses or keys. */
export interface UpstreamLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface HttpUpstream extends Upstream {
  /** Requests sent a second time, on a fresh connection, because a kept-alive one was reset before a byte of answer. */
  readonly freshRetries: number;
}

/** Shorter than the idle timeouts of the providers' load balancers (60 s and more), so that they rarely close first. */
const KEEP_ALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 65_536;

/**
 * A provider over HTTP/1.1: one request a connection, `max_concurrent` connections, so that an abort closes exactly the
 * connection of its request. Redirects are not followed. `close` ends requests under way with `aborted`: drain first.
 * Throws Error on a base URL that cannot be used.
 */
export const openHttpUpstream = (config: UpstreamConfig, logger?: UpstreamLogger): HttpUpstream => {
  const endpoint = endpointOf(config);
  const headersOf = createRequestHeaders(config, endpoint.dialects.includes('anthropic'));
  const health = createHealth((state) => {
    if (state === 'up') logger?.info({ upstream: config.name, state }, 'upstream state');
    else logger?.warn({ upstream: config.name, state }, 'upstream state');
  });
  const clientOptions: Client.Options = {
    connect: buildConnector({ allowH2: false, timeout: config.connect_timeout_ms ?? 5_000 }),
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 0, // HttpAttempt has its own
    bodyTimeout: config.idle_timeout_ms ?? 60_000,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  const pool = new Pool(endpoint.origin, {
    connections: config.max_concurrent ?? 256,
    ...clientOptions,
    factory: (origin) => new CountingClient(origin, clientOptions),
  });
  const fresh = new Set<Client>();
  let freshRetries = 0;

  const host: AttemptHost = {
    health,
    firstByteTimeoutMs: config.first_byte_timeout_ms ?? 120_000,
    dispatch: (attempt) => void pool.dispatch(attempt.options, attempt),
    dispatchFresh: (attempt) => {
      freshRetries++;
      const client = new Client(endpoint.origin, clientOptions);
      fresh.add(client);
      client.dispatch({ ...attempt.options, reset: true }, attempt);
      void client.close().then(() => fresh.delete(client));
    },
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
    name: config.name,
    kind: config.kind,
    dialects: endpoint.dialects,
    endpoints: endpoint.endpoints,
    thirdParty: endpoint.thirdParty,
    get freshRetries() {
      return freshRetries;
    },
    health: () => {
      const now = health.read(performance.now());
      if (now !== reading) {
        reading = now;
        facts = factsOf();
      }
      return facts;
    },
    send: (request, handler) => {
      const attempt = new HttpAttempt(
        host,
        {
          method: 'POST',
          path: endpoint.pathOf(request.path),
          headers: headersOf(request.headers),
          body: request.body,
        },
        handler,
      );
      host.dispatch(attempt);
      return attempt;
    },
    close: async () => {
      await Promise.all([pool.destroy(), ...[...fresh].map((client) => client.destroy())]);
    },
  };
};

/** Counts the requests of each of its sockets, to tell a kept-alive connection from a new one. */
class CountingClient extends Client implements Carrier {
  requestsOnSocket = 0;

  constructor(origin: URL | string, options: Client.Options) {
    super(origin, options);
    this.on('connect', () => {
      this.requestsOnSocket = 0;
    });
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (handler instanceof HttpAttempt) handler.carrier = this;
    return super.dispatch(options, handler);
  }
}
