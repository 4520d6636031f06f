import { existsSync } from 'node:fs';
import type { Kysely } from 'kysely';
import { readLogId } from '../audit/log-id.ts';
import { readAudit } from '../audit/read.ts';
import { logHomesIn } from '../log-homes.ts';
import type { Database } from '../store/database.ts';
import { rebuildRollups } from '../store/fold.ts';
import { catchUpLog, forgetLedger } from '../store/ledger.ts';
import type { Schema } from '../store/schema.ts';
import { CliError } from './cli-error.ts';
import { openStore } from './open-store.ts';
import { type StoreFlags, storePlaceOf } from './store-place.ts';

/**
 * Opens the ledger for a report, brought up to the audit logs of its home; a shared one may have no log here. With
 * `rebuild` it is made anew first: an embedded one from the logs, the roll-ups of a shared one from its rows. Throws
 * CliError when there is nothing to report of.
 */
export const openLedger = async (flags: StoreFlags, rebuild: boolean): Promise<Database> => {
  const place = storePlaceOf(flags);
  if (place.url === '' && !existsSync(place.home)) {
    throw new CliError(`${place.home} does not exist: has a gateway run here? --home names another folder`);
  }
  const database = await openStore(place);
  try {
    if (rebuild) await (database.dialect === 'sqlite' ? forgetLedger(database.db) : rebuildRollups(database.db));
    for (const home of logHomesIn(place.home)) await catchUp(database.db, home);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
};

/** A damaged log still gives a report of what precedes the damage, but never silently. */
const catchUp = async (db: Kysely<Schema>, home: string): Promise<void> => {
  try {
    await catchUpLog(db, home, { read: readAudit, logIdOf: readLogId });
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
    if (name !== 'AuditCorruptionError') throw error;
    process.stderr.write(
      `aegis: the report ends where the audit log is damaged: ${message} (see aegis audit verify)\n`,
    );
    process.exitCode = 1;
  }
};
