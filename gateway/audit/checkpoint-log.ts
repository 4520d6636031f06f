import { open, truncate } from 'node:fs/promises';
import {
  createCheckpointVerifier,
  openCheckpointSigner,
  parseCheckpoints,
  type SignedCheckpoint,
} from './checkpoint.ts';
import { AuditCorruptionError } from './corruption.ts';
import type { AuditDisk } from './disk.ts';
import type { ChainEnd } from './group.ts';
import type { AuditLayout } from './layout.ts';
import type { AuditPosition } from './read.ts';

/** The file of a log's own checkpoints. */
export interface CheckpointLog {
  /** The public key of the checkpoints, signed-note form. */
  readonly verifierKey: string;
  /** Adds a checkpoint of what is durable, unless the last one says the same. */
  write(end: ChainEnd, now: number): Promise<void>;
  close(): Promise<void>;
}

/** Longer than any checkpoint. */
const LONGEST_NOTE_BYTES = 512;
/** More than two checkpoints are long. */
const LAST_BYTES = 4096;

/**
 * Opens the checkpoints of a log whose chain ends at `end`. Throws AuditCorruptionError when the last checkpoint tells of
 * records that the chain does not have: its tail was cut.
 */
export const openCheckpointLog = async (
  layout: AuditLayout,
  disk: AuditDisk,
  log: string,
  end: AuditPosition,
): Promise<CheckpointLog> => {
  const { last, rest, size } = await readLastCheckpoint(layout);
  if (last) refuseCutChain(last, log, end);
  if (rest > LONGEST_NOTE_BYTES) throw damaged(end, 'the checkpoints are followed by something else');
  // A crash while a checkpoint was written: what is there of it goes.
  if (rest > 0) await truncate(layout.checkpoints, size - rest);
  const signer = await openCheckpointSigner(layout, disk, log);
  const verify = createCheckpointVerifier(signer.verifierKey);
  let written = last && verify(last) ? last.records : -1;
  const file = await disk.openAppend(layout.checkpoints, false);
  await disk.syncFolder(layout.root);
  return {
    verifierKey: signer.verifierKey,
    async write({ index, chain }, now) {
      if (index === written) return;
      const checkpoint = { log, records: index, head: chain.toString('hex'), time: new Date(now).toISOString() };
      await file.append([Buffer.from(`${signer.sign(checkpoint)}\n`)]);
      await file.sync();
      written = index;
    },
    close: () => file.close(),
  };
};

const damaged = ({ segment, offset, index }: AuditPosition, reason: string): AuditCorruptionError =>
  new AuditCorruptionError({ segment, offset, index, id: null, reason });

const refuseCutChain = (last: SignedCheckpoint, log: string, end: AuditPosition): void => {
  const bad = (reason: string) => damaged(end, reason);
  if (end.index === 0) throw bad(`the chain is gone, the last checkpoint tells of ${last.records} records`);
  if (last.log !== log) throw bad(`the checkpoints are of another log, ${last.log}`);
  if (last.records > end.index) throw bad(`the tail is cut, the last checkpoint tells of ${last.records} records`);
  if (last.records === end.index && last.head !== end.chain) throw bad('the last checkpoint has another chain hash');
};

/** The last whole checkpoint, and how many bytes of another lie behind it. */
const readLastCheckpoint = async (
  layout: AuditLayout,
): Promise<{ last: SignedCheckpoint | undefined; rest: number; size: number }> => {
  const file = await open(layout.checkpoints, 'r').catch((error: { code?: string }) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!file) return { last: undefined, rest: 0, size: 0 };
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, LAST_BYTES));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    const text = bytes.toString('utf8');
    const start = text.indexOf('aegis-audit-chain ');
    const { checkpoints, rest } = parseCheckpoints(start < 0 ? '' : text.slice(start));
    return { last: checkpoints.at(-1), rest: Buffer.byteLength(start < 0 ? text : rest), size };
  } finally {
    await file.close();
  }
};
