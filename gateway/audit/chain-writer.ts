import { rm } from 'node:fs/promises';
import type { GatewayError } from '../errors.ts';
import type { AuditRecord, ContentFrame, ContentRef } from '../types.gen.ts';
import type { AuditContent } from './audit-log.ts';
import { contentRef } from './content-frames.ts';
import type { ContentStore } from './content-store.ts';
import type { AppendFile, AuditDisk } from './disk.ts';
import { type ChainEnd, Group } from './group.ts';
import { type AuditLayout, segmentPath } from './layout.ts';
import { MAX_GROUP_RECORDS } from './recover.ts';
import { openingRecord, type RecordPlace } from './segment-opening.ts';
import { refusalOf, unavailable } from './unavailable.ts';

/** What a chain writer starts from. */
export interface ChainWriterOptions {
  readonly layout: AuditLayout;
  readonly disk: AuditDisk;
  readonly contents: ContentStore;
  readonly log: string;
  readonly end: ChainEnd;
  /** Intents without an outcome; the writer keeps it up to date. */
  readonly open: Map<string, RecordPlace>;
  readonly segmentBytes: number;
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** What may wait for the disk at most; beyond it appends are refused, so that a slow disk cannot take all memory. */
const MAX_WAITING_BYTES = 128 * 1024 * 1024;
const BUFFER_BYTES = 1024 * 1024;
/** A buffer that one large record has grown is not kept. */
const MAX_KEPT_BUFFER_BYTES = 4 * BUFFER_BYTES;

/**
 * Writes the chain by group commit: records that come while one group is on its way to the disk form the next one, which
 * starts as soon as the first is durable. Each record is encoded and chained when it comes; a failed group takes all that
 * were chained to it along, and the file is cut back to the last durable record before anything else is written.
 */
export class ChainWriter {
  readonly #options: ChainWriterOptions;
  readonly #queue: Group[] = [];
  /** Buffers of past groups, to be used again. */
  readonly #spare: Buffer[] = [];
  /** The end of the last group in the queue: what the next record is chained to. */
  #tail: ChainEnd;
  #durable: ChainEnd;
  #file: AppendFile | undefined;
  #fileSegment: number;
  #underWay: Group | undefined;
  #running: Promise<void> | undefined;
  #isDirty = false;
  #isStalled = false;
  #isHealthy = true;
  #isClosed = false;
  #waitingBytes = 0;
  /** When the disk was last asked for something, or answered. */
  #heardAt = 0;

  constructor(options: ChainWriterOptions) {
    this.#options = options;
    this.#tail = options.end;
    this.#durable = options.end;
    this.#fileSegment = options.end.segment;
  }

  get isHealthy(): boolean {
    return this.#isHealthy;
  }

  /** The end of what is durable. */
  get durable(): ChainEnd {
    return this.#durable;
  }

  /** See AuditLog.append. `pieces` of the content are durable already and come before its chunks. */
  append(record: AuditRecord, content?: AuditContent, pieces: readonly ContentFrame[] = []): Promise<ContentRef> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(unavailable('the audit log is closed'));
      if (this.#isStalled) return reject(unavailable('the audit disk does not answer'));
      if (this.#waitingBytes > MAX_WAITING_BYTES) return reject(unavailable('the audit disk is too slow'));
      try {
        const group = this.#groupForNext();
        const ref = this.#add(group, record, content, pieces);
        this.#waitingBytes += group.takeNewBytes();
        group.waiters.push({ ref, resolve, reject });
      } catch (error) {
        reject(unavailable('the record could not be encoded', error));
      }
    });
  }

  /** Waits for what was appended, then closes the files. Appends are refused from now on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running) await this.#running;
    await this.#options.contents.close();
    await this.#file?.close();
    this.#file = undefined;
  }

  #add(
    group: Group,
    record: AuditRecord,
    content: AuditContent | undefined,
    pieces: readonly ContentFrame[],
  ): ContentRef {
    const hasRest = content !== undefined && (pieces.length === 0 || content.chunks.length > 0);
    const segment = hasRest ? this.#options.contents.segmentFor(content.retentionDays, this.#options.now()) : undefined;
    const sealed = hasRest ? segment?.seal(content.chunks) : undefined;
    // Placed before the record is encoded: a content without its record is only unused bytes, the reverse is a loss.
    if (segment && sealed) group.addContent(segment, sealed.frame);
    const last = sealed?.ref ?? null;
    const ref = pieces.length === 0 ? last : contentRef(last ? [...pieces, last] : pieces);
    const offset = group.add(JSON.stringify(ref ? { ...record, content: ref } : record));
    this.#tail = group.end;
    if (record.kind === 'intent') this.#change(group, record.id, { segment: group.segment, offset });
    else if (record.kind === 'outcome' && record.id !== null) this.#change(group, record.id, undefined);
    return ref;
  }

  #change(group: Group, id: string, place: RecordPlace | undefined): void {
    const { open } = this.#options;
    group.changes.push([id, open.get(id)]);
    if (place) open.set(id, place);
    else open.delete(id);
  }

  #groupForNext(): Group {
    const last = this.#queue.at(-1);
    if (last && last.waiters.length < MAX_GROUP_RECORDS && last.end.offset < this.#options.segmentBytes) return last;
    const { segmentBytes, timeoutMs, log, open, now } = this.#options;
    if (this.#tail.offset >= segmentBytes) this.#tail = { ...this.#tail, segment: this.#tail.segment + 1, offset: 0 };
    const group = new Group(this.#tail, this.#spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES));
    if (group.isFirst) {
      const { segment, index, chain } = this.#tail;
      const waiting = Array.from(open, ([id, place]) => ({ id, ...place }));
      const opening = { format: 1, log, segment, index, previous: chain.toString('hex'), open: waiting } as const;
      group.add(JSON.stringify(openingRecord(opening, new Date(now()).toISOString())));
      this.#tail = group.end;
    }
    group.timer = setTimeout(() => this.#checkStall(group), timeoutMs);
    this.#queue.push(group);
    // Records of one turn of the event loop go together.
    this.#running ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#run());
    return group;
  }

  async #run(): Promise<void> {
    for (let group = this.#queue.shift(); group; group = this.#queue.shift()) {
      this.#underWay = group;
      this.#heard();
      try {
        await this.#write(group);
        this.#succeed(group);
      } catch (error) {
        await this.#fail(group, error);
      }
      this.#underWay = undefined;
    }
    this.#running = undefined;
  }

  async #write(group: Group): Promise<void> {
    if (this.#isDirty) await this.#repair();
    const writes = [this.#writeFrames(group)];
    for (const [segment, parts] of group.contents) writes.push(segment.write(parts).finally(() => this.#heard()));
    // All must be over, also when one failed: a repair must not race with a write.
    for (const result of await Promise.allSettled(writes)) if (result.status === 'rejected') throw result.reason;
  }

  async #writeFrames(group: Group): Promise<void> {
    const file = this.#file && this.#fileSegment === group.segment ? this.#file : await this.#openSegment(group);
    await file.append([group.frames]);
    this.#heard();
    await file.sync();
    this.#heard();
  }

  #heard(): void {
    this.#heardAt = performance.now();
  }

  async #openSegment(group: Group): Promise<AppendFile> {
    const { disk, layout } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    this.#fileSegment = group.segment;
    this.#file = await disk.openAppend(segmentPath(layout, group.segment), group.isFirst);
    if (group.isFirst) await disk.syncFolder(layout.chain);
    return this.#file;
  }

  #succeed(group: Group): void {
    clearTimeout(group.timer);
    this.#durable = group.end;
    this.#isHealthy = true;
    this.#isStalled = false;
    this.#waitingBytes -= group.waitingBytes;
    for (const { ref, resolve } of group.waiters) resolve(ref);
    if (group.buffer.length <= MAX_KEPT_BUFFER_BYTES && this.#spare.length < 2) this.#spare.push(group.buffer);
    if (group.contents.size > 0) this.#options.contents.closeRetired().catch(() => {});
  }

  async #fail(group: Group, cause: unknown): Promise<void> {
    this.#isHealthy = false;
    this.#isStalled = false;
    this.#isDirty = true;
    this.#drop([group, ...this.#queue.splice(0)], unavailable(refusalOf(cause, 'the record'), cause));
    this.#tail = this.#durable;
    // What the content segments hold behind their last durable frame is unknown, so they are not gone on with.
    await this.#options.contents.close().catch(() => {});
    // Tried again before the next write if it does not work now.
    await this.#repair().catch(() => {});
  }

  /**
   * A group has waited long. Only a disk that has been silent for so long is to blame: a process that had no time hears
   * first what the disk has answered meanwhile, and a disk that goes on is waited for.
   */
  #checkStall(group: Group): void {
    setImmediate(() => {
      if (group !== this.#underWay && !this.#queue.includes(group)) return;
      const silentMs = this.#underWay ? performance.now() - this.#heardAt : 0;
      const leftMs = this.#options.timeoutMs - silentMs;
      if (leftMs <= 0) this.#stall();
      else group.timer = setTimeout(() => this.#checkStall(group), Math.ceil(leftMs));
    });
  }

  /** The disk does not answer. Its write may still come through; whatever waits behind it is taken back. */
  #stall(): void {
    if (!this.#underWay) return;
    const error = unavailable(`the audit disk did not answer within ${this.#options.timeoutMs} ms`);
    this.#isHealthy = false;
    this.#isStalled = true;
    this.#drop(this.#queue.splice(0), error);
    this.#tail = this.#underWay.end;
    clearTimeout(this.#underWay.timer);
    for (const { reject } of this.#underWay.waiters.splice(0)) reject(error);
  }

  #drop(groups: readonly Group[], error: GatewayError): void {
    for (const group of groups.toReversed()) {
      clearTimeout(group.timer);
      this.#waitingBytes -= group.waitingBytes;
      for (const [id, before] of group.changes.toReversed()) {
        if (before) this.#options.open.set(id, before);
        else this.#options.open.delete(id);
      }
    }
    for (const group of groups) for (const { reject } of group.waiters.splice(0)) reject(error);
  }

  /** Cuts the chain back to its last durable record. */
  async #repair(): Promise<void> {
    const { disk, layout } = this.#options;
    if (this.#fileSegment !== this.#durable.segment || this.#durable.offset === 0) {
      await this.#file?.close();
      this.#file = undefined;
      await rm(segmentPath(layout, this.#fileSegment), { force: true });
      await disk.syncFolder(layout.chain);
    } else {
      this.#file ??= await disk.openAppend(segmentPath(layout, this.#fileSegment), false);
      await this.#file.truncate(this.#durable.offset);
      await this.#file.sync();
    }
    this.#isDirty = false;
  }
}
