import { timingSafeEqual } from 'node:crypto';
import type { Kysely } from 'kysely';
import { createOnceToken, digestOf } from './key-secret.ts';
import { assertGrant, bumpRevision, insertKey, KeyError, type KeyGrant, type NewKey } from './keys.ts';
import { claimPepper } from './pepper.ts';
import type { Schema } from './schema.ts';

/** The row of `facts` that holds the token that is waiting; there is one at most. */
const FACT = 'bootstrap';
/** A day: long enough to hand it over, short enough to be forgotten. */
const LIFETIME_MS = 86_400_000;

/** A token that was just made: the only moment at which it is known. */
export interface NewToken {
  readonly token: string;
  readonly expiresMs: number;
}

interface Waiting {
  readonly digest: string;
  readonly expires_ms: number;
  readonly grant: KeyGrant;
}

/**
 * Makes a token that is worth one key for `grant`, once and within a day; a token that was waiting is worth nothing any
 * more. Stored is its HMAC. Throws KeyError `invalid_key`.
 */
export const createBootstrap = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  grant: KeyGrant,
  now = Date.now(),
): Promise<NewToken> => {
  assertGrant(grant);
  await claimPepper(db, pepper);
  const token = createOnceToken();
  const expiresMs = now + LIFETIME_MS;
  const waiting: Waiting = { digest: digestOf(token, pepper), expires_ms: expiresMs, grant };
  const value = JSON.stringify(waiting);
  await db
    .insertInto('facts')
    .values({ name: FACT, value })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
    .execute();
  return { token, expiresMs };
};

/**
 * Gives the key that a token is worth, and ends the token in the same transaction. Throws KeyError `unknown_key` for a
 * token that is not the waiting one, was used, or has expired: which of them is not told.
 */
export const redeemBootstrap = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  token: string,
  now = Date.now(),
): Promise<NewKey> =>
  await db.transaction().execute(async (transaction) => {
    await bumpRevision(transaction);
    const waiting = await findWaiting(transaction, pepper, token, now);
    if (!waiting) throw new KeyError('unknown_key', 'the token is unknown, used or expired');
    await transaction.deleteFrom('facts').where('name', '=', FACT).execute();
    return await insertKey(transaction, pepper, waiting.grant, { now, expiresMs: null, rotatedFrom: null });
  });

/** Whether a token is the waiting one and has not expired. */
export const isRedeemable = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  token: string,
  now = Date.now(),
): Promise<boolean> => (await findWaiting(db, pepper, token, now)) !== undefined;

const findWaiting = async (
  db: Kysely<Schema>,
  pepper: Uint8Array,
  token: string,
  now: number,
): Promise<Waiting | undefined> => {
  const row = await db.selectFrom('facts').select('value').where('name', '=', FACT).executeTakeFirst();
  const waiting = row && (JSON.parse(row.value) as Waiting);
  return waiting && now < waiting.expires_ms && isSame(waiting.digest, digestOf(token, pepper)) ? waiting : undefined;
};

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
