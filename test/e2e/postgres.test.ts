import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { openDatabase } from '../../gateway/store/database.ts';
import { listKeys, revokeKey } from '../../gateway/store/keys.ts';
import { queryUsage } from '../../gateway/store/usage.ts';
import { chatCompletion } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { CHAT_MODEL, openTestGateway, type TestGateway, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';

// Whole gateways on one Postgres. What the store does by itself is in test/contract/{store,postgres}.test.ts.

const without = whyNoPostgres();
const describeOrSkip = without === undefined ? describe : describe.skip;

describeOrSkip(`gateways on one Postgres${without === undefined ? '' : ` (${without})`}`, () => {
  let postgres: TestPostgres;
  let url: string;
  let folder: string;
  const gateways: TestGateway[] = [];
  beforeAll(async () => {
    postgres = await openPostgres();
  });
  afterAll(() => postgres.close());
  beforeEach(async () => {
    url = await postgres.createDatabase();
    folder = await mkdtemp(join(tmpdir(), 'aegis-postgres-e2e-'));
  });
  afterEach(async () => {
    postgres.thaw();
    await postgres.start();
    for (const gateway of gateways.splice(0)) await gateway.close();
    await rm(folder, { recursive: true });
  });

  /** A gateway with a home of its own and the pepper of all. */
  const open = async (name: string): Promise<TestGateway> => {
    const home = join(folder, name);
    await mkdir(home, { mode: 0o700 });
    await writeFile(join(home, 'pepper'), Buffer.alloc(32, 7), { mode: 0o600 });
    return await reopen(name);
  };
  const reopen = async (name: string): Promise<TestGateway> => {
    const gateway = await openTestGateway({ home: join(folder, name), config: { store: { url } } });
    gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
    gateways.push(gateway);
    return gateway;
  };
  const close = async (gateway: TestGateway): Promise<void> => {
    gateways.splice(gateways.indexOf(gateway), 1);
    await gateway.close();
  };
  const ask = async (gateway: TestGateway, key: string): Promise<number> => {
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: CHAT_MODEL, messages: [{ role: 'user', content: 'Hello.' }] }),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  /** Requests and cost in the shared ledger, in all of time. */
  const ledger = async () => {
    const { db, close: closeStore } = await openDatabase(folder, url);
    try {
      const { total } = await queryUsage(db, ['key'], { firstDay: '2020-01-01', lastDay: '2100-01-01' });
      return { requests: total.requests, microUsd: total.cost_micro_usd };
    } finally {
      await closeStore();
    }
  };
  /** What the audit logs say. */
  const audited = async () => {
    const outcomes = (await Promise.all(gateways.map((gateway) => gateway.outcomes()))).flat();
    return { requests: outcomes.length, microUsd: outcomes.reduce((sum, { cost }) => sum + cost.micro_usd, 0) };
  };

  test('know each other’s keys, end them together within five seconds, and keep one ledger', async () => {
    const [one, two] = [await open('one'), await open('two')];
    const key = await one.key('student');
    expect(await ask(one, key)).toBe(200);
    await until(async () => ((await ask(two, key)) === 200 ? true : undefined));
    const { db, close: closeStore } = await openDatabase(folder, url);
    const [made] = await listKeys(db);
    await revokeKey(db, made!.id);
    const revokedAt = performance.now();
    await closeStore();
    await until(async () => ((await ask(one, key)) === 401 && (await ask(two, key)) === 401 ? true : undefined));
    expect(performance.now() - revokedAt).toBeLessThan(5_000);
    await until(async () => ((await ledger()).requests === (await audited()).requests ? true : undefined));
    expect(await ledger()).toEqual(await audited());
    expect((await ledger()).microUsd).toBeGreaterThan(0);
  });

  test('serve on while it crashes, is away and hangs, and lose no row', async () => {
    const gateway = await open('one');
    const key = await gateway.key('student');
    const statuses = new Map<number, number>();
    let isAsking = true;
    const asking = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (isAsking) {
          const status = await ask(gateway, key);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      }),
    );
    await until(() => ((statuses.get(200) ?? 0) > 20 ? true : undefined));
    await postgres.stop('crash');
    const before = statuses.get(200) ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await until(() => ((statuses.get(200) ?? 0) > before + 20 ? true : undefined));
    await postgres.start();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    postgres.freeze();
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    postgres.thaw();
    isAsking = false;
    await asking;
    expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([]);
    await until(async () => ((await ledger()).requests === (await audited()).requests ? true : undefined), 25_000);
    expect(await ledger()).toEqual(await audited());
  }, 60_000);

  test('start while it is away, from their snapshot', async () => {
    const first = await open('one');
    const key = await first.key('student');
    expect(await ask(first, key)).toBe(200);
    await close(first);
    await postgres.stop();
    const second = await reopen('one');
    const status = await ask(second, key);
    // A budget that this process does not know yet may be closed; the key is known all the same.
    expect([200, 429]).toContain(status);
    expect(await ask(second, 'aeg_live_unknown')).toBe(401);
    await postgres.start();
    await until(async () => ((await ask(second, key)) === 200 ? true : undefined), 15_000);
  }, 60_000);
});
