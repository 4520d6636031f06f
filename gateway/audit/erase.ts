import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEvent, AuditRecord } from '../types.gen.ts';
import { framesOf } from './content-frames.ts';
import type { AuditDisk } from './disk.ts';
import { type AuditLayout, contentPath, listFolder, parseContentName } from './layout.ts';

/** Name of the event that tells whose content was erased. */
export const CONTENT_ERASED = 'content_erased';

/** A frame of one record's content, to be erased. */
export interface ErasedContent {
  readonly id: string | null;
  readonly segment: string;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * An order to erase. It lies in a file until the log's writer has recorded it, so that a crash or a gateway that is
 * running cannot make an erasure go unrecorded.
 */
export interface ErasureOrder {
  /** RFC 3339. */
  readonly time: string;
  /** Why, in the words of who ordered it; may be empty. */
  readonly reason: string;
  /** Frames: a content in pieces has several. */
  readonly contents: readonly ErasedContent[];
}

/** One event names at most this many contents. */
const MAX_CONTENTS = 1000;

/**
 * Erases contents: writes the orders, then overwrites each frame with zeros, its salt included, without which its key
 * cannot be derived again. The log's writer records it. Safe to repeat.
 */
export const eraseContents = async (
  layout: AuditLayout,
  disk: AuditDisk,
  contents: readonly ErasedContent[],
  reason: string,
  now: number,
): Promise<void> => {
  for (let from = 0; from < contents.length; from += MAX_CONTENTS) {
    const order = { time: new Date(now).toISOString(), reason, contents: contents.slice(from, from + MAX_CONTENTS) };
    await writeOrder(layout, disk, order);
    await overwrite(layout, order.contents);
  }
};

const writeOrder = async (layout: AuditLayout, disk: AuditDisk, order: ErasureOrder): Promise<void> => {
  await mkdir(layout.erasures, { recursive: true, mode: 0o700 });
  const path = join(layout.erasures, `${randomUUID()}.json`);
  const file = await disk.openAppend(`${path}.new`, true);
  try {
    await file.append([Buffer.from(JSON.stringify(order))]);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await disk.syncFolder(layout.erasures);
};

/** The orders that no record tells of yet, with the path of each. */
export const readOrders = async (layout: AuditLayout): Promise<{ path: string; order: ErasureOrder }[]> => {
  const orders = [];
  for (const name of await listFolder(layout.erasures)) {
    if (!name.endsWith('.json')) continue;
    const path = join(layout.erasures, name);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    // Gone: the writer has just recorded it.
    if (text !== undefined) orders.push({ path, order: JSON.parse(text) as ErasureOrder });
  }
  return orders;
};

/** Executes every order that waits, once more where it was begun, and records it by `append`. */
export const recordErasures = async (
  layout: AuditLayout,
  disk: AuditDisk,
  append: (event: AuditEvent) => Promise<unknown>,
  now: number,
): Promise<void> => {
  for (const { path, order } of await readOrders(layout)) {
    await overwrite(layout, order.contents);
    await append(erasedEvent(order, now));
    await rm(path, { force: true });
    await disk.syncFolder(layout.erasures);
  }
};

const erasedEvent = (order: ErasureOrder, now: number): AuditEvent => ({
  kind: 'event',
  time: new Date(now).toISOString(),
  event: CONTENT_ERASED,
  detail: {
    ids: [...new Set(order.contents.map(({ id }) => id))],
    contents: order.contents.map(({ segment, offset }) => ({ segment, offset })),
    reason: order.reason,
    ordered: order.time,
  },
});

const overwrite = async (layout: AuditLayout, contents: readonly ErasedContent[]): Promise<void> => {
  const bySegment = Map.groupBy(contents, ({ segment }) => segment);
  for (const [segment, frames] of bySegment) {
    if (!parseContentName(segment)) throw new TypeError(`not a content segment: ${segment}`);
    await overwriteFrames(contentPath(layout, segment), frames);
  }
};

const ZEROS = Buffer.alloc(1024 * 1024);

const overwriteFrames = async (path: string, frames: readonly ErasedContent[]): Promise<void> => {
  const file = await open(path, 'r+').catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  // Without a file its retention is over and nothing is left to erase.
  if (!file) return;
  try {
    const { size } = await file.stat();
    for (const { offset, bytes } of frames) {
      const end = Math.min(offset + bytes, size);
      for (let at = offset; at < end; at += ZEROS.length) {
        await file.write(ZEROS, 0, Math.min(ZEROS.length, end - at), at);
      }
    }
    await file.datasync();
  } finally {
    await file.close();
  }
};

/** The frames of a record's content as an erasure names them; none when it has no content. */
export const erasable = (record: AuditRecord): readonly ErasedContent[] => {
  if ((record.kind !== 'intent' && record.kind !== 'outcome') || !record.content) return [];
  const { id, content } = record;
  return framesOf(content).map(({ segment, offset, bytes }) => ({ id, segment, offset, bytes }));
};
