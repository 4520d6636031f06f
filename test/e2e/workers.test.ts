import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readAudit } from '../../gateway/audit/read.ts';
import { logHomesIn } from '../../gateway/log-homes.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKey } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import { PEOPLE, ROOT, until } from '../support/gateway.ts';
import { HAS_REDIS, openTestRedis, type TestRedis } from '../support/redis.ts';
import { type Served, startServe } from '../support/serve.ts';

const WORKERS = 3;

let redis: TestRedis;
let folder: string;
let served: Served;
let key: string;

beforeAll(async () => {
  if (!HAS_REDIS) return;
  redis = await openTestRedis();
  folder = await mkdtemp(join(tmpdir(), 'aegis-workers-'));
  const home = join(folder, 'home');
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    home,
    log_level: 'error',
    redis: { url: redis.url },
    bundles: { source: join(ROOT, 'bundles'), public_keys: [join(ROOT, 'bundles/keys/demo.pub.pem')] },
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
  };
  await writeFile(join(folder, 'aegis.yaml'), JSON.stringify(config));
  served = await startServe(['--config', join(folder, 'aegis.yaml'), '--workers', String(WORKERS)], {});
  const database = await openDatabase(home);
  ({ secret: key } = await createKey(database.db, openPepper(home), PEOPLE.student));
  await database.close();
}, 60_000);

afterAll(async () => {
  await served?.stop('SIGTERM');
  await redis?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** One request on a connection of its own, so that the kernel gives it to whichever worker. */
const ask = async (path = '/v1/models'): Promise<Response> =>
  fetch(`${served.url}${path}`, { headers: { authorization: `Bearer ${key}`, connection: 'close' } });

const home = (): string => join(folder, 'home');

const workerPids = (): number[] => {
  const { stdout } = spawnSync('pgrep', ['-P', String(served.process.pid)], { encoding: 'utf8' });
  return stdout.trim().split('\n').filter(Boolean).map(Number);
};

(HAS_REDIS ? describe : describe.skip)('several workers behind one address', () => {
  test('are one gateway to the outside: each takes its share, and keys are known to all', async () => {
    await until(async () => ((await ask()).status === 200 ? true : undefined));
    // A key is known everywhere after the slowest has looked again.
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => ask()));
      return answers.every(({ status }) => status === 200) ? true : undefined;
    });
    await Promise.all(Array.from({ length: 60 }, () => ask()));
    const homes = logHomesIn(home());
    expect(homes).toHaveLength(WORKERS);
    for (const one of homes) {
      let outcomes = 0;
      for await (const { record } of readAudit(one)) if (record.kind === 'outcome') outcomes++;
      expect(outcomes).toBeGreaterThan(0);
    }
  }, 30_000);

  test('have one control plane: ready when all are, metrics of each', async () => {
    const ready = await fetch(`${served.adminUrl}/readyz`);
    expect(ready.status).toBe(200);
    const { workers } = (await ready.json()) as { workers: { worker: number; ready: boolean }[] };
    expect(workers.map(({ worker, ready }) => ({ worker, ready }))).toEqual(
      Array.from({ length: WORKERS }, (_, worker) => ({ worker, ready: true })),
    );
    const metrics = await (await fetch(`${served.adminUrl}/metrics`)).text();
    for (let worker = 0; worker < WORKERS; worker++) expect(metrics).toContain(`worker="${worker}"`);
    const refused = await fetch(`${served.adminUrl}/admin/v1/upstreams`);
    expect(refused.status).toBe(401);
  });

  test('are started again when one is killed, and nobody notices but the connections it had', async () => {
    const before = workerPids();
    expect(before).toHaveLength(WORKERS);
    process.kill(before[1] as number, 'SIGKILL');
    await until(() => {
      const now = workerPids();
      return now.length === WORKERS && !now.includes(before[1] as number) ? true : undefined;
    }, 20_000);
    await until(async () => ((await fetch(`${served.adminUrl}/readyz`)).status === 200 ? true : undefined), 20_000);
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask()));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  }, 60_000);

  test('leave logs that the tools read as one', async () => {
    // Spend is closed for a moment where a Redis was lost from sight, as it is on a machine that is too busy.
    const chat = await until(async () => {
      const answer = await fetch(`${served.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'Hi' }] }),
      });
      await answer.text();
      return answer.status === 200 ? answer : undefined;
    });
    const id = chat.headers.get('x-aegis-decision-id') as string;
    const run = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(join(ROOT, 'aegis'), [...args, '--home', home()], {
        encoding: 'utf8',
      });
      return { status, text: stdout + stderr };
    };
    expect(run('explain', id)).toMatchObject({ status: 0, text: expect.stringContaining('ALLOWED') });
    const verified = run('audit', 'verify', '--json');
    expect(verified.status).toBe(0);
    expect(JSON.parse(verified.text)).toMatchObject({ ok: true, logs: { length: WORKERS } });
  }, 60_000);

  test('stop together, and none leaves a request open', async () => {
    expect(await served.stop('SIGTERM')).toBe(0);
    for (const one of logHomesIn(home())) {
      const events: string[] = [];
      for await (const { record } of readAudit(one)) if (record.kind === 'event') events.push(record.event);
      expect(events.slice(-2)).toEqual(['stop', 'log_closed']);
    }
  }, 40_000);
});

test('workers without a Redis are refused: each would count for itself', async () => {
  await expect(startServe(['--workers', '2'], { AEGIS_HOME: join(tmpdir(), 'aegis-no-such-home') })).rejects.toThrow(
    /--workers needs redis.url/,
  );
});
