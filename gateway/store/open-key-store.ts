import { hash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Input } from '../types.gen.ts';
import { digestOf, isSecret } from './key-secret.ts';
import type { KeyStore } from './key-store.ts';
import { type KeyRecord, recordOf } from './keys.ts';
import { claimPepper } from './pepper.ts';
import type { Schema } from './schema.ts';

/** Keys whose digest is remembered by a plain hash, which is cheaper than the HMAC. */
const MAX_REMEMBERED = 10_000;
/** Revocation must be effective within 5 s. */
const REFRESH_MS = 2_000;

/** A key store over the database: the whole table in memory, looked at again every `refreshMs`. */
export interface OpenKeyStore extends KeyStore {
  /** Looks for changes now; rejects when the database cannot be read. */
  refresh(): Promise<void>;
  /** Since when the table is as the database has it, milliseconds. Grows old while the database cannot be read. */
  readonly freshMs: number;
  close(): Promise<void>;
}

interface Entry {
  readonly caller: Input['caller'];
  readonly expiresMs: number;
}

/**
 * Opens the table of keys. `find` costs a microsecond for a key seen before and a few for any other. A failed refresh
 * keeps the last table and calls `onError`. Throws when the pepper is not the database's.
 */
export const openKeyStore = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  {
    refreshMs = REFRESH_MS,
    onError,
  }: { readonly refreshMs?: number; readonly onError?: (error: unknown) => void } = {},
): Promise<OpenKeyStore> => {
  await claimPepper(db, pepper);
  let entries = new Map<string, Entry>();
  /** sha256 of a secret → its entry. Only keys that exist are in it, and never a secret. */
  let remembered = new Map<string, Entry>();
  let revision = '';
  let freshMs = 0;

  const load = async (): Promise<void> => {
    const startedMs = Date.now();
    const current = await readRevision(db);
    if (current !== revision) {
      const rows = await db.selectFrom('keys').selectAll().where('revoked_ms', 'is', null).execute();
      entries = new Map(rows.map((row) => [row.digest, entryOf(recordOf(row))]));
      remembered = new Map();
      revision = current; // Read before the rows: a change in between is found at the next refresh.
    }
    freshMs = startedMs;
  };
  await load();

  let running: Promise<void> | undefined;
  const refresh = async (): Promise<void> => {
    await running?.catch(() => undefined);
    running = load();
    await running;
  };
  const timer = setInterval(() => {
    refresh().catch((error) => onError?.(error));
  }, refreshMs);
  timer.unref();

  return {
    find(secret, now) {
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
    async close() {
      clearInterval(timer);
      await running?.catch(() => undefined);
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
