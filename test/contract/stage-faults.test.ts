import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createApp } from '../../gateway/app.ts';
import { GatewayError } from '../../gateway/errors.ts';
import type { Exchange } from '../../gateway/exchange.ts';
import type { Gateway } from '../../gateway/gateway.ts';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import type { Upstream } from '../../gateway/upstream/upstream.ts';
import { chatCompletion, chatStream } from '../support/answers.ts';
import { answerJson, answerStream } from '../support/fake-upstream.ts';
import { CHAT_MODEL, openTestGateway, type TestGateway, until } from '../support/gateway.ts';

let gateway_: TestGateway;
beforeAll(async () => {
  gateway_ = await openTestGateway();
});
afterAll(() => gateway_.close());

/** What one request did to the limiter and the audit. */
interface Trace {
  taken: number;
  settled: number;
  readonly records: AuditRecord[];
}

const boom = (): never => {
  throw new Error('boom');
};

type Break = (gw: Gateway) => Partial<Gateway>;

/** A record of a kind is refused: all of them, or only the first. */
const refusing =
  (kind: AuditRecord['kind'], times = Number.POSITIVE_INFINITY): Break =>
  (gw) => {
    let left = times;
    const append: Gateway['audit']['append'] = async (record, content) => {
      if (record.kind === kind && left-- > 0) throw new GatewayError('audit_unavailable', 'The disk is full.');
      return gw.audit.append(record, content);
    };
    return { audit: { healthy: true, append, openContent: gw.audit.openContent, close: gw.audit.close } };
  };

const sending =
  (send: Upstream['send']): Break =>
  ({ upstreams }) => ({
    upstreams: new Map([...upstreams].map(([name, upstream]) => [name, { ...upstream, send }])),
  });

/** Sends one request through the stages of a gateway of which one part is broken. */
const through = async (breakIt: Break, stream: boolean): Promise<Trace & { status: number; body: string }> => {
  const real = gateway_.running.gateway;
  const trace: Trace = { taken: 0, settled: 0, records: [] };
  const counted: Gateway = { ...real, ...breakIt({ ...real, isDraining: () => false }) };
  const { audit, limiter } = counted;
  const gateway: Gateway = {
    ...counted,
    limiter: {
      ...limiter,
      take: async (...args) => {
        const taken = await limiter.take(...args);
        if (taken.granted) trace.taken++;
        return taken;
      },
      settle: (...args) => {
        trace.settled++;
        limiter.settle(...args);
      },
    },
    audit: {
      healthy: true,
      append: async (record, content) => {
        const ref = await audit.append(record, content);
        trace.records.push(record);
        return ref;
      },
      openContent: audit.openContent,
      close: audit.close,
    },
  };
  const open = new Set<Exchange>();
  const server = createServer(createApp(gateway, open).callback()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await gateway_.key('service')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: CHAT_MODEL, stream, messages: [{ role: 'user', content: 'Mail a@b.example.' }] }),
    });
    const body = await answer.text();
    await until(() => (open.size === 0 ? true : undefined));
    return { ...trace, taken: trace.taken, settled: trace.settled, status: answer.status, body };
  } finally {
    server.closeAllConnections();
    server.close();
  }
};

const outcomes = ({ records }: Trace) => records.filter((record) => record.kind === 'outcome');

const NOTHING_BROKEN: Break = () => ({});

const FAULTS: Record<string, { broken: Break; status: number; hasOutcome?: boolean }> = {
  'the key store throws': { broken: ({ keys }) => ({ keys: { ...keys, find: boom } }), status: 500 },
  'the facts throw': { broken: ({ facts }) => ({ facts: { ...facts, spend: boom } }), status: 500 },
  'the detector throws': { broken: () => ({ detector: { name: 'broken', detect: boom } }), status: 500 },
  'no policy serves': {
    broken: ({ policies }) => ({ policies: { ...policies, policyFor: () => undefined } }),
    status: 503,
  },
  'the policy throws': {
    broken: ({ policies }) => ({
      policies: { ...policies, policyFor: () => ({ ...policies.current!, decide: boom }) },
    }),
    status: 500,
  },
  'there is no price': { broken: () => ({ prices: boom }), status: 500 },
  'the limiter throws': { broken: ({ limiter }) => ({ limiter: { ...limiter, take: boom } }), status: 500 },
  'the vault throws': { broken: () => ({ openVault: boom }), status: 500 },
  'the audit takes no intent': { broken: refusing('intent'), status: 503 },
  'the upstream throws': { broken: sending(boom), status: 500 },
  'the audit takes no outcome': { broken: refusing('outcome'), status: 503, hasOutcome: false },
};

describe.each([false, true])('when a stage fails (stream: %j)', (stream) => {
  beforeAll(() => {
    gateway_.openai.play = stream ? answerStream(chatStream(['Hello.'])) : answerJson(200, chatCompletion('Hello.'));
  });

  test('and none does, there is one intent, one outcome and one settle', async () => {
    const trace = await through(NOTHING_BROKEN, stream);
    expect(trace.status).toBe(200);
    expect(trace.records.map(({ kind }) => kind)).toEqual(['intent', 'outcome']);
    expect([trace.taken, trace.settled]).toEqual([1, 1]);
  });

  test.each(Object.entries(FAULTS))('%s: one outcome, one settle, and nothing of it is told', async (name, fault) => {
    const trace = await through(fault.broken, stream);
    const isCut = stream && name === 'the audit takes no outcome';
    expect(trace.status).toBe(isCut ? 200 : fault.status);
    expect(trace.body).not.toContain('boom');
    expect(trace.body).not.toContain('[DONE]');
    if (isCut) expect(trace.body).toContain('"code":"audit_unavailable"');
    else expect(Object.keys(JSON.parse(trace.body))).toEqual(['error']);
    expect(trace.settled).toBe(trace.taken);
    expect(outcomes(trace)).toHaveLength(fault.hasOutcome === false ? 0 : 1);
  });

  test('what cannot be priced once the provider has answered is charged as it was reserved', async () => {
    const pricedOnce: Break = (gw) => {
      let asked = 0;
      return { prices: (policy) => (asked++ === 0 ? gw.prices(policy) : boom()) };
    };
    const trace = await through(pricedOnce, stream);
    expect(trace.status).toBe(200);
    expect([trace.taken, trace.settled]).toEqual([1, 1]);
    const [intent, outcome] = trace.records;
    if (intent?.kind !== 'intent' || outcome?.kind !== 'outcome') throw new Error('not an intent and its outcome');
    expect(intent.reserved_micro_usd).toBeGreaterThan(0);
    expect(outcome.cost.micro_usd).toBe(intent.reserved_micro_usd);
  });

  test('an intent that was refused leaves input and decision in the outcome', async () => {
    const [outcome] = outcomes(await through(refusing('intent', 1), stream));
    expect(outcome).toMatchObject({ outcome: 'failed', error: 'audit_unavailable' });
    expect(outcome?.kind === 'outcome' && outcome.input).not.toBeNull();
    expect(outcome?.kind === 'outcome' && outcome.decision).not.toBeNull();
  });
});
