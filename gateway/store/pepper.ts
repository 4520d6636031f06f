import { createHmac, randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';

const BYTES = 32;

/**
 * The 32 random bytes that key digests depend on, from `<home>/pepper`; made once, mode 0600. Whoever has a copy of the
 * database but not this file cannot tell whether a key is in it. Throws when the file is readable by others or damaged.
 */
export const openPepper = (home: string): Uint8Array => {
  const file = join(home, 'pepper');
  try {
    return readPepper(file);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, randomBytes(BYTES), { mode: 0o600, flag: 'wx', flush: true });
  try {
    linkSync(draft, file); // Whole or not at all, and never over another process's.
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  return readPepper(file);
};

const readPepper = (file: string): Uint8Array => {
  const { mode } = statSync(file);
  if ((mode & 0o077) !== 0) throw new Error(`${file} can be read by others: chmod 600 ${file}`);
  const pepper = readFileSync(file);
  if (pepper.length !== BYTES) throw new Error(`${file} is damaged: ${pepper.length} bytes instead of ${BYTES}`);
  return pepper;
};

/**
 * Ties a database to its pepper at first use. Throws when it belongs to another one, since then no stored key could ever
 * be found: a lost pepper must be restored, not replaced.
 */
export const claimPepper = async (db: Kysely<Schema>, pepper: Uint8Array): Promise<void> => {
  const value = createHmac('sha256', pepper).update('aegis pepper').digest('base64url');
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
  if (stored !== value) throw new Error('the pepper does not belong to this database: restore the file `pepper`');
};
