import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { openAuditLog } from '../../../gateway/audit/log.ts';
import { keysCommand } from '../../../gateway/cli/keys.ts';
import { reportCommand } from '../../../gateway/cli/report.ts';
import { openDatabase } from '../../../gateway/store/database.ts';
import { openKeyStore } from '../../../gateway/store/open-key-store.ts';
import { openPepper } from '../../../gateway/store/pepper.ts';
import { outcome } from '../../support/outcomes.ts';
import { runCommand as run } from '../../support/run-command.ts';

describe('aegis report usage', () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-report-'));
    const audit = await openAuditLog({ home });
    const at = (day: string): string => `2026-11-${day}T10:00:00.000Z`;
    const course = { tags: { course: 'CS101' } };
    const records = [
      outcome('1', {
        time: at('03'),
        microUsd: 2_000_000,
        usage: { input: 1_200, output: 800 },
      }),
      outcome('2', {
        time: at('12'),
        microUsd: 1_234_567,
        purpose: course,
        usage: {
          input: 45_000,
          cache_read: 9_000,
          cache_write: 500,
          cache_write_1h: 20,
          output: 2_100,
          reasoning: 700,
        },
      }),
      outcome('3', {
        time: at('12'),
        microUsd: 250,
        caller: { team: '=HYPERLINK("x")', user: 'bob' },
        model: 'claude-haiku',
        usage: { input: 90, output: 11, source: 'estimated' },
      }),
      outcome('4', {
        time: at('13'),
        outcome: 'denied',
        status: 403,
        model: null,
        upstream: null,
        attempts: [],
        duration_ms: 1,
      }),
      outcome('5', {
        time: at('13'),
        outcome: 'limited',
        status: 429,
        model: null,
        upstream: null,
        attempts: [],
        duration_ms: 1,
      }),
      outcome('6', {
        time: at('13'),
        outcome: 'failed',
        status: 502,
        model: null,
        upstream: null,
        caller: { org: 'other', team: '' },
      }),
    ];
    for (const record of records) await audit.append(record);
    await audit.close();
  });
  afterAll(async () => {
    await rm(home, { recursive: true });
  });
  const usage = (...args: string[]): Promise<string> =>
    run(reportCommand(), 'usage', '--home', home, '--since', '2026-11-08', '--until', '2026-11-14', ...args);

  test('the table has a row a group, dearest first, and totals', async () => {
    expect(await usage('--by', 'org,model')).toMatchInlineSnapshot(`
     "usage 2026-11-08 to 2026-11-14 (UTC days)
     ┌───────┬──────────────┬──────────┬────────┬─────────┬────────┬────────┬────────┬─────────┬─────────────┬────────┬───────────┬──────────┬────────┬────────┐
     │ org   │ model        │ requests │ denied │ limited │ errors │  input │ cached │ cache % │ cache write │ output │ reasoning │ cost USD │ p50 ms │ p95 ms │
     ├───────┼──────────────┼──────────┼────────┼─────────┼────────┼────────┼────────┼─────────┼─────────────┼────────┼───────────┼──────────┼────────┼────────┤
     │ acme  │ gpt-5-mini   │        1 │      0 │       0 │      0 │ 45,000 │  9,000 │    16.5 │         520 │  2,100 │       700 │ 1.234567 │    358 │    429 │
     │ acme  │ claude-haiku │        1 │      0 │       0 │      0 │     90 │      0 │     0.0 │           0 │     11 │         0 │ 0.000250 │    358 │    429 │
     │ acme  │ (none)       │        2 │      1 │       1 │      0 │      0 │      0 │       - │           0 │      0 │         0 │ 0.000000 │      - │      - │
     │ other │ (none)       │        1 │      0 │       0 │      1 │      0 │      0 │       - │           0 │      0 │         0 │ 0.000000 │      - │      - │
     │ total │              │        5 │      1 │       1 │      1 │ 45,090 │  9,000 │    16.5 │         520 │  2,111 │       700 │ 1.234817 │    358 │    429 │
     └───────┴──────────────┴──────────┴────────┴─────────┴────────┴────────┴────────┴─────────┴─────────────┴────────┴───────────┴──────────┴────────┴────────┘
     tokens of 1 request are estimated: the provider told none
     "
    `);
  });

  test('movers compare with the period before, those that are gone included', async () => {
    const text = await usage('--by', 'team', '--movers');
    expect(text.slice(text.indexOf('top movers'))).toMatchInlineSnapshot(`
     "top movers against 2026-11-01 to 2026-11-07
     ┌──────┬─────────────────┬────────────┬──────────┬────────────┬────────┐
     │ org  │ team            │ before USD │  now USD │ change USD │ change │
     ├──────┼─────────────────┼────────────┼──────────┼────────────┼────────┤
     │ acme │ math            │   2.000000 │ 1.234567 │  -0.765433 │  -38 % │
     │ acme │ =HYPERLINK("x") │   0.000000 │ 0.000250 │  +0.000250 │    new │
     └──────┴─────────────────┴────────────┴──────────┴────────────┴────────┘
     "
    `);
  });

  test('CSV has exact amounts, no totals and no formulas', async () => {
    expect(await usage('--by', 'team,tag:course', '--csv')).toMatchInlineSnapshot(`
     "org,team,tag:course,requests,ok,denied,limited,rejected,aborted,errors,estimated,input_tokens,cache_read_tokens,cache_write_tokens,cache_write_1h_tokens,output_tokens,reasoning_tokens,cost_micro_usd,cost_usd,cache_share,p50_ms,p95_ms
     acme,math,CS101,1,1,0,0,0,0,0,0,45000,9000,500,20,2100,700,1234567,1.234567,0.1651,358,429
     acme,"'=HYPERLINK(""x"")",,1,1,0,0,0,0,0,1,90,0,0,0,11,0,250,0.000250,0,358,429
     acme,math,,2,0,1,1,0,0,0,0,0,0,0,0,0,0,0,0.000000,,,
     other,,,1,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0.000000,,,
     "
    `);
  });

  test('JSON has the same figures', async () => {
    const report = JSON.parse(await usage('--by', 'day', '--json', '--movers'));
    expect(report).toMatchObject({
      since: '2026-11-08',
      until: '2026-11-14',
      by: ['day'],
    });
    expect(report.groups).toHaveLength(2);
    expect(report.groups[0]).toMatchObject({
      day: '2026-11-12',
      requests: 2,
      cost_micro_usd: 1_234_817,
      cost_usd: '1.234817',
    });
    expect(report.total).toMatchObject({
      requests: 5,
      denied: 1,
      limited: 1,
      errors: 1,
      estimated: 1,
      input_tokens: 45_090,
    });
    expect(report.groups[0].cache_share).toBeCloseTo(9_000 / 54_610, 4);
    expect(report.movers).toHaveLength(2);
    expect(report.movers[0]).toMatchObject({
      day: '2026-11-03',
      change_micro_usd: -2_000_000,
      change_share: -1,
    });
  });

  test('a report of one organisation, by endpoint, of the last days', async () => {
    const report = JSON.parse(await usage('--by', 'endpoint', '--org', 'other', '--json'));
    expect(report.groups).toMatchObject([{ endpoint: 'chat.completions', requests: 1, errors: 1 }]);
    const last = await run(reportCommand(), 'usage', '--home', home, '--last', '3d', '--until', '2026-11-14', '--json');
    expect(JSON.parse(last)).toMatchObject({
      since: '2026-11-12',
      until: '2026-11-14',
      total: { requests: 5 },
    });
  });

  test('a rebuild from the log gives the same report', async () => {
    const before = await usage('--by', 'org,team,user,model,day,tag:course', '--csv');
    expect(await usage('--by', 'org,team,user,model,day,tag:course', '--csv', '--rebuild')).toBe(before);
  });

  test('a period without requests says so', async () => {
    expect(await run(reportCommand(), 'usage', '--home', home, '--since', '2026-01-01', '--until', '2026-01-31')).toBe(
      'usage 2026-01-01 to 2026-01-31 (UTC days)\nno requests\n',
    );
  });

  test('wrong usage is a usage error', async () => {
    for (const args of [
      ['--by', 'colour'],
      ['--since', 'never'],
      ['--csv', '--json'],
      ['--unknown'],
      ['--last', '7d'],
    ]) {
      await expect(usage(...args)).rejects.toMatchObject({
        name: 'CommanderError',
      });
    }
  });

  test('a home that does not exist is a sentence, and is not made', async () => {
    const missing = join(home, 'missing');
    for (let i = 0; i < 2; i++) {
      await expect(run(reportCommand(), 'usage', '--home', missing)).rejects.toMatchObject({ name: 'CliError' });
    }
  });
});

describe('aegis keys', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-keys-'));
  });
  afterEach(async () => {
    await rm(home, { recursive: true });
  });
  const keys = (...args: string[]): Promise<string> => run(keysCommand(), ...args, '--home', home);
  const findSecret = async (secret: string, now = Date.now()) => {
    const store = await openDatabase(home);
    const found = await openKeyStore(store.db, openPepper(home));
    const caller = found.find(secret, now);
    await found.close();
    await store.close();
    return caller;
  };

  test('a key that was made works, is listed without its secret, and is dead when revoked', async () => {
    const made = JSON.parse(
      await keys(
        'create',
        '--org',
        'acme',
        '--team',
        'math',
        '--user',
        'ann',
        '--roles',
        'student, tutor',
        '--workflows',
        'chat',
        '--groups',
        'g',
        '--json',
      ),
    );
    expect(await findSecret(made.secret)).toMatchObject({
      id: made.id,
      org: 'acme',
      team: 'math',
      user: 'ann',
      roles: ['student', 'tutor'],
      groups: ['g'],
      workflows: ['chat'],
    });
    const listed = await keys('list');
    expect(listed).toContain(made.id);
    expect(listed).toContain('acme / math / ann');
    expect(listed).not.toContain(made.secret);
    await keys('revoke', made.id);
    expect(await findSecret(made.secret)).toBeUndefined();
    expect(await keys('list')).toBe('no keys\n');
    expect(await keys('list', '--all')).toContain('revoked');
  });

  test('the secret is shown once, with what the key stands for', async () => {
    const text = await keys('create', '--org', 'acme', '--roles', 'service');
    expect(text.replace(/key_[0-9a-f]{18}/, 'key_…').replace(/aeg_live_\w{49}/, 'aeg_live_…')).toMatchInlineSnapshot(`
     "key        key_…
     secret     aeg_live_…
     caller     acme
     roles      service
     groups     none
     workflows  those its roles allow
     expires    never
     The secret is shown only now.
     "
    `);
  });

  test('an expiry ends the key, and a rotation makes another for the same caller', async () => {
    const old = JSON.parse(await keys('create', '--org', 'acme', '--expires', '2h', '--json'));
    expect(await findSecret(old.secret, Date.now() + 7_100_000)).toBeDefined();
    expect(await findSecret(old.secret, Date.now() + 7_300_000)).toBeUndefined();
    const made = JSON.parse(await keys('rotate', old.id, '--overlap', '0s', '--json'));
    expect(made).toMatchObject({
      org: 'acme',
      rotated_from: old.id,
      expires: old.expires,
    });
    expect(await findSecret(old.secret)).toBeUndefined();
    expect((await findSecret(made.secret))?.id).toBe(made.id);
  });

  test('a rotated key may live longer when that is said, and the list tells of the rotation', async () => {
    const old = JSON.parse(await keys('create', '--org', 'acme', '--expires', '2h', '--json'));
    const made = JSON.parse(await keys('rotate', old.id, '--overlap', '24h', '--expires', '90d', '--json'));
    expect(Date.parse(made.expires) - Date.now()).toBeGreaterThan(89 * 86_400_000);
    const [first, second] = JSON.parse(await keys('list', '--json'));
    expect(first).toMatchObject({
      id: old.id,
      rotated_to: made.id,
      expires: old.expires,
      state: 'active',
    });
    expect(second).toMatchObject({
      id: made.id,
      rotated_from: old.id,
      rotated_to: null,
      state: 'active',
    });
    expect(second.rotated).toBe(second.created);
    expect(first.rotated).toBe(second.created);
    expect(await keys('list')).toContain(`to ${made.id}`);
    await expect(keys('rotate', made.id, '--expires', '0s')).rejects.toMatchObject({ name: 'CommanderError' });
  });

  test('the config names the store, whatever else it wants of the environment', async () => {
    const file = join(home, 'aegis.yaml');
    const upstreams = 'upstreams: [{name: openai, kind: openai, api_key: "$' + '{AEGIS_TEST_NO_SUCH_KEY}"}]';
    await writeFile(file, ['home: data', upstreams, 'store: {url: "$' + '{AEGIS_TEST_NO_SUCH_URL:-}"}'].join('\n'));
    const created = await run(keysCommand(), 'create', '--org', 'acme', '--config', file, '--json');
    const listed = await run(keysCommand(), 'list', '--home', join(home, 'data'), '--json');
    expect(JSON.parse(listed)).toMatchObject([{ id: JSON.parse(created).id }]);
    await writeFile(file, `${upstreams}\nstore: {url: "mysql://x"}`);
    await expect(run(keysCommand(), 'list', '--config', file)).rejects.toMatchObject({
      findings: [expect.stringContaining(`${file}:2:14 store.url must match pattern`)],
    });
    await writeFile(file, `${upstreams}\nstore: {url: "postgres://a:s3cret@127.0.0.1:1/b"}`);
    const away = run(keysCommand(), 'list', '--config', file);
    await expect(away).rejects.toMatchObject({
      name: 'CliError',
      message: expect.stringContaining('cannot be reached'),
    });
    await expect(away).rejects.not.toMatchObject({
      message: expect.stringContaining('s3cret'),
    });
  });

  test('what people can mend is a sentence or a usage error', async () => {
    await expect(keys('revoke', 'key_none')).rejects.toMatchObject({
      name: 'CliError',
      message: 'there is no key key_none',
    });
    await expect(keys('create', '--org', 'a/b')).rejects.toMatchObject({
      name: 'CliError',
    });
    await expect(keys('create')).rejects.toMatchObject({
      name: 'CommanderError',
    });
    await expect(keys('create', '--org', 'a', '--expires', 'soon')).rejects.toMatchObject({ name: 'CommanderError' });
  });
});
