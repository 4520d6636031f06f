import { open, rm } from 'node:fs/promises';
import type { AuditEvent } from '../types.gen.ts';
import type { AuditDisk } from './disk.ts';
import { type AuditLayout, contentPath, keyPath, listFolder, parseContentName } from './layout.ts';

/** Name of the event that tells which content segments' retention is over. */
export const CONTENT_EXPIRED = 'content_expired';

/**
 * Destroys the keys and files of the content segments whose retention is over at `now`; gives their names. The key goes
 * first and is overwritten, so that a crash in between leaves nothing that can be read. Safe to repeat.
 */
export const expireContent = async (layout: AuditLayout, disk: AuditDisk, now: number): Promise<string[]> => {
  const names = [...(await listFolder(layout.keys)), ...(await listFolder(layout.content))];
  const segments = new Set(names.map((name) => name.replace(/\.(key|seg)$/, '')));
  const expired = [...segments].filter(
    (name) => (parseContentName(name)?.expiresAt ?? Number.POSITIVE_INFINITY) <= now,
  );
  if (expired.length === 0) return [];
  for (const name of expired) await destroyKey(keyPath(layout, name));
  await disk.syncFolder(layout.keys);
  for (const name of expired) await rm(contentPath(layout, name), { force: true });
  await disk.syncFolder(layout.content);
  return expired.sort();
};

const destroyKey = async (path: string): Promise<void> => {
  try {
    const file = await open(path, 'r+');
    try {
      await file.write(Buffer.alloc(32), 0, 32, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  await rm(path, { force: true });
};

/** The record of a sweep that destroyed something. */
export const expiredEvent = (segments: readonly string[], now: number): AuditEvent => ({
  kind: 'event',
  time: new Date(now).toISOString(),
  event: CONTENT_EXPIRED,
  detail: { segments },
});
