import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import {
  type Answered,
  boundless,
  type Cluster,
  figure,
  type Load,
  openCluster,
  quantile,
  readiness,
  startLoad,
  tally,
} from '../support/cluster.ts';
import { answerJson, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';

// Two gateways under a steady load lose their Redis: it is killed and comes back with nothing, and it is stopped so that
// connections stay and nothing answers. Callers are of two teams: one whose budget is never used up, by which times and
// statuses are judged, and one whose budget is used up meanwhile. With AEGIS_LONG set each outage takes 10 s.

const OUTAGE_MS = process.env.AEGIS_LONG ? 10_000 : 2_500;
const STEADY_MS = 2_000;
const CAP_MICRO_USD = 12_000;
/** A machine that does other things at the same time has pauses of its own; the goal is 20 and 60 ms. */
const SLOWER_MS = 750;
/** After its return; the goal is one second. */
const BACK_MS = 5_000;

const without = whyNoPostgres() ?? (HAS_REDIS ? undefined : 'Redis is not installed here');

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

(without === undefined ? describe : describe.skip)(`Redis is away${without ? ` (${without})` : ''}`, () => {
  let redis: TestRedis;
  let postgres: TestPostgres;
  let upstream: FakeUpstream;
  let bundles: TestBundles;
  let cluster: Cluster;
  let rich: Load;
  let poor: Load;
  beforeAll(async () => {
    [redis, postgres, upstream, bundles] = await Promise.all([
      openTestRedis(),
      openPostgres(),
      openFakeUpstream(answerJson(200, chatCompletion('Hi.'))),
      openTestBundles(),
    ]);
    await bundles.rollOut({
      'tiers/data.yaml': boundless,
      'organizations/data.yaml': (text) => text.replace(/(hist110: .*budget: \{ usd: )\d+/, `$1${CAP_MICRO_USD / 1e6}`),
    });
    const storeUrl = await postgres.createDatabase();
    cluster = await openCluster({ gateways: 2, redisUrl: redis.url, storeUrl, upstream, bundles });
    const grant = { org: 'demo-university', roles: ['teacher'], groups: [], workflows: [] };
    const keys = (team: string, users: string[]): Promise<string[]> =>
      Promise.all(users.map((user) => cluster.key({ ...grant, team, user })));
    const urls = cluster.members.map(({ served }) => served.url);
    rich = startLoad(urls, await keys('nlp-lab', ['rosa', 'rex', 'rita']), 40);
    poor = startLoad(urls, await keys('hist110', ['pia', 'paul']), 60);
    await pause(STEADY_MS); // Until they are warm.
  }, 120_000);
  afterEach(() => redis.resume());
  afterAll(async () => {
    await Promise.all([rich?.stop(), poor?.stop()]);
    await cluster?.close();
    await Promise.all([redis?.close(), postgres?.close(), upstream?.close(), bundles?.remove()]);
  });

  const limits = async (): Promise<string[]> => {
    const all = await Promise.all(cluster.members.map(({ served }) => readiness(served.adminUrl)));
    expect(all.map(({ status }) => status)).toEqual([200, 200]);
    return all.map(({ limits }) => limits);
  };

  const broken = (answers: readonly Answered[]): string[] =>
    answers.filter(({ status }) => status === 0 || status >= 500).map(({ status, code }) => `${status} ${code}`);

  const outage = async (name: string, begin: () => unknown, end: () => unknown): Promise<void> => {
    expect(await limits()).toEqual(['shared', 'shared']);
    rich.since();
    await pause(STEADY_MS);
    const before = rich.since();
    await begin();
    await until(async () => ((await limits()).every((mode) => mode === 'local') ? true : undefined), 3_000);
    await pause(OUTAGE_MS);
    const during = rich.since();
    const ended = performance.now();
    await end();
    await until(async () => ((await limits()).every((mode) => mode === 'shared') ? true : undefined), BACK_MS);
    const backMs = performance.now() - ended;
    await until(() => (rich.since().some(({ degraded }) => degraded === null) ? true : undefined), BACK_MS);
    await pause(STEADY_MS);
    const after = rich.since();

    const p99 = { before: quantile(before, 0.99), during: quantile(during, 0.99), after: quantile(after, 0.99) };
    figure(
      `Redis ${name}: p99 ${p99.before.toFixed(0)} ms before, ${p99.during.toFixed(0)} during, ` +
        `${p99.after.toFixed(0)} after; p50 ${quantile(before, 0.5).toFixed(1)}, ${quantile(during, 0.5).toFixed(1)}; ` +
        `back after ${backMs.toFixed(0)} ms; ${JSON.stringify([tally(before), tally(during), tally(after)])}`,
    );
    expect(broken([...before, ...during, ...after])).toEqual([]);
    expect(tally(before)).toEqual({ 200: before.length });
    // The answers that were under way, and those after, out of what is held ahead.
    const served = during.filter(({ status }) => status === 200);
    expect(served.length).toBeGreaterThan(0.95 * during.length);
    expect(served.filter(({ degraded }) => degraded === 'limits_local').length).toBeGreaterThan(0.8 * served.length);
    // A Redis that lost its memory hears first what each gateway has under way: spend is closed for a third of a second.
    expect(Object.keys(tally(after)).filter((name) => name !== '200' && name !== '429 budget_exceeded')).toEqual([]);
    expect(tally(after.slice(-40))).toEqual({ 200: 40 });
    expect(p99.during - p99.before).toBeLessThan(SLOWER_MS);
    expect(backMs).toBeLessThan(BACK_MS);
  };

  test(
    'killed: answers go on, say so, and it is used again when it is back, with nothing in its memory',
    () => outage('killed', redis.kill, redis.start),
    60_000,
  );

  test('stopped: nobody waits for it', () => outage('stopped', redis.pause, redis.resume), 60_000);

  test('and no budget was overrun, nothing is counted otherwise than it is recorded', async () => {
    // What is left of the small budget is used up.
    await until(async () => {
      const answers = poor.since();
      await pause(500);
      return answers.length > 10 && answers.every(({ status }) => status === 429) ? true : undefined;
    }, 30_000);
    const [answers, refusals] = [await rich.stop(), await poor.stop()];
    expect(broken([...answers, ...refusals])).toEqual([]);
    const { outcomes, ledger } = await cluster.settled();
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['ok', 'limited']));
    const sum = (team?: string): number =>
      outcomes.reduce((total, { caller, cost }) => total + (!team || caller?.team === team ? cost.micro_usd : 0), 0);
    const spent = sum('hist110');
    figure(`Redis away twice: ${((100 * spent) / CAP_MICRO_USD).toFixed(1)} % of the small budget used`);
    expect(spent).toBeLessThanOrEqual(CAP_MICRO_USD);
    // What was settled right before Redis lost its memory may be counted twice, never not at all.
    expect(spent).toBeGreaterThan(0.7 * CAP_MICRO_USD);
    expect(ledger.cost_micro_usd).toBe(sum());
    expect(await cluster.stop()).toEqual([0, 0]);
  }, 90_000);
});
