import type { ContentFrame } from '../types.gen.ts';
import type { ContentSegment } from './content-store.ts';
import { refusalOf, unavailable } from './unavailable.ts';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How much may be written and not durable yet: what a settling draft waits for at most, beside what is queued. */
const UNSYNCED_BYTES = 4 * 1024 * 1024;

/**
 * A content segment that drafts write their pieces to. Pieces go to the disk in the order in which they were sealed,
 * those that wait in one write. A failure ends the file: what lies behind its durable part is unknown.
 */
export class PieceFile {
  readonly #segment: ContentSegment;
  #queue: (Waiting & { readonly frame: Buffer })[] = [];
  #syncs: Waiting[] = [];
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: unknown;

  constructor(segment: ContentSegment) {
    this.#segment = segment;
  }

  get isBroken(): boolean {
    return this.#failure !== undefined;
  }

  /** Seals a piece and queues it. `written` resolves when the disk has taken it, and rejects when it refuses. */
  add(chunks: readonly Uint8Array[]): { ref: ContentFrame; written: Promise<void> } {
    const { ref, frame } = this.#segment.seal(chunks);
    return { ref, written: this.#wait((waiting) => this.#queue.push({ ...waiting, frame })) };
  }

  /** Resolves when all that was added up to `end` bytes is durable. */
  async settle(end: number): Promise<void> {
    if (this.#segment.durableBytes < end) await this.#wait((waiting) => this.#syncs.push(waiting));
  }

  /** Makes durable what was added and closes the file; nothing may be added from now on. */
  async close(): Promise<void> {
    await this.settle(Number.POSITIVE_INFINITY).catch(() => {});
    while (this.#running) await this.#running;
    await this.#segment.close();
  }

  #wait(queue: (waiting: Waiting) => void): Promise<void> {
    if (this.isBroken) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    queue({ resolve, reject });
    this.#running ??= this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    let underWay: readonly Waiting[] = [];
    try {
      // Pieces of one turn of the event loop go together.
      await undefined;
      while (this.#queue.length > 0 || this.#syncs.length > 0) {
        const [pieces, syncs] = [this.#queue, this.#syncs];
        this.#queue = [];
        this.#syncs = [];
        underWay = [...pieces, ...syncs];
        if (pieces.length > 0) await this.#segment.append(pieces.map(({ frame }) => frame));
        for (const { frame } of pieces) this.#unsyncedBytes += frame.length;
        // Pieces wait for it too: that is how a disk slows those who write faster than it does.
        if (syncs.length > 0 || this.#unsyncedBytes >= UNSYNCED_BYTES) {
          await this.#segment.sync();
          this.#unsyncedBytes = 0;
        }
        for (const { resolve } of underWay) resolve();
      }
    } catch (error) {
      this.#failure = unavailable(refusalOf(error, 'a piece of a content'), error);
      for (const { reject } of [...underWay, ...this.#queue, ...this.#syncs]) reject(this.#failure);
      this.#queue = [];
      this.#syncs = [];
    }
    this.#running = undefined;
  }
}
