import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BYTES = 32;

/**
 * The 32 random bytes of the file `<home>/<name>`; made once, mode 0600, whichever of several processes comes first.
 * Throws when the file is readable by others or damaged.
 */
export const openHomeSecret = (home: string, name: string): Buffer => {
  const file = join(home, name);
  try {
    return readSecret(file);
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
  return readSecret(file);
};

const readSecret = (file: string): Buffer => {
  const { mode } = statSync(file);
  if ((mode & 0o077) !== 0) throw new Error(`${file} can be read by others: chmod 600 ${file}`);
  const secret = readFileSync(file);
  if (secret.length !== BYTES) throw new Error(`${file} is damaged: ${secret.length} bytes instead of ${BYTES}`);
  return secret;
};
