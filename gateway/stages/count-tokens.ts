import type { ServerResponse } from 'node:http';
import { decidedHeaders } from '../answer-error.ts';
import { conclude } from '../conclude.ts';
import type { Exchange } from '../exchange.ts';
import type { Gateway } from '../gateway.ts';
import { FREE } from '../outcome.ts';
import type { Call } from '../protocol/protocol.ts';
import type { Input } from '../types.gen.ts';
import { costUsd } from './account.ts';

/**
 * Answers a count of tokens with the gateway's own estimate, for models whose upstream does not count: nothing goes
 * upstream and nothing is charged. The decision must have allowed the call. Throws GatewayError `audit_unavailable`.
 */
export const answerCount = async (
  gw: Gateway,
  x: Exchange,
  call: Call,
  input: Input,
  res: ServerResponse,
): Promise<void> => {
  await conclude(gw, x, { outcome: 'ok', status: 200, error: null, usage: null, cost: FREE });
  const text = JSON.stringify({ input_tokens: input.content.tokens_estimate });
  res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...decidedHeaders(x, call.dialect),
    'x-aegis-cost-usd': costUsd(FREE.micro_usd),
  });
  res.end(text);
};
