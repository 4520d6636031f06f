import { GatewayError, isGatewayError } from '../errors.ts';
import { type Exchange, stopping } from '../exchange.ts';
import type { Attempt } from '../types.gen.ts';
import {
  type FailedAttempt,
  finalError,
  isContextOverflow,
  isRelayable,
  isRetriableFailure,
  isSkip,
  isSpendLimit,
  isTransientFailure,
  isTransientStatus,
  MAX_RETRY_DELAY_MS,
  parseRetryAfterMs,
} from '../upstream/classify.ts';
import { litellmCostMicroUsd } from '../upstream/litellm.ts';
import type {
  ResponseHeaders,
  Upstream,
  UpstreamFailure,
  UpstreamFlow,
  UpstreamRequest,
} from '../upstream/upstream.ts';
import type { Candidate } from './candidates.ts';
import { Incoming } from './incoming.ts';

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

/** What is sent for a candidate. */
export interface Outgoing {
  /** Path under the base URL, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The largest error body of an upstream that is read before it is judged. */
const ERROR_BODY_BYTES = 65_536;
const MIN_RETRY_DELAY_MS = 25;

/**
 * Sends the call to the candidates in order until one answers with something that is the caller's: a success, or an
 * error that no other model would answer better. What else may happen is told in docs/lifecycle.md, "Forward": retries,
 * keys, open circuits, a context that is too small. Nothing is tried again after a byte of an answer. Every attempt is
 * kept in the exchange. Throws GatewayError `upstream_error`, `upstream_timeout`, `rate_limited`,
 * `client_closed_request` or `shutting_down`; what `outgoingFor` threw when no candidate could be asked at all.
 */
export const forward = async (
  x: Exchange,
  candidates: readonly Candidate[],
  outgoingFor: (candidate: Candidate) => Outgoing,
): Promise<Answer> => {
  const search: Search = { x, failures: [], asked: [], tooSmallTokens: 0, overflow: null };
  const { failures } = search;
  let unsaid: GatewayError | undefined;
  for (const candidate of candidates) {
    if (x.aborted || x.stopped) break;
    if (candidate.contextTokens <= search.tooSmallTokens) continue;
    let outgoing: Outgoing;
    try {
      outgoing = outgoingFor(candidate);
    } catch (error) {
      if (!isGatewayError(error)) throw error;
      unsaid ??= error;
      continue;
    }
    const answer = await ask(search, candidate, outgoing);
    if (answer) return answer;
    const failure = failures.at(-1)?.failure ?? null;
    if (failure !== null && !isRetriableFailure(failure)) break;
  }
  if (x.aborted) throw new GatewayError('client_closed_request', 'The caller left before an answer.');
  if (x.stopped) throw stopping();
  if (search.overflow) return search.overflow;
  if (unsaid && failures.length === 0) throw unsaid;
  throw finalError(failures);
};

/**
 * Asks one candidate once, for nobody who waits: no second try, no other key, and what becomes of it is no part of the
 * upstream's health. The attempt is kept in the exchange. Gives the answer, whatever its status, or why there is none.
 */
export const askAside = async (
  x: Exchange,
  candidate: Candidate,
  outgoing: Outgoing,
): Promise<Answer | UpstreamFailure> => {
  const started = performance.now();
  const incoming = send(x, candidate, outgoing, { isAside: true });
  const failure = await incoming.head;
  keep(x, incoming, failure, started);
  return failure ?? incoming;
};

/** What is known so far of one call's search for an answer. */
interface Search {
  readonly x: Exchange;
  readonly failures: FailedAttempt[];
  /** The upstreams that were sent this call. */
  readonly asked: Upstream[];
  /** The largest context of those that found the call too long for it. */
  tooSmallTokens: number;
  /**
   * The last answer of that kind, unless something else went wrong after it: the caller's, when nobody has a larger
   * one.
   */
  overflow: Incoming | null;
}

/**
 * Asks one candidate: once again after a moment's trouble, and with other keys. Null when the next one is to be asked.
 */
const ask = async (search: Search, candidate: Candidate, outgoing: Outgoing): Promise<Incoming | null> => {
  const { x, failures, asked } = search;
  const { upstream, upstreamModel } = candidate;
  let exceptKeys = 0;
  let isAgain = false;
  let isPausing = false;
  for (let isFirst = true; ; isFirst = false) {
    const isRetry = asked.includes(upstream);
    if (isRetry && !upstream.mayRetry()) {
      if (isFirst) passOver(search, candidate, 'retry_budget');
      return null;
    }
    if (isPausing) await moment(x);
    isPausing = false;
    if (x.aborted || x.stopped) return null;
    const started = performance.now();
    const incoming = send(x, candidate, outgoing, { isRetry, exceptKeys });
    const failure = await incoming.head;
    keep(x, incoming, failure, started);
    if (!isRetry && !isSkip(failure)) asked.push(upstream);
    if (failure === null && incoming.status < 300) return incoming;
    if (failure !== null) {
      search.overflow = null;
      const retryAfterMs = isSkip(failure) ? upstream.waitMs(upstreamModel) : null;
      failures.push({ status: null, failure, retryAfterMs, body: NO_BODY });
      if (isAgain || !isTransientFailure(failure, incoming.cause)) return null;
      isAgain = isPausing = true;
      continue;
    }
    const verdict = await judge(search, incoming);
    if (verdict === 'answer') return incoming;
    const { key } = incoming.flow;
    if (verdict === 'key' && key >= 0) {
      exceptKeys |= 1 << key;
      if (!upstream.hasKey(upstreamModel, exceptKeys)) return null;
    } else if (verdict === 'again' && !isAgain) isAgain = isPausing = true;
    else return null;
  }
};

const send = (
  x: Exchange,
  candidate: Candidate,
  { path, headers, body }: Outgoing,
  how: Pick<UpstreamRequest, 'isRetry' | 'exceptKeys' | 'isAside'>,
): Incoming => {
  const incoming = new Incoming(candidate);
  const { wire, upstreamModel: model, upstream } = candidate;
  const request = { wire, path, headers: tracedHeaders(x, upstream, headers), body, model, ...how };
  const flow = upstream.send(request, incoming);
  x.onAbort = () => flow.abort();
  incoming.flow = flow;
  return incoming;
};

/** With the trace for an upstream that is the operator's own: nobody else learns who calls together with whom. */
const tracedHeaders = (x: Exchange, { thirdParty }: Upstream, headers: Outgoing['headers']): Outgoing['headers'] => {
  if (thirdParty && !x.trace.isSampled) return headers;
  const traceparent = x.trace.attempt(x.attempts.length, x.durationMs());
  return thirdParty ? headers : { ...headers, traceparent };
};

/** Keeps an attempt: `failure` is null when a head has come. */
const keep = (x: Exchange, incoming: Incoming, failure: UpstreamFailure | null, started: number): void => {
  const { status, candidate, headers } = incoming;
  const { model, upstream } = candidate;
  // A redirect is no answer either.
  const refused = status >= 300 ? `status_${status}` : null;
  const attempt: Attempt = {
    model,
    upstream: upstream.name,
    status: failure === null ? status : null,
    error: failure ?? refused,
    ms: Math.round((performance.now() - started) * 100) / 100,
  };
  if (upstream.kind === 'litellm') {
    const cost = litellmCostMicroUsd(headers);
    if (cost !== null) attempt.upstream_cost_micro_usd = cost;
  }
  x.attempts.push(attempt);
};

/** A candidate that is not asked at all. */
const passOver = (search: Search, { model, upstream }: Candidate, failure: UpstreamFailure): void => {
  search.overflow = null;
  search.failures.push({ status: null, failure, retryAfterMs: null, body: NO_BODY });
  search.x.attempts.push({ model, upstream: upstream.name, status: null, error: failure, ms: 0 });
};

/**
 * What a refusal means: `answer` is the caller's; `key` may be answered with another key of the account; `again` by the
 * same candidate in a moment; `next` by another candidate only.
 */
const judge = async (search: Search, incoming: Incoming): Promise<'answer' | 'key' | 'again' | 'next'> => {
  const { status, headers, flow, candidate } = incoming;
  const retryAfterMs = parseRetryAfterMs(headers);
  const body = await incoming.peek(ERROR_BODY_BYTES);
  const isKeySpent = isSpendLimit(status, body);
  const isTooLong = !isKeySpent && isContextOverflow(status, body);
  if (isTooLong) search.tooSmallTokens = Math.max(search.tooSmallTokens, candidate.contextTokens);
  if (isRelayable(status) && !isKeySpent) {
    if (!isTooLong) return 'answer';
    search.overflow = incoming;
    return 'next';
  }
  // What is left of it.
  flow.abort();
  search.overflow = null;
  search.failures.push({ status, failure: null, retryAfterMs, body });
  if (isKeySpent) flow.restKey('spend_limit', 0);
  else if (status === 401) flow.restKey('refused', 0);
  else if (status === 429) flow.restKey('rate_limit', retryAfterMs ?? 0);
  else return !isTooLong && isTransientStatus(status, headers, retryAfterMs) ? 'again' : 'next';
  return 'key';
};

const NO_BODY = Buffer.alloc(0);

/**
 * A short wait, of another length each time so that callers who failed together do not come back together. Ends at once
 * when the caller leaves.
 */
const moment = (x: Exchange): Promise<void> =>
  new Promise((resolve) => {
    const delayMs = MIN_RETRY_DELAY_MS + Math.random() * (MAX_RETRY_DELAY_MS - MIN_RETRY_DELAY_MS);
    const timer = setTimeout(resolve, delayMs);
    x.onAbort = () => {
      clearTimeout(timer);
      resolve();
    };
  });
