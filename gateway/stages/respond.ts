import type { ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { accountOf, conclude, contentOf } from '../conclude.ts';
import { GatewayError } from '../errors.ts';
import { type Exchange, stopping } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import type { Ending } from '../outcome.ts';
import type { Json } from '../protocol/fields.ts';
import type { Call } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { providerErrorOf } from '../protocol/provider-error.ts';
import { tellsRefusal } from '../protocol/refusal.ts';
import { mayTellError } from '../protocol/stream-events.ts';
import { estimateTokens } from '../tokens.ts';
import { failureError } from '../upstream/classify.ts';
import { relayedHeaders } from '../upstream/headers.ts';
import { costUsd, type Evidence } from './account.ts';
import { outputTokenBound } from './admit.ts';
import type { Answer } from './forward.ts';
import { relayStream } from './relay-stream.ts';
import { restoreAnswer } from './restore.ts';
import { saidError, translated } from './translated.ts';

/**
 * Gives the caller the answer: restored, accounted for, and recorded before its last byte. Throws GatewayError while
 * nothing has been sent; a stream that breaks later ends with an error event instead.
 */
export const respond = async (
  gw: Gateway,
  x: Exchange,
  call: Call,
  answer: Answer,
  res: ServerResponse,
): Promise<void> => {
  // An error said as events is no stream of an answer, and a caller that asked for none could not read one.
  if (!answer.stream || !call.stream || answer.status >= 400) return relayBody(gw, x, call, answer, res);
  x.evidence = { model: answer.candidate.model, reported: null, outputEstimate: () => 0 };
  return relayStream(gw, x, call, answer, res, answerHeaders(x, call, answer));
};

const relayBody = async (gw: Gateway, x: Exchange, call: Call, answer: Answer, res: ServerResponse): Promise<void> => {
  const { masked, decision } = x.products;
  const { translation } = answer.candidate;
  const protocol = protocolOf(call.endpoint);
  const wire = protocolOf(answer.candidate.wire);
  const isOk = answer.status < 400;
  const chunks: Buffer[] = [];
  const most = outputTokenBound(call, answer.candidate.maxOutputTokens);
  const evidence: Evidence = {
    model: answer.candidate.model,
    reported: null,
    // Of an answer that broke off: what came of it.
    outputEstimate: () => Math.min(most, estimateTokens([Buffer.concat(chunks).toString()])),
  };
  if (isOk && protocol.isBilled) x.evidence = evidence;
  const whole = await collect(x, answer, gw.limits.responseBytes, chunks);
  const received = isOk && !mayTellError(whole) ? whole : answer.candidate.upstream.hideKeys(whole);
  const body = parse(received);
  if (isOk && body === undefined) {
    throw new GatewayError('upstream_error', 'The model provider gave an answer that is not valid JSON.');
  }
  // The page of a proxy on the way: it may name hosts, and no client of the API could read it.
  if (body === undefined) {
    const { status } = answer;
    throw new GatewayError('upstream_error', 'The model provider refused the request and did not say why.', { status });
  }
  if (x.evidence) {
    const texts = () => wire.answerTexts(body).flatMap(({ value, isRepeat }) => (isRepeat ? [] : [value]));
    const outputEstimate = () => Math.min(most, estimateTokens(texts()));
    x.evidence = { ...evidence, reported: wire.usage(body), outputEstimate };
  }
  x.refused = tellsRefusal(body);
  // Some answer 200 and say an error. In the caller's own format it reads it there; another would make nothing of it.
  const failed = isOk ? providerErrorOf(body) : null;
  if (failed && translation) throw saidError(failed, answer.candidate);
  const said = translation ? translated(x, call, answer, translation, body) : body;
  const vault = masked?.vault;
  const isRestored = vault !== undefined && vault.size > 0 && restoreAnswer(protocol, said, vault);
  const sent = isRestored || translation ? Buffer.from(JSON.stringify(said)) : received;
  x.time('restore');
  const { usage, cost } = accountOf(gw, x, x.evidence);
  x.time('account');
  const ending: Ending = {
    outcome: failed ? 'failed' : isOk ? 'ok' : 'rejected',
    status: answer.status,
    error: failed ? 'upstream_error' : isOk ? null : 'upstream_rejected',
    usage,
    cost,
  };
  await conclude(gw, x, ending, contentOf(decision, [received], [sent]));
  res.writeHead(answer.status, {
    'content-type': 'application/json',
    ...answerHeaders(x, call, answer),
    'x-aegis-cost-usd': costUsd(cost.micro_usd),
    'content-length': sent.length,
  });
  res.end(sent);
};

/**
 * The whole body of an unstreamed answer, gathered in `chunks`. Throws GatewayError when it breaks off or is too large.
 */
const collect = (x: Exchange, answer: Answer, maxBytes: number, chunks: Buffer[]): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    let bytes = 0;
    answer.deliver({
      data(chunk) {
        bytes += chunk.length;
        if (bytes > maxBytes) {
          reject(new GatewayError('upstream_error', 'The answer of the model provider is too large.'));
          answer.flow.abort();
        } else chunks.push(chunk);
      },
      end: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
      fail: (failure) => reject(x.stopped ? stopping() : failureError(failure)),
    });
  });

const parse = (bytes: Buffer): Json | undefined => {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
};

/** The headers of every relayed answer. */
export const answerHeaders = (x: Exchange, call: Call, answer: Answer): Record<string, string> => ({
  ...relayedHeaders(answer.headers),
  ...decidedHeaders(x, call.dialect),
  'x-aegis-model': answer.candidate.model,
  'x-aegis-upstream': answer.candidate.upstream.name,
  'x-aegis-attempts': String(x.attempts.length),
});
