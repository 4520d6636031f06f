import { isAway } from '../store/away.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { CliError } from './cli-error.ts';
import type { StorePlace } from './store-place.ts';

/** A person waits: a report over a year of a large ledger may take seconds. */
const QUERY_TIMEOUT_MS = 120_000;

/** Opens the store of a place. Throws CliError when it is a Postgres that cannot be reached or refuses. */
export const openStore = async ({ home, url }: StorePlace): Promise<Database> => {
  try {
    return await openDatabase(home, url, { queryTimeoutMs: QUERY_TIMEOUT_MS });
  } catch (error) {
    if (url === '') throw error;
    const { message, code } = (error ?? {}) as { message?: unknown; code?: unknown };
    const trouble = isAway(error) ? 'cannot be reached' : 'refuses';
    throw new CliError(`the Postgres of store.url ${trouble}: ${message || code}`, { cause: error });
  }
};
