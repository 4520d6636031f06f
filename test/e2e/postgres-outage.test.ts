import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import {
  type Answered,
  ask,
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

// Two gateways under a steady load lose their Postgres, and later have one that hangs. With AEGIS_LONG set it is away for
// the 60 s of the design.

const OUTAGE_MS = process.env.AEGIS_LONG ? 60_000 : 10_000;
const HANG_MS = process.env.AEGIS_LONG ? 30_000 : 4_000;
const STEADY_MS = 2_000;
/** A machine that does other things at the same time has pauses of its own. */
const SLOWER_MS = 1_500;

const without = whyNoPostgres() ?? (HAS_REDIS ? undefined : 'Redis is not installed here');

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

(without === undefined ? describe : describe.skip)(`Postgres is away${without ? ` (${without})` : ''}`, () => {
  let redis: TestRedis;
  let postgres: TestPostgres;
  let upstream: FakeUpstream;
  let cluster: Cluster;
  let load: Load;
  let admin: string;
  let keys: string[];
  beforeAll(async () => {
    [redis, postgres, upstream] = await Promise.all([
      openTestRedis(),
      openPostgres(),
      openFakeUpstream(answerJson(200, chatCompletion('Hi.'))),
    ]);
    const storeUrl = await postgres.createDatabase();
    cluster = await openCluster({ gateways: 2, redisUrl: redis.url, storeUrl, upstream });
    const grant = { org: 'demo-university', team: 'nlp-lab', groups: [], workflows: [] };
    keys = await Promise.all(
      ['rosa', 'rex', 'rita'].map((user) => cluster.key({ ...grant, user, roles: ['researcher'] })),
    );
    admin = await cluster.key({ ...grant, team: '', user: 'root', roles: ['platform-admin'] });
    const urls = cluster.members.map(({ served }) => served.url);
    load = startLoad(urls, keys, 250);
    await pause(STEADY_MS);
  }, 120_000);
  afterEach(async () => {
    postgres.thaw();
    await postgres.start();
  });
  afterAll(async () => {
    await load?.stop();
    await cluster?.close();
    await Promise.all([redis?.close(), postgres?.close(), upstream?.close()]);
  });

  /** Of each gateway: the status of a control plane's route. */
  const adminStatuses = (path: string): Promise<string[]> =>
    Promise.all(
      cluster.members.map(async ({ served }) => {
        const answer = await fetch(`${served.adminUrl}/admin/v1/${path}`, { headers: { 'x-api-key': admin } });
        const { error } = (await answer.json()) as { error?: { code: string } };
        return error === undefined ? `${answer.status}` : `${answer.status} ${error.code}`;
      }),
    );

  const store = async (): Promise<string[]> => {
    const all = await Promise.all(cluster.members.map(({ served }) => readiness(served.adminUrl)));
    expect(all.map(({ status }) => status)).toEqual([200, 200]);
    return all.map(({ store }) => store);
  };

  const outage = async (name: string, ms: number, begin: () => unknown, end: () => unknown): Promise<void> => {
    load.since();
    await pause(STEADY_MS);
    const before = load.since();
    await begin();
    const began = performance.now();
    await until(async () => ((await store()).every((state) => state === 'away') ? true : undefined), 15_000);
    // Each waits for the store as long as that may take, and says so.
    const refusals = await Promise.all(['keys', 'usage'].map(adminStatuses));
    expect(refusals.flat()).toEqual(Array(4).fill('503 store_unavailable'));
    await pause(Math.max(0, ms - (performance.now() - began)));
    const during = load.since();
    const ended = performance.now();
    await end();
    await until(async () => ((await store()).every((state) => state === 'shared') ? true : undefined), 20_000);
    const { length: recorded } = await cluster.outcomes();
    await until(async () => (((await cluster.ledger())?.requests ?? 0) >= recorded ? true : undefined), 60_000);
    const backMs = performance.now() - ended;
    expect((await Promise.all(['keys', 'usage'].map(adminStatuses))).flat()).toEqual(Array(4).fill('200'));
    const p99 = { before: quantile(before, 0.99), during: quantile(during, 0.99) };
    figure(
      `Postgres ${name}: p99 ${p99.before.toFixed(0)} ms before, ${p99.during.toFixed(0)} during; ` +
        `${recorded} requests in the ledger ${backMs.toFixed(0)} ms after; ${JSON.stringify(tally(during))}`,
    );
    expect(tally([...before, ...during])).toEqual({ 200: before.length + during.length });
    expect(during.length).toBeGreaterThan(ms / 100);
    expect(p99.during - p99.before).toBeLessThan(SLOWER_MS);
  };

  test(
    'stopped: calls go on, the control plane says so, and no row is lost',
    () => outage('stopped', OUTAGE_MS, () => postgres.stop('crash'), postgres.start),
    150_000,
  );

  test('hanging: the same', () => outage('hanging', HANG_MS, postgres.freeze, postgres.thaw), 120_000);

  test('and afterwards keys are as they were, and the ledger is the sum of the audit logs', async () => {
    const rest: Answered[] = await load.stop();
    expect(tally(rest)).toEqual({ 200: rest.length });
    for (const { served } of cluster.members) {
      for (const key of keys) expect((await ask(served.url, key)).status).toBe(200);
    }
    const { outcomes, ledger } = await cluster.settled();
    expect(ledger.cost_micro_usd).toBe(outcomes.reduce((sum, { cost }) => sum + cost.micro_usd, 0));
    expect(ledger.ok).toBe(outcomes.length);
    expect(await cluster.stop()).toEqual([0, 0]);
  }, 60_000);
});
