import type { ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { conclude, contentOf, pricesOf } from '../conclude.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import type { Ending } from '../outcome.ts';
import type { Call } from '../protocol/protocol.ts';
import { protocolOf } from '../protocol/protocols.ts';
import { failureError } from '../upstream/classify.ts';
import { relayedHeaders } from '../upstream/headers.ts';
import { account, costUsd } from './account.ts';
import type { Answer } from './forward.ts';
import { relayStream } from './relay-stream.ts';
import { restoreAnswer } from './restore.ts';

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
  if (answer.status < 400) {
    x.evidence = { model: answer.candidate.model, reported: null, outputEstimate: () => 0 };
  }
  if (answer.stream) await relayStream(gw, x, call, answer, res, answerHeaders(x, call, answer));
  else await relayBody(gw, x, call, answer, res);
};

const relayBody = async (gw: Gateway, x: Exchange, call: Call, answer: Answer, res: ServerResponse): Promise<void> => {
  const { masked, decision } = x.products;
  const protocol = protocolOf(call.endpoint);
  const received = await collect(answer, gw.limits.responseBytes);
  const isOk = answer.status < 400;
  const body = parse(received);
  if (isOk && body === undefined) {
    throw new GatewayError('upstream_error', 'The model provider gave an answer that is not valid JSON.');
  }
  if (x.evidence) x.evidence = { ...x.evidence, reported: protocol.usage(body) };
  const vault = masked?.vault;
  const isRestored =
    body !== undefined && vault !== undefined && vault.size > 0 && restoreAnswer(protocol, body, vault);
  const sent = isRestored ? Buffer.from(JSON.stringify(body)) : received;
  x.time('restore');
  const { usage, cost } = account(x, pricesOf(gw, x), x.evidence);
  x.time('account');
  const ending: Ending = {
    outcome: isOk ? 'ok' : 'rejected',
    status: answer.status,
    error: isOk ? null : 'upstream_rejected',
    usage,
    cost,
  };
  await conclude(gw, x, ending, contentOf(decision, [received], [sent]));
  res.writeHead(answer.status, {
    ...answerHeaders(x, call, answer),
    'x-aegis-cost-usd': costUsd(cost.micro_usd),
    'content-length': sent.length,
  });
  res.end(sent);
};

/** The whole body of an unstreamed answer. Throws GatewayError when it breaks off or is over the bound. */
const collect = (answer: Answer, maxBytes: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
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
      fail: (failure) => reject(failureError(failure)),
    });
  });

const parse = (bytes: Buffer): object | undefined => {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
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
