import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Rollback } from '../policy/rollout-state.ts';
import { createRolloutStore } from '../store/rollout-store.ts';
import { openStore } from './open-store.ts';
import type { StorePlace } from './store-place.ts';

/** Whether a gateway has made the store of a place, or may have. */
export const hasStore = ({ home, url }: StorePlace): boolean => url !== '' || existsSync(join(home, 'aegis.db'));

/** What gateways know of the rollouts with these keys; `undefined` where no store can be asked. */
export const findRollbacks = async (
  place: StorePlace,
  keyOf: (attempt: number) => string,
  from: number,
): Promise<{ readonly attempt: number; readonly last: Rollback | null } | undefined> => {
  if (!hasStore(place)) return undefined;
  const database = await openStore(place);
  try {
    const store = createRolloutStore(database.db);
    let last: Rollback | null = null;
    for (let attempt = from; ; attempt++) {
      const state = await store.read(keyOf(attempt));
      if (!state?.rolledBack) return { attempt, last };
      last = state.rolledBack;
    }
  } finally {
    await database.close();
  }
};
