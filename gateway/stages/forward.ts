import { GatewayError } from '../errors.ts';
import { type Exchange, stopping } from '../exchange.ts';
import {
  type FailedAttempt,
  finalError,
  isRelayable,
  isRetriableFailure,
  parseRetryAfterMs,
} from '../upstream/classify.ts';
import type { ResponseHeaders, UpstreamFailure, UpstreamFlow, UpstreamHandler } from '../upstream/upstream.ts';
import type { Candidate } from './candidates.ts';

/** Where an answer's bytes go once somebody wants them. */
export interface AnswerSink {
  data(chunk: Buffer): void;
  end(): void;
  fail(failure: UpstreamFailure): void;
}

/** An upstream's answer whose head has arrived. */
export interface Answer {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly candidate: Candidate;
  /** Whether the body is server-sent events. */
  readonly stream: boolean;
  readonly flow: UpstreamFlow;
  /** Hands over what has arrived and all that follows. Called once. */
  deliver(sink: AnswerSink): void;
}

/** The largest error body of an upstream that is read before the next candidate is tried. */
const ERROR_BODY_BYTES = 65_536;

/** What is sent for a candidate. */
export interface Outgoing {
  /** Path under the base URL, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * Sends the call to the candidates in order until one answers with something that is the caller's: a success, or an
 * error that no other model would answer better. Falls back on connection failures, 429, 5xx and a first-byte timeout,
 * so never after a byte of an answer. Every attempt is kept in the exchange. Throws GatewayError `upstream_error`,
 * `upstream_timeout`, `rate_limited`, `client_closed_request` or `shutting_down`.
 */
export const forward = async (
  x: Exchange,
  candidates: readonly Candidate[],
  outgoingFor: (candidate: Candidate) => Outgoing,
): Promise<Answer> => {
  const failures: FailedAttempt[] = [];
  for (const candidate of candidates) {
    if (x.aborted || x.stopped) break;
    const result = await attempt(x, candidate, outgoingFor(candidate));
    if (result instanceof Incoming) return result;
    failures.push(result);
    if (result.failure !== null && !isRetriableFailure(result.failure)) break;
  }
  if (x.aborted) throw new GatewayError('client_closed_request', 'The caller left before an answer.');
  if (x.stopped) throw stopping();
  throw finalError(failures);
};

const attempt = async (x: Exchange, candidate: Candidate, outgoing: Outgoing): Promise<Incoming | FailedAttempt> => {
  const started = performance.now();
  const incoming = new Incoming(candidate);
  const flow = candidate.upstream.send({ wire: candidate.wire, ...outgoing }, incoming);
  x.onAbort = () => flow.abort();
  incoming.flow = flow;
  const failure = await incoming.head;
  const { status } = incoming;
  // A redirect is no answer either.
  const refused = status >= 300 ? `status_${status}` : null;
  x.attempts.push({
    model: candidate.model,
    upstream: candidate.upstream.name,
    status: failure === null ? status : null,
    error: failure ?? refused,
    ms: Math.round((performance.now() - started) * 100) / 100,
  });
  if (failure !== null) return { status: null, failure, retryAfterMs: null, body: NO_BODY };
  if (isRelayable(status)) return incoming;
  return { status, failure: null, retryAfterMs: parseRetryAfterMs(incoming.headers), body: await readError(incoming) };
};

const NO_BODY = Buffer.alloc(0);

const readError = (incoming: Incoming): Promise<Buffer> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (): void => resolve(Buffer.concat(chunks));
    incoming.deliver({
      data(chunk) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > ERROR_BODY_BYTES) incoming.flow.abort();
      },
      end: done,
      fail: done,
    });
  });

/** Receives an answer and keeps what arrives before somebody wants it: undici gives head and body in one go. */
class Incoming implements UpstreamHandler, Answer {
  status = 0;
  headers: ResponseHeaders = {};
  stream = false;
  flow!: UpstreamFlow;
  readonly candidate: Candidate;
  /** Null when the head has arrived, else why it never will. */
  readonly head: Promise<UpstreamFailure | null>;
  #resolve!: (failure: UpstreamFailure | null) => void;
  #sink: AnswerSink | undefined;
  #early: Buffer[] = [];
  #ended = false;
  #failure: UpstreamFailure | undefined;

  constructor(candidate: Candidate) {
    this.candidate = candidate;
    this.head = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onHead(status: number, headers: ResponseHeaders): void {
    this.status = status;
    this.headers = headers;
    const type = headers['content-type'];
    this.stream = typeof type === 'string' && type.startsWith('text/event-stream');
    this.#resolve(null);
  }

  onData(chunk: Buffer): void {
    if (this.#sink) this.#sink.data(chunk);
    else this.#early.push(chunk);
  }

  onEnd(): void {
    if (this.#sink) this.#sink.end();
    else this.#ended = true;
  }

  onError(failure: UpstreamFailure): void {
    this.#resolve(failure);
    if (this.#sink) this.#sink.fail(failure);
    else this.#failure = failure;
  }

  deliver(sink: AnswerSink): void {
    this.#sink = sink;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) sink.data(chunk);
    if (this.#failure !== undefined) sink.fail(this.#failure);
    else if (this.#ended) sink.end();
  }
}
