import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { auditLayout, segmentPath } from '../../../gateway/audit/layout.ts';
import { openAuditLog } from '../../../gateway/audit/log.ts';
import { logHomeOf, logHomesIn } from '../../../gateway/log-homes.ts';
import { createPolicy } from '../../../gateway/policy/engine.ts';
import type { Policy } from '../../../gateway/policy/policy.ts';
import { createPriceTable } from '../../../gateway/prices.ts';
import { createAuditSource } from '../../../gateway/replay/audit-source.ts';
import type { DecisionSource } from '../../../gateway/replay/decision-source.ts';
import { parsePriceList, withPrices } from '../../../gateway/replay/price-list.ts';
import { type LoadedBundle, type ReplayOptions, replay } from '../../../gateway/replay/replay.ts';
import { type ReplayReport, reportOf } from '../../../gateway/replay/report.ts';
import type { PolicyData } from '../../../gateway/types.gen.ts';
import { withHome } from '../../support/audit.ts';
import { type LoggedRequest, recordsOf, writeDecisions } from '../../support/decision-log.ts';
import { refusal, requestFor, route, variantBundle } from '../../support/replay-fixture.ts';

const BUDGET = { scope: 'team', subject: 'uni/cs', period: 'month', timezone: 'UTC', on_exceed: 'deny' };
const limited = (requests: number) => ({
  rate: { tier: 'free', limits: [{ scope: 'team', subject: 'uni/cs', requests_per_minute: requests }] },
});
const open = refusal('closed');

let before: LoadedBundle;
let after: LoadedBundle;
let policy: Policy;
beforeAll(async () => {
  before = await variantBundle(
    { shut: open, other: open, limits: limited(10), budget: { budgets: [{ ...BUDGET, micro_usd: 1_000_000 }] } },
    1,
  );
  after = await variantBundle(
    {
      closing: open,
      other: refusal('paused'),
      move: route('large'),
      bare: { redact: [] },
      masked: { redact: [{ entity: 'email', action: 'mask', in: ['request'], restore: [] }] },
      tier: { rate: { tier: 'gold', limits: [] } },
      capped: { parameters: { max_output_tokens: 50 } },
      tools: { tools: { remove: ['search'] } },
      kept: { audit: { content: 'full', retention_days: 9 } },
      broken: { allow: 'yes' },
      reason: {
        route: {
          candidates: [{ model: 'small', upstream: 'openai' }],
          reason: 'otherwise',
          experiment: null,
          mirror: null,
        },
      },
      fallback: route('small', 'large'),
      limits: limited(2),
      budget: { budgets: [{ ...BUDGET, micro_usd: 100 }] },
    },
    2,
  );
  policy = await createPolicy(before.bundle);
}, 60_000);

const run = async (
  homes: readonly string[] | DecisionSource,
  options: Partial<ReplayOptions> = {},
): Promise<ReplayReport> => {
  const source = 'batches' in homes ? homes : createAuditSource(homes);
  const used: ReplayOptions = {
    source,
    range: { sinceMs: undefined, untilMs: undefined },
    before,
    after,
    threads: 1,
    ...options,
  };
  const data = (used.after ?? used.before).bundle.data as unknown as PolicyData;
  const priced = withPrices(data, new Map(Object.entries(used.prices ?? {})));
  return reportOf(await replay(used), {
    source: source.name,
    before: used.before.bundle,
    after: used.after?.bundle,
    pricesAfter: createPriceTable(priced, 'r'),
    priceFile: null,
    sample: used.sample ?? 1,
    org: used.org,
  });
};

/** The report on a log of these requests. */
const reportOn = async (
  requests: readonly LoggedRequest[],
  options: Partial<ReplayOptions> = {},
): Promise<ReplayReport> => {
  let report: ReplayReport | undefined;
  await withHome(async (home) => {
    await writeDecisions(home, policy, requests);
    report = await run([home], options);
  });
  return report as ReplayReport;
};

const one = (workflow: string, minute = 0, over: Partial<LoggedRequest> = {}): LoggedRequest => ({
  id: `dec_${workflow}_${minute}`,
  input: requestFor(workflow, minute),
  ...over,
});

const kinds = ({ changes }: ReplayReport): [string, string, string, number][] =>
  changes.map(({ facet, before: was, after: is, count }) => [facet, was, is, count]);

describe('differences', () => {
  test.each([
    ['closing', 'denied', 'allow', 'closed'],
    ['shut', 'allowed', 'closed', 'allow'],
    ['other', 'denial', 'closed', 'paused'],
    ['move', 'model', 'small at openai', 'large at openai'],
    ['fallback', 'fallbacks', 'none', 'large at openai'],
    ['bare', 'redaction_lost', 'email: tokenize, restored in text', 'email: none'],
    ['masked', 'redaction', 'email: tokenize, restored in text', 'email: mask'],
    ['tier', 'tier', 'free', 'gold'],
    ['capped', 'parameters', 'max_output_tokens 100', 'max_output_tokens 50'],
    ['tools', 'tools', 'none', 'search'],
    ['kept', 'audit', 'none, 1 days', 'full, 9 days'],
    ['limits', 'limits', 'team: requests a minute 10', 'team: requests a minute 2'],
    ['budget', 'budgets', 'team: USD a month 1', 'team: USD a month 0.0001'],
    ['reason', 'wording', 'as it was', 'other messages, hints, reasons or order'],
  ])('of workflow %s: %s', async (workflow, facet, was, is) => {
    const report = await reportOn([one(workflow), one('same', 1)]);
    expect(kinds(report)).toEqual([[facet, was, is, 1]]);
    expect(report.facets).toEqual({ [facet]: 1 });
    expect(report.decisions).toMatchObject({ total: 2, touched: facet === 'wording' ? 0 : 1 });
  });

  test('a decision that is none is a policy error, with its reason', async () => {
    const report = await reportOn([one('broken')]);
    expect(kinds(report)).toEqual([['failed', 'allow', 'the decision is malformed: /allow must be boolean', 1]]);
    expect(report.decisions.failed).toEqual({ before: 0, after: 1 });
    expect(report.changes[0]?.example.after.allow).toBe(null);
  });

  test('the example of a kind is the smallest input, and of two of one size the smaller id', async () => {
    const long = { input: requestFor('closing', 1, { user: 'somebody-with-a-long-name' }) };
    const report = await reportOn([
      { ...one('closing', 1), id: 'dec_a', ...long },
      { ...one('closing', 2), id: 'dec_c' },
      { ...one('closing', 3), id: 'dec_b' },
    ]);
    const [change] = report.changes;
    expect(change).toMatchObject({
      count: 3,
      example: { id: 'dec_b', caller: { org: 'uni', team: 'cs', user: 'sam' } },
    });
    expect(change?.example.before.rules).toEqual([{ id: 'routing.open', title: null, place: null }]);
    expect(change?.example.after.rules).toEqual([
      { id: 'access.closed', title: 'Closed for now', place: 'policies/access/access.rego:7' },
    ]);
    expect(change?.example.bytes).toBe(Buffer.byteLength(JSON.stringify(requestFor('closing', 3))));
  });

  test('who is touched is counted by organisation, team, user and workflow, most first', async () => {
    const report = await reportOn([
      one('closing', 0, { input: requestFor('closing', 0, { user: 'ada' }) }),
      one('closing', 1, { input: requestFor('closing', 1, { user: 'ada' }) }),
      one('move', 2),
      one('same', 3),
      one('same', 4, { input: requestFor('same', 4, { org: 'college' }) }),
    ]);
    expect(report.who.org).toEqual({ touched: 1, top: [{ name: 'uni', requests: 4, touched: 3, newly_denied: 2 }] });
    expect(report.who.user.top.map(({ name, touched }) => [name, touched])).toEqual([
      ['uni/ada', 2],
      ['uni/sam', 1],
    ]);
    expect(report.who.workflow.top.map(({ name }) => name)).toEqual(['closing', 'move']);
    expect(report.who.team.top).toMatchObject([{ name: 'uni/cs', requests: 4, touched: 3 }]);
  });

  test('rules that fire under one of them, and those that never do', async () => {
    const report = await reportOn([one('shut'), one('same', 1)]);
    expect(report.rules.only_before).toMatchObject([
      { id: 'access.closed', count: 1, place: 'policies/access/access.rego:7' },
    ]);
    expect(report.rules.only_after).toEqual([]);
    expect(report.rules.never_fired).toMatchObject([{ id: 'access.closed', title: 'Closed for now' }]);
  });
});

describe('dollars', () => {
  const usage = { input: 1_000, output: 500 };

  test('are those of the recorded tokens at the first model of each side', async () => {
    // small: 1,000 × 1 + 500 × 2 = 2,000 micro-dollars; large: ten times that; denied: nothing.
    const report = await reportOn([one('same', 0, { usage }), one('move', 1, { usage }), one('closing', 2, { usage })]);
    expect(report.cost).toMatchObject({
      requests: 3,
      recorded_micro_usd: 6_000,
      before_micro_usd: 6_000,
      after_micro_usd: 22_000,
      newly_denied_micro_usd: 2_000,
    });
    expect(report.cost.by_org).toEqual([
      { name: 'uni', requests: 3, before_micro_usd: 6_000, after_micro_usd: 22_000 },
    ]);
    expect(report.cost.by_model).toEqual([
      { name: 'large', requests: 1, before_micro_usd: 0, after_micro_usd: 20_000 },
      { name: 'small', requests: 3, before_micro_usd: 6_000, after_micro_usd: 2_000 },
    ]);
    const move = report.changes.find(({ facet }) => facet === 'model');
    expect(move).toMatchObject({ used: 1, cost_before_micro_usd: 2_000, cost_after_micro_usd: 20_000 });
  });

  test('are scaled to 30 days by the time between the first and the last decision', async () => {
    const report = await reportOn([one('same', 0), one('same', 3 * 24 * 60)]);
    expect(report.range?.days).toBe(3);
    expect(report.cost.month_factor).toBe(10);
  });

  test('are not scaled from less than an hour', async () => {
    expect((await reportOn([one('same', 0), one('same', 59)])).cost.month_factor).toBe(null);
  });

  test('of an answer that came from a fallback compare first with first, and say it', async () => {
    const report = await reportOn([one('same', 0, { usage, answeredBy: 'large' })]);
    expect(report.cost).toMatchObject({
      fell_back: 1,
      recorded_micro_usd: 20_000,
      before_micro_usd: 2_000,
      after_micro_usd: 2_000,
    });
  });

  test('of newly allowed requests are estimated apart: their prompt, and the model’s mean output', async () => {
    // Two answers of 200 and 400 tokens by small to that workflow do not exist; to another they do: mean 300.
    // The prompt's estimate is 20 tokens: 20 × 1 + 300 × 2 = 620.
    const report = await reportOn([
      one('same', 0, { usage: { input: 0, output: 200 } }),
      one('same', 1, { usage: { input: 0, output: 400 } }),
      one('shut', 2),
    ]);
    expect(report.cost.newly_allowed).toEqual({ requests: 1, micro_usd: 620, unknown_output: 0 });
    expect(report.cost.before_micro_usd).toBe(1_200);
    expect(report.cost.after_micro_usd).toBe(1_200);
  });

  test('of newly allowed requests to a model that answered nobody count the prompt alone, and say it', async () => {
    expect((await reportOn([one('shut')])).cost.newly_allowed).toEqual({
      requests: 1,
      micro_usd: 20,
      unknown_output: 1,
    });
  });

  test('under other prices alone compare the same decisions', async () => {
    const { prices } = parsePriceList(policy.data, { small: { usd_per_million_tokens: { input: 3, output: 2 } } });
    const report = await reportOn([one('same', 0, { usage }), one('closing', 1, { usage })], {
      after: undefined,
      prices,
    });
    expect(report.after).toBe(null);
    expect(report.changes).toEqual([]);
    expect(report.cost).toMatchObject({ before_micro_usd: 4_000, after_micro_usd: 8_000 });
  });

  test('under a candidate and other prices use both', async () => {
    const { prices } = parsePriceList(policy.data, { large: { usd_per_million_tokens: { input: 1, output: 1 } } });
    const report = await reportOn([one('move', 0, { usage })], { prices });
    expect(report.cost).toMatchObject({ before_micro_usd: 2_000, after_micro_usd: 1_500 });
  });
});

describe('limits', () => {
  test('a tighter rate refuses requests of one minute, and none of another', async () => {
    const at = (second: number): LoggedRequest => ({
      id: `dec_${second}`,
      input: requestFor('limits', second / 60),
    });
    const report = await reportOn([at(0), at(1), at(2), at(3), at(600)]);
    expect(report.limits).toEqual({
      asked: { before: 5, after: 5 },
      refused: [{ limit: 'requests a minute of team', before: 0, after: 2 }],
      newly_refused: 2,
      no_longer_refused: 0,
    });
  });

  test('a tighter budget refuses what does not fit behind what was spent, by the bound that is reserved', async () => {
    // Bounds: 100 bytes × 1 + 100 output × 2 = 300 before; the candidate's cap of 100 micro-dollars takes none.
    const report = await reportOn([one('budget', 0), one('budget', 1)]);
    expect(report.limits).toMatchObject({
      refused: [{ limit: 'budget of team', before: 0, after: 2 }],
      newly_refused: 2,
    });
  });

  test('a budget starts at what the gateway said was spent', async () => {
    const spend = [
      {
        scope: 'team' as const,
        subject: 'uni/cs',
        period: '2026-11',
        micro_usd: 999_900,
        reserved_micro_usd: 0,
        cap_micro_usd: 1_000_000,
        age_ms: 0,
      },
    ];
    const report = await reportOn([one('budget', 0, { input: { ...requestFor('budget', 0), spend } })]);
    expect(report.limits?.refused).toEqual([{ limit: 'budget of team', before: 1, after: 1 }]);
  });

  test('are not simulated on a sample', async () => {
    expect((await reportOn([one('same')], { sample: 0.5 })).limits).toBe(null);
  });
});

describe('what is replayed', () => {
  test('a decision of the serving bundle is taken from the log, and one that is re-executed is compared with it', async () => {
    const asLogged = await reportOn([one('same'), one('same', 1)]);
    expect(asLogged.decisions).toMatchObject({ reused: 2, proved: 0, unproved: 0 });
    const anew = await reportOn([one('same'), one('same', 1)], { reExecute: true });
    expect(anew.decisions).toMatchObject({ reused: 0, proved: 2, unproved: 0 });
  });

  test('a log that says otherwise than its bundle is told', async () => {
    const forged = one('same', 1, { decided: (decision) => ({ ...decision, rules: ['made.up'] }) });
    const report = await reportOn([one('same'), forged], { reExecute: true });
    expect(report.decisions).toMatchObject({ proved: 2, unproved: 1, unproved_example: 'dec_same_1' });
  });

  test('some of what is taken from the log is always made again', async () => {
    const requests = Array.from({ length: 400 }, (_, minute) => one('same', minute));
    const { reused, proved, unproved } = (await reportOn(requests)).decisions;
    expect(proved).toBeGreaterThan(0);
    expect(reused + proved).toBe(400);
    expect(unproved).toBe(0);
  });

  test('decisions of another bundle are made anew under the serving one, and named', async () => {
    const report = await reportOn([one('shut')], { before: after, after: before });
    expect(report.decisions).toMatchObject({
      reused: 0,
      proved: 0,
      other_bundles: [{ name: policy.ref.revision, count: 1 }],
    });
    expect(kinds(report)).toEqual([['denied', 'allow', 'closed', 1]]);
  });

  test('the serving bundle over its own log differs in nothing', async () => {
    const requests = ['same', 'shut', 'limits', 'budget'].map((workflow, minute) => one(workflow, minute));
    const report = await reportOn(requests, { after: before, reExecute: true });
    expect(report).toMatchObject({
      changes: [],
      decisions: { total: 4, proved: 4, unproved: 0 },
      cost: { requests: 3 },
    });
    expect(report.cost.after_micro_usd).toBe(report.cost.before_micro_usd);
  });

  test('inputs of older versions are completed and counted', async () => {
    const older = one('same', 0, {
      recorded: ({ request: { end_user: _, ...request }, ...rest }) => ({
        ...rest,
        request,
        upstreams: Object.fromEntries(
          Object.entries(rest.upstreams).map(([name, { endpoints: __, ...facts }]) => [name, facts]),
        ),
      }),
    });
    const report = await reportOn([older, one('same', 1)]);
    expect(report.decisions).toMatchObject({
      total: 2,
      completed: 1,
      added: [
        { name: 'request.end_user', count: 1 },
        { name: 'upstreams.*.endpoints', count: 1 },
      ],
    });
    expect(report.changes).toEqual([]);
  });

  test('an input that is none is left out with its reason', async () => {
    const strange = one('same', 0, { recorded: (whole) => ({ ...whole, weather: 'rain' }) });
    const report = await reportOn([strange, one('same', 1)]);
    expect(report.decisions).toMatchObject({
      total: 1,
      unfit: [{ name: '/ must NOT have additional properties ("weather")', count: 1 }],
    });
  });

  test('a request without an end is decided all the same, and counted as under way', async () => {
    const report = await reportOn([one('closing', 0, { isOpen: true }), one('same', 1)]);
    expect(report.decisions).toMatchObject({ total: 2, under_way: 1 });
    expect(report.cost.requests).toBe(1);
    expect(report.facets).toEqual({ denied: 1 });
  });

  test('since and until take decisions by when they were made', async () => {
    const start = Date.parse(requestFor('same', 0).request.time);
    const requests = [0, 1, 2, 3].map((minute) => one('same', minute));
    const range = { sinceMs: start + 60_000, untilMs: start + 180_000 };
    const report = await reportOn(requests, { range });
    expect(report.decisions.total).toBe(2);
    expect(report.range).toMatchObject({ first: '2026-11-02T00:01:00.000Z', last: '2026-11-02T00:02:00.000Z' });
    expect(report.cost.requests).toBe(2);
  });

  test('one organisation alone, when asked', async () => {
    const college = one('closing', 1, { input: requestFor('closing', 1, { org: 'college' }) });
    expect((await reportOn([one('closing'), college], { org: 'college' })).decisions.total).toBe(1);
  });

  test('a sample is the same in each run, and scales the dollars', async () => {
    const requests = Array.from({ length: 200 }, (_, minute) => one('move', minute));
    const [first, second] = [
      await reportOn(requests, { sample: 0.25 }),
      await reportOn(requests, { sample: 0.25, threads: 2 }),
    ];
    expect({ ...second, source: '' }).toEqual({ ...first, source: '' });
    expect(first.decisions.total).toBeGreaterThan(20);
    expect(first.decisions.total).toBeLessThan(90);
    const days = first.range?.days as number;
    expect(first.cost.month_factor).toBeCloseTo(30 / days / 0.25, -1);
  });
});

describe('logs', () => {
  const WORKFLOWS = ['same', 'closing', 'move', 'shut', 'limits', 'budget', 'bare', 'broken'];
  const mixed = Array.from({ length: 600 }, (_, minute) => {
    const workflow = WORKFLOWS[minute % WORKFLOWS.length] as string;
    const usage = { input: 100 + minute, output: minute % 90 };
    return { id: `dec_${minute}`, input: requestFor(workflow, minute / 7, { user: `user${minute % 9}` }), usage };
  });

  test('the report is the same to the last byte whatever the number of threads', async () => {
    await withHome(async (home) => {
      await writeDecisions(home, policy, mixed);
      const texts: string[] = [];
      for (const threads of [1, 2, 3]) texts.push(JSON.stringify(await run([home], { threads })));
      expect(texts[1]).toBe(texts[0]);
      expect(texts[2]).toBe(texts[0]);
      expect(texts[0]).toContain('"facet":"denied"');
    });
  }, 30_000);

  test('several worker logs are one, merged by time', async () => {
    await withHome(async (home) => {
      await writeDecisions(home, policy, mixed);
      const whole = await run([home]);
      await withHome(async (shared) => {
        await writeDecisions(
          logHomeOf(shared, 0),
          policy,
          mixed.filter((_, index) => index % 3 === 0),
        );
        await writeDecisions(
          logHomeOf(shared, 1),
          policy,
          mixed.filter((_, index) => index % 3 !== 0),
        );
        const homes = logHomesIn(shared);
        expect(homes).toHaveLength(2);
        const split = await run(homes);
        expect({ ...split, source: '', limits: null }).toEqual({ ...whole, source: '', limits: null });
        expect(split.limits?.asked).toEqual(whole.limits?.asked);
      });
    });
  }, 30_000);

  test('a source of texts with other orders of keys says the same as the log', async () => {
    const records = mixed.slice(0, 50).flatMap((request) => recordsOf(policy, request));
    const turned = (record: object): string => JSON.stringify(Object.fromEntries(Object.entries(record).reverse()));
    const source: DecisionSource = {
      name: 'a table',
      async *batches() {
        yield records.map(turned);
      },
    };
    const report = await run(source);
    const fromLog = await reportOn(mixed.slice(0, 50));
    expect({ ...report, source: '' }).toEqual({ ...fromLog, source: '' });
  });

  test('an empty log has no decisions and no dollars', async () => {
    const report = await reportOn([]);
    expect(report).toMatchObject({ range: null, decisions: { total: 0 }, changes: [], cost: { month_factor: null } });
  });

  test('a torn tail is left out', async () => {
    await withHome(async (home) => {
      await writeDecisions(home, policy, [one('same'), one('closing', 1)]);
      await appendFile(segmentPath(auditLayout(home), 1), Buffer.from([1, 2, 3]));
      expect((await run([home])).decisions.total).toBe(2);
    });
  });

  test('a changed byte stops the replay and names the place', async () => {
    await withHome(async (home) => {
      await writeDecisions(home, policy, [one('same'), one('closing', 1)]);
      const file = segmentPath(auditLayout(home), 1);
      const bytes = await readFile(file);
      const at = bytes.indexOf('"closing"');
      bytes[at + 2] = 'x'.charCodeAt(0);
      await writeFile(file, bytes);
      await expect(run([home])).rejects.toThrow(/the audit log is damaged: record \d+ \(segment 1/);
    });
  });

  test('a record that is none stops the replay', async () => {
    const source: DecisionSource = {
      name: 'a table',
      async *batches() {
        yield ['{"kind":"weather"}'];
      },
    };
    await expect(run(source)).rejects.toThrow('a record that is no audit record');
  });

  test('only the segments that can hold the range are read', async () => {
    await withHome(async (home) => {
      let now = Date.parse(requestFor('same', 0).request.time);
      const log = await openAuditLog({ home, segmentBytes: 4_096, now: () => now });
      const requests = Array.from({ length: 24 }, (_, hour) => one('same', hour * 60));
      for (const request of requests) {
        now = Date.parse(request.input.request.time) + 1_000;
        for (const record of recordsOf(policy, request)) await log.append(record);
      }
      await log.close();
      // The oldest segment is damaged: whoever reads it says so.
      await writeFile(segmentPath(auditLayout(home), 1), 'x'.repeat(200));
      const sinceMs = Date.parse(requests[20]!.input.request.time);
      expect((await run([home], { range: { sinceMs, untilMs: undefined } })).decisions.total).toBe(4);
      await expect(run([home])).rejects.toThrow('damaged');
    });
  });
});

test('a bundle that cannot decide is refused before anything is read', async () => {
  const broken = await variantBundle({ 'no-such-workflow': { allow: 'yes' } }, 3);
  await expect(reportOn([one('same')], { after: broken })).rejects.toThrow('no valid decision for a valid input');
});
