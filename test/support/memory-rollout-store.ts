import type { ReplicaReport, RolloutState, RolloutStore } from '../../gateway/policy/rollout-state.ts';

/** A rollout store in memory that can be away, or never answer. */
export interface MemoryRolloutStore extends RolloutStore {
  /** Rejects everything; `hangs` answers nothing until it is back. */
  state: 'there' | 'away' | 'hangs';
}

/** An empty one. */
export const createMemoryRolloutStore = (): MemoryRolloutStore => {
  const states = new Map<string, RolloutState>();
  const reports = new Map<string, ReplicaReport>();
  const within = (nowMs: number, withinMs: number): ReplicaReport[] =>
    [...reports.values()].filter(({ updatedMs }) => updatedMs >= nowMs - withinMs);
  const present = (key: string): RolloutState => {
    const state = states.get(key);
    if (!state) throw new Error(`nobody began ${key}`);
    return state;
  };
  const there = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    if (store.state === 'hangs') await new Promise(() => {});
    if (store.state === 'away') throw new Error('the store is away');
  };
  const store: MemoryRolloutStore = {
    state: 'there',
    async read(key) {
      await there();
      return states.get(key);
    },
    async begin(state) {
      await there();
      if (!states.has(state.key)) states.set(state.key, state);
      return present(state.key);
    },
    async advance(from, sinceMs, baseline) {
      await there();
      const state = present(from.key);
      if (state.step === from.step && !state.rolledBack) {
        states.set(from.key, { ...state, step: from.step + 1, sinceMs, baseline });
      }
      return present(from.key);
    },
    async rollBack(key, reason) {
      await there();
      const state = states.get(key) ?? { key, step: 0, sinceMs: 0, baseline: null, rolledBack: null };
      if (!state.rolledBack) states.set(key, { ...state, rolledBack: reason });
      return present(key);
    },
    async report(report, withinMs) {
      await there();
      reports.set(report.replica, report);
      return within(report.updatedMs, withinMs);
    },
    async replicas(nowMs, withinMs) {
      await there();
      return within(nowMs, withinMs);
    },
  };
  return store;
};
