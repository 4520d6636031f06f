import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import Sqlite from 'better-sqlite3';
import { openDatabase } from '../../../gateway/store/database.ts';
import { parseDimensions } from '../../../gateway/store/dimensions.ts';
import { listKeys } from '../../../gateway/store/keys.ts';
import { catchUpLedger } from '../../../gateway/store/ledger.ts';
import { createRolloutStore } from '../../../gateway/store/rollout-store.ts';
import { spentSince } from '../../../gateway/store/spend-history.ts';
import { queryUsage } from '../../../gateway/store/usage.ts';
import { outcome, readerOf } from '../../support/outcomes.ts';

test('a store of the version before keeps its keys, its requests and its place in the log', async () => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-migration-'));
  const old = new Sqlite(join(home, 'aegis.db'));
  old.exec(await readFile('test/fixtures/store-002.sql', 'utf8'));
  old.close();
  const store = await openDatabase(home);
  try {
    expect(await listKeys(store.db)).toMatchObject([{ org: 'acme', user: 'ann', createdMs: 1 }]);
    const year = { firstDay: '2026-01-01', lastDay: '2026-12-31' };
    const report = async (by: string) => await queryUsage(store.db, parseDimensions(by), year);
    const expected = { requests: 3, ok: 2, denied: 1, cost_micro_usd: 12, input_tokens: 10, output_tokens: 2 };
    expect((await report('org')).total).toMatchObject(expected);
    // The log is read on from where it was, and what is folded now is what was there.
    const log = ['a', 'b', 'c'].map((id) => outcome(id, { microUsd: 1_000 }));
    const next = outcome('d', { microUsd: 100, time: '2026-11-24T12:00:00.000Z' });
    expect(await catchUpLedger(store.db, home, readerOf([...log, next]), { log: 'id-of-the-log' })).toBe(1);
    expect((await report('tag:course,endpoint')).groups.map(({ keys, requests }) => [...keys, requests])).toEqual([
      ['', 'chat.completions', 2],
      ['', 'embeddings', 1],
      ['CS101', 'chat.completions', 1],
    ]);
    expect(spentSince(store, 'org', 'acme', Date.UTC(2026, 10, 1), Date.UTC(2026, 11, 1))).toBe(112);
    // What came with later versions works in it.
    const begun = { key: 'k', step: 0, sinceMs: 1, baseline: null, rolledBack: null };
    expect(await createRolloutStore(store.db).begin(begun)).toEqual(begun);
  } finally {
    await store.close();
    await rm(home, { recursive: true });
  }
});
