import { createCipheriv, hash, randomBytes, randomFillSync } from 'node:crypto';
import type { ContentFrame } from '../types.gen.ts';
import type { AppendFile, AuditDisk } from './disk.ts';
import { type AuditLayout, contentName, contentPath, keyPath, listFolder, parseContentName } from './layout.ts';

/** Random bytes that each frame begins with, so that the hash of an erased one cannot be checked against a guess. */
export const SALT_BYTES = 16;

const BLOCK_BYTES = 16;

/** The counter block of AES-CTR at a byte offset of a segment: a segment is one stream under one random key. */
export const counterAt = (offset: number): Buffer => {
  const counter = Buffer.alloc(BLOCK_BYTES);
  counter.writeBigUInt64BE(BigInt(Math.floor(offset / BLOCK_BYTES)), 8);
  return counter;
};

/** How large a content segment becomes before the next one is begun. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
/** How many segments are open at a time: one a retention in use. */
const OPEN_SEGMENTS = 32;

/** A content segment that this run writes. Nothing touches the disk before `write`. */
export class ContentSegment {
  readonly name: string;
  readonly #layout: AuditLayout;
  readonly #disk: AuditDisk;
  readonly #secret = randomBytes(32);
  readonly #cipher = createCipheriv('aes-256-ctr', this.#secret, counterAt(0));
  #file: AppendFile | undefined;
  #bytes = 0;
  #writtenBytes = 0;
  #durableBytes = 0;

  constructor(name: string, layout: AuditLayout, disk: AuditDisk) {
    this.name = name;
    this.#layout = layout;
    this.#disk = disk;
  }

  /**
   * Encrypts content into the next frame: salt and content, AES-256-CTR at the frame's offset. What makes a change
   * known is the frame's hash in the chain. One cipher a segment: making one costs more than encrypting a prompt.
   */
  seal(chunks: readonly Uint8Array[]): { ref: ContentFrame; frame: Buffer } {
    // In one piece: a call of the cipher costs more than the copy of a stream's chunk.
    const frame = this.#cipher.update(Buffer.concat([nextSalt(), ...chunks]));
    const ref = { segment: this.name, offset: this.#bytes, bytes: frame.length, sha256: hash('sha256', frame) };
    this.#bytes += frame.length;
    return { ref, frame };
  }

  get isFull(): boolean {
    return this.#bytes >= SEGMENT_BYTES;
  }

  /** Makes sealed frames durable; the key and its name are durable before the first. */
  async write(frames: readonly Buffer[]): Promise<void> {
    await this.append(frames);
    await this.sync();
  }

  /** Writes sealed frames, all of them in the order of their sealing. One call at a time. */
  async append(frames: readonly Buffer[]): Promise<void> {
    this.#file ??= await this.#create();
    await this.#file.append(frames);
    for (const frame of frames) this.#writtenBytes += frame.length;
  }

  /** Makes what was written durable. */
  async sync(): Promise<void> {
    const written = this.#writtenBytes;
    await this.#file?.sync();
    this.#durableBytes = written;
  }

  /** How far the segment is durable. */
  get durableBytes(): number {
    return this.#durableBytes;
  }

  /** Whether all that was sealed is durable, so that the file may be closed. */
  get isSettled(): boolean {
    return this.#durableBytes === this.#bytes;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #create(): Promise<AppendFile> {
    const key = await this.#disk.openAppend(keyPath(this.#layout, this.name), true);
    try {
      await key.append([this.#secret]);
      await key.sync();
    } finally {
      await key.close();
    }
    await this.#disk.syncFolder(this.#layout.keys);
    const file = await this.#disk.openAppend(contentPath(this.#layout, this.name), true);
    await this.#disk.syncFolder(this.#layout.content);
    return file;
  }
}

// Random bytes are drawn for many frames at once.
const salts = Buffer.alloc(256 * SALT_BYTES);
let salted = salts.length;

const nextSalt = (): Buffer => {
  if (salted === salts.length) {
    randomFillSync(salts);
    salted = 0;
  }
  salted += SALT_BYTES;
  return salts.subarray(salted - SALT_BYTES, salted);
};

/**
 * Chooses the segment for each content: one a day and retention, so that a retention's end destroys one key. A run never
 * goes on with another run's segment, so a torn end needs no repair.
 */
export class ContentStore {
  readonly #layout: AuditLayout;
  readonly #disk: AuditDisk;
  readonly #open = new Map<number, ContentSegment>();
  readonly #retired: ContentSegment[] = [];
  readonly #nextNumber: () => number;
  #day = '';

  constructor(layout: AuditLayout, disk: AuditDisk, nextNumber: () => number) {
    this.#layout = layout;
    this.#disk = disk;
    this.#nextNumber = nextNumber;
  }

  /** The segment for content kept `retentionDays` from `now` on. */
  segmentFor(retentionDays: number, now: number): ContentSegment {
    const day = new Date(now).toISOString().slice(0, 10);
    if (day !== this.#day) {
      for (const days of [...this.#open.keys()]) this.#retire(days);
      this.#day = day;
    }
    const current = this.#open.get(retentionDays);
    if (current && !current.isFull) return current;
    this.#retire(retentionDays);
    const [oldest] = this.#open.keys();
    if (oldest !== undefined && this.#open.size >= OPEN_SEGMENTS) this.#retire(oldest);
    const name = contentName(day, retentionDays, this.#nextNumber());
    const segment = new ContentSegment(name, this.#layout, this.#disk);
    this.#open.set(retentionDays, segment);
    return segment;
  }

  /** Begins anew with the next content in place of this segment. */
  leave(segment: ContentSegment): void {
    for (const [days, open] of this.#open) if (open === segment) this.#retire(days);
  }

  /** The segments that are no longer written; whoever takes them closes them. */
  takeRetired(): readonly ContentSegment[] {
    return this.#retired.splice(0);
  }

  /** Closes segments that are no longer written and have nothing on its way. */
  async closeRetired(): Promise<void> {
    for (let index = this.#retired.length - 1; index >= 0; index--) {
      const segment = this.#retired[index] as ContentSegment;
      if (!segment.isSettled) continue;
      this.#retired.splice(index, 1);
      await segment.close();
    }
  }

  /**
   * Closes everything and begins anew with the next content: after a failed write, when nothing is on its way, what the
   * segments hold behind their last durable frame is unknown.
   */
  async close(): Promise<void> {
    for (const days of [...this.#open.keys()]) this.#retire(days);
    for (const segment of this.#retired.splice(0)) await segment.close();
  }

  #retire(retentionDays: number): void {
    const segment = this.#open.get(retentionDays);
    if (!segment) return;
    this.#open.delete(retentionDays);
    this.#retired.push(segment);
  }
}

/** Counts on from the highest number of a content segment or key in the log, so that no name is used twice. */
export const contentNumbers = async (layout: AuditLayout): Promise<() => number> => {
  const names = [...(await listFolder(layout.content)), ...(await listFolder(layout.keys))];
  let highest = 0;
  for (const name of names) {
    highest = Math.max(highest, parseContentName(name.replace(/\.(seg|key)$/, ''))?.number ?? 0);
  }
  return () => ++highest;
};
