import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { Exchange } from '../../gateway/exchange.ts';
import type { Gateway } from '../../gateway/gateway.ts';
import type { Call, Endpoint } from '../../gateway/protocol/protocol.ts';
import { translationOf } from '../../gateway/protocol/translations.ts';
import type { Vault } from '../../gateway/redact/redactor.ts';
import type { Answer, AnswerSink } from '../../gateway/stages/forward.ts';
import type { Masked } from '../../gateway/stages/mask.ts';
import { parseCall } from '../../gateway/stages/read.ts';
import { relayStream } from '../../gateway/stages/relay-stream.ts';
import type { Decision } from '../../gateway/types.gen.ts';
import { NO_TELEMETRY } from './no-telemetry.ts';

/** A stream on its way: who speaks what, and what is restored. */
export interface Relay {
  /** The upstream's wire format, and the caller's. */
  readonly wire: Endpoint;
  readonly api: Endpoint;
  /** The caller's own body. */
  readonly body: Record<string, unknown>;
  readonly vault?: Vault;
}

const GATEWAY = {
  limits: { responseBytes: 1e9 },
  audit: { append: async () => null },
  strangers: { record: () => true },
  telemetry: NO_TELEMETRY,
  log: { error: () => {}, warn: () => {} },
} as unknown as Gateway;

const calls = new Map<Relay, Call>();

/** What the caller gets of a stream that comes in these chunks: through the relay of the gateway, without a network. */
export const relayed = async (relay: Relay, chunks: readonly Buffer[]): Promise<Buffer> => {
  const { wire, api, body, vault } = relay;
  const call = calls.get(relay) ?? parseCall(Buffer.from(JSON.stringify(body)), api, { depth: 64 });
  calls.set(relay, call);
  const out: Buffer[] = [];
  const take = (bytes: Buffer | string | undefined): true => {
    if (bytes !== undefined) out.push(Buffer.from(bytes));
    return true;
  };
  const res = Object.assign(new EventEmitter(), {
    destroyed: false,
    writeHead: () => {},
    flushHeaders: () => {},
    write: take,
    end: take,
  });
  let sink!: AnswerSink;
  const answer = {
    status: 200,
    headers: {},
    stream: true,
    candidate: {
      model: 'm',
      wire,
      upstream: { name: 'u', hideKeys: (bytes: Buffer) => bytes },
      translation: translationOf(api, wire),
      maxOutputTokens: 1_000_000,
    },
    flow: { pause: () => {}, resume: () => {}, abort: () => {} },
    deliver: (to: AnswerSink) => {
      sink = to;
    },
  };
  const ids = { requestId: 'req_1', decisionId: 'dec_1' };
  const x = Object.assign(new Exchange(ids, ''), { receivedAt: 0 });
  x.keep('decision', { rate: { tier: 't' }, audit: { content: 'none', retention_days: 1 } } as Decision);
  x.keep('masked', { vault, outgoingFor: () => ({ said: body }) } as unknown as Masked);
  const over = relayStream(GATEWAY, x, call, answer as unknown as Answer, res as unknown as ServerResponse, {});
  for (const chunk of chunks) sink.data(chunk);
  sink.end();
  await over;
  return Buffer.concat(out);
};
