import { constants, type FSWatcher, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleOrigin } from './origin.ts';

/** A folder is written in several steps: wait until they are done. */
const SETTLE_MS = 50;

/** Bundles in a folder with rollout.yaml. It is watched, and looked at every `beatMs` for what a watch misses. */
export const createFolderOrigin = (folder: string, beatMs: number): BundleOrigin => ({
  place: folder,
  hasRollout: true,
  read: (name, limitBytes) => readBounded(join(folder, name), limitBytes),
  follow: (look) => followFolder(folder, beatMs, look),
});

/** Calls `look` when the folder changes, and on a slow beat: a watch misses some changes, and ends with its folder. */
const followFolder = (folder: string, beatMs: number, look: () => unknown): { close(): void } => {
  let watcher: FSWatcher | undefined;
  let settling: NodeJS.Timeout | undefined;
  const startWatch = (): void => {
    try {
      watcher = watch(folder, { persistent: false }, () => {
        clearTimeout(settling);
        settling = setTimeout(() => void look(), SETTLE_MS).unref();
      });
      watcher.on('error', stopWatch);
    } catch {
      watcher = undefined; // the beat tries again
    }
  };
  const stopWatch = (): void => {
    watcher?.close();
    watcher = undefined;
  };
  startWatch();
  const beat = setInterval(() => {
    if (watcher === undefined) startWatch();
    void look();
  }, beatMs).unref();
  return {
    close: () => {
      clearInterval(beat);
      clearTimeout(settling);
      stopWatch();
    },
  };
};

/** One file, whatever its name leads to meanwhile. A pipe or a device is refused: who opens it to read would wait. */
const readBounded = async (path: string, limitBytes: number): Promise<Buffer> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`${path} is no file`);
    if (stats.size > limitBytes) throw new Error(`${path} is larger than ${limitBytes} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
};
