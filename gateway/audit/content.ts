import { createDecipheriv, hash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import type { ContentFrame } from '../types.gen.ts';
import { type Content, framesOf } from './content-frames.ts';
import { counterAt, SALT_BYTES } from './content-store.ts';
import { type AuditLayout, contentPath, keyPath, parseContentName } from './layout.ts';

/** What became of a content's frame on disk. `missing`: key, file or part of it is not there. `changed`: other bytes. */
export type ContentState = 'kept' | 'erased' | 'missing' | 'changed';

/**
 * Reads the encrypted frames of a record's content and says what became of each. `erased` means that the frame is all
 * zeros; whether that was done by `audit erase` only the chain can tell.
 */
export class ContentReader {
  readonly #layout: AuditLayout;
  #name = '';
  #file: FileHandle | undefined;

  constructor(layout: AuditLayout) {
    this.#layout = layout;
  }

  /** The state of a frame and its bytes, which are there when it is kept. */
  async read({ segment, offset, bytes, sha256 }: ContentFrame): Promise<{ state: ContentState; frame: Buffer }> {
    const file = await this.#open(segment);
    if (!file) return { state: 'missing', frame: Buffer.alloc(0) };
    const frame = Buffer.alloc(bytes);
    const { bytesRead } = await file.read(frame, 0, bytes, offset);
    if (bytesRead < bytes) return { state: 'missing', frame };
    if (hash('sha256', frame) === sha256) return { state: 'kept', frame };
    return { state: frame.every((byte) => byte === 0) ? 'erased' : 'changed', frame };
  }

  /** The content in clear. Undefined when it is no longer there, or not all of it. */
  async decrypt(content: Content): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    for (const piece of framesOf(content)) {
      const { state, frame } = await this.read(piece);
      const secret = state === 'kept' ? await readKey(this.#layout, piece.segment) : undefined;
      if (!secret) return undefined;
      pieces.push(openFrame(secret, frame, piece.offset));
    }
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#name = '';
    await file?.close();
  }

  /** Neighbouring records lie in the same segment mostly, so one file stays open. */
  async #open(name: string): Promise<FileHandle | undefined> {
    if (name === this.#name) return this.#file;
    await this.close();
    if (!parseContentName(name)) return undefined;
    try {
      this.#file = await open(contentPath(this.#layout, name), 'r');
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
    this.#name = name;
    return this.#file;
  }
}

/** The key of a content segment; undefined when it was destroyed. */
export const readKey = async (layout: AuditLayout, name: string): Promise<Buffer | undefined> => {
  try {
    return await readFile(keyPath(layout, name));
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
};

/** Decrypts a content frame that lies at `offset` of its segment. */
export const openFrame = (secret: Buffer, frame: Buffer, offset: number): Buffer => {
  const decipher = createDecipheriv('aes-256-ctr', secret, counterAt(offset));
  // The counter counts blocks: what of the first one belongs to the frame before is skipped.
  decipher.update(Buffer.alloc(offset % 16));
  return decipher.update(frame).subarray(SALT_BYTES);
};
