import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { keysCommand } from '../../gateway/cli/keys.ts';
import { rolloutCommand } from '../../gateway/cli/rollout.ts';
import type { KeyGrant } from '../../gateway/store/keys.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, PEOPLE, ROOT, type TestGateway, until } from '../support/gateway.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../support/postgres.ts';
import { HAS_REDIS, openTestRedis } from '../support/redis.ts';
import { runCommand } from '../support/run-command.ts';
import { startServe, writeConfig } from '../support/serve.ts';

const PLATFORM: KeyGrant = {
  org: 'demo-university',
  team: '',
  user: 'root',
  roles: ['platform-admin'],
  groups: [],
  workflows: [],
};

interface Policies {
  readonly answered_by: string;
  readonly shared: boolean;
  readonly problem: string | null;
  readonly stable: Record<string, unknown>;
  readonly candidate: Record<string, unknown> | null;
  readonly desired: Record<string, unknown>;
  readonly rollout: Record<string, unknown> | null;
  readonly guards: Record<string, unknown>[];
  readonly readings: { stable: { requests: number }; candidate: { requests: number } } | null;
  readonly replicas: Record<string, unknown>[];
}

const read = async (adminUrl: string, key: string): Promise<Policies> => {
  const answer = await fetch(`${adminUrl}/admin/v1/policies`, { headers: { 'x-api-key': key } });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${body}`);
  return JSON.parse(body) as Policies;
};

let bundles: TestBundles;
let gateway: TestGateway;
let key: string;
const revisions = { stable: '', candidate: '' };
/** What gateways are to converge on. */
const desire = (text: string): Promise<void> => writeFile(join(bundles.folder, 'rollout.yaml'), text);
const policies = (): Promise<Policies> => read(gateway.running.adminUrl, key);

beforeAll(async () => {
  bundles = await openTestBundles();
  revisions.stable = await bundles.rollOut({
    'roles/data.yaml': (text) =>
      text.replace('admin: { admin.upstreams', 'admin: { admin.policies: true, admin.upstreams'),
  });
  await writeFile(join(bundles.folder, 'stable.tar.gz'), await bundles.packed());
  revisions.candidate = await bundles.rollOut();
  await desire('stable: stable.tar.gz\n');
  gateway = await openTestGateway({ config: bundles.config });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  key = await gateway.keyFor(PLATFORM);
}, 600_000);
afterAll(async () => {
  await gateway.close();
  await bundles.remove();
});

describe('GET /admin/v1/policies', () => {
  test('tells what serves, who signed it, and which gateways there are', async () => {
    const told = await until(async () => {
      const now = await policies();
      return now.replicas.length > 0 ? now : undefined;
    });
    const { ref } = gateway.running.gateway.policies.current!;
    expect(told).toMatchObject({
      shared: true,
      problem: null,
      stable: {
        ...ref,
        revision: revisions.stable,
        sequence: expect.any(Number),
        signer: { keyid: 'demo', scope: 'aegis', iss: 'aegis test' },
      },
      candidate: null,
      desired: { stable: 'stable.tar.gz' },
      rollout: null,
      guards: [],
      readings: null,
      replicas: [
        { replica: told.answered_by, stable: ref, candidate: null, is_fresh: true, is_converged: true, problem: null },
      ],
    });
  });

  test('tells how far a candidate is, what was measured, and what each guard says', async () => {
    await desire(
      'stable: stable.tar.gz\ncandidate: test.tar.gz\nstage: canary\npercent: 50\nby: request\nnext: [{ stage: full }]\n',
    );
    await until(async () => ((await policies()).rollout !== null ? true : undefined));
    const served = new Set<string | null>();
    for (let n = 0; n < 30; n++) {
      const answer = await gateway.chat({});
      await answer.arrayBuffer();
      served.add(answer.headers.get('x-aegis-policy-revision'));
    }
    expect([...served].sort()).toEqual([revisions.stable, revisions.candidate].sort());
    const told = await until(async () => {
      const now = await policies();
      const { stable, candidate } = now.readings ?? { stable: { requests: 0 }, candidate: { requests: 0 } };
      return stable.requests + candidate.requests === 30 ? now : undefined;
    }, 20_000);
    expect(told).toMatchObject({
      stable: { revision: revisions.stable },
      candidate: { revision: revisions.candidate, signer: { iss: 'aegis test' } },
      rollout: {
        stage: 'canary',
        percent: 50,
        by: 'request',
        next: { stage: 'full', waits_for: expect.stringMatching(/^\d+ of 100 requests$/) },
        rolled_back: null,
      },
      replicas: [{ stage: 'canary', percent: 50, is_converged: true }],
    });
    expect(told.guards.map(({ guard, verdict }) => [guard, verdict])).toContainEqual([
      'max_deny_rate_increase',
      'waiting',
    ]);
    const status = await runCommand(rolloutCommand(), 'status', '--home', gateway.home, '--json', ...here());
    const { rollout, guards } = JSON.parse(status) as Policies;
    expect(rollout).toMatchObject({ key: told.rollout?.key, stage: 'canary', percent: 50 });
    expect(guards.map(({ guard, verdict }) => [guard, verdict])).toEqual(
      told.guards.map(({ guard, verdict }) => [guard, verdict]),
    );
  }, 60_000);

  test('tells what keeps a gateway from what is asked for', async () => {
    await desire('stable: stable.tar.gz\ncandidate: none.tar.gz\nstage: shadow\n');
    const told = await until(async () => {
      const now = await policies();
      return now.replicas[0]?.problem ? now : undefined;
    });
    expect(told.problem).toMatch(/none\.tar\.gz/);
    expect(told).toMatchObject({ desired: { candidate: 'none.tar.gz' }, stable: { revision: revisions.stable } });
    await desire('stable: stable.tar.gz\n');
    await until(async () => ((await policies()).problem === null ? true : undefined));
  });

  test('is not for who administers one organisation, whatever its role says', async () => {
    const admin = await gateway.keyFor({ ...PEOPLE.teacher, roles: ['admin'] });
    const url = `${gateway.running.adminUrl}/admin/v1/policies`;
    const answer = await fetch(url, { headers: { 'x-api-key': admin } });
    expect([answer.status, ((await answer.json()) as { error: { code: string } }).error.code]).toEqual([
      403,
      'organization_not_allowed',
    ]);
  });

  test('is on record', async () => {
    await policies();
    const reads = (await gateway.records()).filter(
      (record) => record.kind === 'event' && (record.detail as { operation?: string }).operation === 'admin.policies',
    );
    expect(reads.at(-1)).toMatchObject({ event: 'admin_read', detail: { status: 200, caller: { user: 'root' } } });
  });
});

/** The folder and its key, for a command. */
const here = (): string[] => ['--bundles', bundles.folder, '--key', join(ROOT, 'bundles/keys/demo.pub.pem')];

(whyNoPostgres() ? describe.skip : describe)('policies of gateways that share a Postgres', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await openPostgres();
  }, 60_000);
  afterAll(() => postgres.close());

  test('name all of them, and while it is away this one alone', async () => {
    const home = await mkdtemp(join(tmpdir(), 'aegis-policies-'));
    const store = { url: await postgres.createDatabase() };
    const one = await openTestGateway({ home, config: { ...bundles.config, store } });
    const second = await mkdtemp(join(tmpdir(), 'aegis-policies-'));
    await cp(join(home, 'pepper'), join(second, 'pepper'));
    const two = await openTestGateway({ home: second, config: { ...bundles.config, store } });
    try {
      const secret = await one.keyFor(PLATFORM);
      const told = await until(async () => {
        const now = await read(one.running.adminUrl, secret);
        return now.replicas.length === 2 ? now : undefined;
      }, 20_000);
      expect(told.replicas.map(({ replica }) => replica)).toContain(told.answered_by);
      await postgres.stop();
      expect(await read(one.running.adminUrl, secret)).toMatchObject({
        shared: false,
        replicas: [],
        stable: { revision: revisions.stable, signer: { keyid: 'demo' } },
      });
    } finally {
      await postgres.start();
      await two.close();
      await one.close();
      for (const folder of [home, second]) await rm(folder, { recursive: true, force: true });
    }
  }, 120_000);
});

(HAS_REDIS ? describe : describe.skip)('policies of several workers', () => {
  test('name each worker, whichever of them answers', async () => {
    const redis = await openTestRedis();
    const home = await mkdtemp(join(tmpdir(), 'aegis-policies-'));
    const config = await writeConfig(home, [{ name: 'openai', kind: 'sandbox' }], {
      ...bundles.config,
      redis: { url: redis.url },
    });
    const served = await startServe(['--config', config, '--workers', '2'], {});
    try {
      const made = await runCommand(
        keysCommand(),
        ...['create', '--org', PLATFORM.org, '--roles', 'platform-admin', '--home', home, '--json'],
      );
      const { secret } = JSON.parse(made) as { secret: string };
      const told = await until(async () => {
        const now = await read(served.adminUrl, secret).catch(() => undefined);
        return now?.replicas.length === 2 ? now : undefined;
      }, 30_000);
      expect(told).toMatchObject({ shared: true, stable: { revision: revisions.stable }, problem: null });
    } finally {
      await served.stop('SIGTERM');
      await redis.close();
      await rm(home, { recursive: true, force: true });
    }
  }, 120_000);
});
