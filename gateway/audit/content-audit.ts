import type { AuditRecord, ContentFrame } from '../types.gen.ts';
import { ContentReader, type ContentState, readKey } from './content.ts';
import { framesOf } from './content-frames.ts';
import type { BadRecord } from './corruption.ts';
import { CONTENT_ERASED, readOrders } from './erase.ts';
import { type AuditLayout, parseContentName } from './layout.ts';
import type { AuditPosition } from './read.ts';
import { lostContents } from './recover.ts';
import { CONTENT_EXPIRED } from './retention.ts';

/** How many contents are kept, and what became of the others. */
export interface ContentCounts {
  readonly kept: number;
  /** Overwritten by an erasure that the log tells of, or that waits to be recorded. */
  readonly erased: number;
  /** Destroyed because their retention was over. */
  readonly expired: number;
  /** Taken by a power loss before their records were acknowledged; the log tells of it. */
  readonly lost: number;
}

/** A content of which at least one frame is not there, or not as it was. */
interface Gone {
  readonly position: AuditPosition;
  readonly id: string | null;
  readonly frames: readonly GoneFrame[];
  /** Whether other frames of it have expired. */
  readonly isExpired: boolean;
}

interface GoneFrame {
  readonly frame: ContentFrame;
  readonly state: Exclude<ContentState, 'kept'>;
}

/** What explains that a frame is gone. Of several, a content in pieces counts as the first in this order. */
const EXPLANATIONS = ['erased', 'expired', 'lost', 'kept'] as const;
type Explanation = (typeof EXPLANATIONS)[number];

/**
 * Checks every content against the hash in its record. Why one is gone, only later records tell: those are settled at
 * the end, by `problems`.
 */
export class ContentAudit {
  readonly #layout: AuditLayout;
  readonly #now: number;
  readonly #reader: ContentReader;
  readonly #gone: Gone[] = [];
  readonly #erasedFrames = new Set<string>();
  readonly #lostFrames = new Set<string>();
  readonly #expiredSegments = new Set<string>();
  readonly #erasedIds = new Set<string>();
  readonly #hasKey = new Map<string, boolean>();
  readonly #counts = { kept: 0, erased: 0, expired: 0, lost: 0 };

  constructor(layout: AuditLayout, now: number) {
    this.#layout = layout;
    this.#now = now;
    this.#reader = new ContentReader(layout);
  }

  get counts(): ContentCounts {
    return this.#counts;
  }

  /** Decision ids whose content was erased. */
  get erased(): readonly string[] {
    return [...this.#erasedIds];
  }

  /** Content segments whose retention is over. */
  get expired(): readonly string[] {
    return [...this.#expiredSegments].sort();
  }

  /** Takes one record of the log, in order. */
  async check(position: AuditPosition, record: AuditRecord): Promise<void> {
    if (record.kind === 'event') {
      const detail = record.detail as {
        contents?: readonly { segment: string; offset: number }[];
        segments?: readonly string[];
      };
      if (record.event === CONTENT_ERASED)
        for (const frame of detail.contents ?? []) this.#erasedFrames.add(keyOf(frame));
      if (record.event === CONTENT_EXPIRED) for (const name of detail.segments ?? []) this.#expiredSegments.add(name);
      for (const frame of lostContents(record)) this.#lostFrames.add(keyOf(frame));
      return;
    }
    if (record.kind === 'suppressed' || !record.content) return;
    const frames: GoneFrame[] = [];
    let isExpired = false;
    for (const frame of framesOf(record.content)) {
      if ((parseContentName(frame.segment)?.expiresAt ?? Number.POSITIVE_INFINITY) <= this.#now) {
        this.#expiredSegments.add(frame.segment);
        isExpired = true;
        continue;
      }
      const { state } = await this.#reader.read(frame);
      if (state !== 'kept') frames.push({ frame, state });
      else if (!(await this.#keyExists(frame.segment))) frames.push({ frame, state: 'missing' });
    }
    if (frames.length > 0) this.#gone.push({ position, id: record.id, frames, isExpired });
    else this.#counts[isExpired ? 'expired' : 'kept'] += 1;
  }

  /** Takes the erasures that the log's writer has not recorded yet; it may record them while the log is walked. */
  async readOrders(): Promise<void> {
    for (const { order } of await readOrders(this.#layout)) {
      for (const frame of order.contents) this.#erasedFrames.add(keyOf(frame));
    }
  }

  /** The contents that are gone or changed without a reason that the log tells. */
  async problems(): Promise<BadRecord[]> {
    await this.readOrders();
    const problems: BadRecord[] = [];
    for (const { position, id, frames, isExpired } of this.#gone) {
      const explanations = new Set<Explanation>(isExpired ? ['expired'] : []);
      let unexplained: GoneFrame | undefined;
      for (const frame of frames) {
        const explanation = await this.#explain(frame);
        if (explanation) explanations.add(explanation);
        else unexplained ??= frame;
      }
      if (unexplained) {
        const { segment, offset, index } = position;
        problems.push({ segment, offset, index, id, reason: REASONS[unexplained.state] });
        continue;
      }
      const counted = EXPLANATIONS.find((explanation) => explanations.has(explanation)) ?? 'kept';
      this.#counts[counted] += 1;
      if (counted === 'erased' && id !== null) this.#erasedIds.add(id);
    }
    return problems;
  }

  async #explain(gone: GoneFrame): Promise<Explanation | undefined> {
    const key = keyOf(gone.frame);
    if (this.#erasedFrames.has(key)) return 'erased';
    if (this.#expiredSegments.has(gone.frame.segment)) return 'expired';
    if (this.#lostFrames.has(key)) return 'lost';
    return (await this.#arrivesLate(gone)) ? 'kept' : undefined;
  }

  /** A running gateway writes content and record side by side: the record may have been read first. */
  async #arrivesLate({ frame, state }: GoneFrame): Promise<boolean> {
    if (state === 'erased' || !(await this.#keyExists(frame.segment))) return false;
    return (await this.#reader.read(frame)).state === 'kept';
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  async #keyExists(name: string): Promise<boolean> {
    const known = this.#hasKey.get(name);
    if (known !== undefined) return known;
    const exists = (await readKey(this.#layout, name)) !== undefined;
    // A key that is there stays; one that is not may be about to be made.
    if (exists) this.#hasKey.set(name, exists);
    return exists;
  }
}

const REASONS: Record<GoneFrame['state'], string> = {
  erased: 'its content was overwritten, and no record tells of an erasure',
  missing: 'its content or the key to it is missing, and its retention is not over',
  changed: 'its content was changed',
};

const keyOf = ({ segment, offset }: { segment: string; offset: number }): string => `${segment}:${offset}`;
