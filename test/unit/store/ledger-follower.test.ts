import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { auditLayout } from '../../../gateway/audit/layout.ts';
import { openAuditLog } from '../../../gateway/audit/log.ts';
import { readAudit } from '../../../gateway/audit/read.ts';
import { type Database, openDatabase } from '../../../gateway/store/database.ts';
import { catchUpLedger } from '../../../gateway/store/ledger.ts';
import { openLedgerFollower } from '../../../gateway/store/ledger-follower.ts';
import { queryUsage } from '../../../gateway/store/usage.ts';
import { outcome } from '../../support/outcomes.ts';

const WORKER = new URL('../../../gateway/ledger-worker.ts', import.meta.url);
const NOVEMBER = { firstDay: '2026-11-01', lastDay: '2026-11-30' };

describe('the ledger’s follower', () => {
  let home: string;
  let store: Database;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'aegis-follower-'));
    store = await openDatabase(home);
  });
  afterEach(async () => {
    await store.close();
    await rm(home, { recursive: true });
  });
  const follow = (onError?: (message: string) => void) =>
    openLedgerFollower({ home, segments: auditLayout(home).chain, worker: WORKER, ...(onError && { onError }) });
  const requests = async (): Promise<number> => (await queryUsage(store.db, [], NOVEMBER)).total.requests;

  test('outcomes of a growing log reach the ledger by themselves, and catch-up waits for them', async () => {
    const audit = await openAuditLog({ home });
    const ledger = await follow();
    await audit.append(outcome('a'));
    expect(await ledger.catchUp()).toBeLessThanOrEqual(1);
    expect(await requests()).toBe(1);
    await audit.append(outcome('b'));
    while ((await requests()) < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(ledger.healthy).toBe(true);
    await ledger.close();
    await audit.close();
  });

  test('a report that loads at the same time as the worker counts each request once', async () => {
    const audit = await openAuditLog({ home });
    await Promise.all(Array.from({ length: 1_500 }, (_, i) => audit.append(outcome(`r${i}`, { microUsd: 1 }))));
    const ledger = await follow();
    const [byWorker, byReport] = await Promise.all([
      ledger.catchUp(),
      catchUpLedger(store.db, home, readAudit, { batchRows: 100 }),
    ]);
    await ledger.close();
    await audit.close();
    expect(byWorker + byReport).toBeLessThanOrEqual(1_500);
    expect((await queryUsage(store.db, ['user'], NOVEMBER)).total).toMatchObject({
      requests: 1_500,
      cost_micro_usd: 1_500,
    });
  });

  test('a damaged log is reported, and what precedes the damage is in the ledger', async () => {
    const audit = await openAuditLog({ home });
    await audit.append(outcome('a'));
    await audit.close();
    const { chain } = auditLayout(home);
    await appendFile(join(chain, (await readdir(chain)).sort().at(-1)!), Buffer.alloc(4_096, 0xff));
    const errors: string[] = [];
    const ledger = await follow((message) => errors.push(message));
    await expect(ledger.catchUp()).rejects.toThrow();
    expect(errors.length).toBeGreaterThan(0);
    expect(ledger.healthy).toBe(false);
    expect(await requests()).toBe(1);
    await ledger.close();
  });

  describe('with decisions', () => {
    const followFor = (decisionsDays: number) =>
      openLedgerFollower({ home, segments: auditLayout(home).chain, worker: WORKER, decisionsDays });
    const kept = async (): Promise<string[]> => {
      const rows = await store.db.selectFrom('decisions').select('id').orderBy('id').execute();
      return rows.map(({ id }) => id);
    };
    const addOld = async (id: string, daysAgo: number): Promise<void> => {
      const texts = { org: 'acme', revision: '', digest: '', intent: null, outcome: '{}' };
      const row = { id, time_ms: Date.now() - daysAgo * 86_400_000, ...texts };
      await store.db.insertInto('decisions').values(row).execute();
    };
    const now = (name: string) => outcome(name, { time: new Date().toISOString() });

    test('they are in the store with the rows of the ledger, and go when their days are over', async () => {
      await addOld('dec_old', 8);
      await addOld('dec_young', 6);
      const audit = await openAuditLog({ home });
      const ledger = await followFor(7);
      await audit.append(now('a'));
      await ledger.catchUp();
      expect(await kept()).toContain('dec_a');
      while ((await kept()).includes('dec_old')) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(await kept()).toEqual(['dec_a', 'dec_young']);
      expect(ledger.healthy).toBe(true);
      await ledger.close();
      await audit.close();
    });

    test('a gateway that keeps none any more adds none, and those that are there go in their time', async () => {
      const audit = await openAuditLog({ home });
      const before = await followFor(7);
      await audit.append(now('a'));
      await before.catchUp();
      while ((await store.db.selectFrom('facts').where('name', '=', 'decisions_days').selectAll().execute()).length < 1)
        await new Promise((resolve) => setTimeout(resolve, 10));
      await before.close();
      await addOld('dec_old', 8);
      const after = await followFor(0);
      await audit.append(now('b'));
      await after.catchUp();
      while ((await kept()).includes('dec_old')) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(await kept()).toEqual(['dec_a']);
      await after.close();
      await audit.close();
    });

    test('a store that never kept any is left alone', async () => {
      const audit = await openAuditLog({ home });
      await addOld('dec_of_nobody', 4_000);
      const ledger = await followFor(0);
      await audit.append(now('a'));
      await ledger.catchUp();
      await ledger.close();
      await audit.close();
      expect(await kept()).toEqual(['dec_of_nobody']);
      expect(await store.db.selectFrom('facts').where('name', '=', 'decisions_days').selectAll().execute()).toEqual([]);
    });
  });

  test('a closed follower refuses to catch up, and closing twice is harmless', async () => {
    const ledger = await follow();
    await ledger.close();
    await ledger.close();
    await expect(ledger.catchUp()).rejects.toThrow('closed');
  });

  test('a worker that cannot open the store is an error at the start', async () => {
    const { segments, worker } = { segments: auditLayout(home).chain, worker: WORKER };
    await expect(openLedgerFollower({ home: '/dev/null/none', segments, worker })).rejects.toThrow();
  });
});
