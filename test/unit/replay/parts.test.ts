import { describe, expect, test } from '@jest/globals';
import { isInput } from '../../../gateway/policy/shapes.ts';
import { completeInput } from '../../../gateway/replay/complete-input.ts';
import { parseGuards, readGuards } from '../../../gateway/replay/guards.ts';
import { hideNames } from '../../../gateway/replay/hide-names.ts';
import { parsePriceList } from '../../../gateway/replay/price-list.ts';
import { reDecide } from '../../../gateway/replay/re-decide.ts';
import { idHash, recordHead } from '../../../gateway/replay/record-head.ts';
import { replayMarkdown } from '../../../gateway/replay/replay-markdown.ts';
import { replayText } from '../../../gateway/replay/replay-text.ts';
import type { ReplayReport } from '../../../gateway/replay/report.ts';
import { isSameJson } from '../../../gateway/replay/same-json.ts';
import type { Decision, PolicyData } from '../../../gateway/types.gen.ts';
import { input } from '../../support/policy-fixture.ts';
import { REPLAY_MODELS } from '../../support/replay-fixture.ts';

describe('inputs of older versions', () => {
  const old = (): Record<string, unknown> => {
    const { request, upstreams, experiments: _, ...rest } = JSON.parse(JSON.stringify(input()));
    delete request.end_user;
    for (const name of ['numbers', 'long_words', 'negated']) delete rest.content.signals[name];
    for (const upstream of Object.values(upstreams)) delete (upstream as { endpoints?: unknown }).endpoints;
    return { ...rest, request, upstreams };
  };

  test('are completed so that today’s schema takes them', () => {
    expect(isInput(old())).toBe(false);
    const { input: whole, added } = completeInput(old());
    expect(isInput(whole)).toBe(true);
    expect([...added].sort()).toEqual([
      'content.signals.long_words',
      'content.signals.negated',
      'content.signals.numbers',
      'experiments',
      'request.end_user',
      'upstreams.openai.endpoints',
    ]);
    expect(whole.experiments).toEqual({});
    expect(whole.content.signals).toMatchObject({ numbers: 0, long_words: 0, negated: false });
    expect(whole.request.end_user).toEqual({ name: '', source: 'none' });
    expect(whole.upstreams.openai?.endpoints).toEqual(input().upstreams.openai?.endpoints);
  });

  test('of this version stay as they are', () => {
    const current = { ...input() };
    expect(completeInput(current)).toEqual({ input: current, added: [] });
    expect(completeInput(current).input).toBe(current);
  });

  test('that are damaged otherwise are not mended', () => {
    const { caller: _, ...without } = old();
    expect(isInput(completeInput(without).input)).toBe(false);
    expect(completeInput({ request: 3, upstreams: null, content: 'none' }).added).toEqual(['experiments']);
  });
});

describe('one decision made again', () => {
  const decision = { allow: true, rules: ['a'] } as unknown as Decision;
  const record = { id: 'dec_1', input: { ...input() }, decision, bundle: { digest: 'd', revision: 'r' } };

  test('is equal whatever the order of keys', () => {
    const turned = { rules: ['a'], allow: true } as unknown as Decision;
    expect(reDecide({ decide: () => turned }, record)).toEqual({ result: 'equal' });
  });

  test('is different when anything differs', () => {
    const decided = { ...decision, rules: ['b'] };
    expect(reDecide({ decide: () => decided }, record)).toEqual({ result: 'different', decided });
  });

  test('is unfit when the input is none', () => {
    const strange = { ...record, input: { ...record.input, weather: 'rain' } };
    expect(reDecide({ decide: () => decision }, strange)).toMatchObject({ result: 'unfit' });
  });

  test.each([
    [{ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }, true],
    [[1, 2], [2, 1], false],
    [{ a: undefined }, {}, false],
    [[], {}, false],
    [{ a: 1 }, { b: 1 }, false],
    ['1', 1, false],
    [null, {}, false],
  ])('%j and %j: same is %s', (one, other, same) => {
    expect(isSameJson(one, other)).toBe(same);
    expect(isSameJson(other, one)).toBe(same);
  });
});

describe('the head of a record', () => {
  const time = '2026-11-24T10:00:00.000Z';
  const timeMs = Date.parse(time);

  test.each([
    ['an intent', { kind: 'intent', id: 'dec_1', time }, { kind: 'intent', id: 'dec_1', timeMs }],
    [
      'an outcome',
      { kind: 'outcome', id: 'dec_1', request_id: 'req_1', time },
      { kind: 'outcome', id: 'dec_1', timeMs },
    ],
    ['keys in another order', { time, id: 'dec_1', kind: 'outcome' }, { kind: 'outcome', id: 'dec_1', timeMs }],
    ['an id that needs escapes', { kind: 'intent', id: 'dec_"1', time }, { kind: 'intent', id: 'dec_"1', timeMs }],
    ['a failure before a decision', { kind: 'outcome', id: null, request_id: 'r', time }, undefined],
    ['an event', { kind: 'event', time, event: 'start', detail: {} }, undefined],
    ['an event in another order', { time, kind: 'event' }, undefined],
  ])('of %s', (_, record, head) => {
    expect(recordHead(JSON.stringify(record))).toEqual(head);
    expect(recordHead(Buffer.from(JSON.stringify(record)))).toEqual(head);
  });

  test.each(['', 'null', '[]', '{"kind":"intent"}', '{"kind":"intent","id":"a","time":"soon"}'])(
    '%j is no record',
    (text) => {
      expect(() => recordHead(text)).toThrow(/record/);
    },
  );

  test('the hash spreads ids that differ in one place', () => {
    const threads = [0, 0, 0, 0];
    for (let id = 0; id < 4_000; id++) threads[idHash(`dec_${id}`) % 4]!++;
    for (const share of threads) expect(Math.abs(share - 1_000)).toBeLessThan(150);
  });
});

describe('price lists', () => {
  const data = { models: REPLAY_MODELS } as unknown as PolicyData;

  test('by the policy’s names', () => {
    const list = { large: { title: 'x', usd_per_million_tokens: { input: 1, output: 2 } } };
    expect(parsePriceList(data, list)).toEqual({
      prices: { large: { usd_per_million_tokens: { input: 1, output: 2 } } },
      priced: ['large'],
      kept: ['small'],
    });
    expect(parsePriceList(data, { models: list }).priced).toEqual(['large']);
  });

  test('of LiteLLM, by the provider’s names, with the tier of long prompts', () => {
    const entry = {
      mode: 'chat',
      input_cost_per_token: 1.5e-6,
      output_cost_per_token: 6e-6,
      cache_read_input_token_cost: 1.5e-7,
      input_cost_per_token_above_200k_tokens: 3e-6,
      output_cost_per_token_above_200k_tokens: 9e-6,
    };
    const { prices, kept } = parsePriceList(data, {
      'openai/small-1': entry,
      'large-1': entry,
      'no-model-of-ours': {},
    });
    expect(kept).toEqual([]);
    expect(prices.small).toEqual({
      usd_per_million_tokens: { input: 1.5, cache_read: 0.15, output: 6 },
      long_context: { above_tokens: 200_000, usd_per_million_tokens: { input: 3, output: 9 } },
    });
  });

  test.each([
    [{ smal: { usd_per_million_tokens: { input: 1, output: 1 } } }, 'which is no model of the policy'],
    [{ small: { usd_per_million_tokens: { input: 1 } } }, 'input or output is missing'],
    [{ small: { usd_per_million_tokens: { input: -1, output: 1 } } }, 'is not a number from 0'],
    [{ small: { usd_per_million_tokens: { input: 1, outptu: 1 } } }, 'is no class of tokens'],
    [{ other: { input_cost_per_token: 1e-6, output_cost_per_token: 1e-6 } }, 'none of the policy’s models'],
    [[], 'not a table of models'],
    [null, 'not a table of models'],
    [{ small: 3 }, 'no prices at "small"'],
  ])('%j is refused', (list, reason) => {
    expect(() => parsePriceList(data, list)).toThrow(reason);
  });
});

const rule = { id: 'access.closed', title: 'Closed', place: 'policies/access/access.rego:7' };
const EXAMPLE = {
  id: 'dec_1',
  time: '2026-11-24T10:00:00.000Z',
  caller: { id: 'key_1', org: 'uni', team: 'cs', user: '<img src=x> [a](http://x) @sam', roles: ['student'] },
  purpose: { workflow: 'a|b', use_case: '' },
  endpoint: 'chat.completions',
  model: 'auto',
  bytes: 900,
  before: { allow: true, codes: [], route: ['small at openai'], rules: [] },
  after: { allow: false, codes: ['closed'], route: [], rules: [rule] },
};

const report: ReplayReport = {
  source: 'a log',
  before: { revision: 'r1', digest: 'd1', sequence: 1 },
  after: { revision: 'r2', digest: 'd2', sequence: 2 },
  prices: null,
  range: { first: '2026-11-01T00:00:00.000Z', last: '2026-11-16T00:00:00.000Z', days: 15 },
  sample: 1,
  org: null,
  decisions: {
    total: 1_000,
    allowed: { before: 900, after: 899 },
    touched: 1,
    failed: { before: 0, after: 0 },
    completed: 0,
    added: [],
    unfit: [],
    reused: 1_000,
    proved: 0,
    unproved: 0,
    unproved_example: null,
    other_bundles: [],
    under_way: 0,
    was_limited: 0,
  },
  failures: { before: [], after: [] },
  facets: { denied: 1 },
  changes: [
    {
      facet: 'denied',
      before: 'allow',
      after: 'closed',
      count: 1,
      used: 1,
      cost_before_micro_usd: 5,
      cost_after_micro_usd: 0,
      example: EXAMPLE,
    },
  ],
  who: {
    org: { touched: 1, top: [{ name: 'uni', requests: 1_000, touched: 1, newly_denied: 1 }] },
    team: { touched: 0, top: [] },
    user: { touched: 1, top: [{ name: 'uni/sam', requests: 10, touched: 1, newly_denied: 1 }] },
    workflow: { touched: 0, top: [] },
  },
  cost: {
    requests: 900,
    fell_back: 0,
    estimated: 0,
    unpriced: [],
    recorded_micro_usd: 100_000_000,
    before_micro_usd: 100_000_000,
    after_micro_usd: 104_000_000,
    newly_denied_micro_usd: 0,
    month_factor: 2,
    by_org: [{ name: 'uni', requests: 900, before_micro_usd: 100_000_000, after_micro_usd: 104_000_000 }],
    by_model: [],
    newly_allowed: { requests: 0, micro_usd: 0, unknown_output: 0 },
  },
  limits: { asked: { before: 900, after: 899 }, refused: [], newly_refused: 0, no_longer_refused: 0 },
  rules: { never_fired: [], only_before: [], only_after: [{ ...rule, count: 1 }] },
};

describe('guards', () => {
  const oks = (limits: object): boolean[] => readGuards(parseGuards(limits), report).map(({ ok }) => ok);

  test('are kept up to their limit, as a number or a share', () => {
    expect(oks({ max_new_denials: 1, max_cost_increase: '4%', min_decisions: 1_000, max_policy_errors: 0 })).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(oks({ max_new_denials: '0.1%' })).toEqual([true]);
  });

  test('are breached beyond it, and say what was found', () => {
    expect(oks({ max_new_denials: 0, max_cost_increase: '3.9%', min_decisions: 1_001 })).toEqual([false, false, false]);
    expect(readGuards({ max_new_denials: '0.09%' }, report)).toEqual([
      { guard: 'max_new_denials', what: 'requests newly denied', limit: '0.09%', found: '1 (0.1%)', ok: false },
    ]);
  });

  test('a dearer answer is not hidden by requests that cost nothing because they are refused', () => {
    // Half of the cost is refused, the other half has become 10 % dearer.
    const cost = { ...report.cost, after_micro_usd: 55_000_000, newly_denied_micro_usd: 50_000_000 };
    const [reading] = readGuards({ max_cost_increase: '5%' }, { ...report, cost });
    expect(reading).toMatchObject({ ok: false, found: '10%' });
    expect(replayText({ ...report, cost }, [])).toMatch(
      /by newly denied requests +│ -50\.00 USD.*of what both allow +│ 50\.00 → 55\.00 USD, \+5\.00 \(\+10\.0 %\)/s,
    );
  });

  test('any cost is too much where there was none', () => {
    const cost = { ...report.cost, before_micro_usd: 0, after_micro_usd: 1 };
    expect(readGuards({ max_cost_increase: '5%' }, { ...report, cost })).toMatchObject([
      { ok: false, found: 'from nothing' },
    ]);
  });

  test.each([{ max_denials: 1 }, { max_new_denials: 'few' }, { max_new_denials: -1 }, { max_cost_increase: 5 }, []])(
    '%j are none',
    (value) => {
      expect(() => parseGuards(value)).toThrow('guards: ');
    },
  );

  test('an empty file has none', () => {
    expect(parseGuards(null)).toEqual({});
  });
});

describe('for people', () => {
  const readings = readGuards({ max_new_denials: 0 }, report);

  test('Markdown begins with a table, and folds the rest away', () => {
    const text = replayMarkdown(report, readings);
    expect(text.split('\n').slice(0, 5)).toEqual([
      '## Replay: r2 (sequence 2) against r1 (sequence 1)',
      '',
      '| what | found |',
      '| --- | --- |',
      '| decisions | 1,000, 2026-11-01T00:00:00.000Z to 2026-11-16T00:00:00.000Z |',
    ]);
    expect(text).toContain('| scaled to 30 days | 200.00 → 208.00 USD, +8.00 (+4.0 %) |');
    expect(text).toContain('### Guards BREACHED');
    expect(text.match(/<details>/g)?.length).toBe(text.match(/<\/details>/g)?.length);
    expect(text).toContain('access.closed – Closed – policies/access/access.rego:7');
  });

  test('no name becomes markup, a link or a mention', () => {
    const text = replayMarkdown(report, readings);
    expect(text).not.toMatch(/<img|\]\(|@sam|https?:\/\//);
    expect(text).toContain('a&#124;b');
  });

  test('text names the rule that fires after alone', () => {
    expect(replayText(report, readings)).toMatch(
      /fires after alone +│ access.closed – Closed – policies\/access\/access.rego:7/,
    );
  });

  test('a table fits 100 columns, and cuts no word', () => {
    const id = `policies/access/${'a'.repeat(40)}.rego:7`;
    const long = { id: 'access.closed', title: 'Closed to '.repeat(12).trim(), place: id, count: 1 };
    const text = replayText({ ...report, rules: { never_fired: [], only_before: [], only_after: [long] } }, readings);
    const tables = text.split('\n').filter((line) => /^[┌├│└]/.test(line));
    expect(Math.max(...tables.map(({ length }) => length))).toBeLessThanOrEqual(100);
    expect(text).toContain(id);
  });

  test('without names no user and no credential is shown', () => {
    const hidden = hideNames(report);
    const shown = `${replayMarkdown(hidden, [])}${replayText(hidden, [])}${JSON.stringify(hidden)}`;
    expect(shown).not.toMatch(/\bsam\b|key_1/);
    expect(shown).toContain('user 1');
  });
});
