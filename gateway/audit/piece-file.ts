import type { ContentFrame } from '../types.gen.ts';
import type { ContentSegment } from './content-store.ts';
import { refusalOf, unavailable } from './unavailable.ts';

/** A frame on its way to the disk, or none: somebody waits for what came before to be durable. */
interface Waiting {
  readonly frame: Buffer | null;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How much is written at a time, and made durable before more is: what a settling draft waits for beside the queue. */
const STEP_BYTES = 4 * 1024 * 1024;

/**
 * A content segment that drafts write their pieces to. Pieces go to the disk in the order in which they were sealed,
 * those that wait in one write. A failure ends the file: what lies behind its durable part is unknown.
 */
export class PieceFile {
  readonly #segment: ContentSegment;
  readonly #timeoutMs: number;
  readonly #queue: Waiting[] = [];
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: unknown;

  /** `timeoutMs`: how long the disk may take for a step. However many wait, a disk that goes on is waited for. */
  constructor(segment: ContentSegment, timeoutMs: number) {
    this.#segment = segment;
    this.#timeoutMs = timeoutMs;
  }

  get isBroken(): boolean {
    return this.#failure !== undefined;
  }

  /** Seals a piece and queues it. `written` resolves when the disk has taken it, and rejects when it refuses. */
  add(chunks: readonly Uint8Array[]): { ref: ContentFrame; written: Promise<void> } {
    const { ref, frame } = this.#segment.seal(chunks);
    return { ref, written: this.#wait(frame) };
  }

  /** Resolves when all that was added up to `end` bytes is durable. */
  async settle(end: number): Promise<void> {
    if (this.#segment.durableBytes < end) await this.#wait(null);
  }

  /** Makes durable what was added and closes the file; nothing may be added from now on. */
  async close(): Promise<void> {
    await this.settle(Number.POSITIVE_INFINITY).catch(() => {});
    while (this.#running) await this.#running;
    await this.#segment.close();
  }

  #wait(frame: Buffer | null): Promise<void> {
    if (this.isBroken) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ frame, resolve, reject });
    this.#running ??= this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    // Pieces of one turn of the event loop go together.
    await undefined;
    while (this.#queue.length > 0) {
      const step = this.#nextStep();
      const work = this.#write(step);
      try {
        await within(this.#timeoutMs, work);
        for (const { resolve } of step) resolve();
      } catch (error) {
        this.#fail([...step, ...this.#queue.splice(0)], error);
        // A write that hangs still has the file.
        await work.catch(() => {});
      }
    }
    this.#running = undefined;
  }

  /** What is next in the queue, STEP_BYTES or a little more. */
  #nextStep(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < STEP_BYTES) bytes += this.#queue[count++]?.frame?.length ?? 0;
    return this.#queue.splice(0, count);
  }

  async #write(step: readonly Waiting[]): Promise<void> {
    const frames = step.flatMap(({ frame }) => frame ?? []);
    if (frames.length > 0) await this.#segment.append(frames);
    for (const { length } of frames) this.#unsyncedBytes += length;
    // Pieces wait for it too: that is how a disk slows those who write faster than it does.
    if (frames.length === step.length && this.#unsyncedBytes < STEP_BYTES) return;
    await this.#segment.sync();
    this.#unsyncedBytes = 0;
  }

  #fail(waiting: readonly Waiting[], cause: unknown): void {
    const isOurs = (cause as { code?: unknown } | null)?.code === 'audit_unavailable';
    this.#failure = isOurs ? cause : unavailable(refusalOf(cause, 'a piece of a content'), cause);
    for (const { reject } of waiting) reject(this.#failure);
  }
}

const within = async (ms: number, work: Promise<unknown>): Promise<void> => {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(unavailable(`the audit disk did not answer within ${ms} ms`)), ms);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
};
