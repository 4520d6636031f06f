import { existsSync } from 'node:fs';
import type { DecisionSource } from '../replay/decision-source.ts';
import { createStoreSource } from '../replay/store-source.ts';
import { decisionsDays } from '../store/decision-retention.ts';
import { CliError } from './cli-error.ts';
import { openStore } from './open-store.ts';
import { type StoreFlags, storePlaceOf } from './store-place.ts';

/**
 * The decisions in the store that `aegis serve` uses with the same config, of all its gateways; they may be a second or two
 * behind. Throws CliError when there is no store, or none that ever kept decisions.
 */
export const openStoreSource = async (
  flags: StoreFlags,
): Promise<{ readonly home: string; readonly source: DecisionSource; close(): Promise<void> }> => {
  const place = storePlaceOf(flags);
  if (place.url === '' && !existsSync(place.home)) {
    throw new CliError(`${place.home} does not exist: has a gateway run here? --home names another folder`);
  }
  const database = await openStore(place);
  const name = place.url === '' ? `the store in ${place.home}` : 'the Postgres of store.url';
  try {
    if ((await decisionsDays(database.db)) === undefined) {
      throw new CliError(
        `${name} keeps no decisions: set store.decisions_days in the gateways’ config (docs/operations.md), ` +
          'or leave out --store to read the audit log',
      );
    }
    return { home: place.home, source: createStoreSource(database.db, name), close: () => database.close() };
  } catch (error) {
    await database.close();
    throw error;
  }
};
