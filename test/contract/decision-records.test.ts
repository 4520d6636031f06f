import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createStoreSource } from '../../gateway/replay/store-source.ts';
import type { Database } from '../../gateway/store/database.ts';
import {
  type DecisionQuestion,
  findDecisionRecord,
  readDecisionRecords,
} from '../../gateway/store/decision-records.ts';
import { decisionsDays, deleteDecisions, keepDecisions } from '../../gateway/store/decision-retention.ts';
import { catchUpLedger, forgetLedger } from '../../gateway/store/ledger.ts';
import { queryUsage } from '../../gateway/store/usage.ts';
import type { AuditIntent, AuditOutcome, AuditRecord } from '../../gateway/types.gen.ts';
import { outcome, readerOf } from '../support/outcomes.ts';
import { STORES, type TestStore } from '../support/stores.ts';

const LOG = 'log-1';
const DAY_MS = 86_400_000;
const EVER = { firstDay: '2020-01-01', lastDay: '2100-01-01' };
/** A moment of today, some minutes ago: what is kept for days is kept. */
const START = Date.now() - 3_600_000;
const at = (seconds: number): string => new Date(START + seconds * 1_000).toISOString();

const intent = (name: string, seconds: number, org = 'acme', more: Partial<AuditIntent> = {}): AuditIntent => ({
  kind: 'intent',
  id: `dec_${name}`,
  time: at(seconds),
  input: { caller: { org }, request: { id: name } },
  decision: { allow: true, deny: [] },
  bundle: { digest: 'd'.repeat(64), revision: 'r1' },
  reserved_micro_usd: 10,
  masked: {},
  content: null,
  ...more,
});
const answered = (name: string, seconds: number, org = 'acme'): AuditOutcome =>
  outcome(name, { time: at(seconds), caller: { org } });
const denied = (name: string, seconds: number, org = 'acme'): AuditOutcome =>
  outcome(name, {
    time: at(seconds),
    caller: { org },
    outcome: 'denied',
    input: { caller: { org } },
    decision: { allow: false, deny: [{ code: 'not_entitled' }] },
  });
const opened: AuditRecord = { kind: 'event', time: at(0), event: 'start', detail: {} };

for (const { name, without, prepare } of STORES) {
  const describeOrSkip = without === undefined ? describe : describe.skip;
  describeOrSkip(`decisions on ${name}${without === undefined ? '' : ` (${without})`}`, () => {
    let stores: TestStore;
    let home: string;
    let store: Database;
    beforeAll(async () => {
      stores = await prepare();
    });
    afterAll(() => stores.close());
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-decisions-'));
      store = await stores.open(home);
    });
    afterEach(async () => {
      await store.close();
      await rm(home, { recursive: true });
    });

    const load = (
      records: readonly AuditRecord[],
      { days = 30 as number | null, batchRows = 2_000, log = LOG } = {},
    ): Promise<number> =>
      catchUpLedger(store.db, home, readerOf(records), {
        log,
        batchRows,
        ...(days !== null && { decisionsDays: days }),
      });
    const read = async (question: DecisionQuestion = {}, pageRows?: number): Promise<string[][]> => {
      const pages: string[][] = [];
      for await (const records of readDecisionRecords(store.db, question, pageRows))
        pages.push(records.map(({ id }) => id));
      return pages;
    };
    const ids = async (question?: DecisionQuestion): Promise<string[]> => (await read(question)).flat();
    const find = (name: string) => findDecisionRecord(store.db, `dec_${name}`);

    test('a decision is found with its records as the log has them, whether it was let through, denied, or goes on', async () => {
      const records = [opened, intent('a', 1), answered('a', 2), denied('b', 3), intent('c', 4)];
      expect(await load(records)).toBe(2);
      expect(await find('a')).toEqual({ id: 'dec_a', intent: records[1], outcome: records[2] });
      expect(await find('b')).toEqual({ id: 'dec_b', intent: null, outcome: records[3] });
      expect(await find('c')).toEqual({ id: 'dec_c', intent: records[4], outcome: null });
      expect(await find('d')).toBeUndefined();
    });

    test('an outcome joins its intent, however many batches lie between them', async () => {
      const others = Array.from({ length: 20 }, (_, i) => denied(`other-${i}`, 10 + i));
      await load([intent('a', 1), ...others, answered('a', 40)], { batchRows: 3 });
      const found = await find('a');
      expect([found?.intent?.time, found?.outcome?.time]).toEqual([at(1), at(40)]);
      // Its place is where it was decided.
      expect((await ids())[0]).toBe('dec_a');
    });

    test('what is loaded twice is there once, and nothing of it is changed', async () => {
      const records = [intent('a', 1), answered('a', 2), denied('b', 3)];
      await load(records);
      const before = [await find('a'), await find('b')];
      const changed = { ...records[1], status: 599 } as AuditOutcome;
      await load([...records, records[0]!, changed]);
      await store.db.updateTable('ledger_logs').set({ position: '' }).execute();
      await load(records, { batchRows: 1 });
      expect([await find('a'), await find('b')]).toEqual(before);
      expect(await ids()).toEqual(['dec_a', 'dec_b']);
    });

    test('a ledger without decisions loads as before, and keeps none', async () => {
      const records = [intent('a', 1), answered('a', 2), denied('b', 3)];
      expect(await load(records, { days: 0 })).toBe(2);
      expect(await ids()).toEqual([]);
      expect((await queryUsage(store.db, [], EVER)).total.requests).toBe(2);
    });

    test('decisions are kept from where the log is when it is said, until it is taken back', async () => {
      const records = [intent('a', 1), answered('a', 2)];
      await load(records, { days: 0 });
      records.push(intent('b', 3), answered('b', 4));
      await load(records, { days: 30 });
      records.push(intent('c', 5), answered('c', 6));
      // A report that loads says nothing.
      await load(records, { days: null });
      expect(await ids()).toEqual(['dec_b', 'dec_c']);
      records.push(intent('d', 7), answered('d', 8));
      await load(records, { days: 0 });
      records.push(intent('e', 9), answered('e', 10));
      await load(records, { days: null });
      expect(await ids()).toEqual(['dec_b', 'dec_c']);
      expect((await queryUsage(store.db, [], EVER)).total.requests).toBe(5);
    });

    test('each log says for itself whether its decisions are kept', async () => {
      await load([denied('a', 1)], { log: 'log-1', days: 30 });
      await load([denied('b', 2)], { log: 'log-2', days: 0 });
      await load([denied('a', 1), denied('c', 3)], { log: 'log-1', days: null });
      await load([denied('b', 2), denied('d', 4)], { log: 'log-2', days: null });
      expect(await ids()).toEqual(['dec_a', 'dec_c']);
    });

    test('what is not a decision makes no row', async () => {
      const stranger = outcome('s', { id: null, time: at(1), caller: null, outcome: 'rejected', status: 401 });
      const suppressed: AuditRecord = { kind: 'suppressed', time: at(2), count: 3 };
      expect(await load([opened, stranger, suppressed])).toBe(1);
      expect(await ids()).toEqual([]);
    });

    test('a batch that cannot be written leaves no decision', async () => {
      const bad = outcome('b', { time: at(2), microUsd: -1 });
      await expect(load([intent('a', 1), answered('a', 2), intent('b', 3), bad])).rejects.toThrow(RangeError);
      expect((await find('a'))?.outcome).not.toBeNull();
      expect(await find('b')).toMatchObject({ outcome: null });
      await expect(load([intent('a', 1), answered('a', 2), intent('b', 3), answered('b', 4)])).resolves.toBe(1);
      expect((await find('b'))?.outcome).not.toBeNull();
    });

    test('names and texts that no database takes come back as they were', async () => {
      const odd = 'a\0b \ud800 "\\u0000" \u2028 ü 漢 \\';
      const record = intent('odd', 1, odd, { input: { caller: { org: odd }, tags: { [odd]: odd } } });
      await load([record]);
      expect((await find('odd'))?.intent).toEqual(record);
    });

    test('records that are as large as an input may be are kept', async () => {
      const large = Array.from({ length: 300 }, (_, i) =>
        intent(`l${i}`, i, 'acme', { input: { caller: { org: 'acme' }, tags: { big: `${i}`.padEnd(65_536, 'x') } } }),
      );
      await load(large);
      expect(await ids()).toHaveLength(300);
      expect((await find('l299'))?.intent).toEqual(large[299]);
    });

    test('decisions are read in the order of time, page by page, by range and organisation', async () => {
      // Several have the same time, and they are loaded in another order.
      const seconds = [5, 1, 3, 3, 3, 2, 9, 3, 5, 0];
      await load(seconds.map((second, i) => denied(`${i}`, second, i % 2 ? 'odd' : 'even')));
      const sorted = seconds
        .map((second, i) => ({ second, id: `dec_${i}`, org: i % 2 ? 'odd' : 'even' }))
        .sort((a, b) => a.second - b.second || (a.id < b.id ? -1 : 1));
      for (const size of [1, 2, 3, 5, 10, 100]) {
        const pages = await read({}, size);
        expect(pages.flat()).toEqual(sorted.map(({ id }) => id));
        expect(
          pages
            .map((page) => page.length)
            .slice(0, -1)
            .every((length) => length === size),
        ).toBe(true);
      }
      const range = { sinceMs: START + 2_000, untilMs: START + 5_000 };
      const within = sorted.filter(({ second }) => second >= 2 && second < 5);
      expect((await read(range, 2)).flat()).toEqual(within.map(({ id }) => id));
      expect((await read({ ...range, org: 'odd' }, 2)).flat()).toEqual(
        within.filter(({ org }) => org === 'odd').map(({ id }) => id),
      );
      expect(await read({ org: 'nobody' })).toEqual([]);
    });

    test('decisions go when their days are over, a few at a time, and rows of the ledger stay', async () => {
      const old = Array.from({ length: 1_200 }, (_, i) => denied(`old-${i}`, i));
      await load([...old, denied('new', 4_000)]);
      expect(await deleteDecisions(store.db, START + 3_000_000, 500)).toBe(false);
      expect(await ids()).toHaveLength(701);
      expect((await ids())[0]).toBe('dec_old-500');
      expect(await deleteDecisions(store.db, START + 3_000_000, 10_000, () => true)).toBe(false);
      expect(await deleteDecisions(store.db, START + 3_000_000, 10_000)).toBe(true);
      expect(await ids()).toEqual(['dec_new']);
      expect((await queryUsage(store.db, [], EVER)).total.requests).toBe(1_201);
    });

    test('gateways that delete at the same time leave nothing and fail at nothing', async () => {
      await load(Array.from({ length: 2_000 }, (_, i) => denied(`${i}`, i)));
      const sides = store.dialect === 'sqlite' ? [store] : [store, await stores.open(home), await stores.open(home)];
      await Promise.all(sides.map(({ db }) => deleteDecisions(db, Date.now() + DAY_MS, 100_000)));
      for (const side of sides.slice(1)) await side.close();
      // One that came second may have ended before the others did; the next look finds the rest.
      expect(await deleteDecisions(store.db, Date.now() + DAY_MS, 100_000)).toBe(true);
      expect(await ids()).toEqual([]);
    });

    test('records from before the days that are kept are not loaded', async () => {
      await load([denied('old', -2 * 86_400), denied('new', 1)], { days: 1 });
      expect(await ids()).toEqual(['dec_new']);
    });

    test('for how many days the store keeps decisions is what was said last', async () => {
      expect(await decisionsDays(store.db)).toBeUndefined();
      await keepDecisions(store.db, 30);
      await keepDecisions(store.db, 7);
      expect(await decisionsDays(store.db)).toBe(7);
    });

    test('a replay reads what the log says in the order of the log: each outcome when the request ended', async () => {
      const records = [
        intent('long', 1),
        intent('a', 2),
        answered('a', 3),
        denied('b', 4),
        intent('c', 5),
        answered('c', 5),
        intent('d', 6),
        answered('long', 7),
        intent('open', 8),
        answered('d', 9),
      ];
      await load([...records].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)));
      const texts = async (range: { sinceMs?: number; untilMs?: number }) => {
        const read: AuditRecord[] = [];
        const source = createStoreSource(store.db, 'the store');
        for await (const batch of source.batches({ sinceMs: undefined, untilMs: undefined, ...range }))
          read.push(...batch.map((text) => JSON.parse(text.toString()) as AuditRecord));
        return read;
      };
      expect(await texts({})).toEqual(records);
      // More than was asked for is allowed; what is hours away is not read.
      expect(await texts({ sinceMs: START + 5_000, untilMs: START + 6_000 })).toEqual(records);
      expect(await texts({ sinceMs: START + 4 * 3_600_000 })).toEqual([]);
      expect(await texts({ untilMs: START - 4 * 3_600_000 })).toEqual([]);
    });

    if (name === 'SQLite')
      test('a ledger that is made anew from the log leaves decisions as they are', async () => {
        const records = [intent('a', 1), answered('a', 2)];
        await load(records);
        await forgetLedger(store.db);
        expect(await load(records, { days: null })).toBe(1);
        expect(await find('a')).toEqual({ id: 'dec_a', intent: records[0], outcome: records[1] });
      });
  });
}
