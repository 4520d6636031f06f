import { Redis } from 'ioredis';
import { isLoopback } from '../loopback.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';

/** Older ones lack nothing that is used, and are tested nowhere. */
const LEAST_VERSION = 6;
/** A call waits for each answer: above this every request is slower than it should be. */
const SLOW_MS = 5;
const PINGS = 5;

/**
 * Looks at the Redis of `redis.url`: whether it answers, and how fast, is new enough, may be written, forgets nothing that
 * counts, and keeps its connection private. Nothing is written there. No check where limits are counted in memory.
 */
export const checkRedis = async (url: string, timeoutMs: number): Promise<Check[]> => {
  if (url === '') return [];
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    disableClientInfo: true,
    protocol: 2,
  });
  let broken: unknown;
  redis.on('error', (error: unknown) => {
    broken = error;
  });
  try {
    await redis.connect();
    const info = await redis.info();
    const ms = await medianPing(redis);
    return [serverCheck(info, ms), ...memoryChecks(info), ...privacyChecks(url)];
  } catch (error) {
    const found = `the Redis of redis.url does not answer: ${sentenceOf(broken ?? error)}`;
    return [problem('redis', found, 'check redis.url (host, port, user, password), or leave it empty for one gateway')];
  } finally {
    redis.disconnect();
  }
};

const medianPing = async (redis: Redis): Promise<number> => {
  const times: number[] = [];
  for (let count = 0; count < PINGS; count++) {
    const started = performance.now();
    await redis.ping();
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[PINGS >> 1]!;
};

const fieldOf = (info: string, name: string): string => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';

const serverCheck = (info: string, ms: number): Check => {
  const version = fieldOf(info, 'redis_version');
  const found = `Redis ${version} answers (${ms.toFixed(1)} ms)`;
  if (Number.parseFloat(version) < LEAST_VERSION) {
    return problem('redis', `${found}, and is too old`, `use Redis ${LEAST_VERSION} or newer`);
  }
  if (fieldOf(info, 'role') === 'slave') {
    return problem('redis', `${found}, and is a read-only replica`, 'point redis.url at the primary');
  }
  if (fieldOf(info, 'loading') === '1') return warning('redis', `${found}, and still loads its data`, 'wait for it');
  // One connection is what the limiter has: neither redirections nor sentinels are followed.
  if (fieldOf(info, 'redis_mode') === 'cluster') {
    return warning('redis', `${found}, and is a node of a cluster`, 'put a proxy in front that follows redirections');
  }
  if (ms > SLOW_MS) return warning('redis', `${found}, which each request waits for`, 'run it near the gateways');
  return ok('redis', found);
};

/** A key that is evicted is spend that is forgotten; one that is nowhere on disk comes back from the ledger. */
const memoryChecks = (info: string): Check[] => {
  const policy = fieldOf(info, 'maxmemory_policy');
  if (policy === '' || policy === 'noeviction') return [];
  const found = `its maxmemory-policy is ${policy}: it may forget what was spent`;
  return [warning('redis', found, 'set maxmemory-policy noeviction')];
};

const privacyChecks = (url: string): Check[] => {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'rediss:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) return [];
  return [warning('redis', 'the connection to Redis leaves this machine without TLS', 'write rediss:// in redis.url')];
};
