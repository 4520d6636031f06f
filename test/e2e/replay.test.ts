import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { auditLayout, segmentPath } from '../../gateway/audit/layout.ts';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, ROOT } from '../support/gateway.ts';

// The log of a real gateway, replayed by the command line under bundles that are really built.

let bundles: TestBundles;
let home: string;
let serving: string;
let candidate: string;
const ids: string[] = [];

beforeAll(async () => {
  bundles = await openTestBundles();
  home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  serving = join(home, 'serving.tar.gz');
  candidate = join(home, 'candidate.tar.gz');
  await bundles.rollOut();
  await writeFile(serving, await bundles.packed());
  const gateway = await openTestGateway({ home, config: bundles.config });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  for (const [as, model] of [
    ['student', 'gpt-5.4-nano'],
    ['student', 'gpt-6-sol'],
    ['service', 'gpt-5.4-nano'],
    ['student', 'gpt-6-astra'], // denied: the class is not for students
  ] as const) {
    const answer = await gateway.chat({ model }, { as });
    await answer.arrayBuffer();
    ids.push(answer.headers.get('x-aegis-decision-id') as string);
  }
  await gateway.close();
  await bundles.rollOut({
    'roles/data.yaml': (text) => text.replace('classes: { cheap: true, strong: true }', 'classes: { cheap: true }'),
  });
  await writeFile(candidate, await bundles.packed());
}, 90_000);
afterAll(async () => {
  await bundles.remove();
  await rm(home, { recursive: true, force: true });
});

interface Run {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

const aegis = (...args: string[]): Promise<Run> =>
  new Promise((resolve) => {
    execFile(
      join(ROOT, 'aegis'),
      ['replay', '--home', home, '--threads', '2', ...args],
      { cwd: ROOT },
      (error, out, err) => resolve({ exit: error ? Number(error.code) : 0, out, err }),
    );
  });

test('the serving bundle over its own log makes every decision again, and none differs', async () => {
  const { exit, out } = await aegis('--bundle', serving, '--re-execute', '--json');
  expect(exit).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    ok: true,
    decisions: { total: 4, proved: 4, unproved: 0, touched: 0 },
    changes: [],
    limits: { newly_refused: 0 },
  });
}, 60_000);

test('a candidate that takes a class from students flips one request, which breaches a guard: exit 1', async () => {
  const { exit, out, err } = await aegis(
    '--bundle',
    candidate,
    '--against',
    serving,
    '--json',
    '--max-new-denials',
    '20%',
  );
  expect(exit).toBe(1);
  expect(err).toContain('aegis: guard max_new_denials is breached: requests newly denied: 1 (25%), limit 20%');
  const report = JSON.parse(out);
  expect(report).toMatchObject({ ok: false, decisions: { allowed: { before: 3, after: 2 } }, facets: { denied: 1 } });
  const [change] = report.changes.filter(({ facet }: { facet: string }) => facet === 'denied');
  expect(change.example).toMatchObject({ id: ids[1], caller: { org: 'demo-university', user: 'sam' } });
  expect(change.example.after.rules.map(({ place }: { place: string }) => place)).toEqual(
    expect.arrayContaining([expect.stringMatching(/^policies\/rules\/.+\.rego:\d+$/)]),
  );
  // Of the tokens that were used, those of the denied request cost nothing more.
  expect(report.cost.before_micro_usd).toBe(report.cost.recorded_micro_usd);
  expect(report.cost.after_micro_usd).toBeLessThan(report.cost.before_micro_usd);
}, 60_000);

test('a guard on the command line comes before the one of the file, and a kept one is exit 0', async () => {
  const { exit, out } = await aegis(
    '--bundle',
    candidate,
    '--against',
    serving,
    '--max-new-denials',
    '1',
    '--markdown',
    join(home, 'r.md'),
  );
  expect(exit).toBe(0);
  expect(out).toContain('Guards kept');
  const markdown = await readFile(join(home, 'r.md'), 'utf8');
  expect(markdown).toMatch(/^## Replay: /);
  expect(markdown).toContain('| newly denied | 1 (25.0 %) |');
}, 60_000);

test('other prices alone say what they would have cost', async () => {
  const file = join(home, 'prices.yaml');
  await writeFile(file, 'gpt-5.4-nano: { usd_per_million_tokens: { input: 20, output: 125 } }\n');
  const { exit, out } = await aegis('--prices', file, '--no-guards', '--json');
  expect(exit).toBe(0);
  const { cost, prices, after } = JSON.parse(out);
  expect(after).toBe(null);
  expect(prices).toMatchObject({ file, priced: ['gpt-5.4-nano'] });
  const nano = cost.by_model.find(({ name }: { name: string }) => name === 'gpt-5.4-nano');
  expect(nano.requests).toBe(2);
  // A hundred times the prices of the catalogue; each request's micro-dollars are rounded up.
  expect(Math.abs(nano.after_micro_usd / 100 - nano.before_micro_usd)).toBeLessThanOrEqual(2);
}, 60_000);

test.each([
  [['--json'], '--bundle or --prices is missing'],
  [['--bundle', 'x', '--since', 'tomorrow'], '--since takes'],
  [['--bundle', 'x', '--sample', '0%'], '--sample takes'],
  [['--bundle', 'x', '--threads', '0'], '--threads takes'],
  [['--bundle', 'x', '--max-new-denials', 'few'], 'guards: '],
  [['--bundle', 'x', '--max-denials', '1'], 'unknown option'],
])(
  'wrong usage is exit 2: %j',
  async (args, reason) => {
    const { exit, err } = await aegis(...args);
    expect({ exit, err }).toEqual({ exit: 2, err: expect.stringContaining(reason) });
  },
  30_000,
);

test('a candidate without a signature is refused, and taken with --unsigned', async () => {
  const { packFiles } = await import('../support/policy-fixture.ts');
  const { readBundle } = await import('../../gateway/policy/bundle.ts');
  const { files } = await readBundle(await readFile(candidate));
  const unsigned = join(home, 'unsigned.tar.gz');
  await writeFile(unsigned, await packFiles(new Map([...files].filter(([name]) => name !== '.signatures.json'))));
  const refused = await aegis('--bundle', unsigned, '--no-guards');
  expect(refused).toMatchObject({
    exit: 1,
    err: expect.stringContaining('the bundle is not signed (--unsigned takes'),
  });
  expect((await aegis('--bundle', unsigned, '--unsigned', '--no-guards')).exit).toBe(0);
}, 60_000);

test('a damaged log is exit 1 with its place, and no report', async () => {
  const file = segmentPath(auditLayout(home), 1);
  const bytes = await readFile(file);
  const damaged = Buffer.from(bytes);
  damaged[bytes.indexOf('demo-university')] = 'D'.charCodeAt(0);
  await writeFile(file, damaged);
  const { exit, out, err } = await aegis('--bundle', candidate, '--against', serving);
  await writeFile(file, bytes);
  expect({ exit, out }).toEqual({ exit: 1, out: '' });
  expect(err).toMatch(/^aegis: the audit log is damaged: record \d+ .*; .\/aegis audit verify tells more\n$/);
}, 60_000);

test('a home without a log is said so', async () => {
  const { exit, err } = await aegis('--bundle', candidate, '--home', join(home, 'nowhere'));
  expect({ exit, err }).toEqual({ exit: 1, err: expect.stringContaining('there is no audit log in') });
}, 30_000);
