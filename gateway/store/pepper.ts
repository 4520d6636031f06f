import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import { openHomeSecret } from '../home-secret.ts';
import type { Schema } from './schema.ts';

/**
 * The 32 random bytes that key digests depend on, from `<home>/pepper`. Whoever has a copy of the database but not this
 * file cannot tell whether a key is in it. Throws as openHomeSecret.
 */
export const openPepper = (home: string): Uint8Array => openHomeSecret(home, 'pepper');

/** Whether a home's pepper is the one that a database was tied to. Throws as openPepper. */
export const isPepperOf = (home: string, fingerprint: string): boolean =>
  fingerprintOf(openPepper(home)) === fingerprint;

const fingerprintOf = (pepper: Uint8Array): string =>
  createHmac('sha256', pepper).update('aegis pepper').digest('base64url');

/**
 * Ties a database to its pepper at first use. Throws when it belongs to another one, since then no stored key could ever
 * be found: a lost pepper must be restored, not replaced.
 */
export const claimPepper = async (db: Kysely<Schema>, pepper: Uint8Array): Promise<void> => {
  const value = fingerprintOf(pepper);
  await db
    .insertInto('facts')
    .values({ name: 'pepper', value })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { value: stored } = await db
    .selectFrom('facts')
    .select('value')
    .where('name', '=', 'pepper')
    .executeTakeFirstOrThrow();
  if (stored !== value) {
    throw new Error(
      'the pepper does not belong to this database: restore `pepper`, or copy it from the home of a gateway that shares the database',
    );
  }
};
