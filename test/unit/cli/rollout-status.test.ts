import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { rolloutCommand } from '../../../gateway/cli/rollout.ts';
import { newTally } from '../../../gateway/policy/readings.ts';
import type { ReplicaReport, Rollback } from '../../../gateway/policy/rollout-state.ts';
import { type Database, openDatabase } from '../../../gateway/store/database.ts';
import { createRolloutStore } from '../../../gateway/store/rollout-store.ts';
import { makeRolloutFolder, type RolloutFolder } from '../../support/rollout-folder.ts';
import { runCommand } from '../../support/run-command.ts';

let folder: RolloutFolder;
let home: string;
let homes = 0;
const opened: Database[] = [];
beforeAll(async () => {
  folder = await makeRolloutFolder();
}, 600_000);
afterAll(() => folder.remove());
beforeEach(async () => {
  home = `${folder.home}-${homes++}`;
  await folder.write(`stable: stable.tar.gz
candidate: next.tar.gz
stage: canary
percent: 10
next: [{ stage: full }]
`);
});
afterEach(async () => {
  for (const database of opened.splice(0)) await database.close();
  process.exitCode = 0;
});

const store = async () => {
  const database = await openDatabase(home);
  opened.push(database);
  return createRolloutStore(database.db);
};
const plan = async () => folder.plan(parse(await folder.text()));

const report = async (fields: Partial<ReplicaReport> = {}): Promise<ReplicaReport> => {
  const tally = newTally();
  Object.assign(tally.candidate, { requests: 300, answers: 290, denied: 10, costMicroUsd: 123_456 });
  Object.assign(tally.stable, { requests: 2_700, answers: 2_650, denied: 50 });
  Object.assign(tally.compared, { compared: 300, newlyDenied: 4, modelMoved: 12 });
  tally.compared.examples.newly_denied = ['dec_01m8685en4k2tznna4zga5xec4'];
  return {
    replica: 'gateway-7d9f8c5b4-x2x9k:8080',
    updatedMs: Date.now() - 1_000,
    stable: folder.refs.stable,
    candidate: folder.refs.next,
    stage: 'canary',
    percent: 10,
    key: (await plan()).key,
    readings: tally,
    problem: null,
    ...fields,
  };
};

const status = async (...args: string[]): Promise<{ out: string; code: unknown }> => {
  const out = await runCommand(rolloutCommand(), 'status', '--bundles', folder.bundles, '--home', home, ...args);
  return { out, code: process.exitCode ?? 0 };
};

test('shows what is desired where no gateway has run, and makes no store there', async () => {
  const { out, code } = await status();
  expect(code).toBe(0);
  expect(out).toContain(`candidate  next.tar.gz, revision ${folder.refs.next.revision}, sequence 5`);
  expect(out).toContain('no gateway has begun it');
  expect(out).toContain('gateways   none has said anything in the last five minutes');
  expect(existsSync(join(home, 'aegis.db'))).toBe(false);
});

test('shows step, guards and gateways, within 100 columns', async () => {
  const rollouts = await store();
  const { key } = await plan();
  await rollouts.begin({ key, step: 0, sinceMs: Date.now() - 200_000, baseline: null, rolledBack: null });
  await rollouts.report(await report(), 1_000);
  await rollouts.report(await report({ replica: 'b', key: 'old', candidate: null, stage: null, percent: null }), 1_000);
  const { out, code } = await status();
  expect(code).toBe(0);
  expect(out).toContain('canary 10 % by user, step 1 of 2, for 3 min');
  expect(out).toMatch(/next +full, not before \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; waits for max_deny_rate_increase\n/);
  expect(out).toMatch(/max_deny_rate_increase +│ +1\.33 % │ +1\.00 % │ +300 │ above, unsure/);
  expect(out).toMatch(/max_evaluation_p99_ms +│ .* too few/);
  expect(out).toMatch(/Of 300 requests that both bundles decided, the candidate refuses 4/);
  expect(out).toContain('300 requests, 10 denied, 290 answers (0 failed, 0 by fallback), 0.1235 USD');
  expect(out).toContain('newly_denied: dec_01m8685en4k2tznna4zga5xec4');
  expect(out).toMatch(/gateway-7d9f8c5b4-x2x9k:8080 .*canary 10 %/);
  expect(out).toMatch(/│ b .*on its way/);
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
});

const BACK: Rollback = {
  time: '2026-11-24T12:00:00.000Z',
  guard: 'max_deny_rate_increase',
  reason: 'Of 300 requests that both bundles decided, the candidate refuses 60 that stable allows.',
  decisionIds: ['dec_1', 'dec_2'],
  replica: 'one',
};

test('tells why a candidate was rolled back and what to do, and exits with 1', async () => {
  const rollouts = await store();
  await rollouts.rollBack((await plan()).key, BACK);
  const { out, code } = await status();
  expect(code).toBe(1);
  expect(out).toContain('ROLLED BACK at 2026-11-24 12:00:00 UTC by max_deny_rate_increase, found by one');
  expect(out.replaceAll(/\s+/g, ' ')).toContain(BACK.reason);
  expect(out).toContain('./aegis explain dec_1\n');
  expect(out).toContain('./aegis explain dec_2\n');
  expect(out.replaceAll(/\s+/g, ' ')).toContain('./aegis rollout shadow next.tar.gz --retry');
});

test('exits with 1 where a gateway has trouble, unless it is gone', async () => {
  const rollouts = await store();
  const problem = 'next.tar.gz: signature: expired at 2026-11-24T00:00:00.000Z';
  await rollouts.report(await report({ replica: 'gone', problem, updatedMs: Date.now() - 60_000 }), 1_000);
  expect((await status()).code).toBe(0);
  await rollouts.report(await report({ problem }), 1_000);
  const { out, code } = await status();
  expect(code).toBe(1);
  expect(out).toContain(`gateway-7d9f8c5b4-x2x9k:8080: ${problem}`);
  expect(out).toMatch(/│ gone .*silent/);
});

test('exits with 1 where the file or a bundle of it is not good', async () => {
  await folder.write('stable: stable.tar.gz\ncandidate: none.tar.gz\nstage: shadow\n');
  expect(await status()).toMatchObject({ code: 1, out: expect.stringMatching(/candidate +none\.tar\.gz – PROBLEM: /) });
  await folder.write('stable: stable.tar.gz\nstage: shadow\n');
  expect(await status()).toMatchObject({ code: 1, out: expect.stringMatching(/rollout\.yaml:1:1: /) });
});

test('tells programs all of it', async () => {
  const rollouts = await store();
  await rollouts.rollBack((await plan()).key, BACK);
  await rollouts.report(await report({ stage: 'rolled_back', percent: 0 }), 1_000);
  const { out } = await status('--json');
  expect(JSON.parse(out)).toMatchObject({
    ok: false,
    source: {
      problem: null,
      stable: { file: 'stable.tar.gz', sequence: 4 },
      candidate: { sequence: 5, problem: null },
    },
    desired: { candidate: 'next.tar.gz' },
    rollout: { stage: 'rolled_back', rolled_back: { guard: BACK.guard, decision_ids: BACK.decisionIds } },
    replicas: [{ is_fresh: true, is_converged: true, stage: 'rolled_back' }],
  });
});
