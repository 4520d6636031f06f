import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { requireCompiler } from '../../gateway/policy/compiler.ts';
import { METRICS, type MetricName } from '../../gateway/telemetry/metric-list.ts';
import { prometheusName } from '../../gateway/telemetry/prometheus.ts';
import { ROOT, until } from '../support/gateway.ts';
import { type Served, startServe } from '../support/serve.ts';

// The commands of docs/rollout.md, typed as they stand, in scratch copies of the repository whose bundles a gateway follows.

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A repository of one's own, and the gateway that follows it. */
interface Scratch {
  readonly folder: string;
  readonly served: Served;
  run(command: string, env?: Record<string, string>): Promise<Ran>;
  key(...roles: string[]): Promise<string>;
  close(): Promise<void>;
}

const COPIED = ['aegis', 'gateway', 'schemas', 'policies', 'bundles', 'package.json', '.gitignore'];
const LINKED = ['node_modules', '.tools'];
const PERSON = ['AUTHOR', 'COMMITTER'].flatMap((who) => [
  [`GIT_${who}_NAME`, 'On call'],
  [`GIT_${who}_EMAIL`, 'on-call@example.org'],
]);

const openScratch = async (edit: (roles: string) => string): Promise<Scratch> => {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-rollout-doc-'));
  for (const name of COPIED) await cp(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of LINKED) await symlink(join(ROOT, name), join(folder, name));
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    home: '.aegis',
    log_level: 'error',
    upstreams: ['openai', 'anthropic', 'mistral', 'local'].map((name) => ({ name, kind: 'sandbox' })),
    bundles: { source: 'bundles', public_keys: ['bundles/keys/demo.pub.pem'], poll_s: 0.2 },
  };
  await writeFile(join(folder, 'aegis.yaml'), JSON.stringify(config));
  const environment = { PATH: process.env.PATH ?? '', HOME: folder, ...Object.fromEntries(PERSON) };
  const run = (command: string, env: Record<string, string> = {}): Promise<Ran> =>
    new Promise((resolve) => {
      execFile('bash', ['-c', command], { cwd: folder, env: { ...environment, ...env } }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
    });
  const must = async (command: string): Promise<string> => {
    const ran = await run(command);
    if (ran.code !== 0) throw new Error(`${command}: ${ran.out}${ran.err}`);
    return ran.out;
  };
  await must('git init -q && git add -A && git commit -qm "As it was"');
  const served = await startServe(['--config', join(folder, 'aegis.yaml')], {});
  const roles = join(folder, 'policies', 'roles', 'data.yaml');
  await writeFile(roles, edit(await readFile(roles, 'utf8')));
  await must('git commit -qam "Policy: a change"');
  return {
    folder,
    served,
    run,
    async key(...names) {
      const create = `./aegis keys create --org demo-university --team cs101 --user sam --roles ${names.join(',')} --json`;
      const { secret } = JSON.parse(await must(create)) as { secret: string };
      // A gateway knows a new key within two seconds.
      await until(async () => {
        const { status } = await fetch(`${served.url}/v1/models`, { headers: { 'x-api-key': secret } });
        return status === 401 ? undefined : true;
      }, 20_000);
      return secret;
    },
    async close() {
      await served.stop('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
};

/** The commands of each section, block by block, without their comments. */
let blocks: Map<string, string[][]>;
let document: string;
beforeAll(async () => {
  await requireCompiler();
  document = await readFile(join(ROOT, 'docs', 'rollout.md'), 'utf8');
  blocks = new Map(
    document.split(/^## /m).map((section) => [
      section.split('\n', 1)[0] as string,
      [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) =>
        block
          .trim()
          .split('\n')
          .map((line) => line.replace(/\s{2,}#.*$/, '')),
      ),
    ]),
  );
}, 600_000);

const commandsOf = (title: string, index: number): string[] => {
  const commands = blocks.get(title)?.[index];
  if (!commands) throw new Error(`docs/rollout.md has no block ${index} under “${title}”`);
  return commands;
};

const WHOLE = 'A rollout from its beginning to its end';
const BACK = 'What a rollback does';
const READING = 'Reading the status';

test('each command of the document is run by one of these tests', () => {
  const counts = [...blocks].filter(([, found]) => found.length > 0).map(([title, found]) => [title, found.length]);
  expect(counts).toEqual([
    [WHOLE, 3],
    [BACK, 3],
    [READING, 1],
  ]);
});

describe('a rollout from its beginning to its end', () => {
  let scratch: Scratch;
  beforeAll(async () => {
    scratch = await openScratch((roles) => roles.replace('title: Student', 'title: Pupil'));
  }, 120_000);
  afterAll(() => scratch.close());

  const runBlock = async (title: string, index: number, env: Record<string, string> = {}): Promise<string> => {
    let told = '';
    for (const command of commandsOf(title, index)) {
      const { code, out, err } = await scratch.run(
        command.replace('http://127.0.0.1:8081', scratch.served.adminUrl),
        env,
      );
      expect({ command, code, err: code === 0 ? '' : `${out}${err}` }).toEqual({ command, code: 0, err: '' });
      told = out;
    }
    return told;
  };
  const stage = (): Promise<string> =>
    scratch.run('./aegis rollout status --json').then(({ out }) => {
      const { rollout, replicas } = JSON.parse(out) as {
        rollout: { stage: string } | null;
        replicas: { is_converged: boolean; stable: { digest: string } }[];
      };
      return replicas[0]?.is_converged ? (rollout?.stage ?? 'none') : 'on its way';
    });

  test('begins in shadow', async () => {
    expect(await runBlock(WHOLE, 0)).toContain('policy-next.tar.gz');
    await until(async () => ((await stage()) === 'shadow' ? true : undefined), 30_000);
    expect((await scratch.run('git status --porcelain')).out).toBe('');
  }, 120_000);

  test('goes on by hand', async () => {
    await runBlock(WHOLE, 1);
    await until(async () => ((await stage()) === 'full' ? true : undefined), 30_000);
    const rollout = parse(await readFile(join(scratch.folder, 'bundles', 'rollout.yaml'), 'utf8'));
    expect(rollout).toMatchObject({ candidate: 'policy-next.tar.gz', stage: 'full', by: 'org' });
    expect(rollout).not.toHaveProperty('next');
  }, 120_000);

  test('is told by the control plane', async () => {
    const told = await runBlock(READING, 0, { AEGIS_ADMIN_KEY: await scratch.key('platform-admin') });
    expect(JSON.parse(told)).toMatchObject({
      candidate: { signer: { keyid: 'demo' } },
      rollout: { stage: 'full' },
      replicas: [{ is_converged: true }],
    });
  }, 120_000);

  test('ends with the candidate as stable', async () => {
    const { digest } = JSON.parse((await scratch.run('./aegis verify bundles/policy-next.tar.gz --json')).out);
    await runBlock(WHOLE, 2);
    await until(async () => {
      const { out } = await scratch.run('./aegis rollout status --json');
      const [replica] = (JSON.parse(out) as { replicas: { stable: { digest: string }; stage: unknown }[] }).replicas;
      return replica !== undefined && replica.stable.digest === digest && replica.stage === null ? true : undefined;
    }, 30_000);
  }, 120_000);
});

describe('a candidate that refuses what stable allows', () => {
  let scratch: Scratch;
  beforeAll(async () => {
    // Students lose the operation that all of the requests below are.
    scratch = await openScratch((roles) => roles.replace('endpoints: { chat.completions: true, ', 'endpoints: { '));
  }, 120_000);
  afterAll(() => scratch.close());

  test('takes itself back; then it can be explained, taken out, tried again, and gone back behind', async () => {
    for (const command of commandsOf(WHOLE, 0)) await scratch.run(command);
    const key = await scratch.key('student');
    const ask = async (): Promise<number> => {
      const answer = await fetch(`${scratch.served.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'auto', max_tokens: 5, messages: [{ role: 'user', content: 'Hello.' }] }),
      });
      await answer.arrayBuffer();
      return answer.status;
    };
    interface Status {
      ok: boolean;
      rollout: { stage: string; rolled_back: { guard: string; decision_ids: string[] } | null } | null;
      readings: { compared: { compared: number } } | null;
    }
    const status = async (): Promise<Status> =>
      JSON.parse((await scratch.run('./aegis rollout status --json')).out) as Status;
    await until(async () => ((await status()).rollout?.stage === 'shadow' ? true : undefined), 30_000);
    const back = await until(async () => {
      const answers = await Promise.all(Array.from({ length: 16 }, ask));
      expect(new Set([...answers, 200, 429])).toEqual(new Set([200, 429])); // Shadow changes no answer.
      return (await status()).rollout?.rolled_back ?? undefined;
    }, 90_000);
    expect(back.guard).toBe('max_deny_rate_increase');
    expect(back.decision_ids.length).toBeGreaterThan(0);

    const codes: Record<string, number> = {};
    let told = '';
    for (const command of commandsOf(BACK, 0)) {
      const { code, out, err } = await scratch.run(command.replace('DECISION_ID', back.decision_ids[0] as string));
      codes[command] = code;
      told += `${out}${err}`;
    }
    expect(codes).toEqual({
      './aegis rollout status': 1,
      './aegis explain DECISION_ID': 0,
      './aegis rollout rollback': 0,
      'git commit -am "Policy: the candidate is out"': 0,
    });
    expect(told).toContain(`ROLLED BACK`);
    expect(told).toContain(`./aegis explain ${back.decision_ids[0]}`);
    await until(async () => ((await status()).ok ? true : undefined), 30_000);

    for (const command of commandsOf(BACK, 1)) expect((await scratch.run(command)).code).toBe(0);
    await until(async () => ((await status()).rollout?.stage === 'canary' ? true : undefined), 30_000);

    const base = (await scratch.run('git rev-list --max-parents=0 HEAD')).out.trim();
    for (const command of commandsOf(BACK, 2)) {
      const { code, out, err } = await scratch.run(command.replace('COMMIT', base));
      expect({ command, code, err: code === 0 ? '' : `${out}${err}` }).toEqual({ command, code: 0, err: '' });
    }
    expect((await scratch.run(`git diff --stat ${base} -- policies`)).out).toBe('');
    await until(async () => ((await status()).rollout?.stage === 'canary' ? true : undefined), 30_000);
  }, 300_000);
});

describe('the alerts of the document', () => {
  test('name metrics that there are', () => {
    const [, block = ''] = /```yaml\n(groups:[\s\S]*?)```/.exec(document) ?? [];
    const { groups } = parse(block) as { groups: { rules: { alert: string; expr: string }[] }[] };
    const known = new Set(Object.keys(METRICS).map((name) => prometheusName(name as MetricName)));
    const used = groups.flatMap(({ rules }) => rules.flatMap(({ expr }) => expr.match(/aegis_\w+/g) ?? []));
    expect(used.length).toBeGreaterThan(4);
    for (const name of used) expect([...known]).toContain(name);
  });

  test('and each row of the guards is a guard with its default', async () => {
    const schema = JSON.parse(await readFile(join(ROOT, 'schemas', 'rollout.json'), 'utf8')) as {
      properties: { guards: { properties: Record<string, { default: unknown }> } };
    };
    const defaults = Object.entries(schema.properties.guards.properties)
      .filter(([name]) => name.startsWith('max_'))
      .map(([name, { default: value }]) => [name, String(value)]);
    const rows = [...document.matchAll(/^\| `(max_\w+)` \| ([\d.]+) \|/gm)].map(([, name, value]) => [name, value]);
    expect(rows).toEqual(defaults);
  });
});
