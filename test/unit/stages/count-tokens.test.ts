import type { ServerResponse } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { GatewayError } from '../../../gateway/errors.ts';
import { Exchange } from '../../../gateway/exchange.ts';
import type { Gateway } from '../../../gateway/gateway.ts';
import { anthropicCountTokens } from '../../../gateway/protocol/anthropic-count-tokens.ts';
import { scanJson } from '../../../gateway/protocol/json-scan.ts';
import { createDetector } from '../../../gateway/redact/detect.ts';
import { answerCount } from '../../../gateway/stages/count-tokens.ts';
import { describe as describeCall } from '../../../gateway/stages/describe.ts';
import { newIds } from '../../../gateway/stages/ids.ts';
import { estimatePromptTokens } from '../../../gateway/tokens.ts';
import type { AuditOutcome, Decision } from '../../../gateway/types.gen.ts';
import { CALLER, FACTS, HEAD } from '../../support/calls.ts';
import { NO_TELEMETRY } from '../../support/no-telemetry.ts';

const TEXT = 'How long is the river?';
const detector = createDetector();

/** Counts the tokens of a message in a gateway whose audit is `append`. */
const count = async (append: (record: AuditOutcome) => Promise<void>) => {
  const raw = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: TEXT }] }));
  const call = anthropicCountTokens.read(raw, scanJson(raw), JSON.parse(raw.toString()));
  const { input } = describeCall(call, HEAD, CALLER, FACTS, detector);
  const settled: unknown[] = [];
  const gw = {
    audit: { append },
    limiter: { settle: (...args: unknown[]) => void settled.push(args.slice(0, 2)) },
    telemetry: NO_TELEMETRY,
  } as unknown as Gateway;
  const x = new Exchange(newIds(), '192.0.2.1');
  x.keep('caller', CALLER);
  x.keep('call', call);
  x.keep('described', { input });
  x.keep('decision', { rate: { tier: 'standard', limits: [] } } as unknown as Decision);
  x.keep('permit', { granted: true, id: 'dec_1', states: [] } as never);
  const sent: { status?: number; headers?: Record<string, unknown>; body?: string } = {};
  const res = {
    writeHead: (status: number, headers: Record<string, unknown>) => Object.assign(sent, { status, headers }),
    end: (body: string) => Object.assign(sent, { body }),
  };
  const done = answerCount(gw, x, call, input, res as unknown as ServerResponse);
  return { done, sent, settled, x };
};

describe('a count of tokens by the gateway itself', () => {
  test('is the estimate that policies see, in the shape of the provider’s answer', async () => {
    const records: AuditOutcome[] = [];
    const { done, sent, settled, x } = await count(async (record) => void records.push(record));
    await done;
    expect(JSON.parse(sent.body!)).toEqual({ input_tokens: estimatePromptTokens([TEXT], 1) });
    expect(sent).toMatchObject({
      status: 200,
      headers: {
        'content-type': 'application/json',
        'content-length': sent.body!.length,
        'request-id': x.ids.requestId,
        'x-aegis-cost-usd': '0.000000',
      },
    });
    // What it reserved is given back, and its outcome is recorded: free.
    expect(settled).toEqual([['dec_1', { tokens: 0, microUsd: 0 }]]);
    expect(records).toMatchObject([
      { kind: 'outcome', outcome: 'ok', status: 200, error: null, usage: null, cost: { micro_usd: 0 }, attempts: [] },
    ]);
  });

  test('is not given when the audit takes no record', async () => {
    const { done, sent } = await count(() =>
      Promise.reject(new GatewayError('audit_unavailable', 'The disk is full.')),
    );
    await expect(done).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(sent).toEqual({});
  });
});
