import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createRolloutMemory } from '../../../gateway/policy/rollout-memory.ts';
import type { RolloutState } from '../../../gateway/policy/rollout-state.ts';
import { createMemoryRolloutStore } from '../../support/memory-rollout-store.ts';
import { withFolder } from '../../support/policy-fixture.ts';

const begin: RolloutState = { key: 'k', step: 0, sinceMs: 5, baseline: null, rolledBack: null };
const rolledBack = {
  time: '2026-11-24T12:00:00.000Z',
  guard: 'max_cost_increase',
  reason: 'Dear.',
  decisionIds: [],
  replica: 'a',
};

describe('what a gateway remembers of a rollout', () => {
  test('is what another gateway began', () =>
    withFolder(async (home) => {
      const store = createMemoryRolloutStore();
      await store.begin({ ...begin, step: 2 });
      expect(await createRolloutMemory(home, store).recall(begin)).toMatchObject({ step: 2 });
    }));

  test.each(['away', 'hangs'] as const)(
    'is its own copy while the store is %s, and a rollback is told when it is back',
    (state) =>
      withFolder(async (home) => {
        const store = createMemoryRolloutStore();
        await createRolloutMemory(home, store).keep({ ...begin, rolledBack });
        store.state = state;
        const memory = createRolloutMemory(home, store);
        const recalled = await memory.recall(begin);
        expect(recalled.rolledBack).toEqual(rolledBack);
        store.state = 'there';
        await memory.share(recalled);
        expect((await store.read('k'))?.rolledBack).toEqual(rolledBack);
      }),
  );

  test.each(['away', 'hangs'] as const)('is not begun while the store is %s: others may have taken it back', (state) =>
    withFolder(async (home) => {
      const store = createMemoryRolloutStore();
      await store.rollBack('k', rolledBack);
      store.state = state;
      const memory = createRolloutMemory(home, store);
      await expect(memory.recall(begin)).rejects.toMatchObject({ code: 'ROLLOUTS_AWAY' });
      store.state = 'there';
      expect((await memory.recall(begin)).rolledBack).toEqual(rolledBack);
    }),
  );

  test('is rolled back when it is so anywhere; the first reason stays', () =>
    withFolder(async (home) => {
      const store = createMemoryRolloutStore();
      await store.rollBack('k', { ...rolledBack, replica: 'b' });
      const memory = createRolloutMemory(home, store);
      expect((await memory.recall(begin)).rolledBack?.replica).toBe('b');
      expect((await memory.share({ ...begin, rolledBack })).rolledBack?.replica).toBe('b');
    }));

  test('is all there is without a store', () =>
    withFolder(async (home) => {
      await createRolloutMemory(home, undefined).keep({ ...begin, step: 1 });
      expect(await createRolloutMemory(home, undefined).recall(begin)).toMatchObject({ step: 1 });
    }));

  test('is bounded, and the newest are kept', () =>
    withFolder(async (home) => {
      const memory = createRolloutMemory(home, undefined);
      await Promise.all(Array.from({ length: 40 }, (_, n) => memory.keep({ ...begin, key: `k${n}` })));
      const { rollouts } = JSON.parse(await readFile(join(home, 'policy', 'rollout.json'), 'utf8'));
      expect(rollouts).toHaveLength(32);
      expect(rollouts.at(-1).key).toBe('k39');
    }));

  test.each(['', '{', '[]', '{"rollouts":[{"key":1}]}'])('is begun anew from a damaged copy: %j', (text) =>
    withFolder(async (home) => {
      await mkdir(join(home, 'policy'));
      await writeFile(join(home, 'policy', 'rollout.json'), text);
      const memory = createRolloutMemory(home, undefined);
      expect(await memory.recall(begin)).toEqual(begin);
      await memory.keep({ ...begin, rolledBack });
      expect((await createRolloutMemory(home, undefined).recall(begin)).rolledBack).toEqual(rolledBack);
    }),
  );
});
