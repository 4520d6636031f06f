import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, PEOPLE, type TestGateway, until } from '../support/gateway.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';

// Whole gateways that count on one Redis. What the limiter does by itself is in test/contract/redis-limiter.test.ts.

let redis: TestRedis;
const gateways: TestGateway[] = [];

const open = async (): Promise<TestGateway> => {
  const gateway = await openTestGateway({ config: { redis: { url: redis.url } } });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateways.push(gateway);
  return gateway;
};

const STUDENT = { scope: 'user', subject: `${PEOPLE.student.org}/${PEOPLE.student.user}` } as const;

const limitsOf = async (gateway: TestGateway): Promise<unknown> => {
  const answer = await fetch(`${gateway.running.adminUrl}/readyz`);
  return [answer.status, ((await answer.json()) as { limits: string }).limits];
};

(HAS_REDIS ? describe : describe.skip)('gateways on one Redis', () => {
  beforeAll(async () => {
    redis = await openTestRedis();
  });
  afterEach(async () => {
    redis.resume();
    for (const gateway of gateways.splice(0)) await gateway.close();
    await redis.client.flushall();
  });
  afterAll(() => redis.close());

  test('count what a user spends together, whichever of them is asked', async () => {
    const [one, two] = [await open(), await open()];
    expect(await limitsOf(one)).toEqual([200, 'shared']);
    const spentBy = async (gateway: TestGateway): Promise<number> => {
      const answer = await gateway.chat({});
      expect([answer.status, answer.headers.get('x-aegis-degraded')]).toEqual([200, null]);
      return (await gateway.outcomeOf(answer)).cost.micro_usd;
    };
    // Their keys differ, the student is the same.
    const spent = [await spentBy(one), await spentBy(one), await spentBy(two), await spentBy(one)];
    expect(Math.min(...spent)).toBeGreaterThan(0);
    const total = spent.reduce((sum, cost) => sum + cost, 0);
    const known = (gateway: TestGateway): number | undefined =>
      gateway.running.gateway.limiter.spend([STUDENT], Date.now())[0]?.micro_usd;
    await until(() => (known(one) === total ? true : undefined));
    // The other learns of it by its next request.
    const next = await spentBy(two);
    await until(() => (known(two) === total + next ? true : undefined));
  });

  test('go on while it hangs, say so, and count together again when it is back', async () => {
    const gateway = await open();
    expect((await gateway.chat({})).headers.get('x-aegis-degraded')).toBeNull();
    redis.pause();
    await until(async () => (gateway.running.gateway.limiter.state?.().mode === 'local' ? true : undefined));
    const answer = await gateway.chat({});
    expect([answer.status, answer.headers.get('x-aegis-degraded')]).toEqual([200, 'limits_local']);
    expect(await limitsOf(gateway)).toEqual([200, 'local']);
    redis.resume();
    await until(async () => (gateway.running.gateway.limiter.state?.().mode === 'shared' ? true : undefined));
    await until(async () => ((await gateway.chat({})).headers.get('x-aegis-degraded') === null ? true : undefined));
  });
});
