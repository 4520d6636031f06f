import type { ResponseHeaders, UpstreamFailure, UpstreamFlow, UpstreamHandler } from '../upstream/upstream.ts';
import type { Candidate } from './candidates.ts';
import type { Answer, AnswerSink } from './forward.ts';

/** Receives an answer and keeps what arrives before somebody wants it: undici gives head and body in one go. */
export class Incoming implements UpstreamHandler, Answer {
  status = 0;
  headers: ResponseHeaders = {};
  stream = false;
  flow!: UpstreamFlow;
  /** What undici or Node said of a failure. */
  cause: unknown = null;
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

  onError(failure: UpstreamFailure, cause: unknown): void {
    this.cause = cause;
    this.#resolve(failure);
    if (this.#sink) this.#sink.fail(failure);
    else this.#failure = failure;
  }

  /** The start of the body, up to about `maxBytes`, or all of it. What was read is still delivered. */
  peek(maxBytes: number): Promise<Buffer> {
    return new Promise((resolve) => {
      const read: Buffer[] = [];
      let bytes = 0;
      const stop = (): void => {
        this.#sink = undefined;
        this.#early = read;
        resolve(Buffer.concat(read));
      };
      this.deliver({
        data: (chunk) => {
          read.push(chunk);
          bytes += chunk.length;
          if (bytes > maxBytes) stop();
        },
        end: () => {
          this.#ended = true;
          stop();
        },
        fail: (failure) => {
          this.#failure = failure;
          stop();
        },
      });
    });
  }

  deliver(sink: AnswerSink): void {
    this.#sink = sink;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) this.onData(chunk);
    if (this.#failure !== undefined) sink.fail(this.#failure);
    else if (this.#ended) sink.end();
  }
}
