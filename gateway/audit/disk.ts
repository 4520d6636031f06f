import { close, fdatasync, fsync, ftruncate, open, writev } from 'node:fs';
import { promisify } from 'node:util';

/** A file that only grows, but for a repair. Nothing here blocks the event loop. */
export interface AppendFile {
  /** Writes all of the chunks at the end, or rejects; a rejected write may have left a part. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Resolves when everything written is durable. */
  sync(): Promise<void>;
  /** Cuts the file. */
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** What the log's writer needs of a disk; a seam so that tests can have one that is full, slow or broken. */
export interface AuditDisk {
  /** Opens for appending, mode 0600; `fresh` refuses a file that exists. */
  openAppend(path: string, fresh: boolean): Promise<AppendFile>;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Promise<void>;
}

const openFile = promisify(open);
const syncAll = promisify(fsync);
const closeFile = promisify(close);

/** The disk of this machine. */
export const localDisk: AuditDisk = {
  async openAppend(path, fresh) {
    return appendFile(await openFile(path, fresh ? 'ax' : 'a', 0o600));
  },
  async syncFolder(path) {
    const fd = await openFile(path, 'r');
    try {
      await syncAll(fd);
    } finally {
      await closeFile(fd);
    }
  },
};

/** Linux writes at most this many buffers in one call. */
const MAX_CHUNKS = 1024;

const appendFile = (fd: number): AppendFile => ({
  append: (chunks) =>
    new Promise((resolve, reject) => {
      let pending = chunks;
      const step = () =>
        writev(fd, pending.slice(0, MAX_CHUNKS), (error, written) => {
          if (error) return reject(error);
          pending = without(pending, written);
          if (pending.length === 0) return resolve();
          if (written === 0) return reject(Object.assign(new Error('nothing was written'), { code: 'EIO' }));
          step();
        });
      step();
    }),
  sync: () => settle((done) => fdatasync(fd, done)),
  truncate: (bytes) => settle((done) => ftruncate(fd, bytes, done)),
  close: () => closeFile(fd),
});

const settle = (run: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())));

/** What is left of the chunks after `written` bytes. */
const without = (chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] => {
  let left = written;
  let index = 0;
  while (index < chunks.length && left >= (chunks[index] as Uint8Array).length)
    left -= (chunks[index++] as Uint8Array).length;
  const rest = chunks.slice(index);
  if (left > 0) rest[0] = (rest[0] as Uint8Array).subarray(left);
  return rest;
};
