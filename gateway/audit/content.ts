import { createDecipheriv, hash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import type { ContentRef } from '../types.gen.ts';
import { counterAt, SALT_BYTES } from './content-store.ts';
import { type AuditLayout, contentPath, keyPath, parseContentName } from './layout.ts';

/** A reference to content that is there or was. */
export type Content = NonNullable<ContentRef>;

/** What became of a record's content on disk. `missing`: key, file or part of it is not there. `changed`: other bytes. */
export type ContentState = 'kept' | 'erased' | 'missing' | 'changed';

/**
 * Reads the encrypted frame of a record's content and says what became of it. `erased` means that the frame is all
 * zeros; whether that was done by `audit erase` only the chain can tell.
 */
export class ContentReader {
  readonly #layout: AuditLayout;
  #name = '';
  #file: FileHandle | undefined;

  constructor(layout: AuditLayout) {
    this.#layout = layout;
  }

  /** The state of the content and its frame, which is there when it is kept. */
  async read(content: Content): Promise<{ state: ContentState; frame: Buffer }> {
    const file = await this.#open(content.segment);
    if (!file) return { state: 'missing', frame: Buffer.alloc(0) };
    const frame = Buffer.alloc(content.bytes);
    const { bytesRead } = await file.read(frame, 0, content.bytes, content.offset);
    if (bytesRead < content.bytes) return { state: 'missing', frame };
    if (hash('sha256', frame) === content.sha256) return { state: 'kept', frame };
    return { state: frame.every((byte) => byte === 0) ? 'erased' : 'changed', frame };
  }

  /** The content in clear. Undefined when it is no longer there. */
  async decrypt(content: Content): Promise<Buffer | undefined> {
    const { state, frame } = await this.read(content);
    if (state !== 'kept') return undefined;
    const secret = await readKey(this.#layout, content.segment);
    return secret && openFrame(secret, frame, content.offset);
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
