import type { AuditRecord } from '../types.gen.ts';
import { type Content, ContentReader, type ContentState, readKey } from './content.ts';
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

interface Gone {
  readonly position: AuditPosition;
  readonly id: string | null;
  readonly content: Content;
  readonly state: Exclude<ContentState, 'kept'>;
}

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
    const { content, id } = record;
    if ((parseContentName(content.segment)?.expiresAt ?? Number.POSITIVE_INFINITY) <= this.#now) {
      this.#expiredSegments.add(content.segment);
      this.#counts.expired += 1;
      return;
    }
    const { state } = await this.#reader.read(content);
    if (state !== 'kept') this.#gone.push({ position, id, content, state });
    else if (!(await this.#keyExists(content.segment))) this.#gone.push({ position, id, content, state: 'missing' });
    else this.#counts.kept += 1;
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
    for (const gone of this.#gone) {
      const { position, id, content } = gone;
      const key = keyOf(content);
      if (this.#erasedFrames.has(key)) {
        this.#counts.erased += 1;
        if (id !== null) this.#erasedIds.add(id);
      } else if (this.#expiredSegments.has(content.segment)) this.#counts.expired += 1;
      else if (this.#lostFrames.has(key)) this.#counts.lost += 1;
      else if (await this.#arrivesLate(gone)) this.#counts.kept += 1;
      else {
        const { segment, offset, index } = position;
        problems.push({ segment, offset, index, id, reason: REASONS[gone.state] });
      }
    }
    return problems;
  }

  /** A running gateway writes content and record side by side: the record may have been read first. */
  async #arrivesLate({ content, state }: Gone): Promise<boolean> {
    if (state === 'erased' || !(await this.#keyExists(content.segment))) return false;
    return (await this.#reader.read(content)).state === 'kept';
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

const REASONS: Record<Gone['state'], string> = {
  erased: 'its content was overwritten, and no record tells of an erasure',
  missing: 'its content or the key to it is missing, and its retention is not over',
  changed: 'its content was changed',
};

const keyOf = ({ segment, offset }: { segment: string; offset: number }): string => `${segment}:${offset}`;
