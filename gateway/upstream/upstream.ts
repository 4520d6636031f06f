import type { Dialect, Endpoint, UpstreamKind } from '../protocol/protocol.ts';
import type { Input } from '../types.gen.ts';

/** A call that is ready for the wire. */
export interface UpstreamRequest {
  /** The wire format of the body. */
  readonly wire: Endpoint;
  /** Path under the base URL, such as `/chat/completions` or `/messages?beta=true`. */
  readonly path: string;
  /** Allow-listed headers of the caller. The upstream adds its own credential and content headers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The model's name at the upstream: keys rest by model where a limit is the model's. */
  readonly model?: string;
  /**
   * Whether this caller's request has been sent here before, so that it is no first attempt (`mayRetry` allowed it).
   */
  readonly isRetry?: boolean;
  /** Keys that have refused this caller's request, as bits by index. */
  readonly exceptKeys?: number;
  /**
   * Nobody waits for its answer: it is sent where `hasRoom` says so, is no part of the upstream's health, its circuit or its
   * retry budget, and gives way, with `aborted`, to the first request of a caller that finds no place free.
   */
  readonly isAside?: boolean;
}

/** Why an upstream was passed over: nothing was sent. */
export type UpstreamSkip =
  /** Its circuit is open, or half open with a probe under way. */
  | 'circuit_open'
  /** As many requests as may wait for it wait already, or this one has waited too long. */
  | 'overloaded'
  /** Each of its keys has refused and rests. */
  | 'keys_resting'
  /** A retry would go over its retry budget. */
  | 'retry_budget';

/** What went wrong without an HTTP answer, or in the middle of one. */
export type UpstreamFailure =
  | UpstreamSkip
  | 'connect_failed'
  | 'connect_timeout'
  | 'first_byte_timeout'
  | 'idle_timeout'
  | 'reset'
  | 'invalid_response'
  | 'aborted';

/**
 * Control over an answer under way. `abort` closes the connection to the upstream and ends with `onError('aborted')`.
 */
export interface UpstreamFlow {
  pause(): void;
  resume(): void;
  abort(): void;
  /** Index of the key that was sent, -1 where there is none. */
  readonly key: number;
  /** The answer said that this key is out: it rests. `waitMs` is what a limit asked for. */
  restKey(why: KeyRest, waitMs: number): void;
}

/** Why a key rests: its account has no money, it is not accepted, or it is over a rate limit for this model. */
export type KeyRest = 'spend_limit' | 'refused' | 'rate_limit';

/** Header names in lower case. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Receives an answer: `onHead` once, `onData` any number of times, then exactly one of `onEnd` and `onError`. */
export interface UpstreamHandler {
  onHead(status: number, headers: ResponseHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(failure: UpstreamFailure, cause: unknown): void;
}

/** How an upstream does, without addresses or secrets: what the control plane shows. */
export interface UpstreamStatus {
  readonly name: string;
  readonly kind: UpstreamKind;
  readonly state: Input['upstreams'][string]['state'];
  readonly error_rate: number;
  readonly p50_ms: number;
  /** Requests under way, and those that wait to be. */
  readonly in_flight: number;
  readonly waiting: number;
  readonly circuit: 'closed' | 'open' | 'half_open';
  /** First attempts and retries of the last ten seconds, and the retries that are left. */
  readonly retry_budget: { readonly first_attempts: number; readonly retries: number; readonly left: number };
  /** `until` is RFC 3339 in UTC, null for a key that is ready. */
  readonly keys: readonly {
    readonly index: number;
    readonly state: 'ready' | 'resting';
    readonly why: KeyRest | null;
    readonly until: string | null;
  }[];
  /** Requests sent a second time on a fresh connection, since the start. */
  readonly fresh_retries: number;
}

/** One configured provider. Redirects are not followed; the destination is the configuration's alone. */
export interface Upstream {
  readonly name: string;
  readonly kind: UpstreamKind;
  readonly dialects: readonly Dialect[];
  /** The endpoints it speaks itself. */
  readonly endpoints: readonly Endpoint[];
  readonly thirdParty: boolean;
  /** Health from live traffic, the facts of `input.upstreams`. */
  health(): Input['upstreams'][string];
  status(): UpstreamStatus;
  /** Sends a request; the answer goes to `handler`, never before this call has returned. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamFlow;
  /** Takes one retry from the upstream's budget; false when there is none. */
  mayRetry(): boolean;
  /** Whether a key is ready for this model that is not among `exceptKeys`. */
  hasKey(model: string, exceptKeys: number): boolean;
  /** Whether a request that nobody waits for may be sent: the circuit is closed, a place is free and a key is ready. */
  hasRoom(model: string): boolean;
  /** Milliseconds until a request for this model may be sent again, as far as is known; 0 for at once. */
  waitMs(model: string): number;
  /**
   * The body without the operator's keys, should the provider have repeated one. The same Buffer where there is none.
   */
  hideKeys(body: Buffer): Buffer;
  close(): Promise<void>;
}
