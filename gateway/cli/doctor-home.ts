import { constants } from 'node:fs';
import { access, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDatabase } from '../store/database.ts';
import { listKeys } from '../store/keys.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';

const MB = 1024 * 1024;
/** The audit log takes no request when it cannot write; a segment of it is 64 MB. */
const LEAST_DISK = 256 * MB;
const LITTLE_DISK = 2048 * MB;

/**
 * Looks at the home: whether it can be written, has room, keeps its secrets, and has a key that callers can use, unless
 * keys are in a shared store.
 */
export const checkHome = async (home: string, now: number, isStoreShared = false): Promise<Check[]> => {
  const { folder, isFolder } = await nearestTo(home);
  if (!isFolder) return [problem('home', `${folder} is no folder`, 'move it away, or set home to another folder')];
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch {
    return [problem('home', `${folder} cannot be written`, `chown or chmod ${folder}, or set home to another folder`)];
  }
  const isThere = folder === home;
  const checks = [ok('home', isThere ? `${home} can be written` : `${home} will be made at the first start`)];
  checks.push(await checkDisk(folder));
  if (isThere) checks.push(...(await checkSecrets(home)));
  if (!isStoreShared) checks.push(await checkKeys(home, now));
  return checks;
};

/** The home itself, or what is nearest above it. */
const nearestTo = async (home: string): Promise<{ folder: string; isFolder: boolean }> => {
  for (let at = home; ; at = dirname(at)) {
    try {
      return { folder: at, isFolder: (await stat(at)).isDirectory() };
    } catch (error) {
      const { code } = error as { code?: string };
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || dirname(at) === at) return { folder: at, isFolder: false };
    }
  }
};

const checkDisk = async (folder: string): Promise<Check> => {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const found = `${free >= 1024 * MB ? `${(free / 1024 / MB).toFixed(1)} GB` : `${Math.floor(free / MB)} MB`} are free`;
  if (free < LEAST_DISK) {
    return problem('disk', found, 'make room: without it the audit log, and so the gateway, takes no request');
  }
  if (free < LITTLE_DISK) return warning('disk', found, 'make room, or shorten retention_days in the policies');
  return ok('disk', found);
};

/** Files that must be read by nobody else: the gateway refuses to start with some of them open. */
const SECRETS = /^(?:pepper|demo\.key|aegis\.db|keys\.snapshot|.*\.secret)$/;

const checkSecrets = async (home: string): Promise<Check[]> => {
  const open: string[] = [];
  for (const name of await readdir(home)) {
    if (SECRETS.test(name) && ((await stat(join(home, name))).mode & 0o077) !== 0) open.push(join(home, name));
  }
  return open.length === 0
    ? []
    : [problem('secrets', `others can read ${open.join(', ')}`, `chmod 600 ${open.join(' ')}`)];
};

const checkKeys = async (home: string, now: number): Promise<Check> => {
  const fix = './aegis keys create --org … --roles …, or ./aegis init';
  try {
    await access(join(home, 'aegis.db'));
  } catch {
    return warning('keys', 'there is no store yet, so no key works', fix);
  }
  try {
    const database = await openDatabase(home);
    try {
      const keys = await listKeys(database.db);
      const active = keys.filter(({ revokedMs, expiresMs }) => revokedMs === null && (expiresMs ?? Infinity) > now);
      if (active.length === 0) return warning('keys', `no key works, of ${keys.length} in the store`, fix);
      return ok('keys', `${active.length} of ${keys.length} in the store work`);
    } finally {
      await database.close();
    }
  } catch (error) {
    return problem('keys', `the store cannot be read: ${sentenceOf(error)}`, `restore ${join(home, 'aegis.db')}`);
  }
};
