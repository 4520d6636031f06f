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
}

/** What went wrong without an HTTP answer, or in the middle of one. */
export type UpstreamFailure =
  | 'connect_failed'
  | 'connect_timeout'
  | 'first_byte_timeout'
  | 'idle_timeout'
  | 'reset'
  | 'invalid_response'
  | 'aborted';

/** Control over an answer under way. `abort` closes the connection to the upstream and ends with `onError('aborted')`. */
export interface UpstreamFlow {
  pause(): void;
  resume(): void;
  abort(): void;
}

/** Header names in lower case. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Receives an answer: `onHead` once, `onData` any number of times, then exactly one of `onEnd` and `onError`. */
export interface UpstreamHandler {
  onHead(status: number, headers: ResponseHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(failure: UpstreamFailure, cause: unknown): void;
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
  /** Sends a request; the answer goes to `handler`, never before this call has returned. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamFlow;
  close(): Promise<void>;
}
