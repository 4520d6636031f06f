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
