import { type FileHandle, open } from 'node:fs/promises';
import { AuditCorruptionError, StalePositionError } from './corruption.ts';
import { frameLength, GENESIS, HEADER_BYTES, isUnwrittenTail, MAX_PAYLOAD_BYTES, readFrame } from './frame.ts';
import { type AuditLayout, listSegments, segmentPath } from './layout.ts';
import type { AuditPosition, AuditStart } from './read.ts';
import { parseOpening, type RecordPlace } from './segment-opening.ts';

/** A checked frame with its payload unparsed. */
export interface AuditFrame {
  readonly position: AuditPosition;
  readonly next: AuditPosition;
  readonly payload: Buffer;
}

/** The bytes behind the last whole record: the rest of a write that a crash cut short, or one that is under way. */
export interface TornTail {
  readonly segment: number;
  readonly offset: number;
  readonly bytes: number;
}

/** What readFrames may be told. */
export interface ReadFramesOptions {
  readonly from?: AuditStart | undefined;
  /** The last segment that is read; without it all there are. */
  readonly until?: number;
  /** Called once at the end when bytes are left behind the last whole record. */
  readonly onTorn?: (torn: TornTail) => void;
  /** For who is done with a payload before asking for the next frame: it is overwritten then, and no memory piles up. */
  readonly reuse?: boolean;
  /** Frames that are checked as any other but not given. */
  readonly skip?: ((payload: Buffer) => boolean) | undefined;
}

/** The place before the first record of any log. */
export const START: AuditPosition = { segment: 1, offset: 0, index: 0, chain: GENESIS.toString('hex') };

/**
 * Streams the checked frames of the chain from a place on; readAudit is the same with records. Payloads are views that
 * stay valid unless `reuse` is set. Throws AuditCorruptionError and StalePositionError.
 */
export async function* readFrames(
  layout: AuditLayout,
  options: ReadFramesOptions = {},
): AsyncGenerator<AuditFrame, void, undefined> {
  const from = options.from ?? START;
  const exact = from.chain !== undefined && from.index !== undefined;
  let at: AuditPosition = exact ? (from as AuditPosition) : await segmentStart(layout, from.segment);
  let resumed = exact && from.offset > 0;
  if ((await listSegments(layout)).length === 0) return;
  for (;;) {
    const walk = new SegmentWalk(layout, at, options.reuse === true);
    try {
      // A segment that another follows grows no more, so its end is looked at once more after that was seen.
      let closed = false;
      for (;;) {
        const frame = walk.buffered() ?? (await walk.next(resumed));
        if (frame) {
          resumed = false;
          at = frame.next;
          const isBefore = frame.position.segment === from.segment && frame.position.offset < from.offset;
          if (!isBefore && !options.skip?.(frame.payload)) yield frame;
          continue;
        }
        if (closed) break;
        closed = await follows(layout, at.segment);
        if (closed) continue;
        const torn = await walk.torn();
        if (torn) options.onTorn?.(torn);
        return;
      }
      if (await walk.torn()) throw walk.corruption('bytes that are no record, before the next segment');
      if (options.until !== undefined && at.segment >= options.until) return;
      at = { ...at, segment: at.segment + 1, offset: 0 };
    } finally {
      await walk.close();
    }
  }
}

const follows = async (layout: AuditLayout, segment: number): Promise<boolean> => {
  const numbers = await listSegments(layout);
  return (numbers.at(-1) ?? 0) > segment;
};

/** The start of a segment, as its own first record tells it. */
const segmentStart = async (layout: AuditLayout, segment: number): Promise<AuditPosition> => {
  if (segment === START.segment) return START;
  const opening = parseOpening(await readPayloadAt(layout, { segment, offset: 0 }));
  if (!opening) throw damaged({ segment, offset: 0 }, 'the segment does not start with segment_opened');
  return { segment, offset: 0, index: opening.index, chain: opening.previous };
};

/** The reason of a record whose bytes end too early. */
export const CUT_SHORT = 'the record is cut short';

/** The payload of the one frame at a place, its header checked but not its chain. Throws AuditCorruptionError. */
export const readPayloadAt = async (layout: AuditLayout, place: RecordPlace): Promise<Buffer> => {
  const file = await openSegment(layout, place.segment);
  if (!file) throw damaged(place, 'the segment is missing');
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    const head = await file.read(header, 0, HEADER_BYTES, place.offset);
    if (head.bytesRead < HEADER_BYTES) throw damaged(place, CUT_SHORT);
    const length = frameLength(header, 0);
    if (length === undefined || length > MAX_PAYLOAD_BYTES) throw damaged(place, 'the header checksum is wrong');
    const payload = Buffer.alloc(length);
    const body = await file.read(payload, 0, length, place.offset + HEADER_BYTES);
    if (body.bytesRead < length) throw damaged(place, CUT_SHORT);
    return payload;
  } finally {
    await file.close();
  }
};

const damaged = (place: RecordPlace, reason: string): AuditCorruptionError =>
  new AuditCorruptionError({ segment: place.segment, offset: place.offset, index: -1, id: null, reason });

const openSegment = async (layout: AuditLayout, segment: number): Promise<FileHandle | undefined> => {
  try {
    return await open(segmentPath(layout, segment), 'r');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
};

const CHUNK_BYTES = 256 * 1024;

/** Walks one segment. Each refill takes a new buffer, so that payloads handed out stay valid, or else the same one. */
class SegmentWalk {
  readonly #layout: AuditLayout;
  readonly #reuse: boolean;
  #file: FileHandle | undefined;
  #at: AuditPosition;
  #chain: Buffer;
  #buffer = Buffer.alloc(0);
  /** What of the buffer is filled. */
  #bytes = this.#buffer;
  #start = 0;

  constructor(layout: AuditLayout, at: AuditPosition, reuse: boolean) {
    this.#layout = layout;
    this.#reuse = reuse;
    this.#at = at;
    this.#chain = Buffer.from(at.chain, 'hex');
  }

  /** The next frame if it is read already and right: without a promise, which costs more than the frame. */
  buffered(): AuditFrame | undefined {
    const found = readFrame(this.#bytes, this.#start, this.#bytes.length, this.#chain);
    return 'payload' in found ? this.#take(found.payload, found.chain, found.end) : undefined;
  }

  /** The next frame; undefined at the end. `resumed`: a wrong first frame then means a stale position. */
  async next(resumed: boolean): Promise<AuditFrame | undefined> {
    this.#file ??= await openSegment(this.#layout, this.#at.segment);
    if (!this.#file) {
      if (resumed) throw this.#stale();
      // A writer whose disk was full may have taken back the segment it had just begun.
      if (this.#at.offset === 0 && !(await follows(this.#layout, this.#at.segment))) return undefined;
      throw this.corruption('the segment is missing');
    }
    for (;;) {
      const found = readFrame(this.#bytes, this.#start, this.#bytes.length, this.#chain);
      if ('payload' in found) return this.#take(found.payload, found.chain, found.end);
      if ('needBytes' in found) {
        if (await this.#fill(found.needBytes)) continue;
        if (resumed && (await this.#file.stat()).size < this.#at.offset) throw this.#stale();
        return undefined;
      }
      if (await this.#isUnwritten()) return undefined;
      if (resumed) throw this.#stale();
      throw this.corruption(`the ${found.fault} is wrong`);
    }
  }

  /** What lies behind the last whole frame; undefined when nothing does. */
  async torn(): Promise<TornTail | undefined> {
    const bytes = ((await this.#file?.stat())?.size ?? 0) - this.#at.offset;
    return bytes > 0 ? { segment: this.#at.segment, offset: this.#at.offset, bytes } : undefined;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  corruption(reason: string): AuditCorruptionError {
    const { segment, offset, index } = this.#at;
    return new AuditCorruptionError({
      segment,
      offset,
      index,
      id: visibleId(this.#bytes.subarray(this.#start)),
      reason,
    });
  }

  #stale(): StalePositionError {
    return new StalePositionError(this.#at.segment, this.#at.offset);
  }

  #take(payload: Buffer, chain: Buffer, end: number): AuditFrame {
    const position = this.#at;
    const { segment, offset, index } = position;
    const next = { segment, offset: offset + end - this.#start, index: index + 1, chain: chain.toString('hex') };
    this.#at = next;
    this.#chain = chain;
    this.#start = end;
    return { position, next, payload };
  }

  /** Reads on until `needBytes` from the frame's start are there; whether anything came. */
  async #fill(needBytes: number): Promise<boolean> {
    const kept = this.#bytes.length - this.#start;
    const size = Math.max(CHUNK_BYTES, needBytes);
    const buffer = this.#reuse && this.#buffer.length === size ? this.#buffer : Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(buffer, 0, this.#start);
    const file = this.#file as FileHandle;
    const { bytesRead } = await file.read(buffer, kept, size - kept, this.#at.offset + kept);
    this.#buffer = buffer;
    this.#bytes = buffer.subarray(0, kept + bytesRead);
    this.#start = 0;
    return bytesRead > 0;
  }

  async #isUnwritten(): Promise<boolean> {
    const file = this.#file as FileHandle;
    const size = (await file.stat()).size;
    const last = Buffer.alloc(1);
    await file.read(last, 0, 1, size - 1);
    if (last[0] !== 0) return false;
    const rest = Buffer.alloc(size - this.#at.offset);
    await file.read(rest, 0, rest.length, this.#at.offset);
    return isUnwrittenTail(rest, this.#at.offset) && !(await follows(this.#layout, this.#at.segment));
  }
}

/** The id that damaged bytes still show: for the eyes of who looks into it. */
const visibleId = (bytes: Buffer): string | null => {
  const text = bytes.subarray(HEADER_BYTES, HEADER_BYTES + 4096).toString('latin1');
  return /^\{"kind":"(?:intent|outcome)","id":"([\x21-\x7e]{1,128}?)"/.exec(text)?.[1] ?? null;
};
