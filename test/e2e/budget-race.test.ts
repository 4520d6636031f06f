import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { ask, boundless, type Cluster, figure, openCluster } from '../support/cluster.ts';
import { answerJson, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';

// Many callers at several gateways use up one budget. A request reserves some 100 micro-dollars and costs 15 to 70: the
// cap is some 500 reservations, more than there are callers, so what is under way at once does not decide how much of
// the budget can be used. With AEGIS_LONG set it is 800 callers instead of 200, and a cap as much larger.

const GATEWAYS = 4;
/** Of each gateway. */
const CALLERS = process.env.AEGIS_LONG ? 200 : 50;
const CAP_MICRO_USD = 1_200 * CALLERS;
/** Refusals in a row after which a caller gives up: others may give back what they did not use. */
const PATIENCE = 4;

const without = whyNoPostgres() ?? (HAS_REDIS ? undefined : 'Redis is not installed here');

(without === undefined ? describe : describe.skip)(
  `a budget that is raced for${without ? ` (${without})` : ''}`,
  () => {
    let redis: TestRedis;
    let postgres: TestPostgres;
    let upstream: FakeUpstream;
    let bundles: TestBundles;
    let cluster: Cluster;
    beforeAll(async () => {
      [redis, postgres, upstream, bundles] = await Promise.all([
        openTestRedis(),
        openPostgres(),
        openFakeUpstream(),
        openTestBundles(),
      ]);
      await bundles.rollOut({
        'tiers/data.yaml': boundless,
        'organizations/data.yaml': (text) =>
          text.replace(/(nlp-lab: .*budget: \{ usd: )\d+/, `$1${CAP_MICRO_USD / 1e6}`),
      });
      upstream.play = async (request, response) => {
        await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 30));
        const output = 10 + Math.floor(Math.random() * 45);
        const usage = { prompt_tokens: 12, completion_tokens: output, total_tokens: 12 + output };
        await answerJson(200, chatCompletion('Hi.', usage))(request, response);
      };
      const storeUrl = await postgres.createDatabase();
      cluster = await openCluster({ gateways: GATEWAYS, redisUrl: redis.url, storeUrl, upstream, bundles });
    }, 120_000);
    afterAll(async () => {
      await cluster?.close();
      await Promise.all([redis?.close(), postgres?.close(), upstream?.close(), bundles?.remove()]);
    });

    /** The team's budget in Redis. */
    const books = async (): Promise<{ spent: number; reserved: number }> => {
      const [name] = await redis.client.keys('*:s:*:team:demo-university/nlp-lab');
      const value = name === undefined ? null : await redis.client.getBuffer(name);
      return value === null
        ? { spent: 0, reserved: 0 }
        : { spent: value.readDoubleLE(0), reserved: value.readDoubleLE(8) };
    };

    test('is used to 97 % and more by hundreds of callers at four gateways, and never overrun', async () => {
      const key = await cluster.key({
        org: 'demo-university',
        team: 'nlp-lab',
        user: '',
        roles: ['researcher'],
        groups: [],
        workflows: [],
      });
      const counts = { granted: 0, refused: 0 };
      const others: string[] = [];
      const caller = async (url: string): Promise<void> => {
        for (let refusals = 0; refusals < PATIENCE; ) {
          const { status, code } = await ask(url, key, { max_tokens: 60 });
          if (status === 200) {
            counts.granted++;
            refusals = 0;
          } else if (code === 'budget_exceeded') {
            counts.refused++;
            refusals++;
            await new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 200));
          } else {
            others.push(`${status} ${code}`);
            refusals++;
          }
        }
      };
      let isRacing = true;
      let most = 0;
      const watch = (async () => {
        while (isRacing) {
          const { spent, reserved } = await books();
          most = Math.max(most, spent + reserved);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      const started = performance.now();
      await Promise.all(
        cluster.members.flatMap(({ served }) => Array.from({ length: CALLERS }, () => caller(served.url))),
      );
      const seconds = (performance.now() - started) / 1000;
      isRacing = false;
      await watch;

      expect(others).toEqual([]);
      const { outcomes, ledger } = await cluster.settled();
      const spent = outcomes.reduce((sum, { cost }) => sum + cost.micro_usd, 0);
      // Never over, in no moment.
      expect(most).toBeLessThanOrEqual(CAP_MICRO_USD);
      expect(spent).toBeLessThanOrEqual(CAP_MICRO_USD);
      expect(spent).toBeGreaterThanOrEqual(0.97 * CAP_MICRO_USD);
      // Three books, one sum.
      expect(ledger.cost_micro_usd).toBe(spent);
      expect(ledger).toMatchObject({ ok: counts.granted, limited: counts.refused });
      const inRedis = await until(async () => {
        const now = await books();
        return now.reserved === 0 ? now : undefined;
      });
      expect(inRedis.spent).toBe(spent);
      expect(counts.granted).toBeGreaterThan(GATEWAYS * CALLERS);
      figure(
        `budget race: ${counts.granted} granted and ${counts.refused} refused in ${seconds.toFixed(1)} s; ` +
          `${((100 * spent) / CAP_MICRO_USD).toFixed(2)} % used, at most ${((100 * most) / CAP_MICRO_USD).toFixed(2)} % with reservations`,
      );
    }, 90_000);
  },
);
