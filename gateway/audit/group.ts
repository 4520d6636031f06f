import type { ContentRef } from '../types.gen.ts';
import type { ContentSegment } from './content-store.ts';
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, sealFrame } from './frame.ts';
import type { RecordPlace } from './segment-opening.ts';

/** Where the next record goes: as AuditPosition, with the chain hash in bytes. */
export interface ChainEnd {
  readonly segment: number;
  readonly offset: number;
  readonly index: number;
  readonly chain: Buffer;
}

/** A caller that waits for its record to be durable. */
export interface Waiter {
  readonly ref: ContentRef;
  readonly resolve: (ref: ContentRef) => void;
  readonly reject: (error: unknown) => void;
}

/** Records that are written and made durable together: one write and one fsync for all of them. */
export class Group {
  readonly segment: number;
  /** Whether its first record begins the segment. */
  readonly isFirst: boolean;
  readonly waiters: Waiter[] = [];
  readonly contents = new Map<ContentSegment, Buffer[]>();
  /** What each open intent was before this group, to take it back if the group fails. */
  readonly changes: [id: string, before: RecordPlace | undefined][] = [];
  timer: NodeJS.Timeout | undefined;
  end: ChainEnd;
  /** Bytes of records and contents that the writer counts as waiting. */
  waitingBytes = 0;
  #contentBytes = 0;
  #bytes: Buffer;
  #used = 0;

  constructor(start: ChainEnd, bytes: Buffer) {
    this.segment = start.segment;
    this.isFirst = start.offset === 0;
    this.end = start;
    this.#bytes = bytes;
  }

  /** Adds a record's frame; gives its offset in the segment. Throws RangeError when it is too large. */
  add(json: string): number {
    const start = this.#used;
    // UTF-8 takes up to three bytes a UTF-16 unit; the exact number is counted only when that might not fit.
    const free = this.#bytes.length - start - HEADER_BYTES;
    if (free < json.length * 3) this.#reserve(HEADER_BYTES + Buffer.byteLength(json));
    const length = this.#bytes.write(json, start + HEADER_BYTES);
    if (length > MAX_PAYLOAD_BYTES) throw new RangeError(`a record of ${length} bytes is too large`);
    const chain = sealFrame(this.#bytes, start, length, this.end.chain);
    this.#used = start + HEADER_BYTES + length;
    const { segment, offset, index } = this.end;
    this.end = { segment, offset: offset + HEADER_BYTES + length, index: index + 1, chain };
    return offset;
  }

  /** Adds a content's frame, to be written beside the records. */
  addContent(segment: ContentSegment, frame: Buffer): void {
    const sealed = this.contents.get(segment);
    if (sealed) sealed.push(frame);
    else this.contents.set(segment, [frame]);
    this.#contentBytes += frame.length;
  }

  /** The frames so far. */
  get frames(): Buffer {
    return this.#bytes.subarray(0, this.#used);
  }

  /** The bytes that came since this was last asked; they are counted as waiting from now on. */
  takeNewBytes(): number {
    const added = this.#used + this.#contentBytes - this.waitingBytes;
    this.waitingBytes += added;
    return added;
  }

  /** The buffer, for the next group. */
  get buffer(): Buffer {
    return this.#bytes;
  }

  #reserve(bytes: number): void {
    if (this.#bytes.length - this.#used >= bytes) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#used + bytes));
    this.#bytes.copy(grown, 0, 0, this.#used);
    this.#bytes = grown;
  }
}
