import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { type Answered, ask, type Cluster, openCluster, readiness } from '../support/cluster.ts';
import { answerJson, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { ROOT, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';

// Three gateways, each a process with a home of its own, on one Redis and one Postgres: one gateway to the outside.

/** Of a team with the tier `free`, a minute. */
const REQUESTS = 9;
const CAP_MICRO_USD = 800;

const without = whyNoPostgres() ?? (HAS_REDIS ? undefined : 'Redis is not installed here');

(without === undefined ? describe : describe.skip)(`three gateways${without ? ` (${without})` : ''}`, () => {
  let redis: TestRedis;
  let postgres: TestPostgres;
  let upstream: FakeUpstream;
  let bundles: TestBundles;
  let cluster: Cluster;
  let admin: string;
  beforeAll(async () => {
    [redis, postgres, upstream, bundles] = await Promise.all([
      openTestRedis(),
      openPostgres(),
      openFakeUpstream(answerJson(200, chatCompletion('Hi.'))),
      openTestBundles(),
    ]);
    await bundles.rollOut({
      'tiers/data.yaml': (text) =>
        text.replace(/(free:[\s\S]*?user: \{ )requests_per_minute: \d+/, `$1requests_per_minute: ${REQUESTS}`),
      'roles/data.yaml': (text) =>
        text.replace('daily_budget: { usd: 2 }', `daily_budget: { usd: ${CAP_MICRO_USD / 1e6} }`),
    });
    const storeUrl = await postgres.createDatabase();
    cluster = await openCluster({ gateways: 3, redisUrl: redis.url, storeUrl, upstream, bundles });
    admin = await cluster.key({
      org: 'demo-university',
      team: 'lms',
      user: 'root',
      roles: ['admin'],
      groups: [],
      workflows: [],
    });
  }, 120_000);
  afterAll(async () => {
    await cluster?.close();
    await Promise.all([redis?.close(), postgres?.close(), upstream?.close(), bundles?.remove()]);
  });

  const control = async (at: number, method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${cluster.members[at]!.served.adminUrl}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    expect({ status: answer.status, text }).toMatchObject({ status: method === 'POST' ? 201 : 200 });
    return JSON.parse(text) as Record<string, unknown>;
  };
  const makeKey = async (at: number, user: string, team = 'cs101', role = 'student') => {
    const grant = { org: 'demo-university', team, user, roles: [role] };
    return (await control(at, 'POST', '/keys', grant)) as { id: string; secret: string };
  };
  /** What each gateway says to one call with a key. */
  const each = (key: string): Promise<number[]> =>
    Promise.all(cluster.members.map(async ({ served }) => (await ask(served.url, key, { max_tokens: 20 })).status));
  /** Waits until each knows a key, at no cost. */
  const everywhere = (key: string): Promise<true> =>
    until(async () => {
      const statuses = await Promise.all(cluster.members.map(({ served }) => models(served.url, key)));
      return statuses.every((status) => status === 200) ? true : undefined;
    });

  test('say that they share limits and store', async () => {
    for (const { served } of cluster.members) {
      expect(await readiness(served.adminUrl)).toMatchObject({ status: 200, limits: 'shared', store: 'shared' });
    }
  });

  test('know a key that one of them made within seconds, and none five seconds after another ended it', async () => {
    const { id, secret } = await makeKey(0, 'kay', 'nlp-lab', 'researcher');
    const made = performance.now();
    // At once where it was made.
    expect((await ask(cluster.members[0]!.served.url, secret)).status).toBe(200);
    await until(async () => ((await each(secret)).every((status) => status === 200) ? true : undefined));
    expect(performance.now() - made).toBeLessThan(4_000);

    await control(1, 'DELETE', `/keys/${id}`);
    const ended = performance.now();
    expect((await ask(cluster.members[1]!.served.url, secret)).status).toBe(401);
    await until(async () => ((await each(secret)).every((status) => status === 401) ? true : undefined));
    expect(performance.now() - ended).toBeLessThan(5_000);
  });

  test('count requests a minute together', async () => {
    const { secret } = await makeKey(0, 'minnie', 'hist110', 'teacher');
    await everywhere(secret);
    const answers: Answered[] = [];
    for (let count = 0; count < 2 * REQUESTS; count++) {
      answers.push(await ask(cluster.members[count % 3]!.served.url, secret, { max_tokens: 20 }));
    }
    const granted = answers.filter(({ status }) => status === 200).length;
    expect(granted).toBeGreaterThanOrEqual(REQUESTS);
    // One more every seven seconds, were the machine that slow.
    expect(granted).toBeLessThanOrEqual(REQUESTS + 3);
    expect(answers.at(-1)).toMatchObject({ status: 429, code: 'rate_limited' });
    expect(Number(answers.at(-1)?.retryAfter)).toBeGreaterThan(0);
  });

  test('spend one budget together, and tell of it in one report, whichever is asked', async () => {
    const { secret } = await makeKey(2, 'penny');
    await everywhere(secret);
    const answers = await Promise.all(
      cluster.members.map(async ({ served }) => {
        const statuses: number[] = [];
        while (statuses.at(-1) !== 429) {
          const { status, code } = await ask(served.url, secret, { max_tokens: 20 });
          if (status !== 200) expect(code).toBe('budget_exceeded');
          statuses.push(status);
        }
        return statuses.length;
      }),
    );
    expect(Math.min(...answers)).toBeGreaterThan(1);
    const { outcomes } = await cluster.settled();
    const own = outcomes.filter(({ caller }) => caller?.user === 'penny');
    const spent = own.reduce((sum, { cost }) => sum + cost.micro_usd, 0);
    expect(spent).toBeLessThanOrEqual(CAP_MICRO_USD);
    expect(spent).toBeGreaterThan(0.8 * CAP_MICRO_USD);
    const isPennys = ({ user, endpoint }: Record<string, unknown>): boolean =>
      user === 'penny' && endpoint === 'chat.completions';
    for (const at of [0, 1, 2]) {
      const { data } = (await control(at, 'GET', '/usage?by=user,endpoint')) as { data: Record<string, unknown>[] };
      expect(data.find(isPennys)).toMatchObject({
        requests: own.length,
        cost_micro_usd: spent,
        limited: own.filter(({ status }) => status === 429).length,
      });
    }
    const report = aegis(0, 'report', 'usage', '--by', 'user,endpoint', '--json');
    const { groups } = JSON.parse(report.stdout) as { groups: Record<string, unknown>[] };
    expect(groups.find(isPennys)).toMatchObject({ cost_micro_usd: spent });
  }, 60_000);

  test('each have an audit log that verifies, in which the other’s requests are not', async () => {
    expect(await cluster.stop()).toEqual([0, 0, 0]);
    const all = (await cluster.outcomes()).length;
    for (const [at, { home }] of cluster.members.entries()) {
      const verified = spawnSync(join(ROOT, 'aegis'), ['audit', 'verify', '--json', '--home', home], {
        encoding: 'utf8',
      });
      expect([at, verified.status, verified.stderr]).toEqual([at, 0, '']);
      expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true });
    }
    const { length: settled } = (await cluster.settled()).outcomes;
    expect(settled).toBe(all);
  }, 60_000);

  const aegis = (at: number, ...args: string[]) =>
    spawnSync(join(ROOT, 'aegis'), [...args, '--config', join(cluster.members[at]!.home, 'aegis.yaml')], {
      encoding: 'utf8',
    });
});

const models = async (url: string, key: string): Promise<number> => {
  const answer = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await answer.arrayBuffer();
  return answer.status;
};
