import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { GatewayError } from '../errors.ts';
import type { Input } from '../types.gen.ts';
import { isAway } from './away.ts';
import { digestOf, isSecret } from './key-secret.ts';
import { type KeySnapshot, readKeySnapshot, writeKeySnapshot } from './key-snapshot.ts';
import type { KeyStore } from './key-store.ts';
import { type KeyRecord, recordOf } from './keys.ts';
import { claimPepper } from './pepper.ts';
import type { KeyTable, Schema } from './schema.ts';

/** Keys whose digest is remembered by a plain hash, which is cheaper than the HMAC. */
const MAX_REMEMBERED = 10_000;
/** Revocation must be effective within 5 s. */
const REFRESH_MS = 2_000;
/** A table that is older than this counts as degraded: a refresh hangs. */
const STALE_MS = 5_000;
const MAX_STALE_MS = 900_000;
/** How often the snapshot is written though no key changed: by so much a restart overestimates its age. */
const SNAPSHOT_MS = 60_000;

/** A key store over the database: the whole table in memory, looked at again every `refreshMs`. */
export interface OpenKeyStore extends KeyStore {
  /** Looks for changes now; rejects when the database cannot be read. */
  refresh(): Promise<void>;
  /** Since when the table is as the database has it, milliseconds. Grows old while the database cannot be read. */
  readonly freshMs: number;
  /** Whether the last look at the database failed, or one is overdue: keys are those of `freshMs`. */
  readonly degraded: boolean;
  close(): Promise<void>;
}

/** How a key store is opened. */
export interface KeyStoreOptions {
  readonly refreshMs?: number;
  /** How old the table may become before `find` throws. */
  readonly maxStaleMs?: number;
  /** File to keep the table in, for a start while the database is away. */
  readonly snapshot?: string;
  /** Told of each failed refresh, and of a snapshot that could not be written. */
  readonly onError?: (error: unknown) => void;
}

interface Entry {
  readonly caller: Input['caller'];
  readonly expiresMs: number;
}

/**
 * Opens the table of keys. `find` costs a microsecond for a key seen before and a few for any other. A failed refresh
 * keeps the last table and calls `onError`; once the table is older than `maxStaleMs`, `find` throws GatewayError
 * `identity_unavailable`: a key may have been revoked since. A database that is away at the start is stood in for by the
 * snapshot. Throws when the pepper is not the database's, and when there is neither database nor snapshot.
 */
export const openKeyStore = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  { refreshMs = REFRESH_MS, maxStaleMs = MAX_STALE_MS, snapshot, onError }: KeyStoreOptions = {},
): Promise<OpenKeyStore> => {
  let entries = new Map<string, Entry>();
  /** sha256 of a secret → its entry. Only keys that exist are in it, and never a secret. */
  let remembered = new Map<string, Entry>();
  let revision = '';
  let rows: readonly KeyTable[] = [];
  let freshMs = 0;
  /** The same by a clock that nobody sets. */
  let freshAt = 0;
  let isClaimed = false;
  let isFailing = false;
  let isTooOld = false;
  let snapshotMs = 0;

  const put = (table: KeySnapshot): void => {
    entries = new Map(table.rows.map((row) => [row.digest, entryOf(recordOf(row))]));
    remembered = new Map();
    ({ revision, rows } = table);
  };
  const ageMs = (): number => performance.now() - freshAt;
  const load = async (): Promise<void> => {
    const [startedMs, startedAt] = [Date.now(), performance.now()];
    if (!isClaimed) await claimPepper(db, pepper);
    isClaimed = true;
    const current = await readRevision(db);
    const isChanged = current !== revision;
    if (isChanged) {
      const found = await db.selectFrom('keys').selectAll().where('revoked_ms', 'is', null).execute();
      put({ revision: current, rows: found, freshMs: startedMs }); // The revision is older: a change in between is found next time.
    }
    [freshMs, freshAt, isTooOld] = [startedMs, startedAt, false];
    if (snapshot !== undefined && (isChanged || startedMs - snapshotMs >= SNAPSHOT_MS)) await keep(snapshot);
  };
  const keep = async (file: string): Promise<void> => {
    try {
      await writeKeySnapshot(file, pepper, { revision, freshMs, rows });
      snapshotMs = freshMs;
    } catch (error) {
      onError?.(error);
    }
  };
  /** One look at a time; each caller's begins after its call. */
  let running: Promise<void> = Promise.resolve();
  const refresh = (): Promise<void> => {
    const look = running
      .catch(() => {})
      .then(async () => {
        try {
          await load();
          isFailing = false;
        } catch (error) {
          isFailing = true;
          throw error;
        }
      });
    running = look;
    return look;
  };

  try {
    await refresh();
  } catch (error) {
    const kept = isAway(error) && snapshot !== undefined ? await readKeySnapshot(snapshot, pepper) : undefined;
    if (kept === undefined) throw error;
    put(kept);
    freshMs = kept.freshMs;
    freshAt = performance.now() - Math.max(0, Date.now() - kept.freshMs);
    isTooOld = ageMs() > maxStaleMs;
    onError?.(error);
  }

  let isLooking = false;
  const timer = setInterval(() => {
    isTooOld = ageMs() > maxStaleMs;
    if (isLooking) return; // A look that hangs ends by the database's own timeout.
    isLooking = true;
    refresh()
      .catch((error) => onError?.(error))
      .finally(() => {
        isLooking = false;
      });
  }, refreshMs);
  timer.unref();

  return {
    find(secret, now) {
      if (isTooOld) {
        throw new GatewayError('identity_unavailable', 'The table of keys is too old to be believed.', {
          cause: new Error(`the database could not be read since ${new Date(freshMs).toISOString()}`),
        });
      }
      const shortcut = hash('sha256', secret, 'base64url');
      let entry = remembered.get(shortcut);
      if (entry === undefined) {
        if (!isSecret(secret)) return undefined;
        entry = entries.get(digestOf(secret, pepper));
        if (entry === undefined) return undefined;
        if (remembered.size >= MAX_REMEMBERED) remembered.clear();
        remembered.set(shortcut, entry);
      }
      return now < entry.expiresMs ? entry.caller : undefined;
    },
    refresh,
    get freshMs() {
      return freshMs;
    },
    get degraded() {
      return isFailing || ageMs() > Math.max(STALE_MS, 2 * refreshMs);
    },
    async close() {
      clearInterval(timer);
      await running.catch(() => {});
    },
  };
};

const readRevision = async (db: Kysely<Schema>): Promise<string> => {
  const row = await db
    .selectFrom('facts')
    .select('value')
    .where('name', '=', 'keys_revision')
    .executeTakeFirstOrThrow();
  return row.value;
};

/** Frozen, because every request of the key shares it. */
const entryOf = (key: KeyRecord): Entry => {
  const caller: Input['caller'] = {
    kind: 'key',
    id: key.id,
    org: key.org,
    team: key.team,
    user: key.user,
    roles: [...key.roles],
    groups: [...key.groups],
    workflows: [...key.workflows],
    scopes: [],
    claims: {},
  };
  for (const value of Object.values(caller)) Object.freeze(value);
  return { caller: Object.freeze(caller), expiresMs: key.expiresMs ?? Number.POSITIVE_INFINITY };
};
