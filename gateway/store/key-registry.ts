import type { Kysely } from 'kysely';
import { isRedeemable, redeemBootstrap } from './bootstrap.ts';
import {
  createKey,
  type KeyGrant,
  type KeyPlace,
  type KeyRecord,
  type NewKey,
  pageKeys,
  readKey,
  revokeKey,
  rotateKey,
} from './keys.ts';
import type { Schema } from './schema.ts';

/**
 * What the control plane does with keys. `org` confines what is looked at; null is all organisations. A change works at
 * this gateway when it resolves, at others within their refresh. Rejects with KeyError, or with what the database says.
 */
export interface KeyRegistry {
  page(query: {
    readonly org: string | null;
    readonly limit: number;
    readonly after?: KeyPlace | undefined;
    readonly activeAt?: number | undefined;
  }): Promise<KeyRecord[]>;
  read(id: string, org: string | null): Promise<KeyRecord | undefined>;
  create(grant: KeyGrant, expiresMs: number | null): Promise<NewKey>;
  rotate(id: string, overlapMs: number): Promise<NewKey>;
  revoke(id: string): Promise<KeyRecord>;
  /** Whether a one-time token is the one that is waiting. */
  isRedeemable(token: string): Promise<boolean>;
  /** The first key, for the one-time token of `aegis init`. */
  redeem(token: string): Promise<NewKey>;
}

/** The registry of a database. `refresh` makes the table in memory follow. */
export const createKeyRegistry = (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  refresh: () => Promise<void>,
): KeyRegistry => {
  const refreshed = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change;
    // The change is made; a table that could not be read again is read again soon.
    await refresh().catch(() => {});
    return result;
  };
  return {
    page: (query) => pageKeys(db, query),
    read: (id, org) => readKey(db, id, org),
    create: (grant, expiresMs) => refreshed(createKey(db, pepper, grant, { expiresMs })),
    rotate: (id, overlapMs) => refreshed(rotateKey(db, pepper, id, { overlapMs })),
    revoke: (id) => refreshed(revokeKey(db, id)),
    isRedeemable: (token) => isRedeemable(db, pepper, token),
    redeem: (token) => refreshed(redeemBootstrap(db, pepper, token)),
  };
};
