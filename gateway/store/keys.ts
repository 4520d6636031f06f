import { randomBytes } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { createSecret, DISPLAY_CHARS, digestOf } from './key-secret.ts';
import { claimPepper } from './pepper.ts';
import type { KeyTable, Schema } from './schema.ts';

/** What a key stands for: the caller that it makes. */
export interface KeyGrant {
  readonly org: string;
  readonly team: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /** Empty: those its roles allow. */
  readonly workflows: readonly string[];
}

/** A key as it is stored; never its secret. Times in milliseconds. */
export interface KeyRecord extends KeyGrant {
  readonly id: string;
  /** First characters of the secret. */
  readonly prefix: string;
  readonly createdMs: number;
  readonly expiresMs: number | null;
  readonly revokedMs: number | null;
  readonly rotatedFrom: string | null;
}

/** A key that was just made: the only moment at which its secret is known. */
export interface NewKey {
  readonly secret: string;
  readonly key: KeyRecord;
}

/** A change of keys that cannot be: `unknown_key`, `revoked_key`, `expired_key` or `invalid_key`. */
export class KeyError extends Error {
  readonly code: 'unknown_key' | 'revoked_key' | 'expired_key' | 'invalid_key';

  constructor(code: KeyError['code'], message: string) {
    super(message);
    this.name = 'KeyError';
    this.code = code;
  }
}

/** Bounds of schemas/input.json's caller: a key that does not fit could never be used. */
const MAX_CHARS = { org: 128, team: 128, user: 128, roles: 64, groups: 128, workflows: 64 } as const;
const MAX_LIST = { roles: 32, groups: 64, workflows: 64 } as const;
const CONTROL_OR_LONE_SURROGATE = /[\p{Cc}\p{Cs}]/u;

/** Makes a key. Throws KeyError `invalid_key` when a name or the expiry cannot be. */
export const createKey = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  grant: KeyGrant,
  { now = Date.now(), expiresMs = null }: { readonly now?: number; readonly expiresMs?: number | null } = {},
): Promise<NewKey> => {
  assertGrant(grant);
  if (expiresMs !== null && !(expiresMs > now)) throw new KeyError('invalid_key', 'a key must expire in the future');
  await claimPepper(db, pepper);
  return await db.transaction().execute(async (transaction) => {
    await bumpRevision(transaction);
    return await insertKey(transaction, pepper, grant, { now, expiresMs, rotatedFrom: null });
  });
};

/** Every key, oldest first; those of one organisation when it is named. */
export const listKeys = async (db: Kysely<Schema>, org?: string): Promise<KeyRecord[]> => {
  let query = db.selectFrom('keys').selectAll().orderBy('created_ms').orderBy('id');
  if (org !== undefined) query = query.where('org', '=', org);
  return (await query.execute()).map(recordOf);
};

/** A place in the list of keys: behind this one. */
export interface KeyPlace {
  readonly createdMs: number;
  readonly id: string;
}

/**
 * At most `limit` keys in the order of listKeys, behind a place, of one organisation unless `org` is null. `activeAt`
 * leaves out those that are revoked or have expired by then.
 */
export const pageKeys = async (
  db: Kysely<Schema>,
  {
    org,
    limit,
    after,
    activeAt,
  }: {
    readonly org: string | null;
    readonly limit: number;
    readonly after?: KeyPlace | undefined;
    readonly activeAt?: number | undefined;
  },
): Promise<KeyRecord[]> => {
  let query = db.selectFrom('keys').selectAll().orderBy('created_ms').orderBy('id').limit(limit);
  if (org !== null) query = query.where('org', '=', org);
  if (after !== undefined) {
    const { createdMs, id } = after;
    query = query.where((eb) =>
      eb.or([eb('created_ms', '>', createdMs), eb.and([eb('created_ms', '=', createdMs), eb('id', '>', id)])]),
    );
  }
  if (activeAt !== undefined) {
    query = query
      .where('revoked_ms', 'is', null)
      .where((eb) => eb.or([eb('expires_ms', 'is', null), eb('expires_ms', '>', activeAt)]));
  }
  return (await query.execute()).map(recordOf);
};

/** A key by its id, of one organisation unless `org` is null; undefined when there is none. */
export const readKey = async (db: Kysely<Schema>, id: string, org: string | null): Promise<KeyRecord | undefined> => {
  let query = db.selectFrom('keys').selectAll().where('id', '=', id);
  if (org !== null) query = query.where('org', '=', org);
  const row = await query.executeTakeFirst();
  return row && recordOf(row);
};

/** Ends a key now; one that is revoked already stays as it is. Throws KeyError `unknown_key`. */
export const revokeKey = async (db: Kysely<Schema>, id: string, now = Date.now()): Promise<KeyRecord> =>
  await db.transaction().execute(async (transaction) => {
    await bumpRevision(transaction);
    const key = await findKey(transaction, id);
    if (key.revokedMs !== null) return key;
    await transaction.updateTable('keys').set({ revoked_ms: now }).where('id', '=', id).execute();
    return { ...key, revokedMs: now };
  });

/** How a key is rotated; times in milliseconds. */
export interface RotateOptions {
  readonly now?: number;
  readonly overlapMs?: number;
  readonly expiresMs?: number;
}

/**
 * Makes a key for the same caller and lets the old one work on for `overlapMs`. The new key expires when the old one
 * would have, unless `expiresMs` says otherwise. Throws KeyError when the old one is unknown, revoked or expired.
 */
export const rotateKey = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  id: string,
  { now = Date.now(), overlapMs = 0, expiresMs }: RotateOptions = {},
): Promise<NewKey> => {
  if (expiresMs !== undefined && !(expiresMs > now))
    throw new KeyError('invalid_key', 'a key must expire in the future');
  await claimPepper(db, pepper);
  return await db.transaction().execute(async (transaction) => {
    await bumpRevision(transaction);
    const old = await findKey(transaction, id);
    if (old.revokedMs !== null) throw new KeyError('revoked_key', `${id} is revoked; create a new key instead`);
    if (old.expiresMs !== null && old.expiresMs <= now) {
      throw new KeyError('expired_key', `${id} has expired; create a new key instead`);
    }
    const made = await insertKey(transaction, pepper, old, {
      now,
      expiresMs: expiresMs ?? old.expiresMs,
      rotatedFrom: id,
    });
    const endMs = Math.min(old.expiresMs ?? Number.POSITIVE_INFINITY, now + overlapMs);
    await transaction.updateTable('keys').set({ expires_ms: endMs }).where('id', '=', id).execute();
    return made;
  });
};

/**
 * Counts changes of the table, so that other processes notice them by reading one row. Always the first statement of its
 * transaction: it takes the write lock, so that what is read after it cannot change any more.
 */
export const bumpRevision = async (db: Kysely<Schema>): Promise<void> => {
  await db
    .updateTable('facts')
    .set({ value: sql<string>`cast(cast(value as integer) + 1 as text)` })
    .where('name', '=', 'keys_revision')
    .execute();
};

const findKey = async (db: Kysely<Schema>, id: string): Promise<KeyRecord> => {
  const row = await db.selectFrom('keys').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new KeyError('unknown_key', `there is no key ${id}`);
  return recordOf(row);
};

/** Writes a new key inside a transaction that has bumped the revision. The grant has been checked. */
export const insertKey = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  grant: KeyGrant,
  life: { readonly now: number; readonly expiresMs: number | null; readonly rotatedFrom: string | null },
): Promise<NewKey> => {
  const secret = createSecret();
  const row: KeyTable = {
    id: `key_${randomBytes(9).toString('hex')}`,
    digest: digestOf(secret, pepper),
    prefix: secret.slice(0, DISPLAY_CHARS),
    org: grant.org,
    team: grant.team,
    user_id: grant.user,
    roles: JSON.stringify(grant.roles),
    groups: JSON.stringify(grant.groups),
    workflows: JSON.stringify(grant.workflows),
    created_ms: life.now,
    expires_ms: life.expiresMs,
    revoked_ms: null,
    rotated_from: life.rotatedFrom,
  };
  await db.insertInto('keys').values(row).execute();
  return { secret, key: recordOf(row) };
};

/** Throws when a column that should hold a list of names does not. */
export const recordOf = (row: KeyTable): KeyRecord => ({
  id: row.id,
  prefix: row.prefix,
  org: row.org,
  team: row.team,
  user: row.user_id,
  roles: JSON.parse(row.roles) as string[],
  groups: JSON.parse(row.groups) as string[],
  workflows: JSON.parse(row.workflows) as string[],
  createdMs: Number(row.created_ms),
  expiresMs: row.expires_ms === null ? null : Number(row.expires_ms),
  revokedMs: row.revoked_ms === null ? null : Number(row.revoked_ms),
  rotatedFrom: row.rotated_from,
});

/** Throws KeyError `invalid_key` for a grant that no key can have. */
export const assertGrant = (grant: KeyGrant): void => {
  if (grant.org === '') throw new KeyError('invalid_key', 'a key needs an organisation');
  for (const field of ['org', 'team', 'user'] as const) assertName(field, grant[field]);
  for (const field of ['roles', 'groups', 'workflows'] as const) {
    if (grant[field].length > MAX_LIST[field]) throw new KeyError('invalid_key', `at most ${MAX_LIST[field]} ${field}`);
    for (const name of grant[field]) assertName(field, name);
  }
};

const assertName = (field: keyof typeof MAX_CHARS, name: string): void => {
  if ([...name].length > MAX_CHARS[field]) {
    throw new KeyError('invalid_key', `${field}: at most ${MAX_CHARS[field]} characters`);
  }
  if (CONTROL_OR_LONE_SURROGATE.test(name)) throw new KeyError('invalid_key', `${field}: no control characters`);
  // Limits are kept by <org>/<name>: a slash in the organisation would make two subjects one.
  if (field === 'org' && name.includes('/')) throw new KeyError('invalid_key', 'org: no slash');
};
