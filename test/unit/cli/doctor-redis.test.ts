import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { checkRedis } from '../../../gateway/cli/doctor-redis.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../../support/redis.ts';

test('where limits are counted in memory there is nothing to check', async () => {
  expect(await checkRedis('', 100)).toEqual([]);
});

test('a Redis that nobody reaches is a problem', async () => {
  expect(await checkRedis('redis://127.0.0.1:1', 500)).toEqual([
    { check: 'redis', status: 'problem', found: expect.stringContaining('ECONNREFUSED'), fix: expect.any(String) },
  ]);
});

(HAS_REDIS ? describe : describe.skip)('a Redis', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await openTestRedis();
  });
  afterAll(() => redis.close());

  test('that is good is told with its version and how fast it answers, and nothing is written there', async () => {
    const [check, ...more] = await checkRedis(redis.url, 5_000);
    expect(more).toEqual([]);
    // On a machine that is busy it may be slow.
    expect(['ok', 'warning']).toContain(check?.status);
    expect(check?.found).toMatch(/^Redis \d+\.\d+\.\d+ answers \([\d.]+ ms\)/);
    expect(await redis.client.dbsize()).toBe(0);
  });

  test('that may forget is a warning', async () => {
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const checks = await checkRedis(redis.url, 5_000);
    await redis.client.config('SET', 'maxmemory-policy', 'noeviction');
    expect(checks).toContainEqual({
      check: 'redis',
      status: 'warning',
      found: 'its maxmemory-policy is allkeys-lru: it may forget what was spent',
      fix: 'set maxmemory-policy noeviction',
    });
  });

  test('that is a replica is a problem', async () => {
    await redis.client.replicaof('127.0.0.1', 1);
    const [check] = await checkRedis(redis.url, 5_000);
    await redis.client.replicaof('NO', 'ONE');
    expect(check).toMatchObject({ status: 'problem', found: expect.stringContaining('read-only replica') });
  });

  test('that wants a password is a problem without it, and none with it', async () => {
    await redis.client.config('SET', 'requirepass', 'secret');
    const [refused] = await checkRedis(redis.url, 5_000);
    const [there] = await checkRedis(redis.url.replace('//', '//:secret@'), 5_000);
    const wrong = await checkRedis(redis.url.replace('//', '//:wrong@'), 5_000);
    await redis.client.config('SET', 'requirepass', '');
    expect(refused).toMatchObject({ status: 'problem', found: expect.stringContaining('NOAUTH') });
    expect(there?.status).not.toBe('problem');
    expect(wrong[0]).toMatchObject({ status: 'problem', found: expect.stringContaining('WRONGPASS') });
    expect(JSON.stringify([refused, there, wrong])).not.toContain('secret');
  });

  test('that hangs is a problem', async () => {
    redis.pause();
    const [check] = await checkRedis(redis.url, 500);
    redis.resume();
    expect(check).toMatchObject({ status: 'problem' });
  });
});
