import type { Client, Dispatcher } from 'undici';
import { failureOf, isConnectionLoss, type Progress } from './failure.ts';
import type { Health } from './health.ts';
import type { KeyRest, ResponseHeaders, UpstreamFailure, UpstreamFlow, UpstreamHandler } from './upstream.ts';

type Controller = Dispatcher.DispatchController;

/** A connection that knows whether it has carried a request before. */
export interface Carrier extends Client {
  requestsOnSocket: number;
  /** Whether no other request is on it, asked as one starts. */
  isAlone(): boolean;
}

/** What an attempt needs of its upstream. */
export interface AttemptHost {
  readonly health: Pick<Health, 'answered' | 'failed' | 'release'>;
  readonly firstByteTimeoutMs: number;
  /** Sends again on a connection of its own. */
  dispatchFresh(attempt: HttpAttempt): void;
  /** The attempt is over: its place is free. Called once. */
  leave(attempt: HttpAttempt): void;
  accepted(key: number): void;
  restKey(key: number, why: KeyRest, model: string, waitMs: number): void;
}

/** Given to undici when a request must end before it is written: it is dropped and the connection stays usable. */
const DROPPED = new Error('the request ended before it was sent');
const STOPPED = new Error('stopped');

const OPEN = 0;
const ENDING = 1;
const DONE = 2;

/**
 * One request under way: undici's dispatch handler and the caller's flow in one object, so that the hot path allocates
 * once. Errors reach the handler in a microtask of their own, never inside `send` or `abort`.
 */
export class HttpAttempt implements UpstreamFlow, Dispatcher.DispatchHandler {
  readonly options: Dispatcher.DispatchOptions;
  /** Set by the connection that takes the request. */
  carrier: Carrier | null = null;
  readonly key: number;
  readonly #model: string;
  readonly #host: AttemptHost;
  readonly #handler: UpstreamHandler;
  readonly #startedAt = performance.now();
  readonly #firstByteTimer: NodeJS.Timeout;
  #controller: Controller | null = null;
  #phase = OPEN;
  #progress: Progress = 'queued';
  #paused = false;
  #byteSeen = false;
  #reusedSocket = false;
  #fresh = false;
  #hasTurn = false;
  /** Whether the circuit waits for what becomes of this attempt. */
  #isProbe: boolean;

  constructor(
    host: AttemptHost,
    options: Dispatcher.DispatchOptions,
    handler: UpstreamHandler,
    { key, model, isProbe }: { key: number; model: string; isProbe: boolean },
  ) {
    this.#host = host;
    this.options = options;
    this.#handler = handler;
    this.key = key;
    this.#model = model;
    this.#isProbe = isProbe;
    // Counts from here, so that waiting for a turn is inside; undici's own timer would start at the first write.
    this.#firstByteTimer = setTimeout(onFirstByteTimeout, host.firstByteTimeoutMs, this);
  }

  /** It is this attempt's turn: `dispatch` sends it, unless it has ended while it waited. */
  start(dispatcher: Dispatcher): void {
    if (this.#phase !== OPEN) return;
    this.#hasTurn = true;
    dispatcher.dispatch(this.options, this);
  }

  restKey(why: KeyRest, waitMs: number): void {
    this.#host.restKey(this.key, why, this.#model, waitMs);
  }

  pause(): void {
    this.#paused = true;
    this.#controller?.pause();
  }

  /** Takes effect in a microtask: undici's parser must not be re-entered from another request's callback. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => {
      if (!this.#paused && this.#phase === OPEN) this.#controller?.resume();
    });
  }

  abort(): void {
    if (this.#phase === OPEN) this.#stop('aborted', STOPPED);
  }

  /** Ends an attempt whose answer has not begun in time. */
  timeOut(): void {
    if (this.#phase === OPEN) this.#stop(this.#hasTurn ? 'first_byte_timeout' : 'overloaded', STOPPED);
  }

  onRequestStart(controller: Controller): void {
    if (this.#phase !== OPEN) throw DROPPED;
    this.#controller = controller;
    this.#progress = 'sent';
    const { carrier } = this;
    // Of a connection that carries other streams too the peer cannot think that it is idle.
    if (carrier !== null) this.#reusedSocket = carrier.requestsOnSocket++ > 0 && carrier.isAlone();
    if (this.#paused) controller.pause();
  }

  onResponseStarted(): void {
    this.#byteSeen = true;
  }

  onResponseStart(_controller: Controller, status: number, headers: ResponseHeaders): void {
    if (this.#phase !== OPEN || status < 200) return;
    clearTimeout(this.#firstByteTimer);
    const now = performance.now();
    this.#host.health.answered(status, now - this.#startedAt, now, this.#isProbe);
    this.#isProbe = false;
    this.#progress = 'answering';
    if (status < 400) this.#host.accepted(this.key);
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      // Only identity was accepted: what comes could be neither inspected nor counted.
      this.#stop('invalid_response', new Error(`content-encoding ${String(encoding)}`));
      return;
    }
    this.#handler.onHead(status, headers);
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    // A resumed parser first reports an empty rest: a reader that pauses at each chunk would never get past it.
    if (chunk.length > 0 && this.#phase === OPEN) this.#handler.onData(chunk);
  }

  onResponseEnd(): void {
    if (this.#phase !== OPEN) return;
    this.#phase = ENDING;
    this.#host.leave(this);
    this.#handler.onEnd();
    this.#phase = DONE;
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    if (this.#phase === DONE) return;
    if (this.#mayRetry(error)) {
      this.#fresh = true;
      this.#progress = 'queued';
      this.#controller = null;
      this.carrier = null;
      this.#host.dispatchFresh(this);
      return;
    }
    this.#fail(failureOf(error, this.#progress), error);
  }

  /**
   * A kept-alive connection may be closed by the peer just as it is used: then nothing was answered, and once again is
   * safe.
   */
  #mayRetry(error: unknown): boolean {
    return (
      this.#phase === OPEN &&
      this.#progress === 'sent' &&
      this.#reusedSocket &&
      !this.#byteSeen &&
      !this.#fresh &&
      isConnectionLoss(error)
    );
  }

  #stop(failure: UpstreamFailure, cause: Error): void {
    this.#fail(failure, cause);
    this.#controller?.abort(cause);
  }

  #fail(failure: UpstreamFailure, cause: unknown): void {
    const wasOpen = this.#phase === OPEN;
    this.#phase = DONE;
    clearTimeout(this.#firstByteTimer);
    // Still in the queue for a connection: what it would have sent need not wait there with it.
    if (this.#progress === 'queued') this.options.body = null;
    if (wasOpen) this.#host.leave(this);
    const { health } = this.#host;
    if (failure !== 'aborted' && failure !== 'overloaded') {
      health.failed(this.#progress !== 'answering', performance.now(), this.#isProbe);
    } else if (this.#isProbe) health.release();
    this.#isProbe = false;
    queueMicrotask(() => this.#handler.onError(failure, cause));
  }
}

const onFirstByteTimeout = (attempt: HttpAttempt): void => attempt.timeOut();
