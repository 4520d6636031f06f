import { setTimeout as pause } from 'node:timers/promises';
import { openDatabase } from '../../gateway/store/database.ts';
import { createRolloutStore } from '../../gateway/store/rollout-store.ts';

// A gateway as a process of its own, for test/contract/rollout-store.test.ts: waits until `clients` of them are there, takes
// the rollout `key` from step to step up to `steps`, reports between them, and prints how many of the steps were its own.
const [home = '', url = '', key = '', steps = '', clients = '', name = ''] = process.argv.slice(2);
const database = await openDatabase(home, url);
const store = createRolloutStore(database.db);

const report = async (): Promise<number> => {
  const nothing = { stable: null, candidate: null, stage: null, percent: null, readings: null, problem: null };
  return (await store.report({ replica: name, updatedMs: Date.now(), key, ...nothing }, 60_000)).length;
};

while ((await report()) < Number(clients)) await pause(5);
let mine = 0;
let state = await store.begin({ key, step: 0, sinceMs: 0, baseline: null, rolledBack: null });
while (state.step < Number(steps)) {
  const since = (state.step + 1) * 100 + Number(name);
  const next = await store.advance(state, since, null);
  if (next.step === state.step) throw new Error('a step that nobody took');
  if (next.step === state.step + 1 && next.sinceMs === since) mine++;
  state = next;
  await report();
}
await database.close();
process.stdout.write(JSON.stringify({ mine }));
