import { setTimeout as pause } from 'node:timers/promises';
import { Command } from 'commander';
import { type RolloutView, viewRollout } from '../admin/rollout-view.ts';
import type { ReplicaReport, RolloutState } from '../policy/rollout-state.ts';
import { createRolloutStore } from '../store/rollout-store.ts';
import { forPeople } from './cli-error.ts';
import { openStore } from './open-store.ts';
import { type DesiredFlags, type DesiredRollout, readDesired } from './rollout-desired.ts';
import { hasStore } from './rollout-history.ts';
import { statusText } from './rollout-status-text.ts';
import { type StoreFlags, storePlaceOf, withStoreFlags } from './store-place.ts';

interface StatusFlags extends DesiredFlags {
  json?: true;
  watch?: true;
}

/** A rollout as it stands, for text and JSON. */
export interface RolloutStatus extends RolloutView {
  readonly source: Omit<DesiredRollout, 'desired' | 'plan'>;
  /** Whether something is wrong that a person must look at. */
  readonly ok: boolean;
}

const WATCH_MS = 2_000;
/** Who has said nothing for so long is one that was stopped or replaced, and no news. */
const SHOWN_MS = 300_000;
const CLEAR = '\u001b[2J\u001b[H';

/** `aegis rollout status`: what is desired, where the gateways are, and what the guards say. */
export const rolloutStatusCommand = (): Command =>
  withStoreFlags(new Command('status'))
    .description(
      'where the gateways are and what the guards say; exit 1 after a rollback, or where a gateway has trouble',
    )
    .option('--bundles <folder>', 'folder of rollout.yaml (default: bundles.source of the config, else the checkout’s)')
    .option('--key <pem...>', 'public keys that may sign (default: the config’s, else keys/*.pub.pem of that folder)')
    .option('--watch', 'again every two seconds, until it is stopped')
    .option('--json', 'print JSON, with --watch a line each time')
    .action(forPeople(showStatus));

const showStatus = async (flags: StatusFlags): Promise<void> => {
  for (;;) {
    const status = await readStatus(flags, Date.now());
    process.exitCode = status.ok ? 0 : 1;
    const text = flags.json ? JSON.stringify(status) : statusText(status);
    console.log(flags.watch && !flags.json && process.stdout.isTTY ? `${CLEAR}${text}` : text);
    if (!flags.watch) return;
    await pause(WATCH_MS);
  }
};

const readStatus = async (flags: StatusFlags, nowMs: number): Promise<RolloutStatus> => {
  const { desired, plan, ...source } = await readDesired(flags);
  const { state, reports } = await readShared(flags, plan?.key, nowMs);
  const view = viewRollout({ desired, plan, state, reports, nowMs });
  const ok =
    source.problem === null &&
    !source.stable?.problem &&
    !source.candidate?.problem &&
    view.rollout?.stage !== 'rolled_back' &&
    view.replicas.every(({ is_fresh, problem }) => !is_fresh || problem === null);
  return { source, ok, ...view };
};

/** What gateways share. Nothing is made where none has run. */
const readShared = async (
  { home, config }: StoreFlags,
  key: string | undefined,
  nowMs: number,
): Promise<{ state: RolloutState | undefined; reports: readonly ReplicaReport[] }> => {
  const place = storePlaceOf({ ...(home !== undefined && { home }), ...(config !== undefined && { config }) });
  if (!hasStore(place)) return { state: undefined, reports: [] };
  const database = await openStore(place);
  try {
    const store = createRolloutStore(database.db);
    return {
      state: key === undefined ? undefined : await store.read(key),
      reports: await store.replicas(nowMs, SHOWN_MS),
    };
  } finally {
    await database.close();
  }
};
