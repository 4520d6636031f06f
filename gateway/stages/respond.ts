import type { ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { accountOf, conclude, contentOf } from '../conclude.ts';
import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import type { Ending } from '../outcome.ts';
import type { Call } from '../protocol/protocol.ts';
import { relayedHeaders } from '../upstream/headers.ts';
import { costUsd } from './account.ts';
import type { Answer } from './forward.ts';
import { readWhole } from './read-whole.ts';
import { relayStream } from './relay-stream.ts';

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
  const { received, sent, isError } = await readWhole(x, call, answer, gw.limits.responseBytes);
  const isOk = answer.status < 400;
  x.time('restore');
  const { usage, cost } = accountOf(gw, x, x.evidence);
  x.time('account');
  const ending: Ending = {
    outcome: isError ? 'failed' : isOk ? 'ok' : 'rejected',
    status: answer.status,
    error: isError ? 'upstream_error' : isOk ? null : 'upstream_rejected',
    usage,
    cost,
  };
  await conclude(gw, x, ending, contentOf(x.products.decision, [received], [sent]));
  res.writeHead(answer.status, {
    'content-type': 'application/json',
    ...answerHeaders(x, call, answer),
    'x-aegis-cost-usd': costUsd(cost.micro_usd),
    'content-length': sent.length,
  });
  res.end(sent);
};

/** The headers of every relayed answer. */
export const answerHeaders = (x: Exchange, call: Call, answer: Answer): Record<string, string> => ({
  ...relayedHeaders(answer.headers),
  ...decidedHeaders(x, call.dialect),
  'x-aegis-model': answer.candidate.model,
  'x-aegis-upstream': answer.candidate.upstream.name,
  'x-aegis-attempts': String(x.attempts.length),
});
