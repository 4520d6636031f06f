import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { newIds, timeOfId } from '../../gateway/stages/ids.ts';
import type { Database } from '../../gateway/store/database.ts';
import { readArms } from '../../gateway/store/experiment-readings.ts';
import { createExperimentStops } from '../../gateway/store/experiment-stops.ts';
import { createFeedbackStore } from '../../gateway/store/feedback-store.ts';
import { catchUpLedger } from '../../gateway/store/ledger.ts';
import { addRequests, momentsOf, requestRow } from '../support/experiments.ts';
import { outcome, readerOf } from '../support/outcomes.ts';
import { STORES, type TestStore } from '../support/stores.ts';

const QUESTION = { experiment: 'nano', definition: 'd' };
const LOG = { log: 'a' };

for (const { name, without, prepare } of STORES) {
  (without ? describe.skip : describe)(`experiments in ${name}${without ? ` (${without})` : ''}`, () => {
    let store: TestStore;
    let database: Database;
    let home: string;
    beforeAll(async () => {
      store = await prepare();
    }, 60_000);
    afterAll(() => store.close());
    beforeEach(async () => {
      home = await mkdtemp(join(tmpdir(), 'aegis-experiments-'));
      database = await store.open(home);
    });
    afterEach(async () => {
      await database.close();
      await rm(home, { recursive: true });
    });

    test('an outcome that belongs to an experiment is in the ledger’s own table too, once however often it is read', async () => {
      const drawn = { id: 'nano', arm: 'control', definition: 'd', unit: 'user acme ann' };
      const log = [
        outcome('a', { experiment: drawn, microUsd: 40, duration_ms: 12.4 }),
        outcome('b', { experiment: drawn, outcome: 'failed', status: 502 }),
        outcome('c', { experiment: drawn, refused: true }),
        outcome('d', { experiment: drawn, outcome: 'rejected', status: 400 }),
        outcome('e', { experiment: drawn, outcome: 'rejected', status: 400, attempts: [] }),
        outcome('f', { experiment: drawn, mirror_of: 'dec_a' }),
        outcome('g'),
      ];
      expect(await catchUpLedger(database.db, home, readerOf(log), LOG)).toBe(7);
      await database.db.updateTable('ledger_logs').set({ position: '' }).execute();
      await catchUpLedger(database.db, home, readerOf(log), LOG);
      const rows = await database.db.selectFrom('experiment_requests').selectAll().orderBy('request_id').execute();
      expect(rows.map(({ request_id, answered, failed, refused }) => [request_id, answered, failed, refused])).toEqual([
        ['a', 1, 0, 0],
        ['b', 0, 1, 0],
        ['c', 1, 0, 1],
        ['d', 0, 1, 0],
        ['e', 0, 0, 0],
      ]);
      expect(rows[0]).toMatchObject({
        decision_id: 'dec_a',
        org: 'acme',
        experiment: 'nano',
        arm: 'control',
        unit: 'user acme ann',
        time_ms: Date.UTC(2026, 10, 24, 12),
        duration_ms: 12,
        cost_micro_usd: 40,
      });
    });

    test('arms are read as sums over units', async () => {
      const ann = { unit: 'user acme ann' };
      await addRequests(database, [
        requestRow({ ...ann, cost_micro_usd: 10, duration_ms: 100, time_ms: 5 }),
        requestRow({ ...ann, cost_micro_usd: 30, duration_ms: 300 }),
        requestRow({ ...ann, outcome: 'failed', answered: 0, failed: 1, cost_micro_usd: 5 }),
        requestRow({ ...ann, outcome: 'limited', answered: 0, cost_micro_usd: 0 }),
        requestRow({ unit: 'user acme bob', refused: 1, cost_micro_usd: 20, duration_ms: 50 }),
        requestRow({ arm: 'haiku', org: 'other', unit: 'user other ann', cost_micro_usd: 7, time_ms: 9 }),
        requestRow({ definition: 'before' }),
        requestRow({ experiment: 'another' }),
      ]);
      const [control, haiku] = await readArms(database.db, QUESTION);
      expect(control).toMatchObject({ arm: 'control', units: 2, requests: 5, firstMs: 5 });
      expect(haiku).toMatchObject({ arm: 'haiku', units: 1, requests: 1, firstMs: 9, lastMs: 9 });
      // biome-ignore format: a unit a pair
      expect(control!.metrics).toEqual({
        cost: momentsOf([[45, 2], [20, 1]]),
        latency: momentsOf([[400, 2], [50, 1]]),
        errors: momentsOf([[1, 3], [0, 1]]),
        refusals: momentsOf([[0, 2], [1, 1]]),
        score: momentsOf([]),
        feedback: momentsOf([[0, 2], [0, 1]]),
      });
      expect((await readArms(database.db, { ...QUESTION, org: 'other' })).map(({ arm }) => arm)).toEqual(['haiku']);
      expect(await readArms(database.db, { ...QUESTION, definition: 'none' })).toEqual([]);
    });

    test('what a unit cost that was never answered counts, and so does the time of a caller that left', async () => {
      await addRequests(database, [
        requestRow({ unit: 'req_1', cost_micro_usd: 10, duration_ms: 100 }),
        requestRow({ unit: 'req_2', outcome: 'incomplete', answered: 0, failed: 1, cost_micro_usd: 70 }),
        requestRow({ unit: 'req_3', outcome: 'aborted', answered: 0, cost_micro_usd: 0, duration_ms: 30_000 }),
      ]);
      const [control] = await readArms(database.db, QUESTION);
      // biome-ignore format: a unit a pair
      expect(control!.metrics).toMatchObject({
        cost: momentsOf([[10, 1], [70, 0]]),
        latency: momentsOf([[100, 1], [30_000, 1]]),
        errors: momentsOf([[0, 1], [1, 1]]),
      });
    });

    test('a sum that no integer holds is still read', async () => {
      const dear = { cost_micro_usd: 4e12, unit: 'user acme ann' };
      await addRequests(database, [requestRow(dear), requestRow(dear), requestRow({ unit: 'user acme bob' })]);
      const [control] = await readArms(database.db, QUESTION);
      expect(control!.metrics.cost.ss).toBeCloseTo(64e24, -12);
    });

    test('a score counts for the arm of its answer, and the same caller’s last word alone', async () => {
      const book = createFeedbackStore(database.db, timeOfId);
      const rows = [requestRow({ unit: 'user acme ann' }), requestRow({ unit: 'user acme ann' }), requestRow({})];
      await addRequests(database, rows);
      const say = (at: number, source: string, score: number | null) =>
        book.keep({
          decisionId: rows[at]!.decision_id,
          source,
          org: 'acme',
          timeMs: 1,
          score,
          label: null,
          comment: null,
        });
      await say(0, 'user ann', 0.2);
      await say(0, 'user ann', 1);
      await say(0, 'user tara', 0.5);
      await say(1, 'user ann', 0);
      await say(2, 'user bob', null);
      const [control] = await readArms(database.db, QUESTION);
      expect(control!.metrics.score).toEqual(momentsOf([[0.75, 2]]));
      // biome-ignore format: a unit a pair
      expect(control!.metrics.feedback).toEqual(momentsOf([[2, 2], [0, 1]]));
      const kept = await database.db.selectFrom('feedback').selectAll().where('source', '=', 'user ann').execute();
      expect(kept).toHaveLength(2);
    });

    test('of two gateways that stop an experiment one is the first, and both know', async () => {
      const other = await store.open(home);
      try {
        const [one, two] = [createExperimentStops(database.db), createExperimentStops(other.db)];
        const stop = { experiment: 'nano', definition: 'd', timeMs: 7, arm: 'haiku', guard: 'g', reason: 'Why.' };
        const first = await Promise.all([one.add(stop), two.add({ ...stop, guard: 'h' })]);
        expect(first.filter(Boolean)).toHaveLength(1);
        const guard = first[0] ? 'g' : 'h';
        for (const stops of [one, two]) expect(await stops.all()).toEqual([{ ...stop, guard }]);
        // One that was changed is another.
        expect(await one.add({ ...stop, definition: 'e' })).toBe(true);
      } finally {
        await other.close();
      }
    });

    test('the request of a decision is found by its id, and one just made is waited for', async () => {
      const book = createFeedbackStore(database.db, timeOfId, { waitMs: 5_000, everyMs: 20 });
      const { decisionId, requestId } = newIds();
      const found = book.find(decisionId);
      await catchUpLedger(database.db, home, readerOf([{ ...outcome(requestId), id: decisionId }]), LOG);
      expect(await found).toEqual({ org: 'acme', team: 'math', user: 'ann', keyId: 'key_1' });
    });

    test('a decision of long ago that is not there, and what is no id, are not waited for', async () => {
      const book = createFeedbackStore(database.db, timeOfId, { waitMs: 600_000 });
      expect(await book.find(newIds(Date.now() - 86_400_000).decisionId)).toBeUndefined();
      expect(await book.find('dec_1')).toBeUndefined();
      expect(await book.find(newIds(Date.now() + 86_400_000).decisionId)).toBeUndefined();
    });
  });
}
