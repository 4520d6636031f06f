import type { ContentFrame } from '../types.gen.ts';
import type { ContentDraft } from './audit-log.ts';
import type { ContentSegment, ContentStore } from './content-store.ts';
import { PieceFile } from './piece-file.ts';
import { unavailable } from './unavailable.ts';

/** What the drafts of a log need. */
export interface ContentDraftsOptions {
  /** Chooses segments that nobody else writes to. */
  readonly segments: ContentStore;
  /** How long the disk may take for a few megabytes of pieces. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** A piece, and the file it is written to. */
interface Piece {
  readonly file: PieceFile;
  readonly ref: ContentFrame;
  readonly written: Promise<void>;
}

/**
 * The contents that come in pieces. They have segments of their own: records never wait for a piece of somebody else's,
 * and a piece that fails takes no record along.
 */
export class ContentDrafts {
  readonly #options: ContentDraftsOptions;
  readonly #files = new Map<ContentSegment, PieceFile>();
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ContentDraftsOptions) {
    this.#options = options;
  }

  /** See AuditLog.openContent. */
  open(retentionDays: number): ContentDraft {
    return new Draft(retentionDays, (chunks) => this.#add(retentionDays, chunks));
  }

  /** Closes the files. Pieces are refused from now on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const segment of this.#files.keys()) this.#close(segment);
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #add(retentionDays: number, chunks: readonly Uint8Array[]): Piece {
    if (this.#isClosed) throw unavailable('the audit log is closed');
    const file = this.#fileFor(retentionDays);
    return { file, ...file.add(chunks) };
  }

  #fileFor(retentionDays: number): PieceFile {
    const { segments, timeoutMs, now } = this.#options;
    const segment = segments.segmentFor(retentionDays, now());
    for (const retired of segments.takeRetired()) this.#close(retired);
    let file = this.#files.get(segment);
    if (file?.isBroken) {
      segments.leave(segment);
      return this.#fileFor(retentionDays);
    }
    if (!file) {
      file = new PieceFile(segment, timeoutMs);
      this.#files.set(segment, file);
    }
    return file;
  }

  #close(segment: ContentSegment): void {
    const closing = this.#files.get(segment)?.close();
    this.#files.delete(segment);
    if (!closing) return;
    // The close of a file whose content is durable, or lost already, fails nobody.
    const over: Promise<void> = closing.catch(() => {}).finally(() => this.#closing.delete(over));
    this.#closing.add(over);
  }
}

class Draft implements ContentDraft {
  readonly retentionDays: number;
  readonly #add: (chunks: readonly Uint8Array[]) => Piece;
  readonly #refs: ContentFrame[] = [];
  /** The files with pieces of it, and how far into each they reach. */
  readonly #ends = new Map<PieceFile, number>();
  #bytes = 0;
  #failure: unknown;

  constructor(retentionDays: number, add: (chunks: readonly Uint8Array[]) => Piece) {
    this.retentionDays = retentionDays;
    this.#add = add;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    await this.#orBroken(() => {
      const { file, ref, written } = this.#add(chunks);
      this.#refs.push(ref);
      this.#ends.set(file, ref.offset + ref.bytes);
      for (const { length } of chunks) this.#bytes += length;
      return written;
    });
  }

  async settle(): Promise<readonly ContentFrame[]> {
    const ends = [...this.#ends];
    await this.#orBroken(() => Promise.all(ends.map(([file, end]) => file.settle(end))));
    return this.#refs;
  }

  discard(): void {
    this.#failure ??= unavailable('the content was discarded');
    this.#ends.clear();
  }

  /** Runs what the disk may refuse; then the draft is broken for good. */
  async #orBroken(work: () => Promise<unknown>): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      await work();
    } catch (error) {
      this.#failure ??= error;
    }
    if (this.#failure) throw this.#failure;
  }
}
