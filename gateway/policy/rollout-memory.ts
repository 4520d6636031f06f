import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { writeDurably } from './bundle-store.ts';
import type { RolloutState, RolloutStore } from './rollout-state.ts';

/** Rollouts that a gateway remembers by itself. */
const MAX_KEPT = 32;
/** How long a start waits for the store. */
const RECALL_MS = 2_000;

/** What is known of rollouts: in the store that gateways share, and in a copy of this gateway's own. */
export interface RolloutMemory {
  /**
   * What has become of a rollout, here or anywhere; begins it where nobody knows. Never waits long for the store: while it is
   * away the own copy counts, and without one it rejects, with the code ROLLOUTS_AWAY, since others may have taken it back.
   */
  recall(begin: RolloutState): Promise<RolloutState>;
  /** Tells the store what is known here, and gives what holds. Rejects while the store is away. */
  share(state: RolloutState): Promise<RolloutState>;
  /** Keeps a state in the own copy, durably. */
  keep(state: RolloutState): Promise<void>;
  /** Resolves when all that was to be kept is kept, or could not be. */
  settled(): Promise<void>;
}

/**
 * The memory of a gateway. Its copy is `<home>/policy/rollout.json`, so that a restart while the store is away does not forget
 * a rollback. Without a store the copy is all there is.
 */
export const createRolloutMemory = (home: string, store: RolloutStore | undefined): RolloutMemory => {
  const file = join(home, 'policy', 'rollout.json');
  let kept: Promise<readonly RolloutState[]> | undefined;
  const read = (): Promise<readonly RolloutState[]> => {
    kept ??= readStates(file);
    return kept;
  };

  const share = async (state: RolloutState): Promise<RolloutState> => {
    if (!store) return state;
    let held = (await store.read(state.key)) ?? (await store.begin(state));
    if (state.rolledBack && !held.rolledBack) held = await store.rollBack(state.key, state.rolledBack);
    return union(held, state);
  };

  let writing: Promise<void> = Promise.resolve();
  const keep = (state: RolloutState): Promise<void> => {
    const write = async (): Promise<void> => {
      const all = await read();
      if (isDeepStrictEqual(all.at(-1), state)) return;
      const others = all.filter(({ key }) => key !== state.key);
      const states = [...others, state].slice(-MAX_KEPT);
      await writeDurably(file, Buffer.from(`${JSON.stringify({ rollouts: states })}\n`));
      kept = Promise.resolve(states);
    };
    const written = writing.then(write);
    writing = written.catch(() => {});
    return written;
  };

  return {
    share,
    keep,
    settled: () => writing,
    async recall(begin) {
      const own = (await read()).find(({ key }) => key === begin.key);
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error('the store is slow')), RECALL_MS);
      try {
        return await Promise.race([share(own ?? begin), late]);
      } catch (cause) {
        if (own) return own;
        const message =
          'the store is away, and with it whether this rollout was taken back before: it begins when the store is back';
        throw Object.assign(new Error(message, { cause }), { code: 'ROLLOUTS_AWAY' });
      } finally {
        clearTimeout(timer);
      }
    },
  };
};

/** The store's state, but rolled back anywhere is rolled back. */
const union = (held: RolloutState, own: RolloutState): RolloutState => ({
  ...held,
  baseline: held.baseline ?? own.baseline,
  rolledBack: held.rolledBack ?? own.rolledBack,
});

/** What the copy has; nothing where it is missing or damaged: then the store alone knows. */
const readStates = async (file: string): Promise<readonly RolloutState[]> => {
  try {
    const { rollouts } = JSON.parse(await readFile(file, 'utf8')) as { rollouts?: unknown };
    return Array.isArray(rollouts) ? rollouts.filter(isState) : [];
  } catch {
    return [];
  }
};

const isState = (value: unknown): value is RolloutState => {
  const { key, step, sinceMs, rolledBack } = (value ?? {}) as Partial<RolloutState>;
  return (
    typeof key === 'string' &&
    Number.isSafeInteger(step) &&
    typeof sinceMs === 'number' &&
    (rolledBack === null || typeof rolledBack === 'object')
  );
};
