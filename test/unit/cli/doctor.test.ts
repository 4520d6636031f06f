import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { utimes } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { checkBundle } from '../../../gateway/cli/doctor-bundle.ts';
import type { Check } from '../../../gateway/cli/doctor-check.ts';
import { checkHome } from '../../../gateway/cli/doctor-home.ts';
import { checkClock, checkPorts } from '../../../gateway/cli/doctor-host.ts';
import { checkStore } from '../../../gateway/cli/doctor-store.ts';
import { checkUpstream } from '../../../gateway/cli/doctor-upstream.ts';
import { parseConfig, type Settings } from '../../../gateway/config.ts';
import { CHECKOUT } from '../../../gateway/policy/compiler.ts';
import { openDatabase } from '../../../gateway/store/database.ts';
import { createKey, revokeKey } from '../../../gateway/store/keys.ts';
import { openPepper } from '../../../gateway/store/pepper.ts';
import { type Certificate, selfSigned } from '../../support/certificate.ts';
import { answerJson, type FakeUpstream, openFakeUpstream } from '../../support/fake-upstream.ts';
import { openFileServer } from '../../support/file-server.ts';
import { testKey, withFolder, writeFiles } from '../../support/policy-fixture.ts';
import { openPostgres, type TestPostgres, whyNoPostgres } from '../../support/postgres.ts';
import { makeRolloutFolder } from '../../support/rollout-folder.ts';

const TIMEOUT_MS = 10_000;
const KEY = 'sk-provider-secret';
const now = Date.now();

const settingsOf = (folder: string, more: object = {}): Settings =>
  parseConfig(
    JSON.stringify({
      home: join(folder, 'home'),
      upstreams: [{ name: 'openai', kind: 'sandbox' }],
      bundles: { source: join(CHECKOUT, 'bundles'), public_keys: [join(CHECKOUT, 'bundles/keys/demo.pub.pem')] },
      ...more,
    }),
    join(folder, 'aegis.yaml'),
    {},
  );

/** What is not right, by check, with what to do. */
const wrong = (checks: readonly Check[]): [string, Check['status'], string, string | null][] =>
  checks.filter(({ status }) => status !== 'ok').map(({ check, status, found, fix }) => [check, status, found, fix]);

describe('an upstream', () => {
  let fake: FakeUpstream;
  beforeAll(async () => {
    fake = await openFakeUpstream();
  });
  afterAll(() => fake.close());

  const openai = (more: object = {}) =>
    ({ name: 'openai', kind: 'openai', base_url: `${fake.url}/v1`, api_key: KEY, ...more }) as const;
  const only = async (config: Parameters<typeof checkUpstream>[0], timeoutMs = TIMEOUT_MS): Promise<Check> => {
    const { checks } = await checkUpstream(config, timeoutMs);
    expect(checks).toHaveLength(1);
    return checks[0]!;
  };

  test('is asked for its models with its key, and timed', async () => {
    fake.play = answerJson(200, { data: [] });
    const { checks, serverTimeMs } = await checkUpstream(openai(), TIMEOUT_MS);
    expect(checks).toEqual([
      {
        check: 'upstream openai',
        status: 'ok',
        found: expect.stringMatching(/^GET models 200 \(TCP \d+ ms, answer \d+ ms\)$/),
        fix: null,
      },
    ]);
    expect(Math.abs(now - (serverTimeMs ?? 0))).toBeLessThan(600_000);
    expect(fake.last().path).toBe('/v1/models');
    expect(fake.last().headers.authorization).toBe(`Bearer ${KEY}`);
  });

  test('of Anthropic is asked as Anthropic expects', async () => {
    fake.play = answerJson(200, { data: [] });
    const config = { name: 'anthropic', kind: 'anthropic', base_url: fake.url, api_key: KEY } as const;
    expect((await only(config)).status).toBe('ok');
    expect(fake.last().path).toBe('/v1/models');
    expect(fake.last().headers).toMatchObject({ 'x-api-key': KEY, 'anthropic-version': '2023-06-01' });
  });

  test('with several keys is asked with each', async () => {
    fake.play = (request, response) => {
      const isGood = request.headers.authorization === 'Bearer good';
      response.writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' }).end('{}');
    };
    const { name, kind, base_url } = openai();
    const { checks } = await checkUpstream(
      { name, kind, base_url, api_keys: [{ key: 'good' }, { key: 'bad' }] },
      TIMEOUT_MS,
    );
    expect(checks.map(({ check, status }) => [check, status])).toEqual([
      ['upstream openai key 1', 'ok'],
      ['upstream openai key 2', 'problem'],
    ]);
  });

  test.each([
    [401, 'problem', /key is not accepted/, /set a valid api_key/],
    [403, 'problem', /may not/, /rights/],
    [404, 'warning', /not tested/, /base_url/],
    [429, 'warning', /limited/, /wait/],
    [301, 'problem', /redirects to https:\/\/else\.example/, /redirects are not followed/],
    [400, 'problem', /refuses/, /base_url and key/],
    [503, 'warning', /trouble of its own/, /status page/],
  ] as const)('that says %i is a %s', async (status, level, found, fix) => {
    fake.play = (_request, response) => {
      response.writeHead(status, status === 301 ? { location: 'https://else.example' } : {}).end(`echo ${KEY}`);
    };
    const check = await only(openai());
    expect(check).toEqual({
      check: 'upstream openai',
      status: level,
      found: expect.stringMatching(found),
      fix: expect.stringMatching(fix),
    });
    expect(JSON.stringify(check)).not.toContain(KEY);
  });

  test('that the sandbox plays needs nothing', async () => {
    expect(await only({ name: 'openai', kind: 'sandbox' })).toMatchObject({ status: 'ok' });
  });

  test('whose name does not resolve, whose port is closed, and that never answers are told apart', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const none = await only(openai({ base_url: 'http://nothing.invalid/v1' }));
    expect(none).toMatchObject({ status: 'problem', found: expect.stringMatching(/nothing\.invalid is not resolved/) });
    expect(await only(openai({ base_url: `http://127.0.0.1:${port}/v1` }), 200)).toMatchObject({
      status: 'problem',
      found: expect.stringMatching(/does not answer: timeout/),
    });
    await new Promise((resolve) => silent.close(resolve));
    expect(await only(openai({ base_url: `http://127.0.0.1:${port}/v1` }))).toMatchObject({
      status: 'problem',
      found: expect.stringMatching(/no connection to .*: ECONNREFUSED/),
      fix: expect.stringMatching(/start the server/),
    });
  });

  const withTls = async (certificate: Certificate, use: (url: string) => Promise<void>): Promise<void> => {
    const server = createTlsServer({ ...certificate }, (_req, res) => void res.end('{}')).listen(0, '127.0.0.1');
    server.on('tlsClientError', () => {});
    await once(server, 'listening');
    try {
      await use(`https://localhost:${(server.address() as AddressInfo).port}/v1`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };

  test('whose certificate nobody vouches for is told so, and how to trust it', async () => {
    await withTls(selfSigned(['localhost']), async (base_url) => {
      expect(await only(openai({ base_url }))).toEqual({
        check: 'upstream openai',
        status: 'problem',
        found: expect.stringMatching(/^TLS with localhost fails: DEPTH_ZERO_SELF_SIGNED_CERT \(DNS/),
        fix: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
      });
    });
  });

  test('that speaks plain HTTP where TLS is expected is told so', async () => {
    expect(await only(openai({ base_url: `${fake.url.replace('http:', 'https:')}/v1` }))).toMatchObject({
      status: 'problem',
      fix: expect.stringContaining('plain HTTP'),
    });
  });
});

describe('the home', () => {
  test('that is not there yet is fine, but has no key', async () => {
    await withFolder(async (folder) => {
      const checks = await checkHome(join(folder, 'deep', 'home'), now);
      expect(checks[0]).toMatchObject({ check: 'home', status: 'ok', found: expect.stringContaining('will be made') });
      expect(wrong(checks).map(([check, status]) => [check, status])).toEqual([['keys', 'warning']]);
    });
  });

  test('with a key that works is fine; with none that does it is not', async () => {
    await withFolder(async (home) => {
      const database = await openDatabase(home);
      const grant = { org: 'o', team: '', user: '', roles: [], groups: [], workflows: [] };
      const { key } = await createKey(database.db, openPepper(home), grant);
      expect(wrong(await checkHome(home, now))).toEqual([]);
      await revokeKey(database.db, key.id);
      await database.close();
      expect(wrong(await checkHome(home, now))).toEqual([
        ['keys', 'warning', 'no key works, of 1 in the store', expect.stringContaining('keys create')],
      ]);
    });
  });

  test('whose secrets others can read, and one that is a file, are problems', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { 'home/pepper': 'x', file: 'x' });
      const open = wrong(await checkHome(join(folder, 'home'), now));
      expect(open[0]).toEqual([
        'secrets',
        'problem',
        expect.stringContaining('pepper'),
        expect.stringMatching(/^chmod 600/),
      ]);
      expect(wrong(await checkHome(join(folder, 'file'), now))[0]?.[1]).toBe('problem');
      expect(wrong(await checkHome(join(folder, 'file', 'below'), now))[0]?.[1]).toBe('problem');
    });
  });

  test('whose store is no database is a problem', async () => {
    await withFolder(async (home) => {
      await writeFiles(home, { 'aegis.db': 'not a database, whatever its name says'.repeat(200) });
      const checks = wrong(await checkHome(home, now)).filter(([check]) => check === 'keys');
      expect(checks).toEqual([['keys', 'problem', expect.stringContaining('cannot be read'), expect.any(String)]]);
    });
  });
});

const DEMO = join(CHECKOUT, 'bundles/keys/demo.pub.pem');

describe('a candidate', () => {
  test('is told of: good, or why gateways go on without it', async () => {
    const folder = await makeRolloutFolder();
    try {
      const bundles = { source: folder.bundles, public_keys: [folder.publicKey] };
      const found = async (): Promise<Check | undefined> =>
        (await checkBundle(settingsOf(folder.home, { bundles }), Date.now())).find(
          ({ check }) => check === 'candidate',
        );
      expect(await found()).toBeUndefined();
      await folder.write('stable: stable.tar.gz\ncandidate: next.tar.gz\nstage: shadow\n');
      expect(await found()).toMatchObject({
        status: 'ok',
        found: expect.stringMatching(/next\.tar\.gz is good: .*sequence 5/),
      });
      await folder.write('stable: gone.tar.gz\ncandidate: none.tar.gz\nstage: shadow\n');
      expect(await found()).toMatchObject({
        status: 'problem',
        found: expect.stringMatching(/none\.tar\.gz.*; gateways go on without it/),
        fix: expect.stringContaining('./aegis rollout rollback'),
      });
    } finally {
      await folder.remove();
    }
  });
});

describe('the bundle', () => {
  test('of the checkout is good, and its key is public', async () => {
    await withFolder(async (folder) => {
      const checks = await checkBundle(settingsOf(folder), now);
      expect(checks.find(({ check }) => check === 'bundle')).toMatchObject({
        status: 'ok',
        found: expect.stringMatching(/revision [0-9a-f]{16}, sequence \d+, \d+ days old/),
      });
      expect(wrong(checks)).toEqual([
        ['keys of bundles', 'warning', expect.stringContaining('demo key'), expect.stringContaining('README')],
      ]);
    });
  });

  test('signed with the demo key is a problem beyond loopback', async () => {
    await withFolder(async (folder) => {
      const checks = await checkBundle(settingsOf(folder, { listen: '0.0.0.0:8080' }), now);
      expect(wrong(checks)[0]).toEqual([
        'keys of bundles',
        'problem',
        expect.stringContaining('refuses'),
        expect.stringContaining('README'),
      ]);
    });
  });

  test('of another key, a missing one and a missing rollout are problems that name the file', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, {
        'other.pub.pem': testKey().publicPem,
        'broken/rollout.yaml': 'stable: gone.tar.gz\n',
      });
      const of = async (bundles: object): Promise<string | undefined> =>
        wrong(await checkBundle(settingsOf(folder, { bundles }), now)).find(([, status]) => status === 'problem')?.[2];
      const source = join(CHECKOUT, 'bundles');
      const demo = join(source, 'keys', 'demo.pub.pem');
      expect(await of({ source, public_keys: [join(folder, 'other.pub.pem')] })).toMatch(/"demo" is not trusted/);
      expect(await of({ source, public_keys: [join(folder, 'none.pub.pem')] })).toMatch(/none\.pub\.pem/);
      expect(await of({ source: join(folder, 'broken'), public_keys: [demo] })).toMatch(/gone\.tar\.gz: ENOENT/);
      expect(await of({ source: join(folder, 'nowhere'), public_keys: [demo] })).toMatch(/rollout\.yaml: ENOENT/);
    });
  });

  test('of a server is read as a gateway does, with its token', async () => {
    await withFolder(async (folder) => {
      const server = await openFileServer(join(CHECKOUT, 'bundles'));
      try {
        const of = (source: string, token = '') =>
          checkBundle(settingsOf(folder, { bundles: { source, token, public_keys: [DEMO] } }), now);
        expect((await of(server.url, 's3cret')).find(({ check }) => check === 'bundle')).toMatchObject({
          status: 'ok',
          found: expect.stringContaining(`${server.url}default.tar.gz is good: revision `),
        });
        expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer s3cret', 'Bearer s3cret']);
        expect(wrong(await of(`${server.url}default.tar.gz`)).map(([check]) => check)).toEqual(['keys of bundles']);
        server.play = (_request, response) => response.writeHead(403).end();
        expect(wrong(await of(server.url)).at(-1)).toEqual([
          'bundle',
          'problem',
          `${server.url}rollout.yaml: the server refuses access (403): look at bundles.token`,
          'look at the server, and at bundles.source and bundles.token',
        ]);
      } finally {
        await server.stop();
      }
      const source = 'http://bundles.invalid/';
      const checks = await checkBundle(settingsOf(folder, { bundles: { source, public_keys: [DEMO] } }), now);
      expect(wrong(checks).map(([check, status]) => `${check}: ${status}`)).toEqual([
        'keys of bundles: warning',
        'bundle source: warning',
        'bundle: problem',
      ]);
    });
  }, 30_000);

  test('that was passed by a newer one in this home is a problem', async () => {
    await withFolder(async (folder) => {
      const mark = JSON.stringify({ sequence: 1_000_000, digest: 'a'.repeat(64) });
      await writeFiles(folder, { 'home/policy/mark.json': mark });
      expect(wrong(await checkBundle(settingsOf(folder), now)).at(-1)?.[2]).toMatch(/below the high-water mark/);
    });
  });

  test('that has no model at any upstream is a problem, at one of them a warning', async () => {
    await withFolder(async (folder) => {
      const at = async (...names: string[]): Promise<unknown> =>
        wrong(
          await checkBundle(settingsOf(folder, { upstreams: names.map((name) => ({ name, kind: 'sandbox' })) }), now),
        ).find(([check]) => check === 'models');
      expect(await at('mine')).toEqual(['models', 'problem', expect.stringContaining('mine'), expect.any(String)]);
      expect(await at('mine', 'openai')).toEqual([
        'models',
        'warning',
        expect.stringMatching(/mine$/),
        expect.any(String),
      ]);
      expect(await at('openai')).toBeUndefined();
    });
  });
});

describe('the clock', () => {
  test('is a problem when an upstream’s differs by more than a minute', async () => {
    const settings = settingsOf('/nowhere');
    expect(await checkClock(settings, now, [now - 5_000])).toMatchObject({ status: 'ok' });
    const late = await checkClock(settings, now, [now + 3_600_000]);
    expect(late).toMatchObject({ status: 'problem', found: expect.stringContaining('3600 s behind the upstreams') });
    // One server of several may be wrong.
    expect(await checkClock(settings, now, [now + 3_600_000, now + 1_000])).toMatchObject({ status: 'ok' });
  });

  test('is a problem when the bundles were written in its future', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { 'bundles/rollout.yaml': 'stable: x.tar.gz' });
      const future = new Date(now + 86_400_000);
      await utimes(join(folder, 'bundles', 'rollout.yaml'), future, future);
      const settings = settingsOf(folder, { bundles: { source: join(folder, 'bundles') } });
      expect(await checkClock(settings, now, [])).toMatchObject({ status: 'problem' });
    });
  });
});

describe('the ports', () => {
  test('are free, or taken by another, or no address of this machine', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const settings = settingsOf('/nowhere', {
      listen: `127.0.0.1:${port}`,
      admin: { listen: '192.0.2.1:8081' },
    });
    const checks = await checkPorts(settings);
    expect(wrong(checks)).toEqual([
      ['listen', 'problem', `127.0.0.1:${port} is taken by another process`, expect.stringContaining('another port')],
      ['admin.listen', 'problem', '192.0.2.1:8081 is no address of this machine', expect.any(String)],
    ]);
    await new Promise((resolve) => other.close(resolve));
    expect((await checkPorts({ ...settings, adminListen: { host: '127.0.0.1', port: 0 } }))[0]?.status).toBe('ok');
  });

  test('that a gateway has are right', async () => {
    const control = await openFakeUpstream(answerJson(200, { status: 'ok' }));
    const { host } = new URL(control.url);
    const checks = await checkPorts(settingsOf('/nowhere', { listen: '127.0.0.1:0', admin: { listen: host } }));
    expect(checks[1]).toMatchObject({ status: 'ok', found: `${host} is taken by a gateway that runs` });
    await control.close();
  });
});

describe('aegis doctor', () => {
  interface Run {
    code: number;
    out: string;
    err: string;
  }
  const doctor = (cwd: string, ...args: string[]): Promise<Run> =>
    new Promise((resolve) => {
      const main = join(CHECKOUT, 'gateway', 'main.ts');
      const command = ['--disable-warning=ExperimentalWarning', main, 'doctor', ...args];
      execFile(process.execPath, command, { cwd, env: { ...process.env, AEGIS_HOME: '' } }, (error, out, err) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
      });
    });

  test('ends with 0 when all is well, and says each thing in a line', async () => {
    await withFolder(async (folder) => {
      const config = {
        listen: '127.0.0.1:0',
        admin: { listen: '127.0.0.1:0' },
        home: join(folder, 'home'),
        upstreams: [{ name: 'openai', kind: 'sandbox' }],
        bundles: { source: join(CHECKOUT, 'bundles'), public_keys: [join(CHECKOUT, 'bundles/keys/demo.pub.pem')] },
      };
      await writeFiles(folder, { 'aegis.yaml': JSON.stringify(config) });
      const { code, out } = await doctor(folder, '--json');
      const { ok, checks } = JSON.parse(out) as { ok: boolean; checks: Check[] };
      expect({ code, ok }).toEqual({ code: 0, ok: true });
      expect(new Set(checks.map(({ check }) => check))).toEqual(
        new Set([
          'config',
          'home',
          'disk',
          'keys',
          'keys of bundles',
          'bundle',
          'models',
          'upstream openai',
          'clock',
          'listen',
          'admin.listen',
        ]),
      );
      for (const { found, fix, status } of checks) {
        expect(found).not.toContain('\n');
        expect(fix === null).toBe(status === 'ok');
      }
    });
  });

  test('ends with 1 at a config that is wrong, with file, line and column of each finding', async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, {
        'aegis.yaml': 'lisen: 127.0.0.1:80\nupstreams:\n  - { name: openai, kind: opanai }\n',
      });
      const { code, out, err } = await doctor(folder);
      expect({ code, err }).toEqual({ code: 1, err: '' });
      expect(out).toMatch(/PROBLEM {2}config +aegis\.yaml:1:1 unknown field 'lisen' \(did you mean 'listen'\?\)/);
      expect(out).toMatch(/aegis\.yaml:3:27 .*must be one of/);
      expect(out).toContain('2 problems, 0 warnings');
    });
  });

  test('says a missing file and a bad option', async () => {
    await withFolder(async (folder) => {
      expect(await doctor(folder, '--config', 'none.yaml')).toMatchObject({
        code: 1,
        out: expect.stringContaining('ENOENT'),
      });
      expect(await doctor(folder, '--timeout', 'soon')).toMatchObject({ code: 2 });
    });
  });
});

const without = whyNoPostgres();
(without === undefined ? describe : describe.skip)(`a Postgres${without === undefined ? '' : ` (${without})`}`, () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await openPostgres();
  });
  afterAll(() => postgres.close());

  test('is looked at when the config names one', () =>
    withFolder(async (folder) => {
      expect(await checkStore(folder, '', TIMEOUT_MS)).toEqual([]);
      const url = await postgres.createDatabase();
      const empty = await checkStore(folder, url, TIMEOUT_MS);
      expect(wrong(empty)).toEqual([]);
      expect(empty.map(({ found }) => found)).toEqual([
        expect.stringMatching(/^Postgres \d+.* answers \(\d+ ms\)$/),
        'it is empty: the first start makes the tables',
      ]);
    }));

  test('belongs to one pepper and needs a key', () =>
    withFolder(async (folder) => {
      const url = await postgres.createDatabase();
      const { db, close } = await openDatabase(folder, url);
      const grant = { org: 'acme', team: '', user: '', roles: [], groups: [], workflows: [] };
      const { key } = await createKey(db, openPepper(folder), grant);
      expect((await checkStore(folder, url, TIMEOUT_MS)).at(-1)).toMatchObject({ found: '1 of its keys work' });
      await revokeKey(db, key.id);
      await close();
      expect(wrong(await checkStore(folder, url, TIMEOUT_MS))).toMatchObject([
        ['store', 'warning', 'no key works in it', expect.anything()],
      ]);
      for (const other of [join(folder, 'other'), join(folder, 'third')]) {
        if (other.endsWith('other')) openPepper(other);
        expect(wrong(await checkStore(other, url, TIMEOUT_MS))).toMatchObject([
          ['store', 'problem', expect.stringContaining('another pepper'), expect.stringContaining('copy the file')],
        ]);
      }
    }));

  test('that cannot be reached, refuses or hangs is a problem in time, without its password', () =>
    withFolder(async (folder) => {
      const url = await postgres.createDatabase();
      const found = async (at: string, timeoutMs = TIMEOUT_MS): Promise<string> => {
        const [only] = wrong(await checkStore(folder, at, timeoutMs));
        expect(only?.[1]).toBe('problem');
        expect(JSON.stringify(only)).not.toContain('s3cret');
        return only?.[2] ?? '';
      };
      expect(await found('postgres://a:s3cret@127.0.0.1:1/b')).toContain('cannot be reached');
      expect(await found(url.replace(/test_\d+$/, 'none').replace('aegis@', 'aegis:s3cret@'))).toContain('refuses');
      postgres.freeze();
      try {
        expect(await found(url, 300)).toContain('cannot be reached');
      } finally {
        postgres.thaw();
      }
    }));

  test('that lets its user make no tables is a problem', () =>
    withFolder(async (folder) => {
      const { db, close } = await openDatabase(folder, await postgres.createDatabase());
      await sql`create role reader login`.execute(db);
      await close();
      const url = await postgres.createDatabase();
      const [only] = wrong(await checkStore(folder, url.replace('aegis@', 'reader@'), TIMEOUT_MS));
      expect(only).toMatchObject([
        'store',
        'problem',
        expect.stringContaining('may make no tables'),
        expect.anything(),
      ]);
    }));
});
