import type { RolloutMemory } from './rollout-memory.ts';
import type { PlannedStep } from './rollout-plan.ts';
import type { Readings, ReplicaReport, RolloutState, RolloutStore } from './rollout-state.ts';

/** A gateway that has said nothing for so long is gone. */
export const REPLICA_MS = 10_000;

/** Whether a gateway said something lately. One whose clock is far ahead would be so for long after it is gone. */
export const isFresh = ({ updatedMs }: ReplicaReport, nowMs: number): boolean =>
  Math.abs(nowMs - updatedMs) <= REPLICA_MS;

/** A beat waits no longer for the store; guards are judged without it. */
const STORE_MS = 500;
/** A store that takes so long is away: what others said before says nothing of now. */
const AWAY_MS = 2_000;

export interface ReplicaExchangeOptions {
  readonly store: RolloutStore | undefined;
  readonly memory: RolloutMemory;
  readonly clock: () => number;
  readonly report: () => ReplicaReport;
  /** The rollout that this gateway is in. */
  readonly state: () => RolloutState | undefined;
  readonly adopt: (state: RolloutState) => void;
}

/** What a gateway tells the others, and knows of them. */
export interface ReplicaExchange {
  /** Tells and asks once, waiting a little; one after the other, however long the store takes. Never rejects. */
  beat(): Promise<void>;
  /** The same at once, beside one that is under way. */
  now(): Promise<void>;
  /** What the others measured in this step of a rollout; nothing while the store is away. */
  others(key: string, step: PlannedStep): Readings[];
  /** What the others measured with this stable bundle. */
  othersUnder(stableDigest: string): Readings[];
  /** Waits a little for what is under way. Never rejects. */
  close(): Promise<void>;
}

/** An exchange through the store; without one there are no others. */
export const createReplicaExchange = (options: ReplicaExchangeOptions): ReplicaExchange => {
  const { store, memory, clock, report, state, adopt } = options;
  let reports: readonly ReplicaReport[] = [];
  let pending: Promise<void> | undefined;
  let pendingSinceMs = 0;

  const exchange = async (): Promise<void> => {
    if (!store) return;
    const [own, known] = [report(), state()];
    try {
      if (known) adopt(await memory.share(known));
      const all = await store.report(own, REPLICA_MS);
      reports = all.filter(({ replica }) => replica !== own.replica);
    } catch {
      reports = [];
    }
  };
  const fresh = (): readonly ReplicaReport[] => reports.filter((of) => isFresh(of, clock()));
  /** What is slow goes on by itself. */
  const briefly = async (work: Promise<void>): Promise<void> => {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STORE_MS);
    await Promise.race([work, late]);
    clearTimeout(timer);
  };
  return {
    async beat() {
      if (pending === undefined) {
        pendingSinceMs = clock();
        pending = exchange().finally(() => {
          pending = undefined;
        });
      } else if (clock() - pendingSinceMs > AWAY_MS) reports = [];
      await briefly(pending);
    },
    now: exchange,
    close: async () => {
      if (pending) await briefly(pending);
    },
    others: (key, { stage, percent }) =>
      fresh().flatMap((of) =>
        of.key === key && of.stage === stage && of.percent === percent && of.readings ? [of.readings] : [],
      ),
    othersUnder: (stableDigest) =>
      fresh().flatMap((of) => (of.stable?.digest === stableDigest && of.readings ? [of.readings] : [])),
  };
};
