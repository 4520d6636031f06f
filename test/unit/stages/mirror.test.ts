import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Exchange } from '../../../gateway/exchange.ts';
import type { Gateway } from '../../../gateway/gateway.ts';
import type { Demand } from '../../../gateway/limit/limiter.ts';
import { createPriceTable } from '../../../gateway/prices.ts';
import type { Candidate } from '../../../gateway/stages/candidates.ts';
import { newIds } from '../../../gateway/stages/ids.ts';
import { createMirrors, MOST_UNDER_WAY, MOST_WAITING, MOST_WAITING_BYTES } from '../../../gateway/stages/mirror.ts';
import { callOf } from '../../support/calls.ts';
import { NO_TELEMETRY } from '../../support/no-telemetry.ts';
import { MODELS } from '../../support/policy-fixture.ts';

const DATA = { models: MODELS } as unknown as Parameters<typeof createPriceTable>[0];
const FREE_DATA = {
  models: Object.fromEntries(
    Object.entries(MODELS).map(([name, model]) => [
      name,
      { ...model, usd_per_million_tokens: { input: 0, output: 0 } },
    ]),
  ),
} as unknown as typeof DATA;
const PRICES = createPriceTable(DATA, 'r1');

interface Sketch {
  readonly outcome?: Exchange['outcome'];
  readonly content?: string;
  readonly mirror?: object | null;
  readonly prompt?: string;
  readonly more?: object;
}

let results: string[];
let demands: (readonly Demand[])[];
/** Calls of the limiter that have not been answered. */
let held: ((granted: boolean) => void)[];
let isDraining: boolean;
let hasRoom: boolean;
let records: string[];
let warnings: object[];
let gateway: Gateway;
beforeEach(() => {
  results = [];
  demands = [];
  held = [];
  records = [];
  warnings = [];
  isDraining = false;
  hasRoom = true;
  const upstream = { name: 'openai', kind: 'openai', endpoints: ['chat.completions'], hasRoom: () => hasRoom };
  gateway = {
    telemetry: {
      ...NO_TELEMETRY,
      count: (name: string, { result, reason }: { result: string; reason: string | null }) => {
        if (name === 'aegis.mirrors') results.push(reason === null ? result : `${result} ${reason}`);
      },
    },
    log: {
      warn: (fields: object) => void warnings.push(fields),
      error: (fields: object) => void warnings.push(fields),
    },
    isDraining: () => isDraining,
    upstreams: new Map([['openai', upstream]]),
    prices: () => PRICES,
    limiter: {
      take: (id: string, _org: string, wanted: readonly Demand[]) => {
        demands.push(wanted);
        return new Promise((resolve) => held.push((granted) => resolve({ granted, id, states: [] })));
      },
      settle: (id: string) => void records.push(`settle ${id.slice(0, 4)}`),
    },
    audit: {
      append: async ({ kind }: { kind: string }) => {
        records.push(kind);
        if (kind === 'intent') throw new Error('the disk is full');
      },
    },
  } as unknown as Gateway;
});

const MIRROR = { id: 'm', model: 'small', upstream: 'openai', daily_micro_usd: 5_000 };
const over = ({
  outcome = 'ok',
  content = 'redacted',
  mirror = MIRROR,
  prompt = 'Hi',
  more = {},
}: Sketch = {}): Exchange => {
  const x = new Exchange(newIds(), '127.0.0.1');
  x.outcome = outcome;
  x.policy = { data: DATA, ref: { digest: 'd', revision: 'r1' } } as unknown as NonNullable<Exchange['policy']>;
  const purpose = { workflow: 'w', use_case: '', session: '', tags: { course: 'a' } };
  const caller = { id: 'key_1', org: 'acme', team: '', user: '', groups: [] };
  const masked = { aside: (one: Candidate) => ({ counts: {}, candidates: [one], content: undefined }) };
  Object.assign(x.products, {
    head: { ...x.ids, endpoint: 'chat.completions', purpose },
    caller,
    call: callOf('chat.completions', { model: 'auto', messages: [{ role: 'user', content: prompt }], ...more }),
    described: { input: { caller, content: { tokens_estimate: 3, pii: {}, secrets: {} } } },
    decision: {
      route: { candidates: [], experiment: null, mirror },
      parameters: {},
      rate: { tier: 'free' },
      acting_for: null,
      audit: { content, retention_days: 1 },
    },
    masked,
  });
  return x;
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
// What one test began is not another's.
afterEach(turn);

describe('a request that is over', () => {
  test('is not mirrored where its decision has no mirror, or where it was not answered', async () => {
    const mirrors = createMirrors(gateway);
    mirrors.offer(over({ mirror: null }));
    for (const outcome of ['failed', 'incomplete', 'aborted', 'rejected', 'limited', 'denied', null] as const)
      mirrors.offer(over({ outcome }));
    mirrors.offer(new Exchange(newIds(), '127.0.0.1'));
    await turn();
    expect([results, demands, mirrors.open.size, mirrors.waiting]).toEqual([[], [], 0, 0]);
  });

  test('is asked for nobody’s budget but the mirror’s, for what it may cost', async () => {
    createMirrors(gateway).offer(over());
    await turn();
    const bytes = over().products.call!.raw.length;
    expect(demands).toEqual([
      [
        {
          kind: 'spend',
          scope: 'tag',
          subject: 'acme/mirror=m',
          period: 'day',
          timezone: 'UTC',
          capMicroUsd: 5_000,
          // A token a byte, the whole output cap, and a prompt that is lost.
          amount: bytes + 100 * 2 + 3,
        },
      ],
    ]);
  });

  test.each([
    ['whose content is not kept', { content: 'none' }, 'content_not_kept'],
    ['whose mirror is of a model that nobody has', { mirror: { ...MIRROR, model: 'none' } }, 'cannot_be_asked'],
    ['for which the provider would run tools', { more: { web_search_options: {} } }, 'server_tools'],
    [
      'whose mirror is at an upstream that is not configured',
      { mirror: { ...MIRROR, upstream: 'x' } },
      'cannot_be_asked',
    ],
  ])('%s is skipped, counted, and told once', async (_name, sketch, reason) => {
    const mirrors = createMirrors(gateway);
    for (let times = 0; times < 3; times++) mirrors.offer(over(sketch));
    await turn();
    expect(results).toEqual([1, 2, 3].map(() => `skipped ${reason}`));
    expect(warnings).toEqual([expect.objectContaining({ mirror: 'm', reason })]);
    expect([demands, records, mirrors.open.size]).toEqual([[], [], 0]);
  });

  test('is skipped where the upstream has no room, before anything is taken or written', async () => {
    hasRoom = false;
    createMirrors(gateway).offer(over());
    await turn();
    expect([results, demands, records, warnings]).toEqual([['skipped busy'], [], [], []]);
  });

  test('is not sent when its budget is spent', async () => {
    createMirrors(gateway).offer(over());
    await turn();
    held[0]!(false);
    await turn();
    expect([results, records]).toEqual([['over_budget'], []]);
  });

  test('is not sent where it may cost nothing, even to a model that costs nothing', async () => {
    gateway = { ...gateway, prices: () => createPriceTable(FREE_DATA, 'r1') };
    createMirrors(gateway).offer(over({ mirror: { ...MIRROR, daily_micro_usd: 0 } }));
    await turn();
    expect([results, demands, records]).toEqual([['over_budget'], [], []]);
  });

  test('of what is no call, by a policy of one’s own, is a failure and no end of the gateway', async () => {
    const x = over();
    // As of a list of models.
    Object.assign(x.products, { call: undefined });
    const mirrors = createMirrors(gateway);
    mirrors.offer(x);
    await turn();
    expect([results, mirrors.open.size]).toEqual([['failed'], 0]);
    mirrors.offer(over());
    await turn();
    expect(demands).toHaveLength(1);
  });

  test('is not sent when its intent cannot be written; what was taken is settled, once', async () => {
    createMirrors(gateway).offer(over());
    await turn();
    held[0]!(true);
    await turn();
    expect([results, records]).toEqual([['failed'], ['intent', 'settle dec_', 'outcome']]);
  });
});

describe('the queue', () => {
  test('has so many under way, so many that wait, and drops the rest', async () => {
    const mirrors = createMirrors(gateway);
    for (let at = 0; at < MOST_UNDER_WAY + MOST_WAITING + 5; at++) mirrors.offer(over());
    await turn();
    expect([mirrors.open.size, mirrors.waiting, held.length]).toEqual([MOST_UNDER_WAY, MOST_WAITING, MOST_UNDER_WAY]);
    expect(results).toEqual(Array.from({ length: 5 }, () => 'dropped'));
    held[0]!(false);
    await turn();
    expect([mirrors.open.size, mirrors.waiting]).toEqual([MOST_UNDER_WAY, MOST_WAITING - 1]);
  });

  test('holds so many bytes of bodies and no more', async () => {
    const mirrors = createMirrors(gateway);
    for (let at = 0; at < MOST_UNDER_WAY; at++) mirrors.offer(over());
    const prompt = 'x'.repeat(MOST_WAITING_BYTES / 4);
    for (let at = 0; at < 4; at++) mirrors.offer(over({ prompt }));
    expect([mirrors.waiting, results]).toEqual([3, ['dropped']]);
    mirrors.offer(over());
    expect(mirrors.waiting).toBe(4);
  });

  test('keeps nothing of the answers that callers have got', () => {
    const mirrors = createMirrors(gateway);
    const x = over();
    const answer = Buffer.alloc(1);
    x.evidence = { model: 'small', reported: null, outputEstimate: () => answer.length };
    x.onAbort = () => void answer;
    mirrors.offer(x);
    expect([x.evidence, x.onAbort]).toEqual([null, undefined]);
  });

  test('takes nothing while the gateway stops, and lets go of what waits', async () => {
    const mirrors = createMirrors(gateway);
    for (let at = 0; at < MOST_UNDER_WAY + 2; at++) mirrors.offer(over());
    await turn();
    isDraining = true;
    mirrors.offer(over());
    expect(results).toEqual(['dropped']);
    held[0]!(false);
    await turn();
    expect(results).toEqual(['dropped', 'over_budget', 'dropped', 'dropped']);
    expect([mirrors.open.size, mirrors.waiting]).toEqual([MOST_UNDER_WAY - 1, 0]);
  });
});
