import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { bucketOf } from '../../../gateway/bucket.ts';
import { createRandom } from '../../../gateway/evaluate/statistics/random.ts';
import { definitionOf } from '../../../gateway/experiment.ts';
import type { ExperimentReport } from '../../../gateway/experiments/experiment-report.ts';
import { reportExperiments } from '../../../gateway/experiments/experiment-reports.ts';
import { type Database, openDatabase } from '../../../gateway/store/database.ts';
import { readArms } from '../../../gateway/store/experiment-readings.ts';
import { createExperimentStops } from '../../../gateway/store/experiment-stops.ts';
import type { ExperimentRequestTable } from '../../../gateway/store/schema.ts';
import type { Experiment } from '../../../gateway/types.gen.ts';
import { addRequests, experimentOf, requestRow } from '../../support/experiments.ts';

// Experiments of simulated traffic, looked at again and again as `aegis experiment show` does: the store’s statement, the
// tests, the verdict. Users differ from each other and come back, so that requests are not independent.

const EXPERIMENT = experimentOf({
  guards: { max_error_rate_increase: 0.05, max_latency_increase: 0.3, max_cost_increase: 0.3 },
});
const NEW_USERS = 100;
const LOOKS = 10;

let database: Database;
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aegis-peeking-'));
  database = await openDatabase(home);
  // Thousands of small transactions that nobody misses after a power loss.
  await sql`pragma synchronous = off`.execute(database.db);
});
afterAll(async () => {
  await database.close();
  await rm(home, { recursive: true });
});

/** What a treatment does to the cost of an answer, and to the chance that a request fails. */
interface Effect {
  readonly cost?: number;
  readonly failures?: number;
}

/** The arm of a user, drawn as policies/aegis/traffic draws. */
const armOf = (unit: string, salt: number): string =>
  (bucketOf(unit) * (salt * 10 + 3173) + salt) % 10_000 < 5_000 ? 'control' : 'haiku';

const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** The requests of users of whom some are thriftier than others. */
const requestsOf = (id: string, salt: number, users: readonly number[], random: () => number, effect: Effect) =>
  users.flatMap((user): ExperimentRequestTable[] => {
    const unit = `user acme ${id}-${user}`;
    const arm = armOf(unit, salt);
    const isTreated = arm !== 'control';
    const habit = Math.exp(normal(random) * 0.5);
    return Array.from({ length: 1 + Math.floor(random() * 2) }, () => {
      const isFailed = random() < 0.03 + (isTreated ? (effect.failures ?? 0) : 0);
      const cost = 1_000 * habit * Math.exp(normal(random) * 0.3) * (isTreated ? (effect.cost ?? 1) : 1);
      return requestRow({
        experiment: id,
        definition: definitionOf({ ...EXPERIMENT, salt }),
        arm,
        unit,
        answered: isFailed ? 0 : 1,
        failed: isFailed ? 1 : 0,
        outcome: isFailed ? 'failed' : 'ok',
        cost_micro_usd: isFailed ? 0 : Math.round(cost),
        duration_ms: Math.round(800 * Math.exp(normal(random) * 0.4)),
      });
    });
  });

/** Lets an experiment run and looks after each hundred new users; gives the first look that says to do something. */
const run = async (seed: number, effect: Effect): Promise<{ looks: number; report: ExperimentReport }> => {
  const random = createRandom(seed);
  const id = `e${seed}`;
  const salt = seed % 1_000;
  const experiment: Experiment = { ...EXPERIMENT, salt };
  const source = {
    reader: { arms: (question: Parameters<typeof readArms>[1]) => readArms(database.db, question) },
    stops: createExperimentStops(database.db),
  };
  for (let looks = 1; ; looks++) {
    const users = Array.from({ length: NEW_USERS }, (_, at) => looks * NEW_USERS + at);
    await addRequests(database, requestsOf(id, salt, users, random, effect));
    const question = { id, nowMs: Date.UTC(2026, 10, 20) };
    const [report] = await reportExperiments(source, { experiments: { [id]: experiment } }, question);
    if (report!.verdict.kind !== 'keep_running' || looks === LOOKS) return { looks, report: report! };
  }
};

test('arms that do not differ raise a false alarm of any kind in fewer than 5 % of experiments, however often one looks', async () => {
  const runs = 200;
  const alarms: string[] = [];
  for (let seed = 1; seed <= runs; seed++) {
    const { report } = await run(seed, {});
    if (report.verdict.kind !== 'keep_running') alarms.push(report.verdict.text);
  }
  expect(alarms.length / runs).toBeLessThan(0.05);
}, 300_000);

test('a model that costs a fifth less is shipped, and one that fails every fourth time more is stopped by a guard', async () => {
  const cheaper: string[] = [];
  for (let seed = 1_001; seed <= 1_020; seed++) cheaper.push((await run(seed, { cost: 0.8 })).report.verdict.kind);
  expect(cheaper.filter((kind) => kind === 'ship').length).toBeGreaterThanOrEqual(18);

  const failing: string[] = [];
  for (let seed = 2_001; seed <= 2_020; seed++) {
    const { report } = await run(seed, { failures: 0.25 });
    failing.push(report.guards.find(({ is_breached }) => is_breached)?.guard ?? report.verdict.kind);
  }
  expect(failing.filter((guard) => guard === 'max_error_rate_increase').length).toBeGreaterThanOrEqual(18);
}, 120_000);
