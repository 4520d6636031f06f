import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKey } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import type { AuditOutcome } from '../../gateway/types.gen.ts';
import { chatCompletion, chatStream, messageStream } from '../support/answers.ts';
import { answerJson, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { anthropicAt, openaiAt, PEOPLE, ROOT, recordsOf, until } from '../support/gateway.ts';
import { type Served, startServe, writeConfig } from '../support/serve.ts';

const homes: string[] = [];
const newHome = async (): Promise<string> => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  homes.push(home);
  return home;
};
afterAll(() => Promise.all(homes.map((home) => rm(home, { recursive: true, force: true }))));

describe('the demo: ./aegis serve without a config', () => {
  let served: Served;
  let home: string;
  beforeAll(async () => {
    home = await newHome();
    // From a folder without aegis.yaml, and with nothing in the environment but where to put things.
    served = await startServe(
      [],
      { AEGIS_HOME: home, AEGIS_LISTEN: '127.0.0.1:0', AEGIS_ADMIN_LISTEN: '127.0.0.1:0' },
      home,
    );
    await until(() => (served.stdout().includes('aegis explain') ? true : undefined));
  });
  afterAll(async () => {
    expect(await served.stop('SIGTERM')).toBe(0);
  });

  /** Runs what was printed, in a shell, after the printed export. */
  const run = (command: string): { status: number; headers: Map<string, string>; body: string } => {
    const exported = /export AEGIS_KEY=\S+/.exec(served.stdout())?.[0];
    const { stdout, status } = spawnSync('bash', ['-c', `${exported}\n${command}`], { encoding: 'utf8' });
    expect(status).toBe(0);
    const [head = '', body = ''] = stdout.split('\r\n\r\n');
    const lines = head.split('\r\n');
    const headers = new Map(
      lines.slice(1).map((line) => [line.split(': ')[0]!.toLowerCase(), line.split(': ')[1] ?? '']),
    );
    return { status: Number(/ (\d{3})/.exec(lines[0] ?? '')?.[1]), headers, body };
  };

  const curls = (): string[] => served.stdout().match(/^curl [\s\S]*?(?=\n\n)/gm) ?? [];

  test('says where it listens, whose key it made and that the providers are played', async () => {
    expect(served.stdout()).toMatch(/sandbox: .*openai.*anthropic.*mistral/);
    expect(served.stdout()).toContain('student of demo-university');
    const key = (await readFile(join(home, 'demo.key'), 'utf8')).trim();
    expect(served.stdout()).toContain(`export AEGIS_KEY=${key}`);
    expect(statSync(join(home, 'demo.key')).mode & 0o777).toBe(0o600);
    expect(statSync(home).mode & 0o077).toBe(0);
    expect(curls()).toHaveLength(3);
  });

  test('the first printed curl goes to the cheap model, and an essay to the strong one', () => {
    const [first] = curls() as [string];
    const { status, headers, body } = run(first);
    expect(status).toBe(200);
    expect(headers.get('x-aegis-model')).toBe('gpt-5.4-nano');
    expect(JSON.parse(body).choices[0].message.content).toMatch(/^[ABC]$/);
    const essay = run(
      first.replace(
        /"content":"[^"]*"/,
        '"content":"Write an essay of 1,000 words that explains and compares how two planets formed."',
      ),
    );
    expect(essay.headers.get('x-aegis-model')).toBe('gpt-6-sol');
  });

  test('the second printed curl comes back with the address in its place', () => {
    const { status, body } = run(curls()[1] as string);
    expect(status).toBe(200);
    expect(JSON.parse(body).choices[0].message.content).toContain('jane.doe@example.org');
    expect(body).not.toMatch(/EMAIL_\w{13}/);
  });

  test('the third printed curl is denied with a hint and a decision id', () => {
    const { status, headers, body } = run(curls()[2] as string);
    expect(status).toBe(403);
    expect(JSON.parse(body).error).toMatchObject({
      code: 'model_not_allowed',
      hint: expect.stringContaining('gpt-5.4-nano'),
      decision_id: headers.get('x-aegis-decision-id'),
    });
  });

  test('the printed explain tells why, beside the running gateway', () => {
    const { headers } = run(curls()[2] as string);
    const id = headers.get('x-aegis-decision-id') as string;
    const env = { PATH: process.env.PATH ?? '', AEGIS_HOME: home };
    const { status, stdout } = spawnSync(join(ROOT, 'aegis'), ['explain', id], { env, encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout).toContain('models.model_not_allowed');
    expect(stdout).toMatch(/policies\/rules\/models\/models\.rego:\d+/);
    expect(stdout).toContain('gpt-6-astra');
    expect(spawnSync(join(ROOT, 'aegis'), ['explain', 'dec_none'], { env }).status).toBe(1);
  });

  test('healthz and readyz answer on the control plane alone', async () => {
    expect((await fetch(`${served.adminUrl}/healthz`)).status).toBe(200);
    const ready = await fetch(`${served.adminUrl}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({ status: 'ready', problems: [] });
    expect((await fetch(`${served.url}/healthz`)).status).toBe(404);
    expect((await fetch(`${served.url}/readyz`)).status).toBe(404);
  });
});

/** Runs `aegis serve` where it must refuse to start, and gives what it said. */
const refusal = async (args: string[], env: Record<string, string>): Promise<{ code: number | null; said: string }> => {
  const child = spawn(join(ROOT, 'aegis'), ['serve', ...args], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH ?? '', ...env },
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, said };
};

describe('a start that would not be safe is refused', () => {
  test.each([
    ['data plane', { AEGIS_LISTEN: '0.0.0.0:0', AEGIS_ADMIN_LISTEN: '127.0.0.1:0' }],
    ['control plane', { AEGIS_LISTEN: '127.0.0.1:0', AEGIS_ADMIN_LISTEN: '0.0.0.0:0' }],
    ['data plane over IPv6', { AEGIS_LISTEN: '[::]:0', AEGIS_ADMIN_LISTEN: '127.0.0.1:0' }],
  ])('with the demo key and the %s beyond loopback', async (_, env) => {
    const { code, said } = await refusal([], { AEGIS_HOME: await newHome(), ...env });
    expect(code).not.toBe(0);
    expect(code).not.toBeNull();
    expect(said).toMatch(/demo key/);
    expect(said).not.toContain('Aegis listens on');
    expect(said).not.toMatch(/at .*\.ts:\d+/);
  });

  test('with an unknown config key, naming its line and column', async () => {
    const home = await newHome();
    const config = await writeConfig(home, [{ name: 'openai', kind: 'sandbox' }], { audti: {} });
    const { code, said } = await refusal(['--config', config], {});
    expect(code).not.toBe(0);
    expect(said).toMatch(/aegis\.yaml:1:\d+ unknown field 'audti' \(did you mean 'audit'\?\)/);
  });

  test('with a variable that is not set', async () => {
    const home = await newHome();
    const config = await writeConfig(home, [{ name: 'openai', kind: 'openai', api_key: `$\{NO_SUCH_KEY}` }]);
    const { code, said } = await refusal(['--config', config], {});
    expect(code).not.toBe(0);
    expect(said).toContain('NO_SUCH_KEY is not set');
  });

  test('while another gateway has the same home', async () => {
    const home = await newHome();
    const config = await writeConfig(home, [{ name: 'openai', kind: 'sandbox' }], { log_level: 'silent' });
    const served = await startServe(['--config', config], {});
    try {
      const { code, said } = await refusal(['--config', config], {});
      expect(code).not.toBe(0);
      expect(said).not.toContain('Aegis listens on');
    } finally {
      await served.stop('SIGTERM');
    }
  });

  test('and a home is never made before the config is sound', async () => {
    const home = join(await newHome(), 'new');
    await refusal([], { AEGIS_HOME: home, AEGIS_LISTEN: 'nonsense' });
    expect(existsSync(home)).toBe(false);
  });
});

describe('SIGTERM', () => {
  const STREAMS = 40;
  let upstream: FakeUpstream;
  beforeAll(async () => {
    upstream = await openFakeUpstream();
  });
  afterAll(() => upstream.close());

  const start = async (): Promise<{
    served: Served;
    home: string;
    ask: (stream: boolean, at?: number) => Promise<Response>;
  }> => {
    const home = await newHome();
    const { db, close } = await openDatabase(home);
    const { secret } = await createKey(db, openPepper(home), PEOPLE.service);
    await close();
    const served = await startServe(
      ['--config', await writeConfig(home, [openaiAt(upstream), anthropicAt(upstream)], { log_level: 'silent' })],
      {},
    );
    const ask = (stream: boolean, at = 0): Promise<Response> =>
      fetch(`${served.url}/v1/${at % 2 === 0 ? 'chat/completions' : 'messages'}`, {
        method: 'POST',
        headers: { 'x-api-key': secret, 'content-type': 'application/json' },
        body: JSON.stringify({
          model: at % 2 === 0 ? 'gpt-5.4-nano' : 'claude-haiku-5-5',
          max_tokens: 50,
          stream,
          messages: [{ role: 'user', content: 'Hi' }],
        }),
      });
    return { served, home, ask };
  };

  test(`with ${STREAMS} open streams: all finish, nothing new is taken, and the exit code is 0`, async () => {
    const { served, home, ask } = await start();
    const release = Promise.withResolvers<void>();
    let open = 0;
    upstream.play = async (request, res) => {
      const events = request.path.includes('chat') ? chatStream(['a', 'b', 'c']) : messageStream(['a', 'b', 'c']);
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(events.slice(0, 3).join(''));
      open++;
      await release.promise;
      for (const event of events.slice(3)) {
        res.write(event);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      res.end();
    };
    const answers = await Promise.all(Array.from({ length: STREAMS }, (_, at) => ask(true, at)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const texts = answers.map((answer) => answer.text());
    await until(() => (open === STREAMS ? true : undefined));
    const exit = served.stop('SIGTERM');
    // Connections that were open are served for a moment; then nothing new is taken.
    const port = Number(new URL(served.url).port);
    const isRefused = (): Promise<true | undefined> =>
      new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1');
        socket.on('connect', () => {
          socket.destroy();
          resolve(undefined);
        });
        socket.on('error', (error: { code?: string }) => resolve(error.code === 'ECONNREFUSED' ? true : undefined));
      });
    await until(isRefused, 3000);
    await expect(ask(false)).rejects.toThrow();
    expect(served.process.exitCode).toBeNull();

    release.resolve();
    for (const [at, text] of (await Promise.all(texts)).entries()) {
      expect(text).toMatch(at % 2 === 0 ? /data: \[DONE\]\n\n$/ : /event: message_stop\ndata: .*\n\n$/);
      expect(text).not.toContain('"error"');
    }
    expect(await exit).toBe(0);
    const records = await recordsOf(home);
    const outcomes = records.filter((record): record is AuditOutcome => record.kind === 'outcome');
    expect(outcomes).toHaveLength(STREAMS);
    for (const { outcome } of outcomes) expect(outcome).toBe('ok');
    expect(records.filter(({ kind }) => kind === 'intent')).toHaveLength(STREAMS);
    expect(records.filter((record) => record.kind === 'event').map((record) => record.event)).toEqual(
      expect.arrayContaining(['start', 'stop']),
    );
    const verified = spawnSync(join(ROOT, 'aegis'), ['audit', 'verify'], {
      env: { PATH: process.env.PATH ?? '', AEGIS_HOME: home },
    });
    expect(verified.status).toBe(0);
  }, 60_000);

  test('is told by readyz as long as streams are open, so that a load balancer looks elsewhere', async () => {
    const { served, ask } = await start();
    const release = Promise.withResolvers<void>();
    upstream.play = async (_request, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      const events = chatStream(['a']);
      res.write(events[0]);
      await release.promise;
      res.end(events.slice(1).join(''));
    };
    const answer = await ask(true);
    const exit = served.stop('SIGTERM');
    try {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const ready = await fetch(`${served.adminUrl}/readyz`);
      expect(ready.status).toBe(503);
      expect(await ready.json()).toMatchObject({ status: 'not ready', problems: ['stopping'] });
      expect((await fetch(`${served.adminUrl}/healthz`)).status).toBe(200);
    } finally {
      release.resolve();
      expect(await answer.text()).toContain('[DONE]');
      expect(await exit).toBe(0);
    }
  });

  test('while answers come and go: no answer is cut and no record is lost, five times', async () => {
    upstream.play = (request, res) => {
      setTimeout(() => void answerJson(200, chatCompletion('Hi.'))(request, res), Math.random() * 15);
    };
    let cut = 0;
    let whole = 0;
    for (let round = 0; round < 5; round++) {
      const { served, home, ask } = await start();
      let isOver = false;
      const acknowledged: (string | null)[] = [];
      const load = Array.from({ length: 12 }, async () => {
        while (!isOver) {
          try {
            const answer = await ask(false);
            try {
              await answer.json();
              acknowledged.push(answer.headers.get('x-request-id'));
              whole++;
            } catch {
              cut++; // An answer that had begun broke off.
            }
          } catch {
            await new Promise((resolve) => setTimeout(resolve, 5)); // Refused: it never was a request.
          }
        }
      });
      await new Promise((resolve) => setTimeout(resolve, 150 + Math.random() * 100));
      expect(await served.stop('SIGTERM')).toBe(0);
      isOver = true;
      await Promise.all(load);
      const outcomes = (await recordsOf(home)).filter((record): record is AuditOutcome => record.kind === 'outcome');
      const ids = new Set(outcomes.map(({ request_id }) => request_id));
      expect(acknowledged.filter((id) => id !== null && !ids.has(id))).toEqual([]);
      expect(outcomes.filter(({ outcome }) => outcome !== 'ok')).toEqual([]);
      const intents = (await recordsOf(home)).filter(({ kind }) => kind === 'intent');
      expect(intents).toHaveLength(outcomes.length);
    }
    expect(whole).toBeGreaterThan(50);
    expect(cut).toBe(0);
  }, 120_000);
});
