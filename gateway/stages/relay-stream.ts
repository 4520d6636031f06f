import type { ServerResponse } from 'node:http';
import { errorEventOf, toGatewayError } from '../answer-error.ts';
import { accountOf, conclude } from '../conclude.ts';
import { GatewayError } from '../errors.ts';
import { type Exchange, stopping } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import type { Ending } from '../outcome.ts';
import type { Call, Protocol } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { refusedIn } from '../protocol/refusal.ts';
import { createSseSplitter, eventData } from '../protocol/sse.ts';
import { errorIn, mayTellError } from '../protocol/stream-events.ts';
import { createStreamTranslation, type StreamTranslation } from '../protocol/translate-stream.ts';
import { createUsageFilter, parseEvent, type UsageFilter } from '../protocol/usage-filter.ts';
import { failureError } from '../upstream/classify.ts';
import type { UpstreamFailure } from '../upstream/upstream.ts';
import { outputTokenBound } from './admit.ts';
import { AnswerContent, type ContentListener } from './answer-content.ts';
import type { Answer, AnswerSink } from './forward.ts';
import { beyondReserved, createOutputBound, type OutputBound } from './output-bound.ts';
import { createStreamRestore, type StreamRestore } from './restore.ts';
import { saidError, translationContext } from './translated.ts';

/** One event of a stream, at most: a long tool argument fits, a stream without line ends does not. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024;

/** A caller that takes no byte for so long is gone. */
const STALLED_MS = 60_000;

/**
 * Relays a stream event by event: bytes pass as they are unless a value is restored or usage the caller did not ask
 * for is taken out. The terminal event waits until the outcome is durable. A stream that breaks ends with an error
 * event and no terminal one. Resolves when the stream is over, however it ended.
 */
export const relayStream = (
  gw: Gateway,
  x: Exchange,
  call: Call,
  answer: Answer,
  res: ServerResponse,
  headers: Readonly<Record<string, string>>,
): Promise<void> => {
  res.writeHead(answer.status, { ...headers, 'cache-control': 'no-cache' });
  res.flushHeaders();
  return new Promise((resolve) => answer.deliver(new StreamRelay(gw, x, call, answer, res, resolve)));
};

class StreamRelay implements AnswerSink, ContentListener {
  readonly #gw: Gateway;
  readonly #x: Exchange;
  readonly #call: Call;
  /** The upstream's wire format, and the caller's where it is another. */
  readonly #wire: Protocol;
  readonly #translate: StreamTranslation | null;
  readonly #protocol: Protocol;
  readonly #answer: Answer;
  readonly #res: ServerResponse;
  readonly #over: () => void;
  readonly #splitter = createSseSplitter({ maxEventBytes: MAX_EVENT_BYTES });
  readonly #usage: UsageFilter;
  readonly #restore: StreamRestore | null;
  readonly #content: AnswerContent;
  readonly #bound: OutputBound;
  /** How often the provider had told usage when its cost was last held against what was reserved. */
  #costed = 0;
  #bytes = 0;
  #isOver = false;
  /** Runs while the caller does not read. */
  #stalled: NodeJS.Timeout | undefined;
  /** Whether the audit's disk is behind with this answer. */
  #isLagging = false;

  constructor(gw: Gateway, x: Exchange, call: Call, answer: Answer, res: ServerResponse, over: () => void) {
    this.#gw = gw;
    this.#x = x;
    this.#call = call;
    const { wire, translation } = answer.candidate;
    this.#wire = protocolOf(wire);
    this.#protocol = protocolOf(call.endpoint);
    this.#translate =
      translation &&
      createStreamTranslation(translation, this.#protocol, translationContext(x, call, answer.candidate));
    this.#answer = answer;
    this.#res = res;
    this.#over = over;
    this.#usage = createUsageFilter(this.#wire, call.includeUsage || translation !== null);
    const vault = x.products.masked?.vault;
    this.#restore = vault && vault.size > 0 ? createStreamRestore(this.#protocol, vault) : null;
    this.#content = new AnswerContent({
      audit: gw.audit,
      keep: x.products.decision?.audit,
      wire: this.#wire,
      isChanged: this.#restore !== null || translation !== null,
      listener: this,
    });
    this.#bound = createOutputBound(this.#outputTokensMax(), () => this.#content.estimateOutput());
  }

  data(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#bytes += chunk.length;
    try {
      if (this.#bytes > this.#gw.limits.responseBytes) {
        throw new GatewayError('upstream_error', 'The answer of the model provider is too large.');
      }
      const events = this.#splitter.push(chunk);
      if (events.length === 0) return;
      this.#x.firstEventMs ??= this.#x.durationMs();
      this.#relay(events);
    } catch (error) {
      void this.#break(toGatewayError(error, this.#gw, this.#x));
    }
  }

  end(): void {
    if (this.#isOver) return;
    const last = this.#splitter.end();
    // Some servers leave out the last blank line. An event that was cut off could pass for a whole one: it stays here.
    if (isWhole(last)) this.data(closed(last));
    if (this.#isOver) return;
    void this.#break(new GatewayError('upstream_error', 'The model provider ended the answer before it was complete.'));
  }

  fail(failure: UpstreamFailure): void {
    if (!this.#isOver) void this.#break(this.#x.stopped ? stopping() : failureError(failure));
  }

  lags(): void {
    this.#isLagging = true;
    this.#answer.flow.pause();
  }

  caughtUp(): void {
    this.#isLagging = false;
    this.#goOn();
  }

  failed(error: unknown): void {
    if (!this.#isOver) void this.#break(toGatewayError(error, this.#gw, this.#x));
  }

  #relay(whole: Buffer): void {
    // A provider may repeat the operator's key in the error about it.
    const events = mayTellError(whole) ? this.#answer.candidate.upstream.hideKeys(whole) : whole;
    this.#content.receive(events);
    this.#x.refused ||= refusedIn(events);
    this.#bound.count(events.length);
    const terminal = this.#wire.terminalAt(events);
    let out = this.#usage.push(terminal < 0 ? events : events.subarray(0, terminal));
    this.#checkCost();
    if (this.#translate && out.length > 0) {
      // What the provider says went wrong is said once, in the caller's words.
      const failed = errorIn(out);
      if (failed) throw saidError(failed, this.#answer.candidate);
      out = this.#translate.push(out);
    }
    if (this.#restore && out.length > 0) out = this.#restore.push(out);
    this.#write(out);
    if (terminal >= 0) void this.#complete(events.subarray(terminal));
  }

  /**
   * The provider's own count holds at once. Throws GatewayError `budget_exceeded` where its output is beyond the cap and
   * the whole costs more than was reserved.
   */
  #checkCost(): void {
    if (this.#usage.told === this.#costed) return;
    this.#costed = this.#usage.told;
    const { evidence, reservedMicroUsd } = this.#x;
    const reported = this.#usage.result();
    if (!evidence || !reported || reported.output + reported.reasoning <= this.#outputTokensMax()) return;
    const { cost } = accountOf(this.#gw, this.#x, { ...evidence, reported });
    if (cost.micro_usd > reservedMicroUsd) throw beyondReserved();
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#content.send(bytes);
    if (this.#res.write(bytes) || this.#stalled) return;
    // A slow reader slows its upstream; one that does not read at all must not hold it for ever.
    this.#answer.flow.pause();
    this.#stalled = setTimeout(() => this.#res.destroy(), STALLED_MS).unref();
    this.#res.once('drain', this.#resume);
  }

  #resume = (): void => {
    this.#free();
    this.#goOn();
  };

  /** Takes more once neither the caller nor the disk is behind. */
  #goOn(): void {
    if (!this.#stalled && !this.#isLagging) this.#answer.flow.resume();
  }

  #free(): void {
    clearTimeout(this.#stalled);
    this.#stalled = undefined;
  }

  /** The whole answer is here: its end goes out once the outcome is durable. */
  async #complete(terminal: Buffer): Promise<void> {
    this.#isOver = true;
    try {
      let last = this.#usage.push(terminal);
      this.#checkCost();
      if (this.#translate) last = this.#translate.finish(last);
      if (this.#restore) {
        this.#write(this.#restore.flush());
        // The last event of responses has the whole answer in it.
        last = this.#restore.push(last);
      }
      if (this.#translate) last = Buffer.concat([last, Buffer.from(this.#protocol.terminal)]);
      this.#content.send(last);
      this.#x.time('restore');
      // An error said before the end, or by an end that says so (response.failed): passed on, and told in the record.
      const failed = [...this.#content.recent, last].some((events) => errorIn(events) !== null);
      await this.#conclude(failed ? 'failed' : 'ok', failed ? 'upstream_error' : null);
      this.#res.end(last);
    } catch (error) {
      return this.#break(toGatewayError(error, this.#gw, this.#x));
    }
    this.#over();
  }

  /** The stream is broken: it ends with an error event, never with the terminal one. */
  async #break(error: GatewayError): Promise<void> {
    this.#isOver = true;
    this.#answer.flow.abort();
    const { aborted } = this.#x;
    let said = error;
    if (error.code === 'budget_exceeded') {
      const { model, upstream } = this.#answer.candidate;
      const fields = { ...this.#x.names, model, upstream: upstream.name };
      this.#gw.log.warn(fields, 'an answer was cut off: its provider went beyond what was reserved');
    }
    try {
      if (this.#restore && !aborted) this.#write(this.#restore.flush());
    } catch (failure) {
      said = toGatewayError(failure, this.#gw, this.#x);
    }
    if (this.#res.destroyed) this.#free();
    this.#x.time('restore');
    try {
      await this.#conclude(aborted ? 'aborted' : 'incomplete', aborted ? 'client_closed_request' : error.code);
    } catch (failure) {
      said = toGatewayError(failure, this.#gw, this.#x);
    }
    // An error that the provider said in the stream has been passed on: once is enough.
    this.#res.end(this.#endsWithError() ? undefined : errorEventOf(said, this.#x, this.#call));
    this.#over();
  }

  async #conclude(outcome: Ending['outcome'], error: string | null): Promise<void> {
    const { evidence } = this.#x;
    const reported = this.#usage.result();
    // A broken stream may have reported its start only: the larger of count and estimate is charged.
    const isPartial = outcome !== 'ok' && reported !== null;
    const known = evidence && {
      ...evidence,
      reported: isPartial ? { ...reported, output: Math.max(reported.output, this.#estimateOutput()) } : reported,
      outputEstimate: () => this.#estimateOutput(),
    };
    const { usage, cost } = accountOf(this.#gw, this.#x, known);
    this.#x.time('account');
    const status = outcome === 'aborted' ? 499 : this.#answer.status;
    await conclude(this.#gw, this.#x, { outcome, status, error, usage, cost }, this.#content.finish());
  }

  #estimateOutput(): number {
    // An estimate may be over; the cap that was sent and reserved is not.
    return Math.min(this.#content.estimateOutput(), this.#outputTokensMax());
  }

  #outputTokensMax(): number {
    return outputTokenBound(this.#call, this.#answer.candidate.maxOutputTokens);
  }

  #endsWithError(): boolean {
    const last = this.#content.recent.at(-1);
    return last !== undefined && this.#translate === null && errorIn(last) !== null;
  }
}

/** Whether an event that no blank line has ended says all it has to say. */
const isWhole = (event: Buffer): boolean => {
  const { data } = eventData(event);
  return data !== null && (data === '[DONE]' || parseEvent(data) !== undefined);
};

/** The event with the line ends that it lacks. */
const closed = (event: Buffer): Buffer => Buffer.concat([event, Buffer.from(event.at(-1) === 0x0a ? '\n' : '\n\n')]);
